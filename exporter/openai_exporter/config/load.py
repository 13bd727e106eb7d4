# SPDX-License-Identifier: Apache-2.0
"""From a file, or from nothing but environment variables, to a checked `Config`."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from openai_exporter.config.checks import Finding, cross_check, unreadable_keys
from openai_exporter.config.defaults import default_document
from openai_exporter.config.document import Document, dotted
from openai_exporter.config.messages import mistakes
from openai_exporter.config.pricefile import read_prices
from openai_exporter.config.prices import Price
from openai_exporter.config.remains import Remains
from openai_exporter.config.root import Config
from openai_exporter.errors import ConfigError, Problem

MAX_BYTES = 1 << 20
"""Size of a configuration file; a larger one is not a configuration."""

_NO_KEYS = (
    "no configuration file and no key: set OPENAI_API_KEY (probes) or OPENAI_ADMIN_KEY (usage and costs), "
    "or give --config.file; `openai-exporter simulate` starts an API to try it on"
)
_EMPTY = "is empty; start with `targets:`, or leave the file out for the built-in configuration"


def load_config(path: Path, env: Mapping[str, str]) -> Config:
    """Decode, check and bind a configuration file.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_config(_read(path), str(path), env, path.parent)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem(str(path), "is larger than 1 MiB; this is not a configuration")])
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), _unreadable(error))]) from None


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} on line {line}); save it as UTF-8"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}; name an existing file"


def zero_config(env: Mapping[str, str]) -> Config:
    """The built-in configuration, made of OPENAI_API_KEY, OPENAI_ADMIN_KEY and OPENAI_BASE_URL.

    Raises:
        ConfigError: neither key is set, or a value is unusable.
    """
    data = default_document(env)
    if data is None:
        raise ConfigError([Problem("environment", _NO_KEYS)])
    text = yaml.safe_dump(data, sort_keys=False)
    try:
        return parse_config(text, "built-in configuration", env, Path())
    except ConfigError as error:
        found = dict.fromkeys(_of_environment(problem) for problem in error.problems)
        raise ConfigError(list(found)) from None


def _of_environment(problem: Problem) -> Problem:
    """Names the variable in place of a line of a file that nobody sees."""
    variables = {
        ".base_url": "OPENAI_BASE_URL",
        ".api_key_env": "OPENAI_API_KEY",
        ".admin_key_env": "OPENAI_ADMIN_KEY",
    }
    for ending, name in variables.items():
        if problem.place.endswith(ending):
            return Problem(f"environment variable {name}", problem.message.removeprefix(f"'{name}': "))
    return problem


def parse_config(text: str, name: str, env: Mapping[str, str], base: Path) -> Config:
    """Decode, check and bind configuration text; `name` is shown in errors.

    A key that cannot be read is a mistake when there is nothing to go on with; else it is one of
    `Config.unreadable_keys`, and what needs it fails until it is there.

    Raises:
        ConfigError: as `load_config`.
    """
    document = Document(text, name)
    if document.data is None or document.data == {}:
        raise ConfigError([Problem(name, _EMPTY)])
    if not isinstance(document.data, dict):
        raise ConfigError([document.problem((), "must be a mapping; start with `targets:`")])
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(_with_the_rest(error, document, env, base)) from None
    more, wrong = _price_file(config, config.prices, document, base)
    config.bind(env, base, more)
    crossed, keys = list(cross_check(config)), list(unreadable_keys(config))
    if crossed or wrong or (keys and len(keys) == config.consumers):
        found = sorted([*crossed, *keys], key=lambda finding: document.line(finding.path))
        raise ConfigError([*(_problem(finding, document) for finding in found), *wrong])
    config.lacking(tuple(_problem(finding, document) for finding in keys))
    return config


def _with_the_rest(
    error: ValidationError, document: Document, env: Mapping[str, str], base: Path
) -> list[Problem]:
    """The mistakes of a validation, and those that the other checks find in what is well typed.

    Keys that cannot be read wait until the file is right: they are a matter of the machine.
    """
    found = [Finding(path, message) for path, message in mistakes(error, document).items()]
    wrong: list[Problem] = []
    rest = Remains(document.data, error)
    if rest.config is not None:
        before = () if rest.lacks("prices") else rest.config.prices
        more, wrong = _price_file(rest.config, before, document, base)
        rest.config.bind(env, base, more)
        found += rest.certain(cross_check(rest.config))
    ordered = sorted(found, key=lambda finding: document.line(finding.path))
    return [*(_problem(finding, document) for finding in ordered), *wrong]


def _price_file(
    config: Config, before: tuple[Price, ...], document: Document, base: Path
) -> tuple[tuple[Price, ...], list[Problem]]:
    """The prices of the price file, and what is wrong with it; `before` are those that come first."""
    if config.price_file is None:
        return (), []
    path = base / config.price_file
    try:
        text = _read(path)
    except ConfigError as error:
        # A file that is not there is a mistake of the line that names it.
        return (), [document.problem(("price_file",), str(each)) for each in error.problems]
    try:
        return read_prices(text, str(path), before, document), []
    except ConfigError as error:
        return (), list(error.problems)


def _problem(finding: Finding, document: Document) -> Problem:
    message = finding.message
    if finding.first is not None:
        message += f"; first on line {document.line(finding.first)} ({dotted(finding.first)})"
    return document.problem(finding.path, message)
