# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's server computes for real and states its own times, cached tokens and refusals."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.compat.fixtures import MODEL
from tests.compat.probing import Bench, judged, running_bench
from tests.compat.servers import COMPAT, llama_cpp

pytestmark = COMPAT
_MODULES: dict[str, dict[str, Any]] = {
    "chat": {"endpoint": "chat"},
    "stream": {"endpoint": "chat", "stream": True},
    "too_long": {"endpoint": "chat", "request": {"prompt": "pong " * 3000}},
    "vector": {"endpoint": "embeddings", "expect": {"vector_length": 64}},
    "longer_vector": {"endpoint": "embeddings", "expect": {"vector_length": 1536}},
    "moderations": {"endpoint": "moderations"},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    server = llama_cpp(tmp_path_factory.mktemp("llama_cpp"))
    server.start()
    try:
        with running_bench(server, [(module, MODEL) for module in _MODULES], _MODULES) as running:
            yield running
    finally:
        server.stop()


def test_the_probe_takes_as_long_as_the_server_says_and_little_more(bench: Bench) -> None:
    found = [bench.terminal("chat", MODEL)[1] for _ in range(3)]

    overheads = [each["duration"] - _computing(each) for each in found]
    assert all(overhead > 0 for overhead in overheads)
    assert min(overheads) < 0.02


def test_tokens_that_the_server_had_in_its_cache_are_counted_as_cached(bench: Bench) -> None:
    """It keeps what it read of the prompt before, all but the last token."""
    bench.scrape("chat", MODEL)

    samples = bench.scrape("chat", MODEL)

    given, cached, made = (
        samples[f'openai_probe_tokens{{direction="{direction}"}}'] for direction in ("input", "cached", "output")
    )
    assert made == 16
    assert given - 1 == cached > 20


def test_every_token_of_a_stream_is_timed(bench: Bench) -> None:
    samples = bench.scrape("stream", MODEL)

    gaps = (samples["openai_probe_inter_token_seconds_mean"], samples["openai_probe_inter_token_seconds_max"])
    between = samples["probe_duration_seconds"] - samples["openai_probe_time_to_first_token_seconds"]
    assert 0 <= gaps[0] <= gaps[1]
    assert 15 * gaps[0] <= between
    assert samples["openai_probe_output_tokens_per_second"] == pytest.approx(1 / gaps[0], rel=0.01)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("vector", (200, "success", 1)),
        ("longer_vector", (200, "content_mismatch", 0)),
        ("too_long", (400, "bad_request", 0)),
        ("moderations", (404, "not_found", 0)),
    ],
)
def test_what_the_server_does_is_what_the_probe_names(
    module: str, expected: tuple[int, str, int], bench: Bench
) -> None:
    assert expected == judged(bench.scrape(module, MODEL))


def test_an_endpoint_that_is_switched_off_is_no_outage(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = llama_cpp(tmp_path_factory.mktemp("without_embeddings"))
    server = replace(server, argv=[each for each in server.argv if each != "--embeddings"])
    server.start()
    try:
        with running_bench(server, [("vector", MODEL)], _MODULES) as running:
            samples = running.scrape("vector", MODEL)
    finally:
        server.stop()

    assert (501, "bad_request", 0) == judged(samples)


def test_the_model_that_answered_is_told_when_another_was_asked_for(bench_of: Callable[[str], Bench]) -> None:
    samples = bench_of("llama_cpp").scrape("chat", "no-such-model")

    info = [name for name in samples if name.startswith("openai_probe_model_info{")]
    assert len(info) == 1
    assert 'requested_model="no-such-model"' in info[0]
    assert f'served_model="{MODEL}"' in info[0]


def _computing(document: dict[str, Any]) -> float:
    """Seconds that the server says it needed for prompt and reply."""
    timings = json.loads(document["reply"].partition("\n\n")[2])["timings"]
    return float(timings["prompt_ms"] + timings["predicted_ms"]) / 1000
