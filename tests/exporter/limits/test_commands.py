# SPDX-License-Identifier: Apache-2.0
"""The subcommands of `limits`: what they show, refuse, and never do."""

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings, strategies as st

from openai_exporter.cli.main import main
from tests.exporter.limits.proxy import Rule
from tests.exporter.limits.world import KEY, World

SEARCH = "Search"
CHANGES: Sequence[Sequence[str]] = [
    ("set", "--project", SEARCH, "--spend-limit", "500"),
    ("set", "--spend-limit", "900"),
    ("set", "--project", SEARCH, "--spend-alert", "400", "--notify", "ops@example.com"),
    ("set", "--project", SEARCH, "--model", "gpt-6-luna", "--requests-per-minute", "10", "--tokens-per-minute", "5"),
    ("set", "--project", SEARCH, "--model", "*", "--tokens-per-minute", "5"),
    ("clear", "--spend-limit"),
    ("clear", "--spend-alert", "8000"),
    ("freeze", "--project", SEARCH),
    ("undo",),
    ("undo", "1"),
    ("plan", "FILE"),
    ("plan", "FILE", "--check"),
    ("apply", "FILE"),
    ("show",),
    ("show", "--project", SEARCH, "--format", "json"),
    ("journal",),
]
LIMIT = ("set", "--project", SEARCH, "--spend-limit", "2000", "--apply")
FILE = """\
limits:
  - spend_limit_usd: 4000
    spend_alerts: [{at_usd: 3000, notify: [finance@example.com]}]
  - project: Search
    spend_limit_usd: 300
    rate_limits:
      - {model: gpt-6-luna, requests_per_minute: 20}
      - {model: "*", tokens_per_minute: 90}
  - each: project_id
    spend_limit_usd: 200
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.yml"
    path.write_text(FILE)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=24)
@given(command=st.sampled_from(CHANGES), yes=st.booleans(), organization=st.booleans(), data=st.data())
def test_nothing_is_written_without_apply(
    command: Sequence[str], yes: bool, organization: bool, data: st.DataObject, world: World, file: Path
) -> None:
    flags = ["--yes"] if yes and command[0] in ("set", "clear", "freeze", "undo") else []
    flags += ["--organization=default"] if organization else []
    words = [str(file) if word == "FILE" else word for word in command]
    key = {"OPENAI_ADMIN_KEY_WRITE": data.draw(st.sampled_from([KEY, "sk-admin-read"]))}
    world.run(words[0], *data.draw(st.permutations(flags)), *words[1:], **key)
    assert world.proxy.sent == []


def test_a_change_says_from_what_to_what_and_what_it_means_now(world: World) -> None:
    output = world.run("set", "--project", SEARCH, "--spend-limit", "0.50", "USD").output
    assert "project Search\n  spend limit: none -> $0.50\n      below what is spent ($" in output
    assert "requests will be rejected (HTTP 429) until the month ends" in output
    assert "Nothing is changed yet. To make this change, add --apply." in output
    output = world.run("set", "--spend-limit", "99,999.99").output
    assert "spend limit: $50,000.00 -> $99,999.99" in output
    assert "an hour reached in about " in world.run("set", "--spend-limit", "500").output
    one = ("set", "--project", SEARCH, "--model", "gpt-6-luna", "--requests-per-minute", "1")
    assert "requests per minute: " in world.run(*one).output


def test_a_rate_limit_below_the_last_hours_peak_is_told(world: World) -> None:
    output = world.run("set", "--project", SEARCH, "--model", "*", "--tokens-per-minute", "1").output
    assert "below the last hour's peak (" in output
    assert "tokens a minute): requests will be rejected (HTTP 429)" in output


def test_a_plan_names_every_change_and_apply_makes_them_in_a_safe_order(world: World, file: Path) -> None:
    before = world.snapshot()
    planned = world.run("plan", str(file))
    assert planned.exit_code == 0
    assert "spend alert: none -> $3,000.00 to finance@example.com" in planned.output
    assert "project Search\n  spend limit: none -> $300.00" in planned.output
    assert world.run("plan", str(file), "--check").exit_code == 1
    unasked = world.run("apply", str(file))
    assert (unasked.exit_code, "add --yes" in unasked.output) == (1, True), "without a terminal nobody can be asked"
    assert world.snapshot() == before
    applied = world.run("apply", str(file), "--yes")
    assert applied.exit_code == 0, applied.output
    assert [path.rpartition("/")[2] for _, path in world.proxy.sent[:1]] == ["spend_alerts"], "alerts reject nothing"
    assert world.limit() == 400_000
    assert world.limit(world.projects["Mobile app"]) == 20_000, "each other project has the limit of all"
    assert world.rate(SEARCH, "gpt-6-luna")["max_requests_per_1_minute"] == 20
    assert world.rate(SEARCH, "gpt-6-luna")["max_tokens_per_1_minute"] != 90, "its own entry stands before `*`"
    assert world.rate(SEARCH, "gpt-6-sol")["max_tokens_per_1_minute"] == 90
    assert world.run("plan", str(file), "--check").exit_code == 0
    assert world.run("undo", "--apply").exit_code == 0
    assert world.snapshot() == before
    assert world.limit(world.projects["Mobile app"]) is None


def test_what_show_writes_as_yaml_is_a_plan_without_a_change(world: World, tmp_path: Path) -> None:
    path = tmp_path / "limits.yml"
    path.write_text(world.run("show", "--format", "yaml").stdout)
    assert "Nothing to change" in world.run("plan", str(path)).output
    assert yaml.safe_load(path.read_text())["limits"][0]["spend_limit_usd"] == 50_000


def test_show_sets_limits_beside_what_is_used(world: World) -> None:
    world.set_limit(world.projects[SEARCH], 100)
    rows = {row["name"]: row for row in json.loads(world.run("show", "--format", "json").stdout)}
    assert rows[SEARCH]["spend_limit_usd"] == 1
    assert rows[SEARCH]["enforcing"] is True
    assert rows[SEARCH]["spent_usd"] > 1
    assert any(rate["peak_requests_per_minute"] for rate in rows[SEARCH]["rate_limits"])
    table = world.run("show", "--project", SEARCH).output
    assert "Enforced" in table
    assert "Search: gpt-6-luna" in table


def test_a_freeze_leaves_one_request_a_minute_and_comes_back_with_one_undo(world: World) -> None:
    before = world.snapshot()
    frozen = world.run("freeze", "--project", SEARCH, "--apply")
    assert frozen.exit_code == 0, frozen.output
    assert world.rate(SEARCH, "gpt-6-luna")["max_requests_per_1_minute"] == 1
    spent = float(world.simulator.state()["books"]["billed_cost_usd"]["true"]["by_project"][world.projects[SEARCH]])
    limit = world.limit(world.projects[SEARCH])
    assert limit is not None
    assert limit / 100 >= spent, "above what is spent"
    assert "Nothing to change" in world.run("freeze", "--project", SEARCH).output
    assert world.run("undo", "--apply").exit_code == 0
    assert world.snapshot() == before


REFUSED = [
    ("an amount with an exponent", ("set", "--spend-limit", "1e3"), 2, "is not an amount in US dollars"),
    ("an unknown project", ("set", "--project", "Serch", "--spend-limit", "5"), 1, "did you mean 'Search'?"),
    ("an amount that is none", ("set", "--spend-limit", "much"), 2, "is not an amount in US dollars, such as 500"),
    ("a negative amount", ("set", "--spend-limit", "-5"), 2, "is not an amount in US dollars"),
    ("another currency", ("set", "--spend-limit", "5", "EUR"), 2, "'EUR' is not"),
    ("nothing to set", ("set", "--project", SEARCH), 2, "nothing to set; give --spend-limit"),
    ("a model without a limit", ("set", "--project", SEARCH, "--model", "gpt-6-luna"), 2, "--model needs"),
    ("a limit without a model", ("set", "--project", SEARCH, "--requests-per-minute", "5"), 2, "these need --model"),
    ("rates of the organization", ("set", "--model", "gpt-6-luna", "--requests-per-minute", "5"), 2, "give --project"),
    ("an unknown model", ("set", "--project", SEARCH, "--model", "gpt-6-lunar", "--tokens-per-minute", "5"), 1,
     "did you mean 'gpt-6-luna'?"),
    ("nobody to notify", ("set", "--project", SEARCH, "--spend-alert", "5"), 1, "nobody to notify; give an e-mail"),
    ("no address", ("set", "--spend-alert", "5", "--notify", "ops"), 2, "must be an e-mail address"),
    ("an address twice", ("set", "--spend-alert", "5", "--notify", "a@b.example", "--notify", "a@b.example"), 2,
     "notify: has 'a@b.example' twice"),
    ("a model of two words", ("set", "--project", SEARCH, "--model", "a b", "--tokens-per-minute", "5"), 2,
     "model: 'a b': must be a model name"),
    ("nothing to clear", ("clear", "--project", SEARCH), 2, "give --spend-limit or --spend-alert"),
    ("an alert that is not there", ("clear", "--spend-alert", "7"), 1, "there are: 8000, 12000"),
    ("an undo of nothing", ("undo",), 1, "to undo; there are: none"),
    ("a file that is not there", ("plan", "nowhere.yml"), 1, "nowhere.yml: cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "command", "status", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_done_is_refused_with_the_fix(
    name: str, command: Sequence[str], status: int, says: str, world: World
) -> None:
    result = world.run(*command)
    assert (result.exit_code, says in result.output) == (status, True), result.output
    assert world.proxy.sent == []


FILES = [
    ("nothing", "", "is no file of limits"),
    ("unknown key", "limits: [{project: Search, spend_limt_usd: 5}]", "did you mean 'spend_limit_usd'?"),
    ("nothing wanted", "limits: [{project: Search}]", "gives no limit"),
    ("project and each", "limits: [{project: a, each: project_id, spend_limit_usd: 5}]", "gives project and each"),
    ("rates of nobody", "limits: [{rate_limits: [{model: m, requests_per_minute: 1}]}]", "give project"),
    ("less than a cent", "limits: [{spend_limit_usd: 0.001}]", "a whole number of cents"),
    ("negative", "limits: [{spend_limit_usd: -5}]", "must be a number above 0"),
    ("text for an amount", "limits: [{spend_limit_usd: 500 USD}]", "must be a number above 0"),
    ("no address", "limits: [{spend_alerts: [{at_usd: 5, notify: [me]}]}]", "must be an e-mail address"),
    ("no model's limit", "limits: [{project: Search, rate_limits: [{model: m, requests_per_minute: null}]}]",
     "rate_limits[0]: gives no limit; give one of requests_per_minute, "),
    ("an empty project", "limits: [{project: null, spend_limit_usd: 5}]", "project is empty (null); give a value"),
    ("an empty each", "limits: [{each: null, spend_limit_usd: 5}]", "each is empty (null)"),
    ("a project without a name", "limits: [{project: '', spend_limit_usd: 5}]", "'': must be text of 1 to 1000"),
    ("each of something else", "limits: [{each: user_id, spend_limit_usd: 5}]", "'user_id': must be project_id"),
    ("more money than there is", "limits: [{spend_limit_usd: 1.0e+13}]", "at most 1000000000000"),
    ("twice", "limits: [{spend_limit_usd: 5}, {spend_limit_usd: 6}]", "is there twice; join the entries; first on li"),
    ("a model twice", "limits: [{project: Search, rate_limits: [{model: m, requests_per_minute: 1}, "
     "{model: m, tokens_per_minute: 1}]}]", "limits[0].rate_limits[1]: is there twice; join the entries"),
    ("name and id of one", "limits: [{project: Search, spend_limit_usd: 5}, {project: ID, spend_limit_usd: 6}]",
     "has two entries"),
    ("rate without a model", "limits: [{project: Search, rate_limits: [{requests_per_minute: 1}]}]",
     "model: is missing"),
    ("fraction of a request", "limits: [{project: Search, rate_limits: [{model: m, requests_per_minute: 1.5}]}]",
     "a whole number"),
    ("a limit that the model has not",
     "limits: [{project: Search, rate_limits: [{model: gpt-6-luna, images_per_minute: 1}]}]",
     "has no limit of gpt-6-luna on images per minute"),
    ("an unknown project", "limits:\n  - spend_limit_usd: 5\n  - {project: Serch, spend_limit_usd: 5}",
     "limits.yml:3: limits[1].project: 'Serch': unknown project; did you mean 'Search'?"),
    ("not YAML", "limits: [", "limits.yml:1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "says"), FILES, ids=[row[0] for row in FILES])
def test_a_file_with_a_mistake_changes_nothing(name: str, text: str, says: str, world: World, tmp_path: Path) -> None:
    path = tmp_path / "limits.yml"
    path.write_text(text.replace("ID", world.projects[SEARCH]))
    result = world.run("apply", str(path), "--yes")
    assert (result.exit_code, says in result.output) == (1, True), result.output
    assert len(result.output.splitlines()) == 1
    assert world.proxy.sent == []


WANTED = [
    ("the same twice", "{at_usd: 5, notify: [a@b.c]}, {at_usd: 5.0, notify: [a@b.c]}", ["none -> $5.00 to a@b.c"]),
    ("two at one amount", "{at_usd: 5, notify: [a@b.c]}, {at_usd: 5, notify: [d@b.c]}",
     ["none -> $5.00 to a@b.c", "none -> $5.00 to d@b.c"]),
    ("two in place of one", "{at_usd: 8000, notify: [a@b.c]}, {at_usd: 8000, notify: [d@b.c]}",
     ["$8,000.00 to OLD, subject '[OpenAI]' -> $8,000.00 to a@b.c, subject '[OpenAI]'",
      "none -> $8,000.00 to d@b.c, subject '[OpenAI]'"]),
    ("one more", "{at_usd: 8000}, {at_usd: 8000, notify: [d@b.c]}",
     ["none -> $8,000.00 to d@b.c, subject '[OpenAI]'"]),
    ("no subject", "{at_usd: 8000, subject_prefix: ''}",
     ["$8,000.00 to OLD, subject '[OpenAI]' -> $8,000.00 to OLD"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "alerts", "diff"), WANTED, ids=[row[0] for row in WANTED])
def test_alerts_at_one_amount_are_each_made_once(
    name: str, alerts: str, diff: list[str], world: World, tmp_path: Path
) -> None:
    before, path = world.snapshot(), tmp_path / "limits.yml"
    path.write_text(f"limits: [{{spend_alerts: [{alerts}]}}]")
    old = "ada.osei@example.com, finance@example.com"
    lines = [line.strip() for line in world.run("apply", str(path), "--yes").stdout.splitlines()]
    assert [line for line in lines if " -> " in line] == [f"spend alert: {line.replace('OLD', old)}" for line in diff]
    assert "Nothing to change" in world.run("plan", str(path)).output
    assert world.run("undo", "--apply").exit_code == 0
    assert world.snapshot() == before


KEYS = [
    ("no key that may write", {"OPENAI_ADMIN_KEY_WRITE": None, "OPENAI_ADMIN_KEY": KEY},
     "changes need an admin key with scope api.management.write: set OPENAI_ADMIN_KEY_WRITE, or give --admin-key-file"),
    ("a project's key", {"OPENAI_ADMIN_KEY_WRITE": "sk-proj-0123456789abcdef", "OPENAI_ADMIN_KEY": KEY},
     "environment variable OPENAI_ADMIN_KEY_WRITE: this is not an admin key"),
    ("no key at all", {"OPENAI_ADMIN_KEY_WRITE": None}, "OPENAI_ADMIN_KEY"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "says"), KEYS, ids=[row[0] for row in KEYS])
def test_a_key_that_may_not_write_is_told_with_what_it_lacks(
    name: str, keys: dict[str, str | None], says: str, world: World
) -> None:
    result = world.run(*CHANGES[0], "--apply", **keys)
    assert (result.exit_code, says in result.output) == (1, True), result.output
    assert "0123456789abcdef" not in result.output
    assert world.proxy.sent == []


def test_the_key_comes_from_a_file_too_and_stands_nowhere(world: World, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    none = {"OPENAI_ADMIN_KEY_WRITE": None}
    result = world.run(*CHANGES[0], "--apply", "--admin-key-file", str(key), **none)
    assert result.exit_code == 0, result.output
    journal = world.state / "limits.jsonl"
    assert KEY not in result.output + journal.read_text()
    assert journal.stat().st_mode & 0o077 == 0


BUDGETS = """\
organizations:
  - {name: default, base_url: URL, admin_key_env: OPENAI_ADMIN_KEY}
