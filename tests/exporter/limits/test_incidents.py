# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a change and its answer: nothing half-done without being told, nothing done twice."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.exporter.limits.proxy import Rule
from tests.exporter.limits.world import World

SEARCH, SUPPORT = "Search", "Customer support"
LIMIT = ("set", "--project", SEARCH, "--spend-limit", "2000", "--apply")
RATE = ("set", "--project", SEARCH, "--model", "gpt-6-luna", "--requests-per-minute", "77", "--apply")
ALERT = ("set", "--project", SEARCH, "--spend-alert", "1900", "--notify", "ops@example.com", "--apply")
BOTH = (*LIMIT[:-1], "--spend-alert", "1900", "--notify", "ops@example.com", "--apply")
CLEAR = ("clear", "--project", SUPPORT, "--spend-limit", "--apply")
FREEZE = ("freeze", "--project", SEARCH, "--apply")


def error(message: str, code: str | None = None) -> bytes:
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return json.dumps({"error": body}).encode()


def answer(status: int, message: str, **headers: str) -> Rule:
    return Rule("answer", status=status, body=error(message), headers=headers)


SCOPES = "You have insufficient permissions for this operation. Missing scopes: api.management.write."


@dataclass(frozen=True)
class Case:
    """One incident.

    `rules` act on the first write unless they say otherwise; `made` is whether the change is set in the end, `sent` how
    many writes left the command, and `result` is what the journal has of the last change.
    """

    name: str
    command: Sequence[str]
    rules: Callable[[World], list[Rule]]
    says: Sequence[str]
    sent: int
    made: bool
    result: str = "applied"
    exit: int = 1


def once(rule: Callable[[], Rule]) -> Callable[[World], list[Rule]]:
    return lambda world: [rule()]


REJECTED = [(400, "threshold_amount must be above the current spend"), (401, "Incorrect API key provided"),
            (403, SCOPES), (404, "No such project"), (422, "cannot be processed")]  # fmt: skip
UNANSWERED = [(408, "timed out"), (409, "The resource was changed by another request."), (500, "The server failed"),
              (502, "Bad gateway"), (503, "overloaded"), (504, "timed out")]  # fmt: skip

