# SPDX-License-Identifier: Apache-2.0
"""What is left of a configuration without its ill-typed parts, so that the rest can be checked at the same time."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from openai_exporter.config.checks import Finding, Path
from openai_exporter.config.root import Config

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
        self._lost: set[Path] = set()
        self.config = self._made(error)

    def path(self, path: Path) -> Path:
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

    def _standing(self, path: Path) -> Path:
        """The longest part of a path that stands in the data: of what is missing, the mapping that misses it."""
        data: Any = self._data
        for end, part in enumerate(path):
            held = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
            if part not in held:
                return path[:end]
            data = data[part]
        return path

    def _remove(self, path: Path) -> None:
        if self._standing(path) != path:
            return  # went with what holds it
        holder: Any = self._data
        for part in path[:-1]:
            holder = holder[part]
        self._lost.add(self.path(path))
        del holder[path[-1]]
        if len(path) == 2 and path[0] in self._places:
            del self._places[str(path[0])][int(path[1])]

    def _doubtful(self, path: Path) -> bool:
        return any(_related(path, gone) for gone in self._lost)


def _from_the_back(path: Path) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _related(path: Path, gone: Path) -> bool:
    """Whether what is found at a path may be so only because another part is gone."""
    if not path:
        return False
    if path[0] == gone[0]:
        depth = _USAGE_OF_ONE_ENDPOINT if path[0] == "organizations" else 2
        shared = min(len(gone), depth)
        return path[:shared] == gone[:shared]
    fields = _TOLD_BY.get(str(path[0]), {}).get(str(gone[0]))
    return fields is not None and (len(gone) < 3 or gone[2] in fields)
