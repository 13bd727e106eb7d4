# SPDX-License-Identifier: Apache-2.0
"""What holds for any server that speaks OpenAI's API, given nothing but its base URL and a key."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.compat.fixtures import KEY, MODULES, OFFERS, WRONG_KEY
from tests.compat.probing import Bench, check_success, judged, outcome, probe_path, rate_limits, replayed, usage_in
from tests.compat.servers import COMPAT
from tests.stack.programs import get, wait_for

pytestmark = COMPAT
OFFERED = [(server, module, model) for server, offers in OFFERS.items() for module, model in offers.items()]
each_offer = pytest.mark.parametrize(
    ("server", "module", "model"), OFFERED, ids=[f"{server}-{module}" for server, module, _ in OFFERED]
)
_ESTABLISHED = "01"


@each_offer
def test_the_page_of_a_probe_says_success(
    server: str, module: str, model: str, bench_of: Callable[[str], Bench]
) -> None:
    bench = bench_of(server)

    begin = time.monotonic()
    samples = bench.scrape(module, model)
    wall = time.monotonic() - begin

    check_success(samples, bool(MODULES[module].get("stream")), wall)
    assert rate_limits(samples) == {}  # none of them sends such headers with a good answer


@each_offer
def test_the_terminal_agrees_and_counts_the_tokens_that_the_server_states(
    server: str, module: str, model: str, bench_of: Callable[[str], Bench]
) -> None:
    status, document = bench_of(server).terminal(module, model)

    tokens = document["tokens"]
    stated = None if module == "speech" else usage_in(replayed(document, KEY))
    assert (0, "success", True) == (status, document["outcome"], document["good"])
    assert stated == (tokens and (tokens["input"], tokens["output"]))
    assert KEY not in str(document)


@each_offer
def test_the_page_is_sound_exposition(server: str, module: str, model: str, bench_of: Callable[[str], Bench]) -> None:
    status, text = get(f"{bench_of(server).exporter.url}{probe_path(module, model)}")

    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    labels = [value for each in samples for value in each.labels.values()]
    assert status == 200
    assert len(samples) > 50
    assert all(each.value >= 0 for each in samples)
    assert all(len(value) <= 256 and value.isprintable() for value in labels)


def test_the_second_probe_goes_over_the_warm_connection(bench: Bench) -> None:
    module, model = "chat", OFFERS[bench.server.name]["chat"]
    bench.scrape(module, model)

    samples = bench.scrape(module, model)

    assert samples["openai_probe_connection_reused"] == 1
    assert samples['probe_http_duration_seconds{phase="connect"}'] == 0


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(bench: Bench) -> None:
    module, model = "chat", OFFERS[bench.server.name]["chat"]
    bench.scrape(module, model)
    wait_for(lambda: not _connections(bench.server.port), 30, "the server closes the idle connection")

    samples = bench.scrape(module, model)

    assert outcome(samples) == "success"
    assert samples["openai_probe_connection_reused"] == 0


def test_a_server_that_is_stopped_and_comes_back_is_told_as_such(bench: Bench) -> None:
    module, model = "chat", OFFERS[bench.server.name]["chat"]
    before = outcome(bench.scrape(module, model))
    bench.server.stop()
    try:
        stopped = bench.scrape(module, model)
        status, document = bench.terminal(module, model)
    finally:
        bench.server.start()
    after = outcome(bench.scrape(module, model))

    assert ("success", "connect", "success") == (before, outcome(stopped), after)
    assert (0, 0, 1, 0) == tuple(
        stopped[name]
        for name in (
            "probe_success",
            "probe_http_status_code",
            "openai_probe_availability_valid",
            "openai_probe_availability_good",
        )
    )
    assert (1, "connect") == (status, document["outcome"])


def test_a_missing_key_is_told_from_an_outage(bench: Bench) -> None:
    samples = bench.scrape("chat", OFFERS[bench.server.name]["chat"], target="keyless")

    assert (401, "auth", 0) == judged(samples)


def test_a_wrong_key_is_told_from_an_outage(bench: Bench) -> None:
    samples = bench.scrape("chat", OFFERS[bench.server.name]["chat"], target="wrong")

    # LiteLLM without a database knows its master key only, and answers any other with status 400.
    status = 400 if bench.server.name == "litellm" else 401
    assert (status, "auth", 0) == judged(samples)


def test_a_base_url_with_a_wrong_path_is_told_as_such(bench: Bench) -> None:
    samples = bench.scrape("chat", OFFERS[bench.server.name]["chat"], target="elsewhere")

    assert (404, "not_found", 0) == judged(samples)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("litellm", (400, "model_not_found", 0)),
        ("llama_cpp", (200, "success", 1)),
        ("llama_cpp_python", (200, "success", 1)),
        ("aimock", (404, "model_not_found", 0)),
    ],
)
def test_an_unknown_model_is_what_the_server_makes_of_it(
    server: str, expected: tuple[int, str, int], bench_of: Callable[[str], Bench]
) -> None:
    """llama.cpp has one model and answers with it under any name."""
    samples = bench_of(server).scrape("chat", "no-such-model")

    assert expected == judged(samples)


@pytest.mark.parametrize(
    ("server", "owner"), [("litellm", "openai"), ("llama_cpp", "llamacpp"), ("llama_cpp_python", "me")]
)
def test_the_list_of_models_is_read(server: str, owner: str, bench_of: Callable[[str], Bench]) -> None:
    model = OFFERS[server]["chat"]

    samples = bench_of(server).scrape("models", "")

    assert {
        f'openai_probe_model_listed{{listed_model="{model}"}}': 1,
        'openai_probe_model_listed{listed_model="no-such-model"}': 0,
        f'openai_model_info{{model="{model}",owned_by="{owner}"}}': 1,
    }.items() <= samples.items()


def test_probes_are_counted_by_target_and_outcome(bench: Bench) -> None:
    model = OFFERS[bench.server.name]["chat"]
    requests = {"target": "right", "endpoint": "chat", "model": model}
    errors = requests | {"target": "elsewhere", "error_type": "not_found", "status_code": "404"}

    def counted() -> tuple[float, float]:
        _, text = get(f"{bench.exporter.url}/metrics")
        return _total(text, "openai_api_requests_total", requests), _total(text, "openai_api_errors_total", errors)

    before = counted()
    bench.scrape("chat", model)
    bench.scrape("chat", model, target="elsewhere")
    after = counted()

    assert (1, 1) == (after[0] - before[0], after[1] - before[1])


def test_no_page_and_no_log_holds_a_key(bench: Bench) -> None:
    model, url = OFFERS[bench.server.name]["chat"], bench.exporter.url
    paths = ["/", "/history", "/config", "/metrics", "/sd"]
    paths += [probe_path("chat", model, target, debug="true") for target in ("right", "wrong", "elsewhere")]

    pages = {path: get(f"{url}{path}") for path in paths} | {"log": (200, Path(bench.exporter.log).read_text())}

    assert dict.fromkeys(pages, 200) == {path: status for path, (status, _) in pages.items()}
    assert [] == [path for path, (_, text) in pages.items() if KEY in text or WRONG_KEY in text]


def _connections(port: int) -> int:
    """Established connections to a local port, as the kernel lists them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)


def _total(text: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of the samples that have these labels."""
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())