CASES = [
    *(Case(f"HTTP {status} to a spend limit", LIMIT, once(partial(answer, status, text)),
           [f"HTTP {status}", text.split(".")[0], "0 of 1 changes are made"], 1, made=False, result="rejected")
      for status, text in REJECTED),
    *(Case(f"HTTP {status}, and nothing was changed", LIMIT,
           once(partial(answer, status, text)),
           [f"HTTP {status}", "the old value is still set", "0 of 1"], 1, made=False, result="not_applied")
      for status, text in UNANSWERED),
    *(Case(f"lost answer to {what}", command, once(lambda: Rule("lose")), ["1 of 1 changes are made"], 1, made=True,
           exit=0)
      for what, command in (("a spend limit", LIMIT), ("a rate limit", RATE), ("a new alert", ALERT),
                            ("a removed limit", CLEAR))),
    *(Case(f"connection closed before {what} arrived", command, once(lambda: Rule("drop")),
           ["the old value is still set", "0 of 1"], 1, made=False, result="not_applied")
      for what, command in (("a spend limit", LIMIT), ("a rate limit", RATE), ("a new alert", ALERT),
                            ("a removed limit", CLEAR))),
    Case("500 although it was done", LIMIT, lambda world: [Rule("answer", status=500, body=error("oops"),
         then=lambda: world.set_limit(world.projects[SEARCH], 200_000))],
         ["1 of 1 changes are made"], 1, made=True, exit=0),
    Case("429, then taken", LIMIT, once(lambda: answer(429, "slow down", **{"retry-after": "0"})),
         ["1 of 1 changes are made"], 2, made=True, exit=0),
    Case("429 for ever", LIMIT, once(lambda: Rule("answer", number=0, status=429, body=error("slow down"),
         headers={"retry-after": "0"})), ["HTTP 429", "0 of 1"], 5, made=False, result="rejected"),
    Case("somebody else changes it between plan and change", LIMIT,
         lambda world: [Rule("pass", method="GET", path="spend_limit", number=2,
                             then=lambda: world.set_limit(world.projects[SEARCH], 123_400))],
         ["was changed meanwhile, to $1,234.00", "nothing was sent", "0 of 1"], 0, made=False, result=""),
    Case("somebody else changes it while the answer is lost", LIMIT,
         lambda world: [Rule("lose", then=lambda: world.set_limit(world.projects[SEARCH], 123_400))],
         ["$1,234.00 is set now", "0 of 1"], 1, made=False, result="changed"),
    Case("the second of two changes is refused", BOTH,
         once(lambda: Rule("answer", number=2, status=403, body=error(SCOPES))),
         ["api.management.write", "1 of 2 changes are made, 1 are not", "limits undo 1 --apply"], 2, made=True,
         result="rejected"),
    Case("the fifth change of a freeze finds the API gone", FREEZE, once(lambda: Rule("drop", number=5)),
         ["4 of 40 changes are made, 36 are not", "limits undo 1 --apply"], 5, made=False, result="not_applied"),
    Case("a project that is archived meanwhile", RATE, once(lambda: answer(400, "Project is archived")),
         ["HTTP 400: Project is archived", "0 of 1"], 1, made=False, result="rejected"),
    Case("a redirect", LIMIT, once(lambda: Rule("answer", status=302, headers={"location": "https://example.com/"})),
         ["HTTP 302", "0 of 1"], 1, made=False, result="rejected"),
    Case("an answer that is no JSON", LIMIT, once(lambda: Rule("answer", status=200, body=b"<html>")),
         ["the old value is still set"], 1, made=False, result="not_applied"),
    Case("an answer of another organization", LIMIT,
         lambda world: [Rule("answer", method="GET", path="spend_limit", number=2, status=200,
                             body=json.dumps({"threshold_amount": 1, "currency": "USD"}).encode(),
                             headers={"openai-organization": "org-other"})],
         ["org-other", "0 of 1"], 0, made=False, result=""),
    Case("neither the change nor the look afterwards is answered", LIMIT,
         lambda world: [Rule("lose"), Rule("drop", method="GET", path="spend_limit", number=3),
                        Rule("drop", method="GET", path="spend_limit", number=4)],
         ["could not be read either", "limits show", "0 of 1"], 1, made=True, result="unknown"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_incident_is_told_and_can_be_undone(case: Case, world: World) -> None:
    before = world.snapshot()
    world.proxy.rules = case.rules(world)
    result = world.run(*case.command)
    assert result.exit_code == case.exit, result.output
    for words in case.says:
        assert words in result.output
    assert len(world.proxy.sent) == case.sent
    others = world.limit(world.projects[SEARCH]) if "else" in case.name else None
    assert (world.snapshot() == before) is not (case.made or others is not None or "freeze" in case.name)
    last = (world.run("journal").output.splitlines() or [""])[-1]
    assert f": {case.result}" in last if case.result else last == ""
    world.proxy.rules = []
    undo = world.run("undo", "--apply")
    if others is None:
        assert world.snapshot() == before, undo.output
    else:
        assert world.limit(world.projects[SEARCH]) == others, "what somebody else set is left as it is"


READS = ["/rate_limits", "/spend_alerts", "/spend_limit", "/organization/projects?"]
BODIES = ["{}", "[]", '{"data": null}', '{"data": [5]}', '{"data": [{}]}', '{"data": [{"id": 5}]}',
          '{"data": [{"id": "a"}], "has_more": 1}', '{"data": [], "has_more": true}']  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", READS)
def test_a_setting_that_is_not_as_described_is_told_and_nothing_is_sent(path: str, body: str, world: World) -> None:
    world.proxy.rules = [Rule("answer", method="GET", path=path, number=0, status=200, body=body.encode())]
    result = world.run(*RATE)
    *_, said = result.output.splitlines()
    assert (result.exit_code, said[:17]) == (1, "openai-exporter: "), result.output
    assert "expected" in said
    assert world.proxy.sent == []


KILLED = [
    ("before the request arrived", "drop", "the old value is still set"),
    ("before the answer", "lose", "applied"),
]


@pytest.mark.parametrize(("when", "act", "found"), KILLED, ids=[row[0] for row in KILLED])
@pytest.mark.parametrize("command", [LIMIT, RATE, ALERT, CLEAR], ids=["limit", "rate", "alert", "clear"])
def test_a_command_that_is_killed_is_found_out_and_can_be_undone(
    command: Sequence[str], when: str, act: str, found: str, world: World
) -> None:
    before, running = world.snapshot(), list[subprocess.Popen[str]]()
    world.proxy.rules = [Rule("lose" if act == "lose" else "drop", then=lambda: running[0].kill())]
    with world.process(*command) as process:
        running.append(process)
        process.communicate(timeout=600)
    assert process.returncode == -9
    assert (world.snapshot() != before) is (act == "lose")
    world.proxy.rules = []
    undone = world.run("undo", "--apply")
    assert "an earlier command ended before it knew" in undone.output
    assert found in undone.output
    assert world.snapshot() == before
    sent = len(world.proxy.sent)
    assert world.run(*command).exit_code == 0, "the same command again does what it says"
    assert len(world.proxy.sent) == sent + 1
    world.run("undo", "--apply")
    assert world.snapshot() == before


def test_two_commands_at_once_do_not_mix(world: World) -> None:
    said: list[str] = []
    world.proxy.rules = [Rule("pass", then=lambda: said.append(world.run(*RATE).output))]
    assert world.run(*LIMIT).exit_code == 0
    assert "another `limits` command is running (process " in said[0]
    assert world.limit(world.projects[SEARCH]) == 200_000
    assert world.rate(SEARCH, "gpt-6-luna")["max_requests_per_1_minute"] != 77


def test_two_people_on_two_machines_do_not_overwrite_each_other(world: World) -> None:
    """The second one planned on what the first one has changed meanwhile."""
    other = world.state.with_name("other")
    said: list[str] = []
    command = ("set", "--project", SEARCH, "--spend-limit", "3000", "--apply")
    first = Rule("pass", method="GET", path="spend_limit", number=2)
    first.then = lambda: said.append(world.run(*LIMIT, OPENAI_EXPORTER_STORAGE_PATH=str(other)).output)
    world.proxy.rules = [first]
    result = world.run(*command)
    assert "1 of 1 changes are made" in said[0]
    assert result.exit_code == 1
    assert "was changed meanwhile, to $2,000.00" in result.output
    assert world.limit(world.projects[SEARCH]) == 200_000


def test_a_journal_that_cannot_be_written_stops_everything_before_it_is_sent(world: World) -> None:
    world.state.write_text("a file where the folder should be")
    world.state = world.state / "below"
    result = world.run(*LIMIT)
    assert result.exit_code == 1
    assert "changes need a journal: give --storage.path" in result.output
    assert world.proxy.sent == []


def test_a_line_cut_short_by_a_crash_spoils_neither_the_journal_nor_the_next_line(world: World) -> None:
    assert world.run(*LIMIT).exit_code == 0
    file = world.state / "limits.jsonl"
    file.write_text(file.read_text() + '{"version":1,"batch":2,"num')
    assert world.run(*RATE).exit_code == 0
    lines = world.run("journal").output.splitlines()
    assert [line.split()[0] for line in lines] == ["1.1", "2.1"]
    before = world.limit(world.projects[SEARCH])
    assert world.run("undo", "2", "--apply").exit_code == 0
    assert world.limit(world.projects[SEARCH]) == before


SPOILT = [
    ("no number", '"batch":1', '"batch":1e400'),
    ("no text", '"old":null', '"old":"none"'),
    ("no amount", '"old":null', '"old":{}'),
    ("no change", '"change":{', '"change":{"more":1,'),
    ("no object", '{"version"', '[{"version"'),
    ("no end", '"change":{', '"change":' + "[" * 100_000),
]


@pytest.mark.parametrize(("name", "old", "new"), SPOILT, ids=[row[0] for row in SPOILT])
def test_a_line_that_is_no_entry_is_named_and_keeps_nobody_from_others(
    name: str, old: str, new: str, world: World
) -> None:
    assert world.run(*LIMIT).exit_code == 0
    file = world.state / "limits.jsonl"
    file.write_text(file.read_text().replace(old, new))
    undone = world.run("undo", "--apply")
    assert (undone.exit_code, f"in {file}: 1" in undone.output) == (1, True), undone.output
    assert world.run(*RATE).exit_code == 0
    assert world.run("undo", "--apply").exit_code == 0


@pytest.mark.parametrize("signals", [["SIGTERM"], ["SIGHUP", "SIGHUP"]], ids=" ".join)
def test_an_interrupted_command_ends_its_change_and_says_what_was_made(signals: Sequence[str], world: World) -> None:
    """A terminal that is closed sends one signal, its shell another."""
    before, running = world.snapshot(), list[subprocess.Popen[str]]()

    def interrupt() -> None:
        for name in signals:
            running[0].send_signal(signal.Signals[name])

    world.proxy.rules = [Rule("pass", number=3, then=interrupt)]
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored under `nohup`
    with world.process(*FREEZE) as process:
        signal.signal(signal.SIGHUP, inherited)
        running.append(process)
        output, _ = process.communicate(timeout=600)
    stopped = f"stopped by {signals[0]}. 3 of 40 changes are made, 37 are not"
    assert process.returncode == 1
    assert f"{signals[0]}: stops after the change that is being made" in output
    assert f"{stopped}; `openai-exporter limits undo 1 --apply`" in output
    assert len(world.proxy.sent) == 3
    assert world.run("undo", "1", "--apply").exit_code == 0
    assert world.snapshot() == before


def test_an_interruption_ends_the_wait_that_the_api_asks_for(world: World) -> None:
    before, running = world.snapshot(), list[subprocess.Popen[str]]()
    full = answer(429, "slow down", **{"retry-after": "60"})
    # Before the wait or in it: both end at once.
    full.number, full.then = 3, lambda: threading.Timer(0.5, running[0].send_signal, [signal.SIGINT]).start()
    world.proxy.rules = [full]
    began = time.monotonic()
    with world.process(*FREEZE) as process:
        running.append(process)
        output, _ = process.communicate(timeout=600)
    assert time.monotonic() - began < 50
    assert (process.returncode, len(world.proxy.sent)) == (1, 3)
    assert "stopped by SIGINT. 2 of 40 changes are made, 38 are not; `openai-exporter limits undo 1 --apply`" in output
    assert [": applied" in line for line in world.run("journal").output.splitlines()] == [True, True, False]
    world.proxy.rules = []
    assert world.run("undo", "1", "--apply").exit_code == 0
    assert world.snapshot() == before


def test_a_full_disk_stops_before_the_next_change_and_says_what_was_made(world: World) -> None:
    before = world.snapshot()
    with world.process(*FREEZE, largest_file=2048) as process:
        output, _ = process.communicate(timeout=600)
    made = len(world.proxy.writes)
    assert 0 < made < 40
    assert "limits.jsonl: cannot be written: File too large; nothing more is sent" in output
    assert f"{made} of 40 changes are made, {40 - made} are not; `openai-exporter limits undo 1 --apply`" in output
    assert world.run("undo", "1", "--apply").exit_code == 0
    assert world.snapshot() == before


def test_changes_go_on_when_nobody_reads_the_output_any_more(world: World) -> None:
    before = world.snapshot()
    command = f"{shlex.quote(sys.executable)} -m openai_exporter limits {' '.join(FREEZE)} | head -n 1"
    env = {**os.environ, **world.environment}
    result = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, timeout=600)
    assert result.stdout == "project Search\n"
    assert "40/40 project Search: " in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        "40 of 40 changes are made; `openai-exporter limits undo 1 --apply`"
    )
    assert len(world.proxy.sent) == 40
    assert world.run("undo", "--apply").exit_code == 0
    assert world.snapshot() == before


