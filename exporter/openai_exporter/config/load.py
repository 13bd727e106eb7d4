# SPDX-License-Identifier: Apache-2.0
"""From a file, or from nothing but environment variables, to a checked `Config`."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.config.root import NEVER_APPLIES, Config, cross_check, overridden, unreadable_keys
from openai_exporter.config.schema import config_shape
from openai_exporter.config.secret import shown
from openai_exporter.config.sections import OPENAI_URL, Price, PriceFile
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.files import read_text

_WHAT = "a configuration"
_NO_KEYS = (
    "no configuration file and no key: set OPENAI_API_KEY (probes) or OPENAI_ADMIN_KEY (usage and costs), "
    "or give --config.file; `openai-exporter simulate` starts an API to try it on"
)
_EMPTY = "is empty; start with `targets:`, or leave the file out for the built-in configuration"
_PRICES_EXAMPLE = (
    "start with `prices:` and a list, such as `- {model: my-model, usd_per_million: {input: 1, output: 4}}`"
)


def load_config(path: Path, env: Mapping[str, str], *, absent_keys: bool = True, keyless: bool = False) -> Config:
    """Decode, check and bind a configuration file; without `absent_keys` a key may be missing, as in CI.

    With `keyless` it is enough to start without any key that can be read.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_config(read_text(path, _WHAT), str(path), env, path.parent, absent_keys=absent_keys, keyless=keyless)


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
        raise ConfigError(list(dict.fromkeys(map(_of_environment, error.problems)))) from None


def _of_environment(problem: Problem) -> Problem:
    """Names the variable in place of a line of a file that nobody sees."""
    variables = {".base_url": "OPENAI_BASE_URL", ".api_key_env": "OPENAI_API_KEY", ".admin_key_env": "OPENAI_ADMIN_KEY"}
    for ending, name in variables.items():
        if problem.place.endswith(ending):
            return Problem(f"environment variable {name}", problem.message.removeprefix(f"'{name}': "))
    return problem


def parse_config(
    text: str, name: str, env: Mapping[str, str], base: Path, *, absent_keys: bool = True, keyless: bool = False
) -> Config:
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
    findings, keys = list(cross_check(config)), list(unreadable_keys(config, absent_keys))
    nothing = not keyless and keys and len(keys) == len(config.targets) + len(config.organizations)
    if findings or wrong or nothing:
        raise ConfigError([*document.problems([*findings, *keys]), *wrong])
    config.lacking(tuple(document.problems(keys)))
    return config


def _with_the_rest(error: ValidationError, document: Document, env: Mapping[str, str], base: Path) -> list[Problem]:
    """The mistakes of a validation, and those that the other checks find in what is well typed.

    Keys that cannot be read wait until the file is right: they are a matter of the machine.
    """
    findings = [Finding(path, message) for path, message in config_shape().mistakes(error, document).items()]
    wrong: list[Problem] = []
    partial = _Partial(document.data, error)
    if partial.config is not None:
        before = () if partial.lacks("prices") else partial.config.prices
        more, wrong = _price_file(partial.config, before, document, base)
        partial.config.bind(env, base, more)
        findings += partial.certain(cross_check(partial.config))
    return [*document.problems(findings), *wrong]


_DEPENDS_ON: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "probes": {"targets": ("name", "provider"), "modules": ("endpoint",)},
    "modules": {"targets": ("name", "provider"), "probes": ("target", "module"), "prices": ("model",)},
    "budgets": {"organizations": ("name", "usage", "costs")},
}
"""Sections whose checks look at others, and at which fields of these."""
_USAGE_OF_ONE_ENDPOINT = 4


