# SPDX-License-Identifier: Apache-2.0
"""Error of duration and time to first token over TLS, against a server that stamps what it really sent and when.

The simulator speaks plain HTTP, so the server here is one of its own: one connection at a time, a streamed chat
completion paced like a model, stamps on the clock that the prober uses too. One probe in flight.
"""

import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.references import TOKENS, Measured, child

PROBES = 160
FIRST_TOKEN, BETWEEN_TOKENS = 0.020, 0.002
"""Seconds from the request to the first token, and from token to token."""


def main() -> None:
    """Print the figures."""
    openssl = shutil.which("openssl")
    if openssl is None:
        print("openssl is not installed: it makes the certificate for this measurement")
        return
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = _certificate(openssl, Path(folder))
        with _server(certificate, key, Path(folder, "stamps.json")) as url:
            os.environ["SSL_CERT_FILE"] = str(certificate)
            ours = "accuracy as a; a.print_ours(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
            measured = child(ours, url, 1, PROBES)
            del os.environ["SSL_CERT_FILE"]
        stamps = json.loads(Path(folder, "stamps.json").read_text())
    print(f"ours over TLS, one in flight: {len(measured)} requests, error in ms")
    _report("duration", [abs(each.duration - _between(stamps, each, "done")) for each in measured])
    _report("first token", [abs(each.first_token - _between(stamps, each, "first_token")) for each in measured])


def _between(stamps: dict[str, dict[str, float]], probe: Measured, end: str) -> float:
    truth = stamps[probe.request_id]
    return truth[end] - truth["received"]


def _report(name: str, errors: list[float]) -> None:
    ordered = sorted(error * 1000 for error in errors)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    print(f"  {name:12} median {statistics.median(ordered):7.3f}   p99 {p99:7.3f}   max {ordered[-1]:7.3f}")


def _certificate(openssl: str, folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextmanager
def _server(certificate: Path, key: Path, stamps: Path) -> Iterator[str]:
    """The server in a process of its own; its stamps are in the file once it has ended."""
    code = "import sys, bench.tls as t; t.serve(*sys.argv[1:])"
    argv = [sys.executable, "-c", code, str(certificate), str(key), str(stamps)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"https://localhost:{int(process.stdout.readline())}/v1"


def serve(certificate: str, key: str, stamps: str) -> None:
    """Answer on a free port, which is printed, until a client was there and none comes for a second."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    truth: dict[str, dict[str, float]] = {}
    with socket.create_server(("localhost", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            listening.settimeout(1.0)
            try:
                plain, _ = listening.accept()
            except TimeoutError:
                if truth:
                    break
                continue
            plain.settimeout(None)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_side=True) as connection:
                _answer_all(connection, truth)
    Path(stamps).write_text(json.dumps(truth))


def _answer_all(connection: ssl.SSLSocket, truth: dict[str, dict[str, float]]) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65_536)
            if not data:
                return
            buffer += data
        head, _, body = buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += connection.recv(65_536)
        buffer = body[length:]
        name = f"req-{len(truth)}"
        truth[name] = _answer(connection, name)


def _answer(connection: ssl.SSLSocket, name: str) -> dict[str, float]:
    received = time.monotonic()
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        b"x-request-id: " + name.encode() + b"\r\n\r\n"
    )
    first = 0.0
    for token in range(TOKENS):
        due = received + FIRST_TOKEN + token * BETWEEN_TOKENS
        time.sleep(max(0.0, due - time.monotonic()))
        connection.sendall(_event({"delta": {"content": "pong "}, "index": 0, "finish_reason": None}))
        first = first or time.monotonic()
    usage = {"prompt_tokens": 5, "completion_tokens": TOKENS, "total_tokens": TOKENS + 5}
    end = _event({"delta": {}, "index": 0, "finish_reason": "stop"}, usage)
    connection.sendall(end + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    return {"received": received, "first_token": first, "done": time.monotonic()}


def _event(choice: dict[str, object], usage: dict[str, int] | None = None) -> bytes:
    document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna"}
    return _chunk(b"data: " + json.dumps({**document, "choices": [choice], "usage": usage}).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


if __name__ == "__main__":
    main()
