# SPDX-License-Identifier: Apache-2.0
"""Imports against the books and the live page: whole, interrupted, refused."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_exporter.cli.main import main
from openai_exporter.metrics import CATALOGUE, usage as metrics
from openai_exporter.metrics.usage import RECORDED
from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import ADMIN_KEY, NOW, bill, done, run, spent, total, unix, usage
from tests.exporter.report.openmetrics import Samples, at, families, samples
from tests.exporter.usage.scraping import Now, Scrape, scrape, service
from tests.exporter.usage.serving import answering
from tests.stack.programs import environment, wait_for

FROM = "2026-09-20"
STEP = "3h"
"""Ends of buckets that are looked at are multiples of it."""
END = unix(NOW)
TARGET = ("organization", "job")


@pytest.fixture(scope="module")
def imported(shared_simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("import") / "history.om"
    done(run(shared_simulator, "backfill", "--from", FROM, "-o", str(output), "--step", STEP))
    return output


@pytest.fixture(scope="module")
def history(imported: Path) -> Samples:
    return samples(imported, *TARGET)


def test_families_do_not_interleave_and_the_file_ends(imported: Path) -> None:
    found = families(imported)

    assert len(set(found)) == len(found)
    known = [*CATALOGUE, *(metric.name for levels in RECORDED.values() for metric in levels)]
    assert found == [name.removesuffix("_total") for name in known if name.removesuffix("_total") in found]
    assert imported.read_text().endswith("\n# EOF\n")


def test_times_of_a_series_rise_and_lie_in_the_period(history: Samples) -> None:
    for series, found in history.items():
        moments = [moment for moment, _ in found]
        assert moments == sorted(set(moments)), series
        assert unix(FROM) <= moments[0] <= moments[-1] == END or moments[-1] < END


def test_counters_fall_only_in_the_first_second_of_a_month(history: Samples) -> None:
    resets = {unix("2026-10-01"), unix("2026-11-01")}
    fallen = set()
    for (name, _), found in history.items():
        if name.endswith("_total"):
            for (_, before), (moment, after) in pairwise(found):
                if after < before:
                    assert after == 0
                    fallen.add(moment)
    assert resets == fallen


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        ("openai_usage_requests_total", "num_model_requests"),
        ("openai_usage_input_tokens_total", "input_tokens"),
        ("openai_usage_input_cached_tokens_total", "input_cached_tokens"),
        ("openai_usage_output_tokens_total", "output_tokens"),
    ],
)
@pytest.mark.parametrize(
    ("start", "end", "shown_at"),
    [
        pytest.param("2026-09-01", "2026-10-01", "2026-09-30T23:59:59Z", id="whole month"),
        pytest.param("2026-10-01", "2026-11-01", "2026-10-31T23:59:59Z", id="month with corrections"),
        pytest.param("2026-10-01", "2026-10-07", "2026-10-07", id="end of a coarse day"),
        pytest.param("2026-11-01", "2026-11-14T15:00:00Z", "2026-11-14T15:00:00Z", id="end of a fine hour"),
        pytest.param("2026-11-01", NOW, NOW, id="end"),
    ],
)
def test_totals_equal_the_books(
    simulator: SimulatorControl, history: Samples, metric: str, field: str, start: str, end: str, shown_at: str
) -> None:
    expected = total(usage(simulator, unix(start), unix(end)), field)

    column = metric.removeprefix("openai_usage_").removesuffix("_total")
    taken = at(history, metrics.CORRECTIONS.name, unix(shown_at), ("field", column))
    assert expected > 0
    assert expected == at(history, metric, unix(shown_at)) - taken


@pytest.mark.parametrize(
    ("metric", "kind", "direction"),
    [
        ("openai_usage_requests_total", "requests", ()),
        ("openai_usage_input_tokens_total", "tokens", (("direction", "input"),)),
        ("openai_usage_input_cached_tokens_total", "tokens", (("direction", "cached"),)),
        ("openai_usage_output_tokens_total", "tokens", (("direction", "output"),)),
        ("openai_usage_estimated_cost_usd_total", "cost", ()),
    ],
)
def test_growth_adds_up_to_the_counters_over_months(
    history: Samples, metric: str, kind: str, direction: tuple[tuple[str, str], ...]
) -> None:
    september, october = unix("2026-09-30T23:59:59Z"), unix("2026-10-31T23:59:59Z")
    counted = sum(at(history, metric, moment) for moment in (september, october, END))
    for level in RECORDED[kind]:
        grown = sum(
            value
            for (found, labels), each in history.items()
            if found == level.name and set(direction) <= set(labels)
            for _, value in each
        )
        assert grown > 0
        assert counted - at(history, metric, unix(FROM)) == pytest.approx(grown, rel=1e-12)


def test_everything_ends_where_the_live_series_begin(simulator: SimulatorControl, tmp_path: Path) -> None:
    output = tmp_path / "history.om"
    live = ("--scraped-since", "2026-11-18T14:10:00Z")
    done(run(simulator, "backfill", "--from", "2026-11-18", "-o", str(output), *live))
    last: dict[str, int] = {}
    for (name, _), found in samples(output).items():
        kind = "growth" if ":growth" in name else "costs" if "costs" in name else "counter"
        last[kind] = max(last.get(kind, 0), found[-1][0])

    assert last == {
        "growth": unix("2026-11-18T14:09:59Z"),
        "counter": unix("2026-11-18T14:09:00Z"),
        "costs": unix("2026-11-18T14:10:00Z"),
    }


@pytest.mark.parametrize("live", ["2026-11-18T14:10:00Z", "2026-11-18T14:00:00Z", "2026-11-18T14:30:00Z"])
def test_growth_adds_up_to_what_was_used_when_the_live_series_begin_and_counters_to_what_was_final(
    simulator: SimulatorControl, tmp_path: Path, live: str
) -> None:
    output, name = tmp_path / "history.om", "openai_usage_requests_total"
    done(run(simulator, "backfill", "--from", "2026-11-14", "-o", str(output), "--step", "5m"))
    without = samples(output)
    done(run(simulator, "backfill", "--from", "2026-11-14", "-o", str(output), "--step", "2h", "--scraped-since", live))
    found = samples(output)

    growth = RECORDED["requests"][0].name
    grown = sum(value for (metric, _), each in found.items() if metric == growth for _, value in each)
    assert 0 < grown == at(without, name, unix(live)) - at(without, name, unix("2026-11-14"))
    final = unix("2026-11-15T14:00:00Z")  # usage is up to three days late
    assert at(found, name, final) == at(without, name, final) == at(found, name, unix(live) - 60)


def test_the_month_before_the_live_series_is_whole_and_their_own_begins_at_what_was_final(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    output, name = tmp_path / "history.om", "openai_usage_requests_total"
    live, end = ("--scraped-since", "2026-11-01T02:30:00Z"), unix("2026-10-31T23:59:59Z")
    done(run(simulator, "backfill", "--from", "2026-10-30", "-o", str(output), *live))
    found = samples(output)
    october = total(usage(simulator, unix("2026-10-01"), end + 1), "num_model_requests")
    assert october == at(found, name, end) - at(found, metrics.CORRECTIONS.name, end, ("field", "requests"))
    assert 0 == at(found, name, unix("2026-11-01")) == at(found, name, unix("2026-11-01T02:29:00Z"))


def test_counters_end_with_what_the_live_series_began_with_and_where_none_began_with_what_was_final(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    """The live exporter could read completions, of which there was nothing yet, and no embeddings."""
    output, name = tmp_path / "history.om", "openai_usage_requests_total"
    told = {"data": {"result": [{"metric": {"operation": "completions"}, "value": [0, "0"]}]}}
    with answering({"/api/v1/query": told}) as url:
        live = ("--scraped-since", "2026-11-18T14:10:00Z", "--prometheus", url)
        done(run(simulator, "backfill", "--from", "2026-11-14", "-o", str(output), *live))
    found, end = samples(output), unix("2026-11-18T14:09:00Z")
    assert 0 == at(found, name, end, ("operation", "completions"))
    final = at(found, name, unix("2026-11-15T14:00:00Z"), ("operation", "embeddings"))
    assert 0 < final == at(found, name, end, ("operation", "embeddings"))


ASKED = {
    "without a time": (("--prometheus", "http://127.0.0.1:1"), "--prometheus needs --scraped-since"),
    "no URL": (("--prometheus", "prometheus"), "'prometheus' is not a URL such as http://localhost:9090"),
    "nobody there": (
        ("--scraped-since", "2026-11-18T14:10:00Z", "--prometheus", "http://127.0.0.1:1"),
        "http://127.0.0.1:1: cannot be asked: no connection to 127.0.0.1:1",
    ),
    "something else": (
        ("--scraped-since", "2026-11-18T14:10:00Z", "--prometheus", "SIMULATOR"), "cannot be asked: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "message"), ASKED.values(), ids=list(ASKED))
def test_a_prometheus_that_cannot_be_asked_is_told_before_anything_is_read(
    simulator: SimulatorControl, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    given = [option.replace("SIMULATOR", simulator.base_url) for option in options]
    failed = run(simulator, "backfill", "--from", "2026-11-18", "-o", str(tmp_path / "history.om"), *given)
    assert failed.exit_code != 0
    assert message in failed.stderr
    assert not list(tmp_path.iterdir())


def test_growth_in_the_last_second_of_a_month_is_there_once(simulator: SimulatorControl, tmp_path: Path) -> None:
    output = tmp_path / "history.om"
    live = ("--scraped-since", "2026-10-31T23:59:59Z")
    done(run(simulator, "backfill", "--from", "2026-10-30", "--to", "2026-11-01", "-o", str(output), *live))
    for found in samples(output).values():
        moments = [moment for moment, _ in found]
        assert sorted(set(moments)) == moments


def test_it_asks_for_the_begin_of_the_live_series_which_may_be_told_later(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    arguments = ("backfill", "--from", "2026-11-18", "-o", str(tmp_path / "history.om"))
    stopped = run(simulator, *arguments, "--max-calls", "4")
    assert "where Prometheus reads the exporter already, the time since that began is counted twice" in stopped.stderr
    assert "give it, such as --scraped-since 2026-11-21T09:30:00Z" in stopped.stderr

    plan = tmp_path / "history.om.parts" / "plan.json"
    assert '"fine_days"' in plan.read_text(), "journals of earlier versions name it so"
    resumed = run(simulator, *arguments, "--scraped-since", "2026-11-18T14:10:00Z")
    done(resumed)
    assert "1 more were made before" in resumed.stderr
    assert "--scraped-since" not in resumed.stderr
    assert "give it, such as --prometheus http://localhost:9090, for an exact joint" in resumed.stderr


def test_costs_equal_the_books(simulator: SimulatorControl, history: Samples) -> None:
    october = spent(bill(simulator, unix("2026-10-01"), unix("2026-11-01")))[""]
    november = spent(bill(simulator, unix("2026-11-01"), unix("2026-11-20")))[""]

    assert float(october) == at(history, metrics.COSTS_PREVIOUS_MONTH.name, END)
    assert float(october) == pytest.approx(at(history, metrics.COSTS_PREVIOUS_MONTH.name, unix("2026-11-01")))
    assert float(november) == pytest.approx(at(history, metrics.COSTS_MONTH.name, END), rel=1e-12)
    assert 0 == at(history, metrics.COSTS_MONTH.name, unix("2026-11-01"))


async def test_the_last_samples_are_what_the_live_page_shows(simulator: SimulatorControl, history: Samples) -> None:
    live = service(simulator.api_url, Now(END))
    try:
        page: Scrape = scrape(await live.page())
    finally:
        await live.close()

    last = {series: found[-1][1] for series, found in history.items() if found[-1][0] == END}
    names = {name for name, _ in last}
    expected = {series: value for series, value in page.items() if series[0] in names and value}
    assert len(expected) > 100
    assert expected.keys() == {series for series, value in last.items() if value}
    for series, value in expected.items():
        assert value == pytest.approx(last[series], rel=1e-9 if "cost" in series[0] else 0), series


def test_a_new_series_begins_at_zero(history: Samples) -> None:
    first = [found[0] for (name, _), found in history.items() if name.endswith("_total")]

    begun_later = [value for moment, value in first if moment > unix(FROM)]
    assert begun_later
    assert {0.0} == set(begun_later)


def bucket(day: str, **requests: int) -> dict[str, Any]:
    """A day's usage: requests by project."""
    rows = [
        {"project_id": id, "num_model_requests": count, "input_tokens": 0, "output_tokens": 0}
        for id, count in requests.items()
    ]
    return {"start_time": unix(day), "end_time": unix(day) + 86_400, "results": rows}