def test_a_journal_that_cannot_be_read_is_named_and_nothing_is_sent(world: World) -> None:
    (world.state / "limits.jsonl").mkdir(parents=True)
    journal = world.state / "limits.jsonl"
    for reason in ("Is a directory", "not a regular file"):
        for command in (LIMIT, ("undo", "--apply"), ("journal",)):
            result = world.run(*command)
            assert (result.exit_code, f"limits.jsonl: cannot be read: {reason}" in result.output) == (1, True)
        if journal.is_dir():
            journal.rmdir()
            journal.symlink_to("/dev/full")
    assert world.proxy.sent == []


def test_an_undo_goes_on_after_a_change_that_is_rejected_for_itself_alone(world: World) -> None:
    before = world.snapshot()
    assert world.run(*FREEZE).exit_code == 0
    world.proxy.rules = [answer(400, "This model is retired.")]
    undone = world.run("undo", "--apply")
    assert undone.exit_code == 1
    assert "HTTP 400: This model is retired" in undone.output
    assert "39 of 40 changes are made, 1 are not" in undone.output
    world.proxy.rules = []
    assert world.run("undo", "1", "--apply").exit_code == 0
    assert world.snapshot() == before


def test_an_undo_stops_where_every_change_would_be_rejected(world: World) -> None:
    assert world.run(*FREEZE).exit_code == 0
    world.proxy.reset()
    world.proxy.rules = [Rule("answer", number=0, status=403, body=error(SCOPES))]
    assert "0 of 40 changes are made" in world.run("undo", "--apply").output
    assert len(world.proxy.sent) == 1
    world.proxy.rules = []
    assert world.run("undo", "1", "--apply").exit_code == 0


