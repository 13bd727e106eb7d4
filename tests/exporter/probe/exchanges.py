# SPDX-License-Identifier: Apache-2.0
"""Exchanges made by hand."""

import json
from collections.abc import Sequence
from typing import Any

from openai_exporter.client.exchange import Exchange, Failure, FailureKind, Sent, Step
from openai_exporter.config.sections import Module
from openai_exporter.model import Chunk, Endpoint, Provider
from openai_exporter.probe.reading import Setting


def exchange(
    body: Any = b"", status: int = 200, headers: dict[str, str] | None = None, failure: Failure | None = None
) -> Exchange:
    """An answer; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = {"content-type": "application/json", **(headers or {})}
    return Exchange(
        request=Sent("POST", "https://api.example.org/v1/x"),
        duration=0.5,
        status=status,
        http_version=1.1,
        headers=tuple(found.items()),
        body=data,
        chunks=(Chunk(0.4, len(data)),) if data else (),
        size=len(data),
        failure=failure,
    )


def streamed(parts: Sequence[bytes], failure: Failure | None = None) -> Exchange:
    """A stream whose parts arrive at 0.1, 0.2, 0.3 ... seconds."""
    sizes = [len(b"".join(parts[: number + 1])) for number in range(len(parts))]
    chunks = tuple(Chunk((number + 1) / 10, size) for number, size in enumerate(sizes))
    return Exchange(
        request=Sent("POST", "https://api.example.org/v1/x"),
        duration=len(parts) / 10,
        status=200,
        http_version=1.1,
        headers=(("content-type", "text/event-stream"),),
        body=b"".join(parts),
        chunks=chunks,
        size=sizes[-1] if sizes else 0,
        failure=failure,
    )


def event(data: Any, name: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode("utf-8", "surrogatepass")


def timeout(step: Step = Step.TRANSFER) -> Failure:
    return Failure(FailureKind.TIMEOUT, step, "the deadline passed")


def setting(endpoint: Endpoint, model: str = "m", provider: Provider = Provider.OPENAI, **module: Any) -> Setting:
    """A setting of a module with these keys."""
    return Setting(Module.model_validate({"endpoint": endpoint, **module}), provider, model)