def canned(folder: Path, *buckets: dict[str, Any]) -> Samples:
    """An import of October 2026 by the day, from these buckets, with room for two series."""
    pages = [{"data": found, "has_more": False, "next_page": None} for found in (list(buckets), [])]
    documents = {"/usage/completions": pages[0], "/costs": pages[1]}
    config, output = folder / "exporter.yml", folder / "history.om"
    with answering(documents) as url:
        config.write_text(
            f"organizations: [{{name: acme, base_url: '{url}', admin_key_env: KEY, costs: null, series_limit: 2, "
            "usage: {completions: {group_by: [project_id]}}}]\n"
        )
        days = ("--from", "2026-10-01", "--to", "2026-10-31", "--step", "12h", "--hourly-days", "0")
        command = ("backfill", "--config.file", str(config), *days, "-o", str(output))
        done(CliRunner().invoke(main, command, env={"KEY": ADMIN_KEY}))
    return samples(output, *TARGET)


REQUESTS = "openai_usage_requests_total"
LAST_SECOND = unix("2026-10-31T23:59:59Z")


def test_what_is_taken_back_is_left_out_where_it_was_counted(tmp_path: Path) -> None:
    history = canned(tmp_path, bucket("2026-10-02", a=10), bucket("2026-10-05", a=-4))

    assert 6 == at(history, REQUESTS, unix("2026-10-03")) == at(history, REQUESTS, LAST_SECOND)
    assert 0 == at(history, metrics.CORRECTIONS.name, LAST_SECOND)


