# SPDX-License-Identifier: Apache-2.0
"""From a file, or from nothing but environment variables, to a checked `Config`."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from openai_exporter.config.checks import cross_check, never_applied, unreadable_keys
from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.config.prices import Price, PriceFile
from openai_exporter.config.probing import OPENAI_URL
from openai_exporter.config.root import Config
from openai_exporter.config.schema import config_shape
from openai_exporter.config.secret import shown
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.files import read_text

# What is left of a configuration without its ill-typed parts, so that the rest can be checked at the same time.

_TOLD_BY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "probes": {"targets": ("name", "provider"), "modules": ("endpoint",)},
    "modules": {"targets": ("name", "provider"), "probes": ("target", "module"), "prices": ("model",)},
    "budgets": {"organizations": ("name", "usage", "costs")},
}
"""Sections whose checks look at others, and at which fields of these."""
_USAGE_OF_ONE_ENDPOINT = 4


class Remains:
    """The well-typed rest of decoded YAML.

    Attributes:
        config: None when nothing can be made of it.
    """

    def __init__(self, data: dict[str, Any], error: ValidationError) -> None:
        self._data = copy.deepcopy(data)
        self._places = {name: list(range(len(each))) for name, each in data.items() if isinstance(each, list)}
        self._lost: set[Place] = set()
        self.config = self._made(error)

    def path(self, path: Place) -> Place:
        """Where something of `config` stands in the whole document."""
        if len(path) > 1 and isinstance(path[1], int) and path[0] in self._places:
            return (path[0], self._places[str(path[0])][path[1]], *path[2:])
        return path

    def certain(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings that no lost part can be the reason for, by their places in the whole document."""
        found = [
            replace(
                each, path=self.path(each.path), first=None if each.first is None else self.path(each.first)
            )
            for each in findings
        ]
        return [each for each in found if not (self._doubtful(each.path) or self._doubtful(each.first or ()))]

    def lacks(self, section: str) -> bool:
        """Whether a part of a section is lost."""
        return any(each[0] == section for each in self._lost)

    def _made(self, error: ValidationError) -> Config | None:
        while True:
            paths = {tuple(each["loc"]) for each in error.errors(include_url=False, include_input=False)}
            # From the back, so that what is taken out of a list moves nothing that is still to be taken out.
            for path in sorted({self._standing(each) for each in paths}, key=_from_the_back, reverse=True):
                if not path:
                    return None
                self._remove(path)
            try:
                return Config.model_validate(self._data)
            except ValidationError as after:
                error = after

    def _standing(self, path: Place) -> Place:
        """The longest part of a path that stands in the data: of what is missing, the mapping that misses it."""
        data: Any = self._data
        for end, part in enumerate(path):
            held = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
            if part not in held:
                return path[:end]
            data = data[part]
        return path

    def _remove(self, path: Place) -> None:
        if self._standing(path) != path:
            return  # went with what holds it
        holder: Any = self._data
        for part in path[:-1]:
            holder = holder[part]
        self._lost.add(self.path(path))
        del holder[path[-1]]
        if len(path) == 2 and path[0] in self._places:
            del self._places[str(path[0])][int(path[1])]

    def _doubtful(self, path: Place) -> bool:
        return any(_related(path, gone) for gone in self._lost)


def _from_the_back(path: Place) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _related(path: Place, gone: Place) -> bool:
    """Whether what is found at a path may be so only because another part is gone."""
    if not path:
        return False
    if path[0] == gone[0]:
        depth = _USAGE_OF_ONE_ENDPOINT if path[0] == "organizations" else 2
        shared = min(len(gone), depth)
        return path[:shared] == gone[:shared]
    fields = _TOLD_BY.get(str(path[0]), {}).get(str(gone[0]))
    return fields is not None and (len(gone) < 3 or gone[2] in fields)


# The configuration that is used when there is no file: a few probes, the organization, the status page.

CHAT_MODELS = ("gpt-6-luna", "gpt-5.4-mini")
"""Low-priced current models (price tables and shutdown dates as of 2026-11)."""
EMBEDDING_MODEL = "text-embedding-3-small"
MODERATION_MODEL = "omni-moderation-latest"
COUNT = "Reply with the words: one two three four five six seven eight"
"""Eight words of a token each: enough for gaps between tokens and a speed, for some 0.000005 USD more than one word."""
GUARD: Mapping[str, Any] = {"min_interval": "1s", "daily_cost_limit_usd": 1}
"""What whoever reaches the port can make the exporter spend. Both models each 15 s come to a third of it."""


def default_document(env: Mapping[str, str]) -> dict[str, Any] | None:
    """The built-in configuration as plain data; None when the environment holds no key."""
    base_url = env.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    document: dict[str, Any] = {}
    if env.get("OPENAI_API_KEY", "").strip():
        document |= _probing(base_url)
    if env.get("OPENAI_ADMIN_KEY", "").strip():
        organization = {"name": "default", "base_url": base_url, "admin_key_env": "OPENAI_ADMIN_KEY"}
        document["organizations"] = [organization]
    if document and base_url == OPENAI_URL:
        document["status_pages"] = [{"name": "openai"}]
    return document or None


