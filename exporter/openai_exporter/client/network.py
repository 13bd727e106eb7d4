# SPDX-License-Identifier: Apache-2.0
"""The way to an API: proxies, trusted CAs, name lookup, dialing, tunnels, TLS and what the server shows in it."""

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from openai_exporter.client.connection import Connection, Reply, StampedSocket
from openai_exporter.client.exchange import FailureKind, Step, StepError, Trace
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.model import TlsPeer

_NO_ADDRESS = "the proxy's URL names no valid host and port; give one such as http://proxy:3128"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        tls: whether the proxy itself is reached over TLS.
        authorization: value of Proxy-Authorization, empty without credentials; never shown.
    """

    host: str
    port: int
    tls: bool = False
    authorization: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ProxyError(ValueError):
    """A proxy URL that cannot be used; the message never holds its credentials."""


@lru_cache(1024)  # each target calls a few URLs, again and again
def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address; None to connect directly.

    Raises:
        ProxyError: the proxy's URL is not one of http:// or https://.
    """
    url = proxy_url(scheme, host, port, proxies)
    return parse_proxy(url) if url else None


def proxy_url(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str:
    """The URL of the proxy for an address, as it is written; empty to connect directly."""
    url = proxies.get(scheme) or proxies.get("all") or ""
    return "" if bypassed(host, port, proxies.get("no", "")) else url


def parse_proxy(url: str) -> Proxy:
    """Decode a proxy URL; one without scheme is taken as http://.

    Raises:
        ProxyError: another scheme, no host, or no valid port.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ProxyError(_NO_ADDRESS) from None
    if parts.scheme not in ("http", "https"):
        raise ProxyError(f"proxies of scheme {parts.scheme} are not supported; use an http:// proxy")
    if not host:
        raise ProxyError(_NO_ADDRESS)
    tls = parts.scheme == "https"
    return Proxy(host, port or (443 if tls else 80), tls, _basic(parts.username, parts.password))


def check_proxies(urls: Iterable[str], proxies: Mapping[str, str]) -> None:
    """Whether each of these URLs can be reached by what the environment says of proxies.

    Raises:
        ConfigError: a proxy that is needed has a URL that cannot be used.
    """
    problems: dict[Problem, None] = {}
    for scheme, host, port in map(origin, urls):
        try:
            proxy_for(scheme, host, port, proxies)
        except ProxyError as error:
            name = f"{scheme if proxies.get(scheme) else 'all'}_proxy".upper()
            problems[Problem(f"environment variable {name}", f"{error}, or list in NO_PROXY what needs none")] = None
    if problems:
        raise ConfigError(list(problems))


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY excepts an address: `*`, a host, a domain with all below it, an IP, a network, `host:port`."""
    host = host.lower().strip("[]")
    return any(_matches(host, port, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(host: str, port: int, entry: str) -> bool:
    with contextlib.suppress(ValueError):
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        return ipaddress.ip_address(host) in network
    name, _, only_port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if only_port and only_port != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return entry == "*" or host == name or host.endswith(f".{name}")


def _basic(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


# TLS settings of outgoing connections, which accept no unverified server; the system's authorities.

# Where distributions keep their bundle when the interpreter's OpenSSL looks elsewhere.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def client_context() -> ssl.SSLContext:
    """A verifying context with the system's authorities; SSL_CERT_FILE and SSL_CERT_DIR are honoured by OpenSSL.

    Takes some tens of milliseconds: make it once, outside of anything that is timed.
    """
    context = ssl.create_default_context()
    add_bundle(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def add_bundle(context: ssl.SSLContext) -> None:
    """Load the distribution's bundle of authorities when OpenSSL finds none in its own places."""
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and any(Path(paths.capath).glob("*.0"))):
        bundle = next((name for name in BUNDLES if Path(name).is_file()), None)
        if bundle is not None:
            context.load_verify_locations(cafile=bundle)


def reason(error: ssl.SSLError) -> str:
    """A short sentence for a failed handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    words = (error.reason or "unknown").replace("_", " ").lower()
    plain = error.reason in _NO_TLS
    hint = (
        "; the server speaks no TLS on this port: if it is a plain one, write http:// in place of https://"
        if plain
        else ""
    )
    return f"the TLS handshake failed: {words}{hint}"


_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
"""OpenSSL's reasons when other bytes than those of TLS came."""


# What the server of a TLS connection showed of itself.

Decoded = dict[str, Any]
"""A certificate as `SSLSocket.getpeercert()` gives it."""

_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
"""OpenSSL's names to blackbox_exporter's."""
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "serialNumber": "SERIALNUMBER",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "postalCode": "POSTALCODE",
}
"""Attribute names of RFC 2253, as blackbox_exporter (Go) writes them."""
_ESCAPED = str.maketrans({character: f"\\{character}" for character in ',+"\\<>;'})


class Peer:
    """The server at the other end of one TLS connection."""

    def __init__(self, connection: ssl.SSLObject) -> None:
        self._connection = connection

    @cached_property
    def facts(self) -> TlsPeer:
        """What the handshake showed; read at the first use, outside of what is timed."""
        return _read(self._connection)


def _read(connection: ssl.SSLObject) -> TlsPeer:
    leaf: Decoded = connection.getpeercert() or {}
    cipher = connection.cipher()
    return TlsPeer(
        version=_VERSIONS.get(connection.version() or "", "unknown"),
        cipher=cipher[0] if cipher else "",
        earliest_expiry=_earliest([leaf, *_certificates(connection, "get_unverified_chain")]),
        chain_expiry=_earliest(_certificates(connection, "get_verified_chain")),
        fingerprint=hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest(),
        subject=_name(leaf.get("subject", ())),
        issuer=_name(leaf.get("issuer", ())),
        alternatives=",".join(value for kind, value in leaf.get("subjectAltName", ()) if kind == "DNS"),
        serial=str(leaf.get("serialNumber", "")).lower(),
    )


def _earliest(certificates: Iterable[Decoded]) -> float | None:
    ends = [text for certificate in certificates if isinstance(text := certificate.get("notAfter"), str)]
    return min((float(ssl.cert_time_to_seconds(text)) for text in ends), default=None)


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as RFC 2253 writes it: the most specific part first."""
    names = [
        "+".join(f"{_SHORT.get(kind, kind)}={value.translate(_ESCAPED)}" for kind, value in part) for part in parts
    ]
    return ",".join(reversed(names))


# The private attributes of libraries that the client uses: nothing public gives the same.


def _certificates(connection: ssl.SSLObject, chain: str) -> list[Decoded]:
    """The certificates of a chain, `get_verified_chain` or `get_unverified_chain`; none where there is no such method.

    Python 3.13 has these methods on the object itself, but yields bare DER there, of which the standard library
    cannot read the dates; the C object below has had them since 3.10, decoded.
    """
    method = getattr(getattr(connection, "_sslobj", None), chain, None)
    try:
        return [certificate.get_info() for certificate in (method() or ())] if method else []
    except (AttributeError, ssl.SSLError, ValueError):
        return []


def set_default_headers(client: Any, headers: Mapping[str, str]) -> None:
    """Send these with each call of an OpenAI SDK client, and none of those that OPENAI_CUSTOM_HEADERS adds."""
    client._custom_headers = headers


# Opens a connection: resolves, dials, asks the proxy for a tunnel, starts TLS, and stamps each step.

Address = tuple[int, Any]
"""Address family and socket address."""

STAGGER = 0.25
"""Seconds that one address gets before the next is tried beside it (RFC 8305 recommends this)."""

PATIENCE = 2.0
"""Seconds after which a lookup that runs is not joined any more while another may be begun."""

MOST = 4
"""Lookups of one name at a time, however long they hang."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MAX_HEAD = 16 * 1024
_UNREACHABLE = frozenset({502, 503, 504})
"""What a proxy answers to CONNECT when it is the other end that fails."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection leads; `context` is None without TLS."""

    host: str
    port: int
    context: ssl.SSLContext | None
    proxy: Proxy | None = None
    proxy_context: ssl.SSLContext | None = None


async def open_connection(route: Route, trace: Trace) -> Connection:
    """Open a connection.

    Raises:
        StepError: a step failed; `trace.step` says which.
    """
    if route.proxy is None:
        connection = await _dial(route.host, route.port, trace)
    else:
        connection = await _reach(route.proxy, route.proxy_context, trace)
    try:
        if route.context is not None:
            if route.proxy is not None:
                trace.enter(Step.PROXY)
                await open_tunnel(connection, route.host, route.port, route.proxy)
            await _start_tls(connection, route.context, route.host, trace)
            secured = cast(ssl.SSLObject | None, connection.transport.get_extra_info("ssl_object"))
            trace.peer = Peer(secured) if secured is not None else None
    except BaseException:
        connection.close()
        raise
    connection.address, connection.peer = trace.address, trace.peer
    return connection


async def _reach(proxy: Proxy, context: ssl.SSLContext | None, trace: Trace) -> Connection:
    """A connection to the proxy; whatever goes wrong until then says nothing about the API."""
    trace.to_proxy = True
    try:
        connection = await _dial(proxy.host, proxy.port, trace)
        if proxy.tls:
            try:
                await _start_tls(connection, context, proxy.host, trace)
            except BaseException:
                connection.close()
                raise
    except StepError as error:
        raise StepError(FailureKind.PROXY, f"cannot reach the proxy {proxy}: {error}") from error
    trace.to_proxy = False
    return connection


async def _dial(host: str, port: int, trace: Trace) -> Connection:
    loop = asyncio.get_running_loop()
    addresses = await resolve(host, port, trace)
    began = loop.time()
    sock: StampedSocket | None = None
    try:
        sock = await (connect_any(addresses) if len(addresses) > 1 else _connect_one(*addresses[0]))
        took = loop.time() - began
        ip, number = sock.getpeername()[:2]
        trace.address = f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"
        _, connection = await loop.create_connection(lambda: Connection(loop, sock), sock=sock)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if not isinstance(error, OSError):
            raise
        raise StepError(FailureKind.CONNECT, f"cannot connect: {words(error)}") from error
    connection.connect_seconds = took
    return connection


async def _start_tls(connection: Connection, context: ssl.SSLContext | None, host: str, trace: Trace) -> None:
    assert context is not None
    trace.enter(Step.TLS)
    loop = asyncio.get_running_loop()
    try:
        transport = await loop.start_tls(
            connection.transport, connection, context, server_hostname=host.strip("[]"),
            ssl_handshake_timeout=3600.0,  # the exchange's own deadline is what counts
        )  # fmt: skip
    except ssl.SSLError as error:
        raise StepError(FailureKind.TLS, reason(error)) from error
    except OSError as error:
        said = words(error) if error.errno else "the connection was closed"
        raise StepError(FailureKind.TLS, f"the TLS handshake failed: {said}") from error
    if transport is None:
        raise StepError(FailureKind.TLS, "the TLS handshake failed: the connection was closed")
    connection.connection_made(transport)


async def resolve(host: str, port: int, trace: Trace) -> Sequence[Address]:
    """The addresses of a host; one that is an address itself takes no time.

    Raises:
        StepError: there is none.
    """
    host = host.strip("[]")
    with contextlib.suppress(ValueError):
        ip = ipaddress.ip_address(host)
        trace.step = Step.CONNECT
        return [(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, (host, port))]
    try:
        addresses = await LOOKUPS.find(host, port)
    except (OSError, UnicodeError) as error:
        raise StepError(FailureKind.DNS, f"cannot resolve {host}: {words(error)}") from error
    trace.enter(Step.CONNECT)
    return addresses


async def connect_any(addresses: Sequence[Address]) -> StampedSocket:
    """A socket to the first address that answers; the next is tried when one fails or is slow.

    Raises:
        OSError: none answers.
    """
    waiting = list(addresses)
    running: set[asyncio.Task[StampedSocket]] = set()
    error: OSError = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect_one(*waiting.pop(0))))
            timeout = STAGGER if waiting else None
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.remove(task)
                try:
                    return task.result()
                except OSError as failed:
                    error = failed
        raise error
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


def _discard(task: asyncio.Task[StampedSocket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect_one(family: int, address: Any) -> StampedSocket:
    sock = StampedSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # asyncio does this only for sockets made with an explicit protocol number.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.stamp()
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def words(error: Exception) -> str:
    """The system's words for an error, without the addresses that asyncio adds to them."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno).lower()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


class _TunnelReply(Reply):
    """The proxy's answer ends with its head; what follows belongs to the tunnel."""

    def __init__(self) -> None:
        super().__init__(cap=0)
        self._buffer = b""

    def feed(self, now: float, data: bytes) -> None:
        """Take in bytes until the head is complete."""
        self._buffer += data
        self.first_at = self.first_at or now
        if b"\r\n\r\n" in self._buffer:
            match = _STATUS.match(self._buffer)
            self.status = int(match[1]) if match else 0
            self.done = True
        elif len(self._buffer) > _MAX_HEAD:
            self.problem = (FailureKind.PROXY, "the proxy's answer to CONNECT has no end")


async def open_tunnel(connection: Connection, host: str, port: int, proxy: Proxy) -> None:
    """Make `connection` lead to `host:port`.

    Raises:
        StepError: the proxy cannot reach the other end (`connect`), refuses, or speaks something else (`proxy`).
    """
    authority = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    reply = _TunnelReply()
    try:
        await connection.exchange(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), reply)
    except StepError as error:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} did not answer CONNECT: {error}") from error
    if reply.status in _UNREACHABLE:
        message = f"the proxy {proxy} could not reach the API: status {reply.status}"
        raise StepError(FailureKind.CONNECT, message)
    if not 200 <= reply.status < 300:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} rejected the tunnel: {_refusal(reply.status)}")