def test_a_project_that_is_archived_meanwhile_keeps_nobody_from_undoing_the_rest(world: World, tmp_path: Path) -> None:
    file = tmp_path / "limits.yml"
    file.write_text("limits: [{project: Search, spend_limit_usd: 7}, {project: Customer support, spend_limit_usd: 8}]")
    before = world.limit(world.projects[SUPPORT])
    assert world.run("apply", str(file), "--yes").exit_code == 0
    listed = world.projects_named()
    listed.body = archived(listed.body, world.projects[SEARCH])
    world.proxy.rules = [listed]
    undone = world.run("undo", "--apply")
    assert undone.exit_code == 0, undone.output
    assert "project Search: this project is archived: left as it is" in undone.output
    assert (world.limit(world.projects[SEARCH]), world.limit(world.projects[SUPPORT])) == (700, before)


def archived(projects: bytes, project_id: str) -> bytes:
    """A list of projects of which one is archived."""
    body = json.loads(projects)
    for one in body["data"]:
        if one["id"] == project_id:
            one.update(status="archived", archived_at=1)
    return json.dumps(body).encode()


def test_a_project_that_is_deleted_keeps_nobody_from_undoing_the_rest(world: World, tmp_path: Path) -> None:
    before, gone, path = world.snapshot(), world.projects["Mobile app"], tmp_path / "limits.yml"
    rates = "rate_limits: [{model: gpt-6-luna, requests_per_minute: 7}]"
    path.write_text(f"limits: [{{project: Search, {rates}}}, {{project: Mobile app, {rates}}}]")
    assert world.run("apply", str(path), "--yes").exit_code == 0
    deleted = error("No such project")
    world.proxy.rules = [Rule("answer", method="GET", path=f"/{gone}/", number=0, status=404, body=deleted)]
    undone = world.run("undo", "--apply")
    assert "project Mobile app: gpt-6-luna: HTTP 404: No such project: left as it is" in undone.output
    assert "1 of 1 changes are made" in undone.output
    assert world.snapshot() == before
    world.proxy.rules = []
    assert world.run("undo", "1", "--apply").exit_code == 0


