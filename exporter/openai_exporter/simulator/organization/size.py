# SPDX-License-Identifier: Apache-2.0
"""How large the simulated organization is. Decides nothing about its contents."""

from dataclasses import dataclass

from openai_exporter.simulator.calls import OrganizationSize

_STREAMS_PER_KEY = 5
MOST_STREAMS_PER_KEY = 30


@dataclass(frozen=True, slots=True)
class SeededSize(OrganizationSize):
    """Projects, API keys, users and usage streams (one per key, model, batch and service tier).

    Raises:
        ValueError: a count is negative or zero, or there are more streams than the keys can have.
    """

    projects: int = 5
    keys: int = 14
    users: int = 8
    streams: int = 60

    def __post_init__(self) -> None:
        for name in ("projects", "keys", "users"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is too few; at least 1")
        if not 0 <= self.streams <= self.keys * MOST_STREAMS_PER_KEY:
            most = self.keys * MOST_STREAMS_PER_KEY
            raise ValueError(
                f"streams: {self.streams} is not within 0 and {most} ({MOST_STREAMS_PER_KEY} per key)"
            )

    @classmethod
    def with_streams(cls, streams: int) -> "SeededSize":
        """A size for load tests: as many keys, users and projects as `streams` usage streams need."""
        keys = max(14, -(-streams // 20))
        return cls(projects=max(5, keys // 25), keys=keys, users=max(8, keys // 3), streams=streams)

    @classmethod
    def of(cls, size: OrganizationSize) -> "SeededSize":
        """`size` itself, or, when it does not say how many streams there are, about five for each key."""
        if isinstance(size, cls):
            return size
        return cls(size.projects, size.keys, size.users, size.keys * _STREAMS_PER_KEY)