budgets:
  - {name: all, limit_usd: 60000}
  - {name: search, scope: {project: SEARCH}, limit_usd: 1000000}
  - {name: support, scope: {project: SUPPORT}, limit_usd: 499.5}
  - {name: former, scope: {project: proj_former}, limit_usd: 5}
  - {name: each, each: project_id, limit_usd: 400}
  - {name: daily, period: day, limit_usd: 5}
"""


def test_check_compares_monthly_budgets_with_spend_limits_where_that_is_asked_for(world: World, tmp_path: Path) -> None:
    search, support = world.projects[SEARCH], world.projects["Customer support"]
    world.set_limit(search, None)
    world.set_limit(support, 40_000)
    path = tmp_path / "exporter.yml"
    text = BUDGETS.replace("SEARCH", search).replace("SUPPORT", support).replace("URL", f"{world.proxy.url}/v1")
    path.write_text(text)
    env = {"OPENAI_ADMIN_KEY": KEY}
    quiet = CliRunner().invoke(main, ["check", str(path)], env=env)
    assert (quiet.exit_code, "compared" in quiet.output, world.proxy.read) == (0, False, [])
    found = CliRunner().invoke(main, ["check", str(path), "--spend-limits"], env=env)
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    start = lines.index("  compared with the spend limits of organization default: 5 monthly budgets")
    told = [line.strip() for line in lines[start + 1 :]]
    rejected = "requests are rejected before the budget is spent"
    assert told[:4] == [
        f"budget all (60000 USD) is above the spend limit of the organization (50000 USD): {rejected}",
        "budget search of project Search has no spend limit: nothing stops spend at 1000000 USD; "
        f"`openai-exporter limits set --project {search} --spend-limit 1000000`",
        f"budget support (499.50 USD) is above the spend limit of project Customer support (400 USD): {rejected}",
        "budget former: project proj_former is no active project of the organization",
    ]
    assert any(line.startswith("budget each of project Search has no spend limit") for line in told[4:])
    assert not any("Customer support" in line for line in told[4:]), "its limit is the budget"
    assert world.proxy.sent == []


def test_check_says_why_it_could_not_compare(world: World, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(BUDGETS.replace("URL", f"{world.proxy.url}/v1"))
    denied = b'{"error": {"message": "You have insufficient permissions. Missing scopes: api.management.read."}}'
    world.proxy.rules = [Rule("answer", method="GET", path="spend_limit", number=0, status=403, body=denied)]
    found = CliRunner().invoke(main, ["check", str(path), "--spend-limits"], env={"OPENAI_ADMIN_KEY": KEY})
    assert (found.exit_code, "api.management.read" in found.output) == (1, True), found.output
    both = CliRunner().invoke(main, ["check", str(path), "--spend-limits", "--without-keys"])
    assert (both.exit_code, "omit --without-keys" in both.output) == (2, True)


EMPTY = [("set", "--spend-limit", "5"), ("clear", "--spend-limit"), ("freeze",), ("show",)]


@pytest.mark.parametrize("command", EMPTY, ids=[command[0] for command in EMPTY])
@pytest.mark.parametrize("project", ["", " "])
def test_a_shell_variable_that_is_not_set_is_not_the_organization(
    command: Sequence[str], project: str, world: World
) -> None:
    apply_ = [] if command[0] == "show" else ["--apply"]
    result = world.run(*command, "--project", project, *apply_)
    assert (result.exit_code, "is empty; give the name or id of a project" in result.output) == (2, True)
    assert world.proxy.sent == []


CANARY = "sk-admin-Canary0123456789abcdefABCDEF"
PLACES = [
    ("as a project", ("set", "--project", CANARY, "--spend-limit", "5")),
    ("as an amount", ("set", "--spend-limit", CANARY)),
    ("as a model", ("set", "--project", SEARCH, "--model", CANARY, "--tokens-per-minute", "5")),
    ("as an address", ("set", "--spend-alert", "5", "--notify", CANARY)),
    ("as a currency", ("set", "--spend-limit", "5", CANARY)),
    ("as a key file", ("set", "--spend-limit", "5", "--apply", "--admin-key-file", CANARY)),
    ("as an organization", ("show", "--organization", CANARY, "--format", "yaml")),
    ("as a plan", ("plan", CANARY)),
    ("as a number", ("undo", CANARY)),
    ("as a folder", ("journal", "--storage.path", f"/proc/{CANARY}")),
    ("as a flag", ("show", f"--{CANARY}")),
    ("as a command", (CANARY,)),
    ("where it belongs", ("set", "--project", SEARCH, "--spend-limit", "2000", "--apply")),
    ("in help", ("set", "--help")),
]


@pytest.mark.parametrize(("name", "command"), PLACES, ids=[row[0] for row in PLACES])
def test_a_key_stands_in_no_output_wherever_it_was_pasted(name: str, command: Sequence[str], world: World) -> None:
    echo = f'{{"error": {{"message": "Incorrect API key provided: {CANARY}."}}}}'.encode()
    world.proxy.rules = [Rule("answer", status=400, body=echo)]
    result = world.run(*command, OPENAI_ADMIN_KEY_WRITE=CANARY)
    assert "Canary0123456789" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    journal = world.state / "limits.jsonl"
    assert not journal.exists() or "Canary0123456789" not in journal.read_text()


ASKED = [
    ("yes", LIMIT, "y\n", 0, "1 of 1 changes are made"),
    ("no", LIMIT, "n\n", 1, "nothing is changed"),
    ("return", LIMIT, "\n", 1, "nothing is changed"),
    ("the end of input", LIMIT, "\x04", 1, "nothing is changed"),
    ("Ctrl-C", LIMIT, "\x03", 1, "nothing is changed"),
    ("something else, then no", LIMIT, "maybe\nn\n", 1, "nothing is changed"),
    ("nobody, with --yes", (*LIMIT, "--yes"), "", 0, "1 of 1 changes are made"),
    ("a plan", ("apply", "FILE"), "n\n", 1, "nothing is changed"),
    ("a freeze", ("freeze", "--project", SEARCH, "--apply"), "\x03", 1, "nothing is changed"),
]


@pytest.mark.program
@pytest.mark.parametrize(("name", "command", "answer", "status", "says"), ASKED, ids=[row[0] for row in ASKED])
def test_on_a_terminal_it_asks_once(
    name: str, command: Sequence[str], answer: str, status: int, says: str, world: World, file: Path
) -> None:
    words = [str(file) if word == "FILE" else word for word in command]
    found, output = world.terminal(*words, answer=answer)
    assert (found, says in output.splitlines()[-1]) == (status, True), output
    assert len(world.proxy.sent) == (1 - status)
    assert ("[y/N]" in output) is ("--yes" not in command)


NAMES = [
    "Zoë's «Suche» 検索", "quote \" and ' $(reboot) `id` \\", "line\nbreak\x1b[31m", "x" * 250, "null", "- a: b",
    " padded ", "#no", "*", "", "2026-11-02", "🔥" * 60,
]  # fmt: skip


@pytest.mark.parametrize("first", range(0, len(NAMES), 3))
def test_a_project_may_have_any_name(first: int, world: World, tmp_path: Path) -> None:
    renamed = dict(zip((SEARCH, "Customer support", "Mobile app"), NAMES[first : first + 3], strict=True))
    world.proxy.rules = [world.projects_named(**renamed)]
    path = tmp_path / "limits.yml"
    path.write_text(world.run("show", "--format", "yaml").stdout)
    assert "Nothing to change" in world.run("plan", str(path)).output
    for (old, name), command in itertools.product(renamed.items(), (("set", "--spend-limit", "2000"), ("freeze",))):
        output = world.run(*command, "--project", name or world.projects[old]).output
        assert "Nothing is changed yet" in output
        assert "\x1b" not in output
        assert len([line for line in output.splitlines() if line.startswith("project ")]) == 1


@pytest.mark.program
def test_long_names_are_shown_whole_in_forty_columns(world: World) -> None:
    name = "検索" * 60 + "\x1b[31m"
    world.proxy.rules = [world.projects_named(**{SEARCH: name})]
    status, table = world.terminal("show", columns=40)
    assert (status, "40 columns have no room for Alerts at" in table, "\x1b" in table) == (0, True, False)
    assert "検索" * 60 in table


def test_what_show_writes_of_one_of_two_projects_of_a_name_is_a_plan(world: World, tmp_path: Path) -> None:
    world.proxy.rules = [world.projects_named(**{SEARCH: "Mobile app"})]
    path = tmp_path / "limits.yml"
    for project in ([], ["--project", world.projects[SEARCH]]):
        path.write_text(world.run("show", *project, "--format", "yaml").stdout)
        assert "Nothing to change" in world.run("plan", str(path)).output


def spend_alerts(*alerts: tuple[int, Sequence[str], str | None]) -> Rule:
    """The API's list of spend alerts: cents, recipients, prefix of the subject."""
    data = [
        {"id": f"alert_{number}", "threshold_amount": cents, "currency": "USD", "interval": "month",
         "notification_channel": {"type": "email", "recipients": [*recipients], "subject_prefix": prefix}}
        for number, (cents, recipients, prefix) in enumerate(alerts)
    ]  # fmt: skip
    body = json.dumps({"object": "list", "data": data, "has_more": False}).encode()
    return Rule("answer", method="GET", path="/spend_alerts", number=0, status=200, body=body)


