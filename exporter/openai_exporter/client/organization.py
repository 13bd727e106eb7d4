# SPDX-License-Identifier: Apache-2.0
"""The organization API: authenticated GET requests, counted, and held back while the API asks to wait."""

import contextlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openai_exporter.client.exchange import http_date, refusal, retry_after, status_reason
from openai_exporter.config.secret import Credential, Secret
from openai_exporter.errors import CredentialError, PermissionDeniedError, UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Answer

if TYPE_CHECKING:
    import requests

    from openai_exporter.client.session import Network

Params = Sequence[tuple[str, str]]
"""Query parameters of a call to an organization or status API."""

MOST_BYTES = 16 << 20
"""Bound on an answer that is read whole."""
_MOST_ERROR_BYTES = 64 << 10
_CHUNK = 65_536
ADMIN_KEYS = "https://platform.openai.com/settings/organization/admin-keys"
_SCOPES = re.compile(r"[Mm]issing scopes?:\s*([a-z_]+(?:\.[a-z_]+)*(?:,\s*[a-z_]+(?:\.[a-z_]+)*)*)")

_FIRST_WAIT = 15.0
_LONGEST_WAIT = 600.0
_HOUR = 3600.0
HEADER = "openai-organization"
_SHARE_OF_LISTS = 0.8


@dataclass
class Doubt:
    """What answers say against what is known. It is believed when several in a row say it, over some minutes.

    One answer of a proxy or of a server that is out of order must not move a month, nor one refresh full of them.

    Attributes:
        patient: whether there is something to lose: until then only the number of answers counts.
    """

    answers: ClassVar[int] = 3
    seconds: ClassVar[float] = 600.0
    patient: bool = False
    _count: int = 0
    _since: float = 0.0

    def __bool__(self) -> bool:
        return self._count > 0

    def repeated(self, now: float, *, same: bool) -> bool:
        """Count one more answer, `same` as the one before or another; whether that is believed now."""
        if not same or not self._count:
            self._count, self._since = 0, now
        self._count += 1
        return self._count >= self.answers and not (self.patient and 0 <= now - self._since < self.seconds)

    def clear(self) -> None:
        """An answer says what is known."""
        self._count = 0


