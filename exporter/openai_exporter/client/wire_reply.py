# SPDX-License-Identifier: Apache-2.0
"""Reads one HTTP/1 answer from a byte stream: stamps first, then finds its end; judges nothing.

The parser only splits the message and finds its end; JSON and events are read after the exchange.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from openai_exporter.client.trace import FailureKind

MAX_HEAD = 64 * 1024
MAX_HEADERS = 256


class Reply:
    """One answer while it arrives.

    Attributes:
        first_at: monotonic seconds of the first byte; that of an interim answer (1xx) does not count.
        last_at: monotonic seconds of the last byte so far, whatever it belongs to.
        arrivals: (monotonic seconds, body bytes so far) of each arrival that carried body.
        done: the message is complete.
        problem: why it cannot be read any further, None while it can.
    """

    __slots__ = (
        "_head", "_informational", "_now", "_parser", "_stopped", "arrivals", "cap", "done", "first_at", "headers",
        "headers_done", "keep_alive", "last_at", "parts", "problem", "size", "status", "surplus", "version",
    )  # fmt: skip

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.arrivals: list[tuple[float, int]] = []
        self.parts: list[bytes] = []
        self.size = 0
        self.status = 0
        self.version = ""
        self.headers: list[tuple[str, str]] = []
        self.headers_done = False
        self.keep_alive = False
        self.done = False
        self.surplus = False
        self.problem: tuple[FailureKind, str] | None = None
        self._informational = False
        self._stopped = False
        self._head = 0
        self._now = 0.0
        self._parser: HttpResponseParser | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be read."""
        return self.done or self.problem is not None

    def stop(self) -> None:
        """Take in nothing more; lets go of the parser, whose callbacks make a cycle of the two."""
        self._stopped = True
        self._parser = None

    def feed(self, now: float, data: bytes) -> None:
        """Take in what arrived at `now`."""
        if self._stopped:
            return
        if self.first_at is None:
            self.first_at = now
        self.last_at = self._now = now
        size = self.size
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.ended:
                self.problem = (FailureKind.MALFORMED, f"not an HTTP/1 answer: {_words(error)}")
                self.first_at = self.first_at or now
        if not self.headers_done:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.problem = (FailureKind.TOO_LARGE, f"the answer's head is larger than {MAX_HEAD} bytes")
        elif self.size != size:
            self.arrivals.append((now, self.size))

    def end_of_stream(self) -> bool:
        """The peer closed the connection in order; True when that is what ends this message."""
        if not self.ended and self.headers_done and self._ends_with_stream():
            self.done = True
        return self.done

    def _ends_with_stream(self) -> bool:
        framed = {"content-length", "transfer-encoding"}
        return not any(name in framed for name, _ in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if self.done or self.headers_done:
            return  # a trailer, or a second message
        if len(self.headers) >= MAX_HEADERS:
            self.problem = (FailureKind.TOO_LARGE, f"the answer has more than {MAX_HEADERS} headers")
            return
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self.done or self._parser is None:
            return
        self.status = self._parser.get_status_code()
        self._informational = 100 <= self.status < 200
        if self._informational:
            self.headers.clear()
            self.status = 0
            return
        self.version = self._parser.get_http_version()
        self.keep_alive = self._parser.should_keep_alive()
        self.headers_done = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self.ended:
            return
        self.size += len(body)
        if self.size > self.cap:
            self.problem = (FailureKind.TOO_LARGE, f"the answer is larger than {self.cap} bytes")
            body = body[: len(body) - (self.size - self.cap)]
        self.parts.append(body)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.done:
            self.surplus = True
        elif self.first_at is None:  # in the same arrival as the end of an interim answer
            self.first_at = self._now

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._informational:
            self._informational = False
            self.first_at = None
        elif self.problem is None:
            self.done = True


def _words(error: Exception) -> str:
    text = str(error)
    return text if text.isascii() and text.isprintable() and text else type(error).__name__
