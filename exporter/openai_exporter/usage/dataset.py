# SPDX-License-Identifier: Apache-2.0
"""What a dataset is: something of an organization that is read on its own schedule and fails on its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from openai_exporter.client.calls import Calls
from openai_exporter.exposition import Family
from openai_exporter.usage.clock import ApiClock
from openai_exporter.usage.prices import PriceTable


@dataclass(frozen=True, slots=True)
class Context:
    """What the datasets of one organization share.

    Attributes:
        clock: the API's time.
        prices: the price table, loaded at its first use.
        pause: to be called often in long loops, so that other threads get their turn.
    """

    clock: ApiClock
    prices: Callable[[], PriceTable]
    pause: Callable[[], None]


class Dataset(Protocol):
    """One dataset.

    Attributes:
        name: value of label `dataset`, and of label `api` in the call counters.
        interval: least seconds between two reads.
    """

    name: str
    interval: float

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read it anew; what was read before stays until all of it is there.

        Args:
            seen: whether the figures as they are have been exposed.

        Returns:
            Whether it is complete; False when it goes on in the next refresh, so as not to hold up others.

        Raises:
            UpstreamError: nothing was taken over.
        """
        ...

    def adopt(self, other: "Dataset") -> bool:
        """Take over what another one of the same name has read, if it fits this configuration."""
        ...

    def families(self) -> Iterator[Family]:
        """What it exposes; nothing before the first successful read."""
        ...