def _probing(base_url: str) -> dict[str, Any]:
    probes = [
        {"target": "openai", "module": "models"},
        {"target": "openai", "module": "chat_stream", "models": list(CHAT_MODELS)},
        {"target": "openai", "module": "responses", "models": [CHAT_MODELS[0]]},
        {"target": "openai", "module": "embeddings", "models": [EMBEDDING_MODEL]},
        {"target": "openai", "module": "moderations", "models": [MODERATION_MODEL]},
    ]
    target = {"name": "openai", "base_url": base_url, "api_key_env": "OPENAI_API_KEY"}
    return {"targets": [target], "modules": builtin_modules(), "probes": probes}


def builtin_modules() -> dict[str, Any]:
    """The modules of the built-in configuration, as plain data."""
    # Both chat models accept effort none; with any other, reasoning eats the few output tokens that a probe may spend.
    quiet = {"reasoning_effort": "none"}
    chat = {"request": quiet, "expect": {"text": "(?i)pong"}, **GUARD}
    stream = {"stream": True, "request": quiet | {"prompt": COUNT}, "expect": {"text": "(?i)eight"}, **GUARD}
    return {
        "models": {"endpoint": "models"},
        "chat": {"endpoint": "chat", **chat},
        "chat_stream": {"endpoint": "chat", **stream},
        "responses": {"endpoint": "responses", **chat},
        "responses_stream": {"endpoint": "responses", **stream},
        "embeddings": {"endpoint": "embeddings", "expect": {"vector_length": 1536}, **GUARD},
        "moderations": {"endpoint": "moderations"},
    }


# A price file: YAML with the same `prices:` as the configuration, decoded as strictly.

_EXAMPLE = (
    "start with `prices:` and a list, such as `- {model: my-model, usd_per_million: {input: 1, output: 4}}`"
)


def read_prices(text: str, name: str, before: Sequence[Price], configuration: Document) -> tuple[Price, ...]:
    """The prices of a file.

    Args:
        name: shown in errors.
        before: the prices of the configuration, which come first.
        configuration: where these stand.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    document = Document(text, name)
    data = document.data
    if not isinstance(data, dict) or not data:
        raise ConfigError([Problem(name, f"is no price file; {_EXAMPLE}")])
    unknown = [key for key in data if key != "prices"]
    if unknown:
        text = "; a price file has only: prices"
        raise ConfigError([document.problem((key,), f"unknown key {shown(key)}{text}") for key in unknown])
    try:
        prices = PriceFile.model_validate(data).prices
    except ValidationError as error:
        raise ConfigError(config_shape().problems(error, document)) from None
    found = _never_applied(prices, document, before, configuration)
    if found:
        raise ConfigError(found)
    return prices


def _never_applied(
    prices: Sequence[Price], document: Document, before: Sequence[Price], configuration: Document
) -> list[Problem]:
    found = []
    for each in never_applied((*before, *prices)):
        index = int(each.path[1]) - len(before)
        if index >= 0 and each.first is not None:
            earlier = int(each.first[1])
            if earlier < len(before):
                place = configuration.place(("prices", earlier))
            else:
                place = document.place(("prices", earlier - len(before)))
            found.append(document.problem(("prices", index), f"{each.message}; it stands at {place}"))
    return found


# From a file, or from nothing but environment variables, to a checked `Config`.

_WHAT = "a configuration"
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
    return parse_config(read_text(path, _WHAT), str(path), env, path.parent)


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
        raise ConfigError([*document.problems([*crossed, *keys]), *wrong])
    config.lacking(tuple(document.problems(keys)))
    return config


def _with_the_rest(
    error: ValidationError, document: Document, env: Mapping[str, str], base: Path
) -> list[Problem]:
    """The mistakes of a validation, and those that the other checks find in what is well typed.

    Keys that cannot be read wait until the file is right: they are a matter of the machine.
    """
    found = [Finding(path, message) for path, message in config_shape().mistakes(error, document).items()]
    wrong: list[Problem] = []
    rest = Remains(document.data, error)
    if rest.config is not None:
        before = () if rest.lacks("prices") else rest.config.prices
        more, wrong = _price_file(rest.config, before, document, base)
        rest.config.bind(env, base, more)
        found += rest.certain(cross_check(rest.config))
    return [*document.problems(found), *wrong]


def _price_file(
    config: Config, before: tuple[Price, ...], document: Document, base: Path
) -> tuple[tuple[Price, ...], list[Problem]]:
    """The prices of the price file, and what is wrong with it; `before` are those that come first."""
    if config.price_file is None:
        return (), []
    path = base / config.price_file
    try:
        text = read_text(path, _WHAT)
    except ConfigError as error:
        # A file that is not there is a mistake of the line that names it.
        return (), [document.problem(("price_file",), str(each)) for each in error.problems]
    try:
        return read_prices(text, str(path), before, document), []
    except ConfigError as error:
        return (), list(error.problems)
