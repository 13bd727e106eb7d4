# SPDX-License-Identifier: Apache-2.0
"""GET requests for JSON with a total deadline and a bound on size; every failure becomes an UpstreamError.

Blocking: call it in a worker thread. It never follows redirects and never reads the environment.
"""

import contextlib
import functools
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import urllib3

from openai_exporter import __version__
from openai_exporter.client.failures import reason_of, sentence
from openai_exporter.client.proxy import bypassed
from openai_exporter.client.tls import client_context
from openai_exporter.client.watchdog import Watchdog, WatchedAdapter
from openai_exporter.errors import UpstreamError

USER_AGENT = f"openai-exporter/{__version__}"
_CHUNK = 65_536
_CONNECT_SECONDS = 5.0

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Network:
    """How addresses are reached.

    Attributes:
        proxies: as `urllib.request.getproxies()` returns it: by scheme, `all`, and `no` for exceptions.
        context: makes the TLS settings.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    context: Callable[[], ssl.SSLContext] = client_context

    def proxies_for(self, url: str) -> dict[str, str]:
        """What `requests` needs to reach a URL."""
        parts = urlsplit(url)
        found = self.proxies.get(parts.scheme) or self.proxies.get("all")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not found or bypassed(parts.hostname or "", port, self.proxies.get("no", "")):
            return {}
        return {parts.scheme: found}


class Reply:
    """An answer whose body is still to be read.

    Attributes:
        status: HTTP status.
        headers: as received, names in lower case.
        date: Unix seconds of header Date, None when absent or unreadable.
    """

    def __init__(self, response: requests.Response, api: str) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.date = _date(self.headers.get("date", ""))
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
                raise UpstreamError(
                    f"the answer is larger than {most >> 20} MiB",
                    api=self._api,
                    reason="too_large",
                    status=self.status,
                    request_id=self.headers.get("x-request-id"),
                )
            pieces.append(piece)
        return b"".join(pieces)


class Session:
    """A connection that is kept alive, for one server.

    Args:
        base_url: root of the server, without a slash at its end.
        timeout: seconds that a call may take, from the first byte sent to the last received.
        network: proxies and TLS.
    """

    def __init__(self, base_url: str, timeout: float, network: Network | None = None) -> None:
        network = network or Network()
        self._base_url = base_url
        self._timeout = timeout
        self._proxies = network.proxies_for(base_url)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        adapter = WatchedAdapter(functools.cache(network.context))
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._running: Watchdog | None = None
        self._closed = False

    @contextlib.contextmanager
    def get(
        self, path: str, params: Params = (), headers: Mapping[str, str] | None = None, *, api: str
    ) -> Iterator[Reply]:
        """Send a GET request; read the reply inside the block, which ends with the deadline.

        Raises:
            UpstreamError: no answer, or none that could be read to its end in time.
        """
        if self._closed:
            raise UpstreamError("the connection is closed", api=api, reason="reset")
        watchdog = Watchdog(self._timeout)
        self._running = watchdog
        with watchdog.watching():
            try:
                with self._send(path, params, headers or {}, watchdog) as response:
                    yield Reply(response, api)
            except UpstreamError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise self._failure(error, watchdog, api) from None
            finally:
                self._running = None

    def close(self) -> None:
        """Cut the call that runs, if any, and close the connection; safe from any thread."""
        self._closed = True
        running = self._running
        if running is not None:
            running.cut()
        self._session.close()

    def _send(
        self, path: str, params: Params, headers: Mapping[str, str], watchdog: Watchdog
    ) -> requests.Response:
        def once() -> requests.Response:
            return self._session.get(
                f"{self._base_url}{path}",
                params=list(params),
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                timeout=(min(_CONNECT_SECONDS, watchdog.left), watchdog.left),
                proxies=self._proxies,
            )

        try:
            return once()
        except requests.ConnectionError as error:
            # A connection that was kept alive may have been closed under the request; a GET may be repeated.
            if watchdog.expired or self._closed or reason_of(error) != "reset":
                raise
            return once()

    def _failure(self, error: Exception, watchdog: Watchdog, api: str) -> UpstreamError:
        reason = "timeout" if watchdog.expired else reason_of(error)
        server = urlsplit(self._base_url).netloc
        return UpstreamError(sentence(reason, server, self._timeout, error), api=api, reason=reason)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


_NUMBER = re.compile(r"\d{1,9}(\.\d+)?")


def retry_after(headers: Mapping[str, str], date: float | None) -> float | None:
    """Seconds that `Retry-After` asks to wait (a number, or a time after `date`); None when it does not say."""
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    moment = _date(text)
    return None if moment is None or date is None else max(0.0, moment - date)
