# SPDX-License-Identifier: Apache-2.0
"""Strict checker of JSON against schema facts: our own compact notes of the official API description.

Format of a facts file (`facts/*.yml`): a mapping of object names to their members.

    model:                        # an object; every member not listed here is an error
      id: string                  # required
      created: integer
      object: '"model"'           # a JSON string in quotes: exactly this value
      shutdown_date?: date|null   # `?` after the name: may be absent; `|` in the type: alternatives
    model_list:
      object: '"list"'
      data: '[model]'             # an array of that object; [T;1] at least 1, [T;1;20] 1 to 20 items
      role: user|assistant        # alternatives; a name that is neither a type nor an object is an enum word
    metadata: '{string}'          # a map: any names, all values of that type
    anything: any

Types: string, integer (never a boolean), number, boolean, null, any, date (YYYY-MM-DD), numeric
(a string that is a number), empty (the empty string). Ranges: `integer>=0`, `number>=0<=1`.
Object names from all files share one space, so facts may refer to each other across files.
"""

import datetime
import json
import re
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).parent / "facts"
_RANGE = re.compile(r"(integer|number)((?:[<>]=-?[\d.]+)+)\Z")
_NUMERIC = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_ARRAY = re.compile(r"\[(?P<item>.*?)(?:;(?P<least>\d+))?(?:;(?P<most>\d+))?\]\Z", re.DOTALL)


class Facts:
    """The schema facts of one or more files; `check` lists what is wrong with a value."""

    def __init__(self, *files: str, folder: Path = FACTS) -> None:
        self._objects: dict[str, Any] = {}
        for path in sorted(folder.glob("*.yml")) if not files else [folder / f"{name}.yml" for name in files]:
            loaded = yaml.safe_load(path.read_text())
            twice = self._objects.keys() & loaded.keys()
            assert not twice, f"{path.name}: described twice: {sorted(twice)}"
            self._objects |= loaded

    def names(self) -> list[str]:
        """All object names."""
        return sorted(self._objects)

    def check(self, name: str, value: Any) -> list[str]:
        """Every deviation of `value` from the object `name`, each with its place; empty when it conforms."""
        if name not in self._objects:
            raise KeyError(f"no facts about {name!r}; known: {', '.join(self.names())}")
        return self._named(name, value, name)

    def assert_conforms(self, name: str, value: Any) -> None:
        """Fail with all deviations."""
        problems = self.check(name, value)
        assert not problems, "\n".join(problems)

    def _named(self, name: str, value: Any, at: str) -> list[str]:
        members = self._objects[name]
        if isinstance(members, str):
            return self._typed(members, value, at)
        if not isinstance(value, dict):
            return [f"{at}: expected an object ({name}), got {_show(value)}"]
        described = {key.removesuffix("?"): (kind, key.endswith("?")) for key, kind in members.items()}
        problems = [f"{at}.{key}: not described for {name}" for key in value if key not in described]
        for key, (kind, optional) in described.items():
            if key in value:
                problems += self._typed(kind, value[key], f"{at}.{key}")
            elif not optional:
                problems.append(f"{at}.{key}: missing")
        return problems

    def _typed(self, kind: str | None, value: Any, at: str) -> list[str]:
        found: list[list[str]] = []
        for alternative in split(kind or "null"):  # YAML reads a bare null as None
            problems = self._single(alternative, value, at)
            if not problems:
                return []
            found.append(problems)
        deepest = max(found, key=lambda problems: max(place.split(":")[0].count(".") for place in problems))
        return found[0] if len(found) == 1 else _widest(deepest, kind or "null", value, at)

    def _single(self, kind: str, value: Any, at: str) -> list[str]:
        if kind.startswith("[") and kind.endswith("]"):
            return self._array(kind, value, at)
        if kind.startswith("{") and kind.endswith("}"):
            if not isinstance(value, dict):
                return [f"{at}: expected a map, got {_show(value)}"]
            return [p for key, item in value.items() for p in self._typed(kind[1:-1], item, f"{at}.{key}")]
        if kind in self._objects:
            return self._named(kind, value, at)
        return [] if _scalar(kind, value) else [f"{at}: expected {kind}, got {_show(value)}"]

    def _array(self, kind: str, value: Any, at: str) -> list[str]:
        match = _ARRAY.match(kind)
        assert match is not None, f"bad array type {kind!r} at {at}"
        if not isinstance(value, list):
            return [f"{at}: expected an array, got {_show(value)}"]
        least, most = int(match["least"] or 0), int(match["most"] or 10**9)
        problems = [] if least <= len(value) <= most else [f"{at}: {len(value)} items, allowed {least} to {most}"]
        for index, item in enumerate(value):
            problems += self._typed(match["item"], item, f"{at}[{index}]")
        return problems


def split(kind: str) -> list[str]:
    """The alternatives of a type: `|` outside of brackets and quotes."""
    parts, depth, quoted, word = [], 0, False, ""
    for letter in kind:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "[{") - (letter in "]}")
        if letter == "|" and not depth and not quoted:
            parts.append(word)
            word = ""
        else:
            word += letter
    return [part.strip() for part in [*parts, word]]


def _widest(deepest: list[str], kind: str, value: Any, at: str) -> list[str]:
    if any(not problem.startswith(f"{at}:") for problem in deepest):
        return deepest
    return [f"{at}: expected {kind}, got {_show(value)}"]


def _scalar(kind: str, value: Any) -> bool:
    """Whether `value` is of a basic type, exactly the quoted string, or the enum word `kind`."""
    ranged = _RANGE.match(kind)
    if ranged:
        return _scalar(ranged[1], value) and _in_range(ranged[2], value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    tests: dict[str, bool] = {
        "any": True,
        "null": value is None,
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": is_number,
        "empty": value == "",
        "date": isinstance(value, str) and _is_date(value),
        "numeric": isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value) is not None,
    }
    if kind in tests:
        return tests[kind]
    return isinstance(value, str) and value == str(json.loads(kind) if kind.startswith('"') else kind)


def _in_range(bounds: str, value: float) -> bool:
    for operator, limit in re.findall(r"([<>]=)(-?[\d.]+)", bounds):
        if (operator == ">=" and value < float(limit)) or (operator == "<=" and value > float(limit)):
            return False
    return True


def _is_date(value: str) -> bool:
    try:
        return datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _show(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else text[:77] + "..."