class _Partial:
    """A configuration without its ill-typed parts, so that the rest can be checked at the same time.

    Attributes:
        config: None when nothing can be made of it.
    """

    def __init__(self, data: dict[str, Any], error: ValidationError) -> None:
        self._data = copy.deepcopy(data)
        self._indexes = {name: list(range(len(value))) for name, value in data.items() if isinstance(value, list)}
        """Section -> the index of each entry that is still there in the whole document."""
        self._removed: set[Place] = set()
        self.config = self._validated(error)

    def certain(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings that no removed part can be the reason for, by their places in the whole document."""
        certain = []
        for finding in findings:
            path, first = self._original(finding.path), self._original(finding.first or ())
            if not any(_depends(place, removed) for place in (path, first) for removed in self._removed):
                certain.append(replace(finding, path=path, first=first or None))
        return certain

    def lacks(self, section: str) -> bool:
        """Whether a part of a section is removed."""
        return any(path[0] == section for path in self._removed)

    def _original(self, path: Place) -> Place:
        """Where something of the partial configuration stands in the whole document."""
        if len(path) > 1 and isinstance(path[1], int) and path[0] in self._indexes:
            return (path[0], self._indexes[str(path[0])][path[1]], *path[2:])
        return path

    def _validated(self, error: ValidationError) -> Config | None:
        while True:
            paths = {tuple(detail["loc"]) for detail in error.errors(include_url=False, include_input=False)}
            # From the back, so that removing an entry of a list moves none that is still to be removed.
            for path in sorted({self._existing(path) for path in paths}, key=_from_the_back, reverse=True):
                if not path:
                    return None
                self._remove(path)
            try:
                return Config.model_validate(self._data)
            except ValidationError as after:
                error = after

    def _existing(self, path: Place) -> Place:
        """The longest part of a path that stands in the data: of a missing key, the mapping that misses it."""
        data: Any = self._data
        for end, part in enumerate(path):
            keys = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
            if part not in keys:
                return path[:end]
            data = data[part]
        return path

    def _remove(self, path: Place) -> None:
        if self._existing(path) != path:
            return  # removed with what holds it
        holder: Any = self._data
        for part in path[:-1]:
            holder = holder[part]
        self._removed.add(self._original(path))
        del holder[path[-1]]
        if len(path) == 2 and path[0] in self._indexes:
            del self._indexes[str(path[0])][int(path[1])]


def _from_the_back(path: Place) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _depends(path: Place, removed: Place) -> bool:
    """Whether what is found at a path may be so only because another part is removed."""
    if not path:
        return False
    if path[0] == removed[0]:
        depth = _USAGE_OF_ONE_ENDPOINT if path[0] == "organizations" else 2
        shared = min(len(removed), depth)
        return path[:shared] == removed[:shared]
    fields = _DEPENDS_ON.get(str(path[0]), {}).get(str(removed[0]))
    return fields is not None and (len(removed) < 3 or removed[2] in fields)


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
        return (), [document.problem(("price_file",), str(problem)) for problem in error.problems]
    try:
        file = Document(text, str(path))
        prices = _prices(file)
    except ConfigError as error:
        return (), list(error.problems)
    return prices, _never_applied(prices, file, before, document)


def _prices(document: Document) -> tuple[Price, ...]:
    """The prices of a price file: YAML with the same `prices:` as the configuration, decoded as strictly."""
    data = document.data
    if not isinstance(data, dict) or not data:
        raise ConfigError([Problem(document.name, f"is no price file; {_PRICES_EXAMPLE}")])
    unknown = [key for key in data if key != "prices"]
    if unknown:
        text = "a price file has only: prices"
        raise ConfigError([document.problem((key,), f"unknown key {shown(key)}; {text}") for key in unknown])
    try:
        return PriceFile.model_validate(data).prices
    except ValidationError as error:
        raise ConfigError(config_shape().problems(error, document)) from None


def _never_applied(
    prices: Sequence[Price], file: Document, before: Sequence[Price], document: Document
) -> list[Problem]:
    """The prices of a price file that an earlier one, there or in the configuration, always comes before."""
    problems, own = [], len(before)
    for later, earlier in overridden((*before, *prices)):
        if later >= own:
            first = file.place(("prices", earlier - own)) if earlier >= own else document.place(("prices", earlier))
            problems.append(file.problem(("prices", later - own), f"{NEVER_APPLIES}; it stands at {first}"))
    return problems


# The built-in configuration: a few probes, the organization, the status page.

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
