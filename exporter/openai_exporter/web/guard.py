# SPDX-License-Identifier: Apache-2.0
"""What the web configuration asks of every request: users, a rate limit, headers."""

import asyncio
import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.web.answers import text
from openai_exporter.web.webconfig import RateLimit, WebConfig

FAKE_HASH = "$2b$10$ny6S9mnXqsPpHIclr0rbUuTXL3JOFn.0y5cc69FNVe1Ofpf5ejWoq"
"""Checked for a user that does not exist, so that the time taken does not tell who does."""

_CACHED = 256
_BCRYPT_BYTES = 72


class _Current(Protocol):
    def config(self) -> WebConfig: ...


class Passwords:
    """bcrypt checks, one at a time in a thread, with their results kept: each takes some 50 ms of CPU."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._results: OrderedDict[bytes, bool] = OrderedDict()

    async def right(self, users: dict[str, str], user: str, password: bytes) -> bool:
        """Whether `password` is that of `user`."""
        hashed = users.get(user, FAKE_HASH)
        key = hashlib.sha256(b"\0".join([user.encode(), hashed.encode(), password])).digest()
        if key not in self._results:
            async with self._lock:
                if key not in self._results:
                    self._keep(key, await asyncio.to_thread(_matches, password, hashed) and user in users)
        return self._results[key]

    def _keep(self, key: bytes, found: bool) -> None:
        self._results[key] = found
        if len(self._results) > _CACHED:
            self._results.popitem(last=False)


class Bucket:
    """A token bucket: one request per `interval`, up to `burst` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._at = 0.0

    def allows(self, limit: RateLimit | None) -> bool:
        """Take one token of a limit; a changed limit starts full."""
        if limit is None or limit.interval == 0:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens, self._at = limit, float(limit.burst), now
        self._tokens = min(limit.burst, self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Guard:
    """ASGI middleware that holds the web configuration against each request.

    Args:
        unasked: paths that need no user and pass any rate limit. exporter-toolkit has none; but what restarts a process
            that does not answer its health check cannot give a password, and must not meet a limit that others used up.
    """

    def __init__(
        self, app: ASGIApp, current: _Current, instruments: Instruments, unasked: Collection[str] = ()
    ) -> None:
        self._app = app
        self._current = current
        self._instruments = instruments
        self._unasked = frozenset(unasked)
        self._passwords = Passwords()
        self._bucket = Bucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._current.config()
        extra = {name: value for name, value in config.http_server_config.headers.items() if value}

        async def with_headers(message: Message) -> None:
            if extra and message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
            await send(message)

        if scope["path"] in self._unasked:
            await self._app(scope, receive, with_headers)
        elif not self._bucket.allows(config.rate_limit):
            self._instruments.count(own.REQUESTS_REFUSED, ("rate_limit",))
            await text("too many requests", 429)(scope, receive, with_headers)
        elif config.basic_auth_users and not await self._known(scope, config.basic_auth_users):
            self._instruments.count(own.REQUESTS_REFUSED, ("unauthorized",))
            refusal = text(
                "user and password required", 401, WWW_Authenticate='Basic realm="openai-exporter"'
            )
            await refusal(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    async def _known(self, scope: Scope, users: dict[str, str]) -> bool:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        credentials = _basic(header)
        if credentials is None:
            return False
        user, password = credentials
        return await self._passwords.right(users, user, password)


def _basic(header: bytes) -> tuple[str, bytes] | None:
    kind, _, value = header.partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _matches(password: bytes, hashed: str) -> bool:
    # Loaded here, since few exporters have users.
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:
        return False
