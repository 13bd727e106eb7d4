# SPDX-License-Identifier: Apache-2.0
"""Which proxy a URL goes through, from a mapping as `urllib.request.getproxies()` returns it."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

_NO_ADDRESS = "the proxy's URL names no valid host and port"


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


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address; None to connect directly.

    Raises:
        ProxyError: the proxy's URL is not one of http:// or https://.
    """
    url = proxies.get(scheme) or proxies.get("all")
    if not url or bypassed(host, port, proxies.get("no", "")):
        return None
    return parse_proxy(url)


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


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY excepts an address: `*`, a host, a domain with all below it, an IP, a network, `host:port`."""
    host = host.lower().strip("[]")
    return any(_matches(host, port, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        address = _address(host)
        return address is not None and address in network
    name, _, wanted = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _basic(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")
