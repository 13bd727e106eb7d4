# SPDX-License-Identifier: Apache-2.0
"""What the server of a TLS connection showed of itself, read once per connection and outside of what is timed."""

import hashlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from openai_exporter.model import TlsPeer

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
    """The server at the other end of one connection; reads it when it is asked for first."""

    __slots__ = ("_connection", "_facts")

    def __init__(self, connection: ssl.SSLObject) -> None:
        self._connection = connection
        self._facts: TlsPeer | None = None

    def facts(self) -> TlsPeer:
        """What the handshake showed."""
        if self._facts is None:
            self._facts = _read(self._connection)
        return self._facts


def _read(connection: ssl.SSLObject) -> TlsPeer:
    leaf: Decoded = connection.getpeercert() or {}
    cipher = connection.cipher()
    return TlsPeer(
        version=_VERSIONS.get(connection.version() or "", "unknown"),
        cipher=cipher[0] if cipher else "",
        earliest_expiry=_earliest([leaf, *_chain(connection, "get_unverified_chain")]),
        chain_expiry=_earliest(_chain(connection, "get_verified_chain")),
        fingerprint=hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest(),
        subject=_name(leaf.get("subject", ())),
        issuer=_name(leaf.get("issuer", ())),
        alternatives=",".join(value for kind, value in leaf.get("subjectAltName", ()) if kind == "DNS"),
        serial=str(leaf.get("serialNumber", "")).lower(),
    )


def _chain(connection: ssl.SSLObject, which: str) -> list[Decoded]:
    """The certificates of a chain; none where the interpreter does not tell.

    Python 3.13 has these methods on the object itself, but yields bare DER there, of which the standard library
    cannot read the dates; the C object below has had them since 3.10, decoded.
    """
    method: Callable[[], list[Any] | None] | None = getattr(getattr(connection, "_sslobj", None), which, None)
    try:
        return [each.get_info() for each in (method() or ())] if method else []
    except (AttributeError, ssl.SSLError, ValueError):
        return []


def _earliest(certificates: Iterable[Decoded]) -> float | None:
    ends = [text for each in certificates if isinstance(text := each.get("notAfter"), str)]
    return min((float(ssl.cert_time_to_seconds(text)) for text in ends), default=None)


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as RFC 2253 writes it: the most specific part first."""
    found = [
        "+".join(f"{_SHORT.get(kind, kind)}={value.translate(_ESCAPED)}" for kind, value in part)
        for part in parts
    ]
    return ",".join(reversed(found))