ALERTS = [
    ("nobody is notified", [(50_000, [], None)], ""),
    ("two at one amount", [(50_000, ["a@example.com"], None), (50_000, ["b@example.com"], "[b]")], ""),
    (
        "at nothing",
        [(0, ["a@example.com"], None), (100, ["a@example.com"], None)],
        "spend_alerts that a file of limits cannot state are omitted",
    ),
    (
        "an address with a name",
        [(100, ["Ops <ops@example.com>"], None)],
        "spend_alerts that a file of limits cannot state are omitted",
    ),
    (
        "a long prefix",
        [(100, ["a@example.com"], "p" * 101)],
        "spend_alerts that a file of limits cannot state are omitted",
    ),
]


@pytest.mark.parametrize(("name", "alerts", "says"), ALERTS, ids=[row[0] for row in ALERTS])
def test_what_show_writes_is_no_change_whatever_alerts_there_are(
    name: str, alerts: list[tuple[int, Sequence[str], str | None]], says: str, world: World, tmp_path: Path
) -> None:
    world.proxy.rules = [spend_alerts(*alerts)]
    shown = world.run("show", "--format", "yaml")
    assert says in shown.stderr
    path = tmp_path / "limits.yml"
    path.write_text(shown.stdout)
    assert "Nothing to change" in world.run("plan", str(path)).output