def test_a_change_whose_project_is_gone_stays_unknown_and_keeps_nobody_from_others(world: World) -> None:
    running = list[subprocess.Popen[str]]()
    world.proxy.rules = [Rule("lose", then=lambda: running[0].kill())]
    with world.process(*RATE) as process:
        running.append(process)
        process.communicate(timeout=600)
    gone = Rule("answer", method="GET", path=f"{world.projects[SEARCH]}/rate_limits", number=0, status=404,
                body=error("No such project"))  # fmt: skip
    world.proxy.rules = [gone]
    output = world.run(*CLEAR).output
    assert "an earlier command ended before it knew: " in output
    assert "unknown (HTTP 404: No such project" in output
    assert "1 of 1 changes are made" in output
    world.proxy.rules = []
    assert "an earlier command ended before it knew: 1.1 " in world.run("undo", "--apply").output
    assert world.run("undo", "1", "--apply").exit_code == 0


def test_the_journal_can_be_read_while_another_command_writes_it(world: World) -> None:
    said: list[str] = []
    world.proxy.rules = [Rule("pass", then=lambda: said.append(world.run("journal").output))]
    assert world.run(*LIMIT).exit_code == 0
    assert ": sent" in said[0]


def test_a_journal_of_ten_thousand_lines_is_read_as_fast_as_one(world: World) -> None:
    assert world.run(*LIMIT).exit_code == 0
    file = world.state / "limits.jsonl"
    sent, settled = (json.loads(line) for line in file.read_text().splitlines())
    lines = (json.dumps({**line, "batch": batch}) for batch in range(1, 5001) for line in (sent, settled))
    file.write_text("\n".join(lines) + "\n")
    assert "of 1 changes are made; `openai-exporter limits undo 5001 --apply`" in world.run(*RATE).output
    assert len(world.run("journal").output.splitlines()) == 5001


def test_limits_can_be_set_while_usage_cannot_be_read(world: World) -> None:
    world.proxy.rules = [
        Rule("answer", method="GET", path=path, number=0, status=403, body=error("Missing scopes: api.usage.read."))
        for path in ("/organization/usage/", "/organization/costs")
    ]
    result = world.run(*LIMIT)
    assert result.exit_code == 0, result.output
    assert "current run rate is unknown: " in result.output
    frozen = world.run("freeze", "--project", SUPPORT)
    assert "the spend limit is left as it is, as the spend is unknown" in frozen.output
    assert "requests per minute: " in frozen.output
    assert "the last hour's peak was 0" not in frozen.output
