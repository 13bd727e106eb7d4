# SPDX-License-Identifier: Apache-2.0
"""Which proxy an address goes through, and what a proxy's URL may say."""

import pytest

from openai_exporter.client.network import Proxy, ProxyError, bypassed, parse_proxy, proxy_for


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
