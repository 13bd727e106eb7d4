# SPDX-License-Identifier: Apache-2.0
"""The history: recent results, and one with all that is known about it."""

import pytest

from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import MODEL, Exporter, page_of

CHAT = f"/probe?target=sim&module=chat&model={MODEL}"


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
