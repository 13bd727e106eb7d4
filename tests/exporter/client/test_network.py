# SPDX-License-Identifier: Apache-2.0
"""Connections over TLS, through proxies, to names with several addresses, and to names that hang."""

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic

import pytest

from openai_exporter.client.connection import StampedSocket
from openai_exporter.client.exchange import FailureKind, Step
from openai_exporter.client.network import (
    MOST,
    STAGGER,
    Address,
    Lookups,
    Proxy,
    ProxyError,
    bypassed,
    check_proxies,
    client_context,
    connect_any,
    parse_proxy,
    proxy_for,
)
from openai_exporter.errors import ConfigError, Problem
from tests.exporter.attempts import at_best
from tests.exporter.client.conftest import Certificates
from tests.exporter.client.exchanges import broken, exchange, new_pool, until
from tests.exporter.client.rawserver import RawServer, Turn, answer, raw_server, read_request, without_tls

# Which proxy an address goes through, and what a proxy's URL may say.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("https://proxy", Proxy("proxy", 443, tls=True)),
        ("http://[::1]:8080/", Proxy("::1", 8080)),
        ("http://user:p%40ss@proxy:1", Proxy("proxy", 1, authorization="Basic dXNlcjpwQHNz")),
        ("http://user@proxy:1", Proxy("proxy", 1, authorization="Basic dXNlcjo=")),
    ],
)
def test_a_proxy_url_is_taken_apart(url: str, expected: Proxy) -> None:
    assert expected == parse_proxy(url)


@pytest.mark.parametrize(
    "url", ["socks5://user:secret@proxy:1080", "http://", "http://user:secret@proxy:port", "http://[::1"]
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ProxyError) as raised:
        parse_proxy(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("proxies", "names"),
    [
        ({}, []),
        ({"https": "http://proxy:1"}, []),
        ({"http": "socks5://x"}, []),  # no URL needs it
        ({"https": "socks5://user:secret@x"}, ["HTTPS_PROXY"]),
        ({"all": "http://user:secret@x:port"}, ["ALL_PROXY"]),
        ({"all": "socks5://x", "https": "http://proxy:1"}, []),
        ({"https": "socks5://x", "no": "api.example.org"}, []),
        ({"https": "socks5://x", "no": "other.example.org"}, ["HTTPS_PROXY"]),
    ],
)
def test_a_proxy_that_is_needed_and_cannot_be_used_is_a_mistake(proxies: dict[str, str], names: list[str]) -> None:
    found: tuple[Problem, ...] = ()
    try:
        check_proxies(["https://api.example.org/v1"] * 2, proxies)
    except ConfigError as error:
        found = error.problems
    assert [f"environment variable {name}" for name in names] == [problem.place for problem in found]
    assert not any("secret" in str(problem) for problem in found)


def test_a_proxy_never_shows_its_password() -> None:
    proxy = parse_proxy("http://user:secret@proxy:1")
    assert "proxy:1" == str(proxy)
    assert "dXNlcjpzZWNyZXQ" not in repr(proxy)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "expected"),
    [
        ("", "api.openai.com", 443, False),
        ("*", "api.openai.com", 443, True),
        ("api.openai.com", "api.openai.com", 443, True),
        ("API.openai.com", "api.OpenAI.com", 443, True),
        ("openai.com", "api.openai.com", 443, True),
        (".openai.com", "api.openai.com", 443, True),
        (".openai.com", "openai.com", 443, True),
        ("*.openai.com", "api.openai.com", 443, True),
        ("openai.com", "notopenai.com", 443, False),
        ("example.org, openai.com ", "api.openai.com", 443, True),
        ("api.openai.com:443", "api.openai.com", 443, True),
        ("api.openai.com:8443", "api.openai.com", 443, False),
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "api.openai.com", 443, False),
        ("::1", "[::1]", 80, True),
        ("fd00::/8", "fd00::1", 80, True),
        (",, ,", "api.openai.com", 443, False),
    ],
)
def test_exceptions_from_the_proxy(no_proxy: str, host: str, port: int, expected: bool) -> None:
    assert expected is bypassed(host, port, no_proxy)


