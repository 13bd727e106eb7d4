# SPDX-License-Identifier: Apache-2.0
"""The part of `/probe` that has blackbox_exporter's names and meanings, so that its rules and dashboards work."""

import ipaddress
from collections.abc import Iterator

from openai_exporter.exposition import Family, family
from openai_exporter.metrics import probe as m
from openai_exporter.model import ProbeResult, TlsPeer

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def blackbox(result: ProbeResult) -> Iterator[Family]:
    """The families of one result."""
    yield family(m.SUCCESS, int(result.success))
    yield family(m.DURATION, result.duration)
    yield family(m.TIMEOUT, result.timeout)
    yield from _network(result)
    yield from _http(result)
    yield from _tls(result.tls)
    yield family(m.FAILED_DUE_TO_REGEX, int(result.regex_failed))


def _network(result: ProbeResult) -> Iterator[Family]:
    yield family(m.DNS_LOOKUP, result.phases.resolve)
    address = _ip(result.address)
    yield family(m.IP_PROTOCOL, address.version if address else None)
    yield family(m.IP_ADDR_HASH, fnv1a(address.packed) if address else None)


def _http(result: ProbeResult) -> Iterator[Family]:
    answered = bool(result.status_code)
    yield family(m.HTTP_STATUS, result.status_code)
    phases = Family(m.HTTP_DURATION)
    for phase in PHASES:
        phases.add(getattr(result.phases, phase), phase)
    yield phases
    yield family(m.HTTP_CONTENT_LENGTH, result.content_length)
    yield family(m.HTTP_BODY_LENGTH, result.body_length)
    yield family(m.HTTP_REDIRECTS, 0)
    yield family(m.HTTP_SSL, int(answered and result.tls is not None))
    yield family(m.HTTP_VERSION, result.http_version)


def _tls(peer: TlsPeer | None) -> Iterator[Family]:
    if peer is None:
        return
    yield family(m.SSL_EARLIEST_EXPIRY, peer.earliest_expiry)
    yield family(m.SSL_CHAIN_EXPIRY, peer.chain_expiry)
    info = Family(m.SSL_CHAIN_INFO)
    info.add(1, peer.fingerprint, peer.subject, peer.issuer, peer.alternatives, peer.serial)
    version, cipher = Family(m.TLS_VERSION), Family(m.TLS_CIPHER)
    version.add(1, peer.version)
    cipher.add(1, peer.cipher)
    yield from (info, version, cipher)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP of `ip:port`; None without a connection."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash, which blackbox_exporter makes of an address."""
    found = _FNV_OFFSET
    for byte in data:
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return found