class Reply:
    """An answer of an organization or status API whose body is still to be read.

    Attributes:
        status: HTTP status.
        headers: as received, names in lower case.
        date: Unix seconds of header Date, None when absent or unreadable.
    """

    def __init__(self, response: "requests.Response", api: str) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.date = http_date(self.headers.get("date", ""))
        self._response = response
        self._api = api

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, content-encoding undone; cut by the deadline of the call."""
        raw = self._response.raw
        while data := raw.read1(_CHUNK, decode_content=True):
            yield data

    def body(self, most: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: it is larger than `most` bytes.
        """
        pieces, size = [], 0
        for piece in self.chunks():
            size += len(piece)
            if size > most:
                raise self.error(f"the answer is larger than {most >> 20} MiB", "response_too_large")
            pieces.append(piece)
        return b"".join(pieces)

    def json_object(self, most: int) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises:
            UpstreamError: it is larger than `most` bytes, not JSON, or not an object.
        """
        body = self.body(most)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise self.error(f"the answer is not JSON ({kind}, {len(body)} bytes)", "malformed") from None
        if not isinstance(document, dict):
            message = f"the answer is a JSON {type(document).__name__}, expected an object"
            raise self.error(message, "malformed")
        return document

    def error(self, message: str, reason: str, kind: type[UpstreamError] = UpstreamError, **more: Any) -> UpstreamError:
        """The failure of a call that was answered with this; `more` of what the exception carries."""
        request_id = self.headers.get("x-request-id")
        return kind(message, api=self._api, reason=reason, status=self.status, request_id=request_id, **more)


class OrganizationClient:
    """Calls of one organization; one at a time.

    Args:
        base_url: root of the API with its version, such as https://api.openai.com/v1.
        credential: where the admin key is read from, anew for each call.
        timeout: total deadline of a call in seconds.

    Attributes:
        keys: how many keys were used, one after the other.
        scopes: what the key needs.
    """

    scopes: ClassVar[str] = "scopes api.usage.read and api.management.read"

    def __init__(self, base_url: str, credential: Credential, timeout: float, network: "Network | None" = None) -> None:
        # Loaded late: it loads requests, which takes longer than all the rest of a start.
        from openai_exporter.client.session import Session

        self._credential = credential
        self._session = Session(base_url, timeout, network)
        self._key: Secret | None = None
        self.keys = 0

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        """The JSON object of an answer.

        Raises:
            UpstreamError: no answer, an error, or not a JSON object; PermissionDeniedError for a refused key.
        """
        with self.open(path, params, api=api) as reply:
            return Answer(
                reply.json_object(MOST_BYTES), reply.date, reply.headers.get("x-request-id", ""), reply.headers
            )

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        """An answer of status 200 whose body is read inside the block, as it arrives.

        Raises:
            UpstreamError: as `get`.
        """
        key = self._current_key(api)
        with self._session.get(path, params, authorization(key), api=api) as reply:
            if reply.status != 200:
                raise self._refused(reply, key)
            yield reply

    def _current_key(self, api: str) -> Secret:
        try:
            key = self._credential.read()
        except CredentialError as error:
            raise UpstreamError(str(error), api=api, reason="credential") from None
        if key != self._key:
            self._key, self.keys = key, self.keys + 1
        return key

    @property
    def rekeyed(self) -> bool:
        """Whether the next call has another key than the last one."""
        try:
            return self._key is not None and self._credential.read() != self._key
        except CredentialError:
            return False

    def close(self) -> None:
        """Cut the running call and close the connection."""
        self._session.close()

    def _refused(self, reply: Reply, key: Secret) -> UpstreamError:
        message, code = _error_of(reply)
        message = message.replace(key.reveal(), str(key))
        text = f"HTTP {reply.status}: {message}" if message else f"HTTP {reply.status}"
        kind = UpstreamError
        if 300 <= reply.status < 400:
            text = f"HTTP {reply.status}: the API redirects; set base_url to its true address, ending in /v1"
        elif reply.status == 404 and message.startswith("Invalid URL"):
            text += "; base_url (OPENAI_BASE_URL) must have the API's version, such as https://api.openai.com/v1"
        elif reply.status in (401, 403):
            kind = PermissionDeniedError
            text = self._with_advice(text, message, key)
        wait = retry_after(reply.headers, time.time())
        return reply.error(text, status_reason(reply.status), kind, code=code, retry_after=wait)

    def _with_advice(self, text: str, message: str, key: Secret) -> str:
        match = _SCOPES.search(message)
        scope = f"scope {match.group(1)}" if match else self.scopes
        if is_admin_key(key):
            advice = f"give the admin key the {scope}, or make a new one"
        else:
            advice = f"this is not an admin key; it needs the {scope}, which only admin keys have"
        return f"{text} [{self._credential.place}: {advice}; owners make them at {ADMIN_KEYS}]"


def authorization(key: Secret) -> dict[str, str]:
    """The header that a call is made with."""
    return {"Authorization": f"Bearer {key.reveal()}"}


def is_admin_key(key: Secret) -> bool:
    """Whether a key has the form of an admin key."""
    return key.reveal().startswith("sk-admin-")


def _error_of(reply: Reply) -> tuple[str, str | None]:
    """Words and code of an error body, cut short; empty and None where absent."""
    try:
        error, _ = refusal(reply.body(_MOST_ERROR_BYTES))
    except UpstreamError:
        return "", None
    return error.message[:300], error.code[:100] or None


class Calls:
    """Counts calls and failures, and shares one back-off among all that an organization reads.

    Attributes:
        made: calls so far.
        identity: which organization the figures are of, by where the API says it; empty while it is not known.
        foreign: whether another organization is there for good.

    Args:
        now: our clock in Unix seconds.
        per_hour: calls that may be made in an hour, None for any number; `get` leaves a fifth of them to `open`.
    """

    def __init__(
        self,
        client: OrganizationClient,
        organization: str,
        instruments: Instruments,
        now: Callable[[], float] = time.time,
        *,
        per_hour: int | None = None,
    ) -> None:
        self._client = client
        self._organization = organization
        self._instruments = instruments
        self._now = now
        self._held_since = 0.0
        self._held_for = 0.0
        self._refusals = 0
        self._per_hour = per_hour
        self._recent: deque[float] = deque()
        self.made = 0
        self.identity: dict[str, str] = {}
        self.foreign = False
        self._stranger = ""
        self._own_keys = 0
        self._doubt = Doubt(patient=True)

    @property
    def rekeyed(self) -> bool:
        """Whether the next call has another key than the last one, which may be of another organization."""
        return self._client.rekeyed

    @property
    def last_hour(self) -> int:
        """Calls made in the last hour."""
        now = self._now()
        while self._recent and not 0 <= now - self._recent[0] < _HOUR:
            self._recent.popleft()
        return len(self._recent)

    @property
    def wait(self) -> float:
        """Seconds for which the API asked not to be called, 0 when it may be."""
        passed = self._now() - self._held_since
        return self._held_for - passed if 0 <= passed < self._held_for else 0.0

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        """As `OrganizationClient.get`."""
        with self._counted(api, _SHARE_OF_LISTS):
            answer = self._client.get(path, params, api=api)
            self.identify(HEADER, answer.headers.get(HEADER), api)
            return answer

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        """As `OrganizationClient.open`."""
        with self._counted(api), self._client.open(path, params, api=api) as reply:
            self.identify(HEADER, reply.headers.get(HEADER), api)
            yield reply

    def identify(self, place: str, id: object, api: str) -> None:
        """Check that an answer is of the organization that the figures are of; the first one says which.

        Args:
            place: where the API says the id.

        Raises:
            UpstreamError: it is another one. If it comes with another key, or lasts, it is there for good.
        """
        if not isinstance(id, str) or not id:
            return
        known = self.identity.setdefault(place, id)
        if id == known:
            self._own_keys = self._client.keys
            self._doubt.clear()
            return
        lasting = self._doubt.repeated(self._now(), same=id == self._stranger)
        self._stranger = id
        self.foreign = lasting or self._client.keys != self._own_keys
        message = f"the API answers for organization {id!r}, the values so far are of {known!r}"
        raise UpstreamError(message, api=api, reason="credential")

    def failed(self, api: str, reason: str) -> None:
        """Count a failure; only the reader of an answer can tell, for HTTP 404 may be a good answer."""
        self._instruments.count(own.UPSTREAM_FAILURES, (self._organization, api, reason))

    def adopt(self, other: "Calls") -> None:
        """Go on waiting where another one waits."""
        self._held_since, self._held_for = other._held_since, other._held_for
        self._refusals = other._refusals
        self.identity.update(other.identity)
        self._recent = other._recent

    def close(self) -> None:
        """End the running call."""
        self._client.close()

    @contextlib.contextmanager
    def _counted(self, api: str, share: float = 1.0) -> Iterator[None]:
        try:
            self._spend(api, share)
            yield
        except UpstreamError as error:
            self._hold_back(error)
            raise
        self._refusals = 0

    def _spend(self, api: str, share: float) -> None:
        """Take a call from the hour's budget.

        Raises:
            UpstreamError: nothing is left of it.
        """
        if self._per_hour is not None and self.last_hour >= self._per_hour * share:
            wait = self._recent[0] + _HOUR - self._now()
            message = f"all {self._per_hour} API calls of an hour are made; raise calls_per_hour, or read less often"
            # What lists may not have is still there for usage and costs, which must not wait for them.
            raise UpstreamError(message, api=api, reason="call_budget", retry_after=wait if share == 1.0 else None)
        self.made += 1
        self._recent.append(self._now())
        self._instruments.count(own.UPSTREAM_CALLS, (self._organization, api))

    def _hold_back(self, error: UpstreamError) -> None:
        if error.reason != "rate_limited" and error.retry_after is None:
            return
        self._refusals += 1
        own_wait = min(_FIRST_WAIT * 2.0 ** (self._refusals - 1), _LONGEST_WAIT)
        wait = own_wait if error.retry_after is None else min(error.retry_after, 3600.0)
        self._held_since, self._held_for = self._now(), wait
