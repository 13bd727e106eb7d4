# SPDX-License-Identifier: Apache-2.0
"""The pages for people: what they say, and that nothing an upstream sends becomes markup."""

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from openai_exporter.model import StreamTiming, Tokens
from openai_exporter.web import html
from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import ENV, MODEL, Exporter, document, page_of, poll, running

CHAT = f"/probe?target=sim&module=chat&model={MODEL}"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"


def test_it_shows_every_probe_before_the_first_scrape(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        page = page_of(exporter.get("/"))
    assert page.text.count("not scraped yet") == 5 + 1
    assert "0 of 0" in page.text
    assert "None since start." in page.text


def test_it_shows_what_probes_organization_and_status_page_said(tmp_path: Path, simulator: SimulatorControl) -> None:
    budget = {"name": "all", "limit_usd": 0.01}
    with running(tmp_path, document(simulator.api_url, budgets=[budget])) as exporter:
        for path in (CHAT, f"/probe?target=sim&module=chat_stream&model={MODEL}", "/usage", "/status"):
            assert exporter.get(path).status == 200
        page = page_of(exporter.get("/"))
    assert "2 of 2" in page.text
    assert re.search(r"acme: billed this month\s+\$[\d,]+\.\d\d", page.text)
    assert "completions" in page.text
    assert "up to date" in page.text
    assert re.search(r"Budget .* all", page.text)
    assert "operational" in page.text


def test_opening_it_reads_usage_and_status_once_as_scrapes_do(tmp_path: Path, simulator: SimulatorControl) -> None:
    def calls(path: str = "/v1/organization") -> int:
        return sum(call["count"] for call in simulator.state()["calls"] if call["path"].startswith(path))

    def read(text: str) -> bool:
        return f'content="{html.RELOAD}"' in text and "not read yet" not in text

    before = calls("/v1/organization/usage/completions")
    with running(tmp_path, document(simulator.api_url)) as exporter:
        poll(lambda: read(exporter.get("/").text))
        page = page_of(exporter.get("/"))
        after = calls()
        for _ in range(5):
            exporter.get("/")
        exporter.get("/usage")
        assert after == calls()
    assert before < calls("/v1/organization/usage/completions")
    assert re.search(r"acme: billed this month\s+\$[\d,]+\.\d\d", page.text)
    assert "operational" in page.text


def test_an_api_that_hangs_delays_the_page_for_a_moment_only(tmp_path: Path, simulator: SimulatorControl) -> None:
    simulator.fault("hang", "/v1/organization/*")
    with running(tmp_path, document(simulator.api_url, status_pages=[])) as exporter:
        page = exporter.get("/")
    assert f'content="{html.SOON}"' in page.text
    assert re.search(r"billed this month .* reading ", page_of(page).text)


def test_a_simulator_is_called_one(exporter: Exporter) -> None:
    exporter.get(CHAT)
    assert (
        "Simulated data: target sim, organization acme are answered by a simulator" in page_of(exporter.get("/")).text
    )


def test_simulated_results_are_marked_on_every_page(exporter: Exporter, simulator: SimulatorControl) -> None:
    simulator.fault("status", "/v1/chat/completions", status=500)
    exporter.get(CHAT)
    number = exporter.live.history.recent()[0].id
    front = page_of(exporter.get("/")).text
    assert "Target sim simulated" in " ".join(front.split())
    assert "sim simulated chat" in " ".join(front.split("Recent failures")[1].split())
    history = " ".join(page_of(exporter.get("/history")).text.split())
    assert "results marked simulated were answered by a simulator" in history
    assert "sim simulated chat" in history
    assert "this result was answered by a simulator" in page_of(exporter.get(f"/history/{number}")).text


def test_old_figures_are_called_old(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        for path in (CHAT, "/usage", "/status"):
            exporter.get(path)
        present = page_of(exporter.get("/")).text
        now = exporter.live.now
        exporter.live.now = lambda: now() + 4 * 3600
        later = page_of(exporter.get("/")).text
    assert "1 of 1" in present
    assert "up to date" in present
    assert "scraped lately" not in present
    assert "0 of 0" in later
    assert "1 not scraped lately" in later
    assert "last scraped 4 h ago" in later
    assert "up to date" not in later
    assert "old; nothing has scraped it since" in later
    assert "not scraped since" in later


def test_every_link_leads_somewhere(exporter: Exporter, simulator: SimulatorControl) -> None:
    simulator.fault("status", "/v1/chat/completions", status=500)
    exporter.get(CHAT)
    links = set(page_of(exporter.get("/")).links)
    assert {"/metrics", "/sd", "/config", "/history", "/-/healthy", "/usage?organization=acme"} <= links
    assert any(re.fullmatch(r"/history/\d+", link) for link in links)
    for link in links:
        if link.startswith("/"):
            assert exporter.get(link).status == 200, link


def test_what_an_upstream_says_is_text_never_markup(exporter: Exporter, simulator: SimulatorControl) -> None:
    simulator.fault("status", "/v1/chat/completions", status=400, message=EVIL, code="bad" + EVIL)
    exporter.get(CHAT)
    number = exporter.live.history.recent()[0].id
    for path in ("/", "/history", f"/history/{number}"):
        page = page_of(exporter.get(path))
        assert not {"script", "img", "iframe"} & set(page.tags)
        assert "alert(1)" in page.text


def test_a_route_prefix_stands_before_every_link(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url), route_prefix="/openai") as exporter:
        page = page_of(exporter.get("/openai/"))
        inner = [link for link in page.links if link.startswith("/")]
        assert inner
        for link in inner:
            assert link.startswith("/openai/")
            assert exporter.get(link).status == 200


def test_an_exporter_without_probes_says_how_to_get_some(tmp_path: Path) -> None:
    page = {"name": "page", "url": "http://127.0.0.1:1"}
    with running(tmp_path, {"status_pages": [page]}) as exporter:
        found = page_of(exporter.get("/"))
        assert "No probes are configured." in found.text
        assert exporter.get("/probe?target=x").text == "no probes are configured; add some under `probes:`\n"


def test_a_reload_forgets_probes_that_are_gone(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        exporter.get(CHAT)
        config = document(simulator.api_url)
        config["probes"] = config["probes"][:1]
        exporter.write(config)
        assert exporter.send("POST", "/-/reload").status == 200
        assert MODEL not in page_of(exporter.get("/")).text.split("Recent failures")[0]


# The history: recent results, and one with all that is known about it.


def test_a_failure_is_shown_with_its_log_request_id_and_meaning(
    exporter: Exporter, simulator: SimulatorControl
) -> None:
    simulator.fault("status", "/v1/chat/completions", status=503)
    exporter.get(CHAT)
    entry = exporter.live.history.recent()[0]
    front = page_of(exporter.get("/"))
    assert entry.answer.result.outcome in front.text
    assert entry.answer.result.request_id in front.text
    page = page_of(exporter.get(f"/history/{entry.id}"))
    for part in (entry.answer.result.outcome, entry.answer.result.request_id, "HTTP status 503", "POST"):
        assert part in page.text


def test_the_history_lists_results_and_failures(exporter: Exporter, simulator: SimulatorControl) -> None:
    exporter.get(CHAT)
    simulator.fault("reset", "/v1/chat/completions")
    exporter.get(CHAT)
    everything, failed = (page_of(exporter.get(path)).text for path in ("/history", "/history?failures=true"))
    assert "success" in everything
    assert "success" not in failed.replace("succe" + "ed", "")
    assert "Recent failures" in failed


def test_failures_of_one_cause_are_one_row_with_their_count(tmp_path: Path, simulator: SimulatorControl) -> None:
    simulator.fault("insufficient_quota", "/v1/chat/completions")
    simulator.fault("malformed_json", "/v1/models")
    with running(tmp_path, document(simulator.api_url)) as exporter:
        for query in (f"chat&model={MODEL}", f"chat_stream&model={MODEL}", "chat_stream&model=gpt-5.4-mini", "models"):
            exporter.get(f"/probe?target=sim&module={query}")
        newest = [entry.id for entry in exporter.live.history.recent()][1]
        page = page_of(exporter.get("/"))

    rows = " ".join(page.text.split("Recent failures")[1].split("For Prometheus")[0].split())
    names = f"chat_stream · gpt-5.4-mini, chat_stream · {MODEL}, chat · {MODEL}"
    assert 1 == rows.count("quota_exhausted")
    assert f" 3 sim simulated {names} quota_exhausted HTTP 429 " in rows
    assert " 1 sim simulated models malformed " in rows
    assert f"/history/{newest}" in page.links


def test_budgets_are_before_failures(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url, budgets=[{"name": "all", "limit_usd": 1}])) as exporter:
        exporter.get("/usage")
        text = exporter.get("/").text
    assert text.index(">Budget<") < text.index(">Dataset<") < text.index(">Recent failures<")


def test_the_history_has_pages(tmp_path: Path, simulator: SimulatorControl) -> None:
    simulator.fault("outage", "/v1/chat/completions")
    with running(tmp_path, document(simulator.api_url)) as exporter:
        exporter.get(CHAT)
        result = exporter.live.history.recent()[0].answer
        for _ in range(2 * html.PAGE):
            exporter.live.history.add(result)
        first, second, last, beyond, odd = (
            page_of(exporter.get(f"/history?failures=true&page={page}")) for page in ("1", "2", "3", "9", "x")
        )
    assert "1 to 50 of 101 kept" in first.text
    assert "51 to 100 of 101 kept" in second.text
    assert "101 to 101 of 101 kept" in last.text
    assert (last.text, first.text) == (beyond.text, odd.text)
    assert {"/history?failures=true&page=1", "/history?failures=true&page=3"} <= set(second.links)
    assert "/history?failures=true&page=2" in first.links
    assert not [link for link in last.links if "page=4" in link]


@pytest.mark.parametrize("path", ["/config", f"{CHAT}&debug=true"])
def test_configuration_and_debug_output_are_text_or_in_the_frame(exporter: Exporter, path: str) -> None:
    plain, framed = exporter.get(path), exporter.get(path, accept="text/html,*/*;q=0.8")
    page = page_of(framed)

    assert ("text/plain; charset=utf-8", "Accept") == (plain.headers["content-type"], plain.headers["vary"])
    assert "Accept" == framed.headers["vary"]
    assert "/history" in page.links
    line = "name: sim" if path == "/config" else "probe_success 1"
    assert line in plain.text
    assert line in page.text
    assert ENV["TEST_KEY"] not in framed.text


def test_the_history_finds_a_result_by_its_request_id(exporter: Exporter) -> None:
    exporter.get(CHAT)
    exporter.get(CHAT)
    kept = exporter.live.history.recent()
    one, other = (entry.answer.result.request_id for entry in kept[:2])
    shown = page_of(exporter.get(f"/history?request_id={one}")).text

    assert one in shown
    assert other not in shown
    assert "is not kept (any more)" in page_of(exporter.get("/history?request_id=req_gone")).text


@pytest.mark.parametrize(("path", "status"), [("/history/999999", 404), ("/history/abc", 404), ("/history/-1", 404)])
def test_a_result_that_is_not_kept_is_404(exporter: Exporter, path: str, status: int) -> None:
    reply = exporter.get(path)
    assert reply.status == status
    assert len(reply.text.splitlines()) == 1


# Figures as people read them.


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "0 ms"), (0.00031, "0.3 ms"), (0.4123, "412 ms"), (0.9996, "1.00 s"),
     (1.239, "1.24 s"), (12.34, "12.3 s"),
     (125, "2 min 5 s")],
)  # fmt: skip
def test_seconds(value: float | None, expected: str) -> None:
    assert expected == html.seconds(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (3601, "1 h"), (97_500, "1 d 3 h")],
)
def test_span(value: float, expected: str) -> None:
    assert expected == html.span(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.0123"), (0.000021, "$0.000021"),
     (-3.5, "-$3.50")],
)  # fmt: skip
def test_dollars(value: float | None, expected: str) -> None:
    assert expected == html.dollars(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "0"), (8431, "8,431"), (12_345, "12.3 k"), (998_877_665, "999 M"), (2.5e9, "2.5 G"),
     (999_999, "1,000 k"), (3e12, "3,000 G")],
)  # fmt: skip
def test_count(value: float | None, expected: str) -> None:
    assert expected == html.count(value)


def test_ago() -> None:
    assert ["never", "just now", "12 s ago", "just now"] == [
        html.ago(None, 100), html.ago(99.5, 100), html.ago(88, 100), html.ago(105, 100)
    ]  # fmt: skip


@given(st.floats(0, 1e9))
def test_every_duration_has_words_without_scientific_notation(value: float) -> None:
    for text in (html.seconds(value), html.span(value), html.count(value), html.dollars(value)):
        assert "e+" not in text
        assert text


@pytest.mark.parametrize(
    ("first", "tokens", "expected"),
    [
        (0.412, Tokens(output=16, reasoning=16), "412 ms"),
        (None, Tokens(output=16, reasoning=16), "none: all 16 output tokens went into reasoning"),
        (None, Tokens(output=16, reasoning=8), html.UNKNOWN),
        (None, None, html.UNKNOWN),
    ],
)
def test_a_missing_first_token_says_why(first: float | None, tokens: Tokens | None, expected: str) -> None:
    assert expected == html.first_token(StreamTiming(0.1, first), tokens)
