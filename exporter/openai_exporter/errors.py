# SPDX-License-Identifier: Apache-2.0
"""The exceptions of this package; each carries data, not prose only.

::

    ExporterError
    ├── ConfigError          a configuration that cannot be used; lists every problem at once
    ├── CredentialError      a key that is missing, unreadable or empty
    ├── StartError           the process cannot start (port taken, file unreadable); says the remedy
    └── UpstreamError        an API answered with a failure, or not at all
        ├── PartialError            some lists of a dataset failed, the others were taken over
        └── PermissionDeniedError   the credential is refused or lacks a scope
"""

import errno
import os
import socket
from dataclasses import dataclass


class ExporterError(Exception):
    """Base of everything that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where it is, what is wrong, what is allowed or to be done."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(ExporterError):
    """A configuration that cannot be used.

    Attributes:
        problems: every mistake found, in file order.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class CredentialError(ExporterError):
    """A key that is missing, unreadable or empty; the message names the place, never the key.

    Attributes:
        place: such as `api_key_file /run/secrets/key`.
        reason: what is wrong and the remedy, without the place.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class StartError(ExporterError):
    """The process cannot start; the message says why and what to do."""


REASONS = (
    "auth",
    "bad_request",
    "call_budget",
    "connect",
    "credential",
    "dns",
    "implausible",
    "malformed",
    "not_found",
    "page_loop",
    "permission",
    "proxy",
    "rate_limited",
    "redirect",
    "connection_reset",
    "server_error",
    "timeout",
    "tls",
    "response_too_large",
    "truncated",
)
"""Words for why a call to an organization or status API failed: the values of label `reason`."""


class UpstreamError(ExporterError):
    """An upstream API answered with a failure, or did not answer.

    Attributes:
        api: which API was asked, such as `usage_completions` or `costs`.
        reason: a word of a closed set, such as `timeout` or `server_error`.
        status: HTTP status, None when no answer came.
        code: `error.code` of the body, None when absent.
        request_id: `x-request-id` of the answer, None when absent.
        retry_after: seconds that the API asks to wait, None when it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        api: str,
        reason: str,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.api = api
        self.reason = reason
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class PartialError(UpstreamError):
    """Some lists of a dataset could not be read; the others were taken over."""


class PermissionDeniedError(UpstreamError):
    """The credential is refused (401) or lacks a scope (403)."""


_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


EXHAUSTED = "the exporter has no file descriptor, thread or memory left"
"""What is told then."""


def is_exhausted(error: BaseException | None) -> bool:
    """Whether our own process has no file descriptor, thread or memory left, which is what an error comes from."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            return True
        if isinstance(error, RuntimeError) and "start new thread" in str(error):
            return True
        # A resolver does not say why it could not ask; glibc's may say EBUSY.
        if isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno == errno.EBUSY):
            return not _descriptor_left()
        error = error.__cause__
    return False


def _descriptor_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True