def test_the_proxy_is_chosen_by_scheme_then_for_all() -> None:
    proxies = {"https": "http://secure:1", "all": "http://any:2", "no": "internal"}
    assert Proxy("secure", 1) == proxy_for("https", "api.openai.com", 443, proxies)
    assert Proxy("any", 2) == proxy_for("http", "api.openai.com", 80, proxies)
    assert proxy_for("https", "internal", 443, proxies) is None
    assert proxy_for("http", "api.openai.com", 80, {"https": "http://secure:1"}) is None


# TLS and proxies over real sockets, with certificates made for the run.


async def hello(turn: Turn) -> None:
    await turn.send(answer('{"hello": 1}'))


async def test_a_trusted_server_is_spoken_to_and_its_certificate_dated(certificates: Certificates) -> None:
    async with raw_server(hello, certificates.server()) as server:
        pool = new_pool(server.url, context=certificates.trusting)
        first = await exchange(pool, server.url)
        second = await exchange(pool, server.url)
    assert first.phases.tls > 0
    assert (True, 0.0) == (second.reused, second.phases.tls)
    expected = ssl.cert_time_to_seconds(_not_after(certificates))
    assert first.tls is not None
    assert first.tls == second.tls
    assert (expected, expected) == (first.tls.earliest_expiry, first.tls.chain_expiry)
    assert ("TLS 1.3", "CN=localhost") == (first.tls.version, first.tls.subject)


def _not_after(certificates: Certificates) -> str:
    decoded = ssl._ssl._test_decode_cert(str(certificates.certificate))  # type: ignore[attr-defined]
    return str(decoded["notAfter"])


async def test_an_unknown_certificate_is_a_tls_failure_that_says_why(certificates: Certificates) -> None:
    async with raw_server(hello, certificates.server()) as server:
        found = await broken(new_pool(server.url), server.url)
    assert found.failure is not None
    assert (FailureKind.TLS, Step.TLS) == (found.failure.kind, found.failure.step)
    assert "certificate was not accepted: self-signed certificate" in found.failure.message
    assert server.requests == [], "the key is not sent to a server that is not trusted"


async def test_a_certificate_for_another_name_is_not_accepted(certificates: Certificates) -> None:
    async with raw_server(hello, certificates.server()) as server:
        url = f"https://ip6-localhost:{server.port}"
        proxies: dict[str, str] = {}
        async with connect_proxy({"ip6-localhost": server.port}) as proxy:
            proxies["https"] = f"http://127.0.0.1:{proxy.port}"
            found = await broken(new_pool(url, context=certificates.trusting, proxies=proxies), url)
    assert found.failure is not None
    assert FailureKind.TLS is found.failure.kind
    assert "Hostname mismatch" in found.failure.message


async def test_a_server_without_tls_is_a_tls_failure() -> None:
    async with without_tls("no HTTP") as url:
        found = await broken(new_pool(url), url)
    assert found.failure is not None
    assert (FailureKind.TLS, Step.TLS) == (found.failure.kind, found.failure.step)
    assert "wrong version number" in found.failure.message
    assert "write http:// in place of https://" in found.failure.message


async def test_a_handshake_that_never_ends_times_out_in_its_step() -> None:
    hold = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    pool = new_pool(url)
    await pool.prepare()  # loading authorities takes a while
    found = await broken(pool, url, seconds=0.5)
    hold.set()
    server.close()
    assert found.failure is not None
    assert (FailureKind.TIMEOUT, Step.TLS) == (found.failure.kind, found.failure.step)
    assert found.phases.tls > 0
    assert found.phases.connect + found.phases.tls == pytest.approx(found.duration)


