# SPDX-License-Identifier: Apache-2.0
"""Looks names up in threads of their own, so that one name that hangs delays no other."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

Address = tuple[int, Any]
"""Address family and socket address."""

PATIENCE = 2.0
"""Seconds after which a lookup that runs is not joined any more while another may be begun."""

MOST = 4
"""Lookups of one name at a time, however long they hang."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    began: float
    future: Future[Sequence[Address]] = field(default_factory=Future)


def system_lookup(host: str, port: int) -> Sequence[Address]:
    """The addresses as the system's resolver gives them, with /etc/hosts and all.

    Raises:
        OSError, UnicodeError: there is none, or the name is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Lookups:
    """Lookups that run; whoever asks for the same name meanwhile shares one of them.

    A pool of threads would have a queue, and time in a queue would be read as slow DNS; the threads are
    bounded per name instead, and names come from the configuration alone.
    """

    def __init__(self, lookup: Callable[[str, int], Sequence[Address]] = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], list[_Lookup]] = {}
        self._lock = threading.Lock()

    async def find(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a name; safe from any event loop, and to cancel.

        Raises:
            OSError, UnicodeError: as the lookup raised it.
        """
        return await asyncio.wrap_future(self._joined((host, port)).future)

    def _joined(self, name: tuple[str, int]) -> _Lookup:
        with self._lock:
            running = self._running.setdefault(name, [])
            if running and (len(running) >= MOST or monotonic() - running[-1].began < PATIENCE):
                return running[-1]
            started = _Lookup(monotonic())
            started.future.set_running_or_notify_cancel()  # from now on nobody can cancel it for the others
            running.append(started)
        # A daemon: a lookup that hangs must not hold up the end of the process.
        threading.Thread(target=self._run, args=(name, started), name="resolve", daemon=True).start()
        return started

    def _run(self, name: tuple[str, int], lookup: _Lookup) -> None:
        try:
            found = self._lookup(*name)
        except Exception as error:
            self._forget(name, lookup)
            lookup.future.set_exception(error)
        else:
            self._forget(name, lookup)
            lookup.future.set_result(found)

    def _forget(self, name: tuple[str, int], lookup: _Lookup) -> None:
        with self._lock:
            running = self._running[name]
            running.remove(lookup)
            if not running:
                del self._running[name]


LOOKUPS = Lookups()
"""What every pool uses."""
