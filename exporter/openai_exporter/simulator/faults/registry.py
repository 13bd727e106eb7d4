# SPDX-License-Identifier: Apache-2.0
"""The faults in force: adding (decoded strictly), matching, expiring. Does not act on any request."""

import random
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from pydantic import ValidationError

from openai_exporter.simulator.faults.kinds import KINDS, Fault, adapter

F = TypeVar("F", bound=Fault)
API_PREFIXES = ("/v1", "/openai")
ORGANIZATION_PREFIX = "/v1/organization"


class InvalidFaultError(ValueError):
    """A fault's description is wrong; the message names what is allowed."""


class Faults:
    """The faults in force. `probability` draws from `rng`; `seconds` runs on `monotonic` (real time)."""

    def __init__(
        self, rng: random.Random | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rng = rng or random.Random(0)
        self._monotonic = monotonic
        self._faults: dict[str, tuple[Fault, float | None]] = {}
        self._added = 0

    def add(self, description: Mapping[str, Any]) -> str:
        """Put a fault in force and return its id; raises InvalidFaultError."""
        fault = decode(description)
        self._added += 1
        fault_id = f"fault_{self._added}"
        until = None if fault.seconds is None else self._monotonic() + fault.seconds
        self._faults[fault_id] = (fault.model_copy(update={"id": fault_id}), until)
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """End one fault; False when there is none of that id."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> int:
        """End all faults and return how many there were."""
        count = len(self.all())
        self._faults.clear()
        return count

    def all(self) -> list[Fault]:
        """The faults in force, oldest first."""
        if not self._faults:
            return []
        now = self._monotonic()
        over = [key for key, (_, until) in self._faults.items() if until is not None and until <= now]
        for key in over:
            del self._faults[key]
        return [fault for fault, _ in self._faults.values()]

    def matching(self, path: str) -> list[Fault]:
        """The faults in force whose path matches, before models and probabilities."""
        return [fault for fault in self.all() if path_matches(fault, path)]

    def struck(self, path: str, model: str | None) -> list[Fault]:
        """The faults that strike one request: path and model match, and the probability was drawn."""
        return [fault for fault in self.matching(path) if model_matches(fault, model) and self.strikes(fault)]

    def strikes(self, fault: Fault) -> bool:
        """Draw the fault's probability."""
        return fault.probability >= 1 or self._rng.random() < fault.probability

    def active(self, path: str, kind: str) -> Fault | None:
        """The newest fault of `kind` that strikes `path` now, or None; for kinds that a handler acts out."""
        cls = KINDS[kind]
        return self.first(path, cls)

    def first(self, path: str, cls: type[F]) -> F | None:
        """Like `active`, typed by the kind's class."""
        for fault in reversed(self.matching(path)):
            if isinstance(fault, cls) and self.strikes(fault):
                return fault
        return None


def path_matches(fault: Fault, path: str) -> bool:
    """Whether the fault is for `path`: the same, a prefix of whole segments, or a glob; and in its scope."""
    if not in_scope(getattr(fault, "scope", "all"), path):
        return False
    pattern = fault.path
    if "*" in pattern:
        return fnmatchcase(path, pattern)
    return path == pattern or path.startswith(pattern.rstrip("/") + "/")


def in_scope(scope: str, path: str) -> bool:
    """Whether an outage of `scope` takes in `path`."""
    if scope == "all":
        return True
    if scope == "organization":
        return path.startswith(ORGANIZATION_PREFIX)
    api = path.startswith(API_PREFIXES)
    return api if scope == "api" else api and not path.startswith(ORGANIZATION_PREFIX)


def model_matches(fault: Fault, model: str | None) -> bool:
    """Whether the fault is for all models, or for this one (a glob is allowed)."""
    return fault.model is None or (model is not None and fnmatchcase(model, fault.model))


def decode(description: Mapping[str, Any]) -> Fault:
    """A fault from its JSON object; raises InvalidFaultError naming the place and what is allowed."""
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidFaultError(f"kind: {kind!r} is not a kind of fault; allowed: {', '.join(sorted(KINDS))}")
    allowed = [name for name in KINDS[kind].model_fields if name != "id"]
    unknown = [name for name in description if name not in allowed]
    if unknown:
        named = ", ".join(map(repr, unknown))
        raise InvalidFaultError(f"{kind}: {named} not known; allowed: {', '.join(allowed)}")
    try:
        return adapter(kind).validate_python(dict(description), strict=False)
    except ValidationError as error:
        raise InvalidFaultError("; ".join(_problem(kind, detail) for detail in error.errors())) from error


def _problem(kind: str, detail: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    return f"{kind}.{place}: {detail['msg']}, got {detail['input']!r}"