def test_a_project_given_by_id_can_be_frozen_while_projects_cannot_be_listed(world: World) -> None:
    denied = b'{"error": {"message": "Missing scopes: api.management.read."}}'
    world.proxy.rules = [Rule("answer", method="GET", path="/projects?", number=0, status=403, body=denied)]
    by_name = world.run("freeze", "--project", SEARCH)
    assert (by_name.exit_code, "api.management.read" in by_name.output) == (1, True), by_name.output
    by_id = world.run("freeze", "--project", world.projects[SEARCH], "--apply")
    assert by_id.exit_code == 0, by_id.output
    assert "projects cannot be listed, so proj_" in by_id.output
    assert world.rate(SEARCH, "gpt-6-luna")["max_requests_per_1_minute"] == 1
    assert world.run("undo", "--apply").exit_code == 0


@pytest.mark.program
def test_a_file_may_come_from_a_pipe(world: World, file: Path) -> None:
    for command, status, says in (("plan", 0, "run `limits apply`"), ("apply", 1, "add --yes")):
        with file.open() as stream, world.process(command, "-", stdin=stream) as process:
            output, _ = process.communicate(timeout=600)
        assert (process.returncode, says in output) == (status, True), output


def test_a_limit_that_this_month_does_not_reach_is_told_as_that(world: World) -> None:
    output = world.run("set", "--project", SEARCH, "--spend-limit", "99999").output
    assert "an hour not reached before the month ends" in output


