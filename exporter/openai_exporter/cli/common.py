# SPDX-License-Identifier: Apache-2.0
"""What commands share: options, and standard error with structured logs or one line per problem."""

import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from openai_exporter.config import mask_keys
from openai_exporter.config.secret import json_text, printable
from openai_exporter.errors import ConfigError, ExporterError

FAILED = 1
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS = ("logfmt", "json")

_Command = TypeVar("_Command", bound=Callable[..., Any])
_WORDS = {logging.WARNING: "warn", logging.CRITICAL: "error"}
_PACKAGE = "openai_exporter."
Mask = Callable[[str], str]


def config_file_option(without: str) -> Callable[[_Command], _Command]:
    """The option --config.file; `without` says what is enough without a configuration."""
    return click.option(
        "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
        show_envvar=True, metavar="FILE", help=f"Configuration; without one, {without} enough.",
    )  # fmt: skip


_STORAGE = "OPENAI_EXPORTER_STORAGE_PATH"


def storage_option(text: str) -> Callable[[_Command], _Command]:
    """The option --storage.path, the folder of what is kept; `text` says what that is."""
    return click.option(
        "--storage.path", "storage", type=click.Path(file_okay=False), metavar="FOLDER",
        envvar=_STORAGE, show_envvar=True, default=_state_folder, show_default=False, callback=_folder,
        help=f"{text}  [default: openai-exporter in $XDG_STATE_HOME, or in ~/.local/state]",
    )  # fmt: skip


def _state_folder() -> str:
    """The user's folder for state, as the XDG Base Directory Specification has it; empty where there is none."""
    if _STORAGE in os.environ:  # and empty, or it would have been taken
        return ""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return str((state if state.is_absolute() else Path.home() / ".local/state") / "openai-exporter")
    except RuntimeError:  # a user without a home
        return ""


def _folder(ctx: click.Context, param: click.Parameter, value: str) -> Path | None:
    return Path(value) if value else None


class Finite(click.FloatRange):
    """A number in a range; `nan`, which is in none, and `inf` are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


def renamed_option(earlier: str, name: str) -> Callable[[_Command], _Command]:
    """An option that exists only to reject its earlier spelling, naming the present one."""

    def reject(context: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"{earlier} was renamed to {name}", context)

    return click.option(earlier, expose_value=False, hidden=True, callback=reject)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn our errors into lines and exit status 1."""
    try:
        yield
    except ExporterError as error:
        print_problems(error)
        sys.exit(FAILED)


def problems_of(error: ExporterError) -> list[str]:
    """One line for each problem."""
    problems = error.problems if isinstance(error, ConfigError) else (error,)
    return [" ".join(str(problem).split()) for problem in problems]


def print_problems(error: ExporterError) -> None:
    """Print each problem on its own line."""
    for problem in problems_of(error):
        click.echo(printable(mask_keys(f"openai-exporter: {problem}")), err=True)


class StructuredFormatter(logging.Formatter):
    """One line per record: ts, level, component, msg, the record's fields, and the error when there is one.

    Fields come from `extra={"fields": {...}}`. Every value passes `mask` before it is written.

    Args:
        mask: takes secrets out of a text.
    """

    def __init__(self, mask: Mask, *, as_json: bool) -> None:
        super().__init__()
        self._mask = mask
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        fields = {name: self._masked(value) for name, value in _fields(record)}
        if self._as_json:
            return json_text(fields)
        return " ".join(f"{name}={_value(value)}" for name, value in fields.items())

    def _masked(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._mask(str(value))


def configure(level: str, form: str, mask: Mask, stream: TextIO | None = None) -> None:
    """Send every log record of this process, libraries included, through our formatter.

    Args:
        level: a key of `LEVELS`; libraries log warnings and errors only.
        form: one of `FORMATS`.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(StructuredFormatter(mask, as_json=form == "json"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("openai_exporter").setLevel(LEVELS[level])
    # uvicorn warns of each malformed request, which any client could fill the log with.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    # A reader that went away must not cost a traceback per record.
    logging.raiseExceptions = False
    logging.captureWarnings(True)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    yield "ts", time.replace("+00:00", "Z")
    yield "level", _WORDS.get(record.levelno, record.levelname.lower())
    yield "component", record.name.removeprefix(_PACKAGE)
    yield "msg", record.getMessage().strip()
    yield from getattr(record, "fields", {}).items()
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        yield "error", f"{type(error).__name__}: {error}"
        yield "traceback", "".join(traceback.format_exception(error)).strip()


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    if text and text.isprintable() and not any(character in text for character in ' "=\\'):
        return text
    return json_text(text)