def _refusal(status: int) -> str:
    if status == 407:
        return "status 407, it wants a user and password in the proxy's URL"
    return f"status {status}" if status else "not an HTTP answer"


@dataclass(frozen=True, slots=True)
class _Lookup:
    began: float
    future: Future[Sequence[Address]] = field(default_factory=Future)


def system_lookup(host: str, port: int) -> Sequence[Address]:
    """The addresses as the system's resolver gives them, with /etc/hosts and all.

    Raises:
        OSError, UnicodeError: there is none, or the name is none.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in infos]


class Lookups:
    """Lookups that run, in threads of their own; whoever asks for the same name meanwhile shares one of them.

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
        with self._lock:
            running = self._running.setdefault((host, port), [])
            if not running or (len(running) < MOST and monotonic() - running[-1].began >= PATIENCE):
                lookup = _Lookup(monotonic())
                lookup.future.set_running_or_notify_cancel()  # from now on nobody can cancel it for the others
                # A daemon: a lookup that hangs must not hold up the end of the process.
                arguments = (host, port), lookup
                threading.Thread(target=self._run, args=arguments, name="resolve", daemon=True).start()
                running.append(lookup)
            lookup = running[-1]
        return await asyncio.wrap_future(lookup.future)

    def _run(self, name: tuple[str, int], lookup: _Lookup) -> None:
        outcome: Sequence[Address] | Exception
        try:
            outcome = self._lookup(*name)
        except Exception as error:
            outcome = error
        with self._lock:
            running = self._running[name]
            running.remove(lookup)
            if not running:
                del self._running[name]
        if isinstance(outcome, Exception):
            lookup.future.set_exception(outcome)
        else:
            lookup.future.set_result(outcome)


LOOKUPS = Lookups()
"""What every pool uses."""
