# SPDX-License-Identifier: Apache-2.0
"""When keys were last used, from the same flows and calls as the usage. Keeps an index, no times."""

from openai_exporter.simulator.organization.books import Books
from openai_exporter.simulator.organization.operations import OPERATIONS
from openai_exporter.simulator.organization.seed import DAY, Roster

_LOOKS_BACK = 400 * DAY
_STEPS = (DAY, 30 * DAY, _LOOKS_BACK)


class LastUse:
    """Finds the newest request of a key or of a user's keys."""

    def __init__(self, roster: Roster, books: Books) -> None:
        self._books = books
        self._streams: dict[str, list[tuple[str, int]]] | None = None
        self._keys_of: dict[str, list[str]] = {}
        for key in roster.keys:
            self._keys_of.setdefault(key.owner_id, []).append(key.id)

    def of_key(self, api_key_id: str, now: float) -> int | None:
        """Unix seconds of the key's last request before `now`, None when it made none within 400 days."""
        self._books.recorded.enter()
        times = [self._books.recorded.last_use(api_key_id, now)]
        for step in _STEPS:
            for operation, stream in self._index().get(api_key_id, ()):
                times.append(self._books.flows.last_request(operation, stream, now, now - step))
            known = [unix for unix in times if unix is not None]
            if known:
                return int(max(known))
        return None

    def of_user(self, user_id: str, now: float) -> int | None:
        """Unix seconds of the last request with any of the user's keys."""
        used = [self.of_key(key_id, now) for key_id in self._keys_of.get(user_id, ())]
        return max((unix for unix in used if unix is not None), default=None)

    def _index(self) -> dict[str, list[tuple[str, int]]]:
        if self._streams is None:
            self._streams = {}
            for name, operation in OPERATIONS.items():
                if "api_key_id" not in operation.dimensions:
                    continue
                place = operation.dimensions.index("api_key_id")
                for stream, labels in enumerate(self._books.flows.labels(name)):
                    self._streams.setdefault(str(labels[place]), []).append((name, stream))
        return self._streams