TWO = """\
organizations:
  - {name: one, base_url: URL, admin_key_env: OPENAI_ADMIN_KEY}
  - {name: two, base_url: URL, admin_key_env: OPENAI_ADMIN_KEY}
"""


def test_each_of_two_organizations_is_changed_and_undone_on_its_own(world: World, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(TWO.replace("URL", f"{world.proxy.url}/v1"))

    def run(*arguments: str) -> str:
        return world.run(*arguments, "--config.file", str(path), OPENAI_ADMIN_KEY=KEY).output

    assert "several organizations are configured; give --organization with one of: one, two" in run(*LIMIT)
    made = run(*LIMIT, "--organization", "one", "--storage.path", str(world.state))
    flags = f"--organization one --config.file {shlex.quote(str(path))} --storage.path {shlex.quote(str(world.state))}"
    assert f"1 of 1 changes are made; `openai-exporter limits undo 1 {flags} --apply` brings" in made
    assert "no change of two to undo; there are: none" in run("undo", "--organization", "two")
    assert "1 of 1 changes are made" in run("undo", "--organization", "one", "--apply")
    assert run("journal", "--organization", "two") == ""
    assert " set: one: project Search: spend limit none -> $2,000.00: applied" in run("journal")


def test_without_a_configuration_the_organization_of_an_alert_is_that_of_the_key(world: World, tmp_path: Path) -> None:
    named = world.run(*LIMIT, "--organization", "acme")
    assert "no configuration is given: organization acme is that of the key" in named.output
    assert "1 of 1 changes are made; `openai-exporter limits undo 1 --apply`" in named.output
    assert world.run("undo", "--apply").exit_code == 0
    path = tmp_path / "limits.yml"
    path.write_text(f"organization: acme\n{FILE}")
    planned = world.run("plan", str(path))
    assert (planned.exit_code, "unknown organization 'acme'" in planned.output) == (1, True), "a file is of one"
    assert world.run("plan", str(path), "--organization", "acme").exit_code == 0
    other = world.run("plan", str(path), "--organization", "umbrella")
    assert (other.exit_code, "the file is for organization acme, not umbrella" in other.output) == (1, True)


@given(st.text())
def test_an_id_in_a_command_of_an_alert_is_one_word_of_the_shell(text: str) -> None:
    """The rules keep these characters of a label."""
    word = re.sub("[^A-Za-z0-9_.:@/-]", "", text)
    assert shlex.split(f"openai-exporter limits freeze --project {word}")[4:] == [word] * bool(word)