def test_what_is_taken_back_beyond_zero_is_in_the_corrections(tmp_path: Path) -> None:
    history = canned(tmp_path, bucket("2026-10-02", a=5), bucket("2026-10-05", a=-8))

    assert 0 == at(history, REQUESTS, LAST_SECOND)
    assert 3 == at(history, metrics.CORRECTIONS.name, LAST_SECOND, ("field", "requests"))


def test_series_beyond_the_limit_are_summed_under_other(tmp_path: Path) -> None:
    history = canned(tmp_path, bucket("2026-10-02", a=100, b=50), bucket("2026-10-05", c=3, d=4))

    by_project = {
        project: at(history, REQUESTS, LAST_SECOND, ("project_id", project))
        for project in ("a", "b", "c", "d", "other")
    }
    assert 157 == sum(by_project.values()) == at(history, REQUESTS, LAST_SECOND)
    assert by_project["other"] > 0


def test_calls_that_are_allowed_are_not_exceeded_and_the_rest_follows(
    simulator: SimulatorControl, imported: Path, tmp_path: Path
) -> None:
    output = tmp_path / "history.om"
    arguments = ("backfill", "--from", FROM, "-o", str(output), "--step", STEP, "--max-calls", "4")
    before = len(simulator.journal_since())
    result = run(simulator, *arguments)

    assert 1 == result.exit_code
    assert "stopped after 4 API calls" in result.stderr
    assert "run the same command again to continue" in result.stderr
    assert 4 == len(simulator.journal_since()) - before
    assert not output.exists()
    tries = 1
    while run(simulator, *arguments).exit_code:
        tries += 1
        assert tries < 20
    assert tries > 1
    assert imported.read_bytes() == output.read_bytes()
    assert [output] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sign", "message"),
    [(signal.SIGKILL, ""), (signal.SIGINT, "history.om.parts: run the same command again to continue")],
)
def test_a_killed_import_goes_on_to_the_same_file(
    simulator: SimulatorControl, imported: Path, tmp_path: Path, sign: signal.Signals, message: str
) -> None:
    output = tmp_path / "history.om"
    arguments = ["backfill", "--from", FROM, "-o", str(output), "--step", STEP]
    env = environment(OPENAI_ADMIN_KEY=ADMIN_KEY, OPENAI_BASE_URL=simulator.api_url)
    simulator.fault("latency", path="/v1/organization/*", delay_seconds=0.4)
    child = subprocess.Popen(
        [sys.executable, "-m", "openai_exporter", *arguments],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        parts = tmp_path / "history.om.parts"
        wait_for(lambda: len(list(parts.glob("*.jsonl"))) > 1, 30, "some queries are read")
        child.send_signal(sign)
        assert message in child.communicate(timeout=30)[1]
    finally:
        child.kill()
        child.wait(60)
    simulator.clear()
    assert not output.exists()

    result = run(simulator, *arguments)
    done(result)
    assert "more were made before" in result.stderr
    assert imported.read_bytes() == output.read_bytes()


def test_a_full_disk_costs_nothing_that_was_read(simulator: SimulatorControl, imported: Path, tmp_path: Path) -> None:
    output = tmp_path / "history.om"
    arguments = ("backfill", "--from", FROM, "-o", str(output), "--step", STEP)
    run(simulator, *arguments, "--max-calls", "3")
    parts = tmp_path / "history.om.parts"
    (parts / "openai_usage_requests_total.family").symlink_to("/dev/full")
    result = run(simulator, *arguments)

    assert 1 == result.exit_code
    remedy = "No space left on device; free some and run the same command again, what was read is kept"
    assert f"{output}: cannot be written: {remedy}" in result.stderr
    assert not list(parts.glob("*.family")), "what is made of what was read takes no room meanwhile"
    result = run(simulator, *arguments)
    done(result)
    assert " 0 API calls, " in result.stderr
    assert imported.read_bytes() == output.read_bytes()


def test_a_passing_failure_is_tried_again(simulator: SimulatorControl, imported: Path, tmp_path: Path) -> None:
    output = tmp_path / "history.om"
    simulator.fault("status", path="/v1/organization/usage/completions", status=429, retry_after=0.1, seconds=1.0)
    result = run(simulator, "backfill", "--from", FROM, "-o", str(output), "--step", STEP)

    done(result)
    assert "trying again in" in result.stderr
    assert imported.read_bytes() == output.read_bytes()


def test_a_journal_of_other_options_is_refused_until_it_is_thrown_away(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    output = tmp_path / "history.om"
    arguments = ("backfill", "--from", "2026-11-18", "-o", str(output))
    run(simulator, *arguments, "--max-calls", "4")
    other = run(simulator, *arguments, "--step", "15m")

    assert 1 == other.exit_code
    assert "belongs to an import with other options" in other.stderr
    done(run(simulator, *arguments, "--step", "15m", "--no-resume"))
    found = samples(output).items()
    moments = {moment for (name, _), each in found if ":growth" not in name for moment, _ in each}
    assert set(range(unix("2026-11-18"), END + 1, 900)) == moments
    grown = {moment + 1 for (name, _), each in found if ":growth" in name for moment, _ in each}
    assert moments - {unix("2026-11-18")} == grown


def test_it_says_how_to_import_it(simulator: SimulatorControl, tmp_path: Path) -> None:
    output = tmp_path / "my history.om"
    said = done(run(simulator, "backfill", "--from", "2026-11-18", "-o", str(output)))

    assert (
        f"promtool tsdb create-blocks-from openmetrics --max-block-duration=162h '{output}' '{output}.blocks'" in said
    )
    assert "If Prometheus runs already, wait 3 hours" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-11-18", "-o", "/nonexistent/x.om"), "/nonexistent/x.om: cannot be written: No such file"),
        (("--from", "2026-11-18", "-o", "/tmp"), "/tmp: cannot be written: Is a directory"),
        (("--from", "2026-11-18", "--organization", "x"), "unknown organization 'x'"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    simulator: SimulatorControl, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run(simulator, "backfill", "-o", str(tmp_path / "x.om"), *arguments)

    assert 1 == result.exit_code
    assert message in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert [] == list(tmp_path.iterdir())


def test_no_file_takes_the_place_of_a_pipe(simulator: SimulatorControl, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for output in (pipe, link):
        result = run(simulator, "backfill", "--from", "2026-11-18", "-o", str(output))

        assert 1 == result.exit_code
        assert (
            f"openai-exporter: {pipe}: cannot be written: not a regular file; choose another --output\n"
            == result.stderr
        )
    assert {pipe, link} == set(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-11-10", "--to", "2026-11-09"), "--from: 2026-11-10 is after --to 2026-11-09; swap them"),
        (("--from", "2026-12-01"), "--from: 2026-12-01 is in the future; today is 2026-11-19 (UTC)"),
        (("--from", "soon"), "--from: 'soon' is not a date such as 2026-11-21"),
        (
            ("--from", "2026-11-10", "--scraped-since", "noon"),
            "--scraped-since: 'noon' is not a time such as 2026-11-21T09:30:00Z",
        ),
        (("--from", "2026-11-10", "--scraped-since", "2026-12-01"), "--scraped-since: 2026-12-01 is in the future"),
        (("--from", "2026-11-10", "--scraped-since", "2026-11-10T00:00:00Z"), "is not after --from: there is no past"),
        (("--step", "7m"), "must be 1m or longer and divide a day"),
        (("--live-from", "2026-11-18"), "--live-from was renamed to --scraped-since"),
        (("--fine-days", "2"), "--fine-days was renamed to --hourly-days"),
        (("--label", "model=x"), "'model' is a label that the series have themselves"),
        (("--label", "instance"), "is not NAME=VALUE, such as instance=exporter:9985"),
    ],
)
def test_a_wrong_flag_is_refused(simulator: SimulatorControl, arguments: tuple[str, ...], message: str) -> None:
    result = run(simulator, "backfill", "--from", "2026-11-18", "-o", "x.om", *arguments)

    assert 2 == result.exit_code
    assert message in result.stderr
