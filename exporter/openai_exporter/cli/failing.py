# SPDX-License-Identifier: Apache-2.0
"""How a command ends that cannot go on: one line per problem on standard error, a status, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from openai_exporter.config import mask_keys
from openai_exporter.errors import ConfigError, ExporterError

FAILED = 1


@contextmanager
def told() -> Iterator[None]:
    """Turn our errors into lines and exit status 1."""
    try:
        yield
    except ExporterError as error:
        tell(error)
        sys.exit(FAILED)


def fail(message: str) -> NoReturn:
    """Print one line and end with status 1."""
    _print(message)
    sys.exit(FAILED)


def problems_of(error: ExporterError) -> list[str]:
    """One line for each problem."""
    problems = error.problems if isinstance(error, ConfigError) else (error,)
    return [" ".join(str(each).split()) for each in problems]


def tell(error: ExporterError) -> None:
    """Print each problem on its own line."""
    for problem in problems_of(error):
        _print(problem)


def _print(message: str) -> None:
    line = " ".join(message.split())
    click.echo(mask_keys(f"openai-exporter: {line}"), err=True)
