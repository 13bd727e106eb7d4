# SPDX-License-Identifier: Apache-2.0
"""Why a call got no usable answer: the exceptions of `requests` and urllib3 as one word and one sentence."""

import ssl

import requests
import urllib3.exceptions as lower

from openai_exporter.client.tls import reason as tls_reason

_ORDER: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.ProxyError, "proxy"),
    (lower.ProxyError, "proxy"),
    (requests.Timeout, "timeout"),
    (lower.NameResolutionError, "dns"),
    (lower.NewConnectionError, "connect"),
    (lower.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (requests.exceptions.SSLError, "tls"),
    (lower.SSLError, "tls"),
    (ssl.SSLError, "tls"),
    (lower.IncompleteRead, "truncated"),
    (lower.InvalidChunkLength, "truncated"),
    (requests.exceptions.ContentDecodingError, "malformed"),
    (lower.DecodeError, "malformed"),
    (ConnectionRefusedError, "connect"),
    (lower.ProtocolError, "reset"),
    (OSError, "reset"),
)

_SENTENCES = {
    "timeout": "{server} did not answer completely within {timeout:g} s",
    "dns": "the name of {server} could not be resolved",
    "connect": "no connection to {server}",
    "proxy": "the proxy on the way to {server} failed",
    "tls": "no TLS connection to {server}",
    "reset": "{server} closed the connection before it answered completely",
    "truncated": "the answer of {server} ended too early",
    "malformed": "the answer of {server} is not valid HTTP",
}


def reason_of(error: BaseException) -> str:
    """The word for an exception, found in it or in what it wraps."""
    chain = _chain(error)
    for kind, word in _ORDER:
        if any(isinstance(each, kind) for each in chain):
            # A broad class of `requests` also wraps narrower failures: those come first in the table.
            return word
    return "malformed"


def sentence(reason: str, server: str, timeout: float, error: BaseException) -> str:
    """One sentence for a person; says nothing of what was sent."""
    text = _SENTENCES[reason].format(server=server, timeout=timeout)
    detail = _detail(error) if reason in ("connect", "tls") else ""
    return f"{text}: {detail}" if detail else text


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            inner = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
            waiting.extend(inner)
    return found


def _detail(error: BaseException) -> str:
    for each in _chain(error):
        if isinstance(each, ssl.SSLError):
            return tls_reason(each)
        if isinstance(each, OSError) and each.strerror:
            return each.strerror.lower()
    return ""