@pytest.mark.parametrize(("reset", "said"), [(True, "connection reset by peer"), (False, "the connection was closed")])
async def test_a_server_that_hangs_up_in_the_handshake_is_a_tls_failure(reset: bool, said: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10 if reset else 65_536)  # leaving bytes unread makes the close a reset
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = await broken(new_pool(url), url)
    server.close()
    assert found.failure is not None
    assert (FailureKind.TLS, Step.TLS) == (found.failure.kind, found.failure.step)
    assert found.failure.message == f"the TLS handshake failed: {said}"


def test_the_authorities_of_ssl_cert_file_are_trusted(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.certificate))
    assert any("localhost" in str(each["subject"]) for each in client_context().get_ca_certs())


def test_without_authorities_where_openssl_looks_a_known_bundle_is_taken(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr("openai_exporter.client.network.BUNDLES", (str(certificates.certificate),))
    assert 1 == len(client_context().get_ca_certs())


@contextlib.asynccontextmanager
async def connect_proxy(names: dict[str, int], refusal: bytes | None = None) -> AsyncIterator[RawServer]:
    """A proxy that opens tunnels to loopback ports by name, or refuses."""
    state = RawServer(0, "http")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        state.requests.append(request or b"")
        if refusal is not None:
            writer.write(refusal)
            await writer.drain()
            writer.close()
            return
        name = (request or b"").split(b" ")[1].rsplit(b":", 1)[0].decode()
        there, back = await asyncio.open_connection("127.0.0.1", names[name])
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def test_https_goes_through_a_tunnel_with_the_proxys_credentials(certificates: Certificates) -> None:
    async with raw_server(hello, certificates.server()) as server, connect_proxy({"localhost": server.port}) as proxy:
        url = f"https://localhost:{server.port}/v1"
        proxies = {"https": f"http://user:secret@127.0.0.1:{proxy.port}"}
        pool = new_pool(url, context=certificates.trusting, proxies=proxies)
        found = await exchange(pool, url)
        again = await exchange(pool, url)
        pool.close()
    assert found.body == b'{"hello": 1}'
    assert again.reused
    assert f"127.0.0.1:{proxy.port}" == found.proxy == found.address
    assert proxy.requests == [
        f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
        "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n".encode()
    ]
    assert server.requests[0].startswith(b"GET /v1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization" not in server.requests[0]
    assert "secret" not in repr(found).replace("<secret>", "")


async def test_plain_http_names_the_whole_url_to_the_proxy() -> None:
    async with raw_server(hello) as proxy:
        url = "http://api.example.org:8000/v1/models"
        pool = new_pool(url, proxies={"http": f"http://user:secret@127.0.0.1:{proxy.port}"})
        found = await exchange(pool, url)
    assert found.status == 200
    assert proxy.requests[0].startswith(b"GET http://api.example.org:8000/v1/models HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in proxy.requests[0]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "status 407, it wants a user and password"),
        (b"HTTP/1.1 403 Forbidden\r\nX: 1\r\n\r\n<html>", "rejected the tunnel: status 403"),
        (b"\r\n\r\n", "rejected the tunnel: not an HTTP answer"),
        (b"", "did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "did not answer CONNECT"),
    ],
)
async def test_a_proxy_that_refuses_is_the_proxys_failure(refusal: bytes, message: str) -> None:
    async with connect_proxy({}, refusal) as proxy:
        url = "https://api.example.org/v1"
        pool = new_pool(url, proxies={"https": f"http://user:secret@127.0.0.1:{proxy.port}"})
        found = await broken(pool, url)
    assert found.failure is not None
    assert (FailureKind.PROXY, Step.PROXY) == (found.failure.kind, found.failure.step)
    assert message in found.failure.message
    assert "secret" not in found.failure.message


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_that_cannot_reach_the_api_tells_of_a_failed_connection(status: int) -> None:
    async with connect_proxy({}, f"HTTP/1.1 {status} No\r\n\r\n".encode()) as proxy:
        url = "https://api.example.org/v1"
        found = await broken(new_pool(url, proxies={"https": f"http://127.0.0.1:{proxy.port}"}), url)
    assert found.failure is not None
    assert (FailureKind.CONNECT, Step.PROXY) == (found.failure.kind, found.failure.step)
    assert f"the proxy 127.0.0.1:{proxy.port} could not reach the API: status {status}" == found.failure.message


async def test_a_proxy_that_is_not_there_is_the_proxys_failure(free_port: Callable[[], int]) -> None:
    url, port = "https://api.example.org/v1", free_port()
    found = await broken(new_pool(url, proxies={"https": f"http://127.0.0.1:{port}"}), url)
    assert found.failure is not None
    assert (FailureKind.PROXY, Step.CONNECT) == (found.failure.kind, found.failure.step)
    message = f"cannot reach the proxy 127.0.0.1:{port}: cannot connect: connection refused"
    assert message == found.failure.message


async def test_a_proxy_whose_name_does_not_resolve_is_the_proxys_failure() -> None:
    url = "http://api.example.org/v1"
    found = await broken(new_pool(url, proxies={"http": "http://no-such-proxy.invalid:3128"}), url)
    assert found.failure is not None
    assert (FailureKind.PROXY, Step.RESOLVE) == (found.failure.kind, found.failure.step)


async def test_a_proxy_whose_certificate_is_not_trusted_is_the_proxys_failure(certificates: Certificates) -> None:
    async with tls_proxy(certificates, 1) as port:
        url = "https://api.example.org/v1"
        found = await broken(new_pool(url, proxies={"https": f"https://localhost:{port}"}), url)
    assert found.failure is not None
    assert (FailureKind.PROXY, Step.TLS) == (found.failure.kind, found.failure.step)


@pytest.mark.parametrize(
    ("scheme", "kind", "step"),
    [
        pytest.param("https", FailureKind.PROXY, Step.TLS, id="the proxy's own handshake"),
        pytest.param("http", FailureKind.TIMEOUT, Step.PROXY, id="CONNECT, which waits for the API"),
    ],
)
async def test_silence_on_the_way_to_the_proxy_is_its_failure_and_beyond_it_is_not(
    scheme: str, kind: FailureKind, step: Step
) -> None:
    async def silent(turn: Turn) -> None:
        await asyncio.sleep(60)

    async with raw_server(silent) as proxy:
        url = "https://api.example.org/v1"
        pool = new_pool(url, proxies={"https": f"{scheme}://127.0.0.1:{proxy.port}"})
        found = await broken(pool, url, seconds=0.5)
    phases = found.phases
    assert found.failure is not None
    assert (kind, step) == (found.failure.kind, found.failure.step)
    assert phases.resolve + phases.connect + phases.tls == pytest.approx(found.duration)


async def test_a_proxy_over_tls_carries_tls_inside(certificates: Certificates) -> None:
    async with raw_server(hello, certificates.server()) as server, tls_proxy(certificates, server.port) as port:
        url = f"https://localhost:{server.port}/v1"
        proxies = {"https": f"https://localhost:{port}"}
        found = await exchange(new_pool(url, context=certificates.trusting, proxies=proxies), url)
    assert found.body == b'{"hello": 1}'


@contextlib.asynccontextmanager
async def tls_proxy(certificates: Certificates, port: int) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=certificates.server())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_proxy_url_of_another_kind_is_reported_as_the_proxys_failure() -> None:
    url = "https://api.example.org/v1"
    found = await broken(new_pool(url, proxies={"all": "socks5://127.0.0.1:1"}), url)
    assert found.failure is not None
    assert FailureKind.PROXY is found.failure.kind
    assert "socks5" in found.failure.message


# Several addresses of one name: which one is taken, and when.


@contextlib.contextmanager
def listening(backlog: int) -> Iterator[tuple[str, int]]:
    """An address that takes `backlog` connections and leaves all others waiting."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        address = listener.getsockname()
        if backlog == 0:
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
        yield address


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(free_port: Callable[[], int]) -> None:
    with listening(5) as address:

        async def attempt() -> float:
            began = monotonic()
            addresses = [(socket.AF_INET, ("127.0.0.1", free_port())), (socket.AF_INET, address)]
            with await connect_any(addresses) as found:
                assert address == found.getpeername()
            return monotonic() - began

        assert await at_best(attempt, lambda passed: passed < STAGGER) < STAGGER


async def test_an_address_that_is_silent_does_not_hold_up_the_next() -> None:
    with listening(0) as silent, listening(5) as address:

        async def attempt() -> float:
            began = monotonic()
            with await connect_any([(socket.AF_INET, silent), (socket.AF_INET, address)]) as found:
                assert address == found.getpeername()
            return monotonic() - began

        passed = await at_best(attempt, lambda passed: passed < STAGGER + 1)
        assert STAGGER * 0.9 <= passed < STAGGER + 1


async def test_the_last_refusal_is_told_when_no_address_answers(free_port: Callable[[], int]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_any([(socket.AF_INET, ("127.0.0.1", free_port())) for _ in range(2)])


async def test_giving_up_leaves_no_socket_behind() -> None:
    with listening(0) as silent, pytest.raises(TimeoutError):
        async with asyncio.timeout(STAGGER * 1.5):
            await connect_any([(socket.AF_INET, silent), (socket.AF_INET, silent)])


async def test_a_connection_that_ends_as_it_opens_is_a_connect_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(sock: StampedSocket) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    monkeypatch.setattr(StampedSocket, "getpeername", ended)
    with listening(5) as (host, port):
        url = f"http://{host}:{port}"
        found = await broken(new_pool(url), url)
    assert found.failure is not None
    assert (FailureKind.CONNECT, Step.CONNECT) == (found.failure.kind, found.failure.step)
    assert found.failure.message == "cannot connect: transport endpoint is not connected"


# Names that hang, beside names that answer.

FOUND: Sequence[Address] = [(socket.AF_INET, ("192.0.2.1", 443))]


class Resolver:
    """Answers at once, but for names that begin with `hang`, which wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        if host.startswith("hang"):
            self.release.wait(60)
        if host.endswith("gone"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.release.set()


async def test_names_that_hang_delay_no_other_name(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    hanging = [asyncio.create_task(lookups.find(f"hang-{n}", 443)) for n in range(100)]
    await until(lambda: len(resolver.asked) == 100)
    assert await lookups.find("api", 443) == FOUND
    assert not any(each.done() for each in hanging)
    resolver.release.set()
    assert [FOUND] * 100 == await asyncio.gather(*hanging)


async def test_who_asks_for_a_name_that_is_being_looked_up_shares_the_answer(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang", 443)) for _ in range(50)]
    await until(lambda: resolver.asked == ["hang"])
    tasks[0].cancel()  # one that gives up takes nothing from the others
    await asyncio.sleep(0)
    resolver.release.set()
    assert [FOUND] * 49 == await asyncio.gather(*tasks[1:])
    assert resolver.asked == ["hang"]
    await lookups.find("hang", 443)
    assert resolver.asked == ["hang", "hang"], "an answer is not kept"


async def test_a_name_that_does_not_exist_is_told_to_all_who_asked(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang-gone", 443)) for _ in range(3)]
    await until(lambda: resolver.asked == ["hang-gone"])
    resolver.release.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [socket.gaierror] * 3 == [type(each) for each in found]


async def test_a_lookup_that_hangs_for_long_is_followed_by_a_bounded_number_of_others(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai_exporter.client.network.PATIENCE", -1.0)
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang", 443)) for _ in range(50)]
    await until(lambda: len(resolver.asked) == MOST)
    resolver.release.set()
    await asyncio.gather(*tasks)
    assert len(resolver.asked) == MOST
