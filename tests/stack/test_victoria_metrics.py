# SPDX-License-Identifier: Apache-2.0
"""VictoriaMetrics, vmagent and vmalert with what the documents give them, in each version at hand.

VICTORIA_METRICS lists the folders of the programs, as PATH does (`tools/versions.sh`).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from openai_simulator.testing import running_simulator
from tests.docs.markdown import shell_blocks
from tests.exporter.report.commands import done, run
from tests.mixin.bundle import load_yaml
from tests.stack.programs import Prometheus, free_port, get, running_program

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
_SECTION = PAGE.partition("\n## VictoriaMetrics\n")[2].partition("\n## ")[0]
COMMANDS = [
    shlex.split(line) for block in shell_blocks(_SECTION) for line in block.text.replace("\\\n", " ").splitlines()
]
LENIENT = "-promscrape.config.strictParse=false"
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
KEEPS_FIRING = (1, 92)
"""The first version of vmalert that reads keep_firing_for."""
_OPENER = build_opener(ProxyHandler({}))


def _yaml(text: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _folders() -> Iterator[Path]:
    installed = shutil.which("victoria-metrics")
    listed = os.environ.get("VICTORIA_METRICS") or (str(Path(installed).parent) if installed else "")
    yield from (Path(each) for each in listed.split(os.pathsep) if each)


FOLDERS = list(_folders())
pytestmark = pytest.mark.stack
every_version = pytest.mark.parametrize(
    "programs",
    [pytest.param(each, id=each.name) for each in FOLDERS]
    or [pytest.param(None, marks=pytest.mark.skip("victoria-metrics is not at hand (tools/versions.sh fetch)"))],
)


def _documented(program: str) -> list[str]:
    """The flags that the document gives a program."""
    (flags,) = [words[1:] for words in COMMANDS if words[0] == program]
    return flags


def _told(argv: Sequence[object], folder: Path) -> str:
    """What a program prints that rejects its files; empty where it takes them."""
    found = subprocess.run([str(each) for each in argv], cwd=folder, capture_output=True, text=True, timeout=600)
    return found.stdout + found.stderr if found.returncode else ""


def _scraping(programs: Path, folder: Path, text: str, *more: str) -> str:
    (folder / "vmagent.yml").write_text(text)
    return _told([programs / "vmagent", *_documented("vmagent"), "-dryRun", *more], folder)


@every_version
def test_vmagent_takes_the_documented_job_as_it_is(programs: Path, tmp_path: Path) -> None:
    assert LENIENT in _SECTION
    assert _scraping(programs, tmp_path, _yaml(_SECTION)[0]) == ""


@every_version
def test_vmagent_takes_what_is_for_prometheus_with_the_documented_flag(programs: Path, tmp_path: Path) -> None:
    texts = [
        (ROOT / "prometheus" / "prometheus.yml").read_text(),
        *(each for each in _yaml(PAGE) if "scrape_configs" in each),
    ]
    assert [_scraping(programs, tmp_path, text, LENIENT) for text in texts] == [""] * len(texts)


def _bundle(folder: Path) -> Path:
    rules = folder / "my-monitoring/prometheus/rules"
    rules.mkdir(parents=True)
    for path in RULES:
        shutil.copy(path, rules)
    return rules


def _without_keeping(folder: Path) -> None:
    """Run the documented command for an old vmalert."""
    (words,) = [words for words in COMMANDS if words[0] == "sed"]
    subprocess.run(["bash", "-c", f"{shlex.join(words[:3])} {words[3]}"], cwd=folder, check=True, timeout=600)


@every_version
def test_vmalert_takes_every_rule_or_the_documented_line_is_removed(programs: Path, tmp_path: Path) -> None:
    _bundle(tmp_path)
    check = [programs / "vmalert", *_documented("vmalert"), "-dryRun"]

    said = _told(check, tmp_path)

    rejected = set(re.findall(r'in file "[^"]*?([\w.-]+)": invalid rule', said))
    keeping = {path.name for path in RULES if "keep_firing_for:" in path.read_text()}
    number = re.match(r"(\d+)\.(\d+)", programs.name)
    old = tuple(map(int, number.groups())) < KEEPS_FIRING if number else bool(said)
    assert rejected == (keeping if old else set()), said
    assert bool(said) == old
    _without_keeping(tmp_path)
    assert _told(check, tmp_path) == ""


@contextmanager
def _database(programs: Path, folder: Path) -> Iterator[Prometheus]:
    url = f"http://127.0.0.1:{free_port()}"
    argv = [str(programs / "victoria-metrics"), f"-httpListenAddr={url.removeprefix('http://')}"]
    argv += [f"-storageDataPath={folder / 'data'}", "-search.latencyOffset=0s", "-search.disableCache"]
    with running_program([*argv, *_documented("victoria-metrics")], folder / "victoria.log", f"{url}/health"):
        yield Prometheus(url)


def _sent(database: Prometheus, path: str, text: bytes) -> None:
    with _OPENER.open(Request(f"{database.url}{path}", text, method="POST"), timeout=60) as answer:
        assert answer.status == 204
    assert get(f"{database.url}/internal/force_flush")[0] == 200
    assert get(f"{database.url}/internal/resetRollupResultCache")[0] == 200


def _rows(lines: Iterator[str]) -> Counter[tuple[str, str, int]]:
    """Samples by name, sorted labels and milliseconds, as counts."""
    found: Counter[tuple[str, str, int]] = Counter()
    for line in lines:
        series, value, time = line.rsplit(" ", 2)
        name, _, labels = series.partition("{")
        found[name, ",".join(sorted(re.findall(r'\w+="(?:[^"\\]|\\.)*"', labels))), round(float(time) * 1000)] += 1
        float(value)
    return found


def _exported(database: Prometheus) -> Counter[tuple[str, str, int]]:
    status, body = get(f"{database.url}/api/v1/export?match[]=%7B__name__=~%22.%2B%22%7D")
    assert status == 200
    found: Counter[tuple[str, str, int]] = Counter()
    for series in map(json.loads, body.splitlines()):
        metric = dict(series["metric"])
        name = metric.pop("__name__")
        labels = ",".join(sorted(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in metric.items()))
        found.update((name, labels, time) for time in series["timestamps"])
    return found


@every_version
def test_each_sample_of_a_backfill_arrives_once(programs: Path, tmp_path: Path) -> None:
    (words,) = [each for each in COMMANDS if each[:2] == ["openai-exporter", "backfill"]]
    with running_simulator(speed=0, latency_scale=0, seed=3) as simulator:
        now = int(simulator.clock())
        first = f"--from={datetime.fromtimestamp(now - 3 * 86400, UTC):%Y-%m-%d}"
        history = tmp_path / "history.om"
        done(run(simulator, "backfill", first, *words[4:-1], str(history)))
    text = history.read_bytes()
    (path,) = [word.partition(":8428")[2] for words in COMMANDS for word in words if "/import" in word]
    written = _rows(line for line in text.decode().splitlines() if line and not line.startswith("#"))

    with _database(programs, tmp_path) as database:
        _sent(database, path, text)
        found = _exported(database)

    assert len(written) > 10_000
    assert found == written


SERIES = 'openai_usage_{}{{job="openai",instance="{}",organization="acme",operation="completions",project_id="p1",{}}}'
HOURS, STEP = 27, 1200
"""Of history: the exporter gets another address in hour 24, and a key that spent little leaks in the last one."""


@cache
def _spend_rules() -> tuple[dict[str, Any], ...]:
    """The rules on what keys spend, in the order of evaluation."""
    groups = {group["name"]: group for path in RULES for group in load_yaml(path).get("groups", [])}
    ordered = ("openai-usage", "openai-key-history", "openai-alerts-spend")
    rules = [rule for name in ordered for rule in groups[name]["rules"]]
    return tuple(
        each for each in rules if re.search("cost_usd:|KeySpend|Unpriced", each.get("record") or each["alert"])
    )


def _spending(start: int) -> Iterator[tuple[str, float, int]]:
    """Samples of a minute: two keys that spend ten cents an hour, and a model without a price."""
    for minute in range(HOURS * 60):
        moved, leaking = minute >= 24 * 60, max(0, minute - (HOURS - 1) * 60)
        instance = "10.0.0.2:9985" if moved else "10.0.0.1:9985"
        for key, more in (("key_1", 0.0), ("key_2", 100 / 60 * leaking)):
            labels = f'api_key_id="{key}",model="gpt-6"'
            yield SERIES.format("estimated_cost_usd_total", instance, labels), 7 + minute / 600 + more, minute
        labels = 'model="unknown"'
        yield SERIES.format("unpriced_tokens_total", instance, labels), 60.0, minute
        yield 'organization:openai_usage_fresh:min{job="openai",organization="acme"}', 1.0, minute


@every_version
def test_a_counter_that_appears_is_no_spend_and_a_leaked_key_is(programs: Path, tmp_path: Path) -> None:
    """An exporter that gets another address, as at each restart on Kubernetes, makes every series a new one."""
    end = int(time.time()) // 3600 * 3600 - 7200
    start = end - HOURS * 3600

    with _database(programs, tmp_path) as database:
        lines = (f"{series} {value} {1000 * (start + 60 * minute)}" for series, value, minute in _spending(start))
        _sent(database, "/api/v1/import/prometheus", "\n".join(lines).encode())
        alerts = {each for at in range(start, end, STEP) for each in _evaluated(database, at)}
        recorded = "key:openai_usage_estimated_cost_usd:increase1h"
        spent = f'max_over_time({recorded}{{api_key_id="%s"}}[{HOURS - 1}h] @ {end - 3600})'
        usual = [database.value(spent % key) for key in ("key_1", "key_2")]

    assert usual == [pytest.approx(0.1, rel=0.01)] * 2
    assert alerts == {("OpenAIKeySpendSpike", "key_2")}


def _evaluated(database: Prometheus, at: int) -> Iterator[tuple[str, str | None]]:
    """Evaluate the rules once, as vmalert does: record what they say, and yield the alerts."""
    for rule in _spend_rules():
        query = urlencode({"query": rule["expr"], "time": at})
        status, body = get(f"{database.url}/api/v1/query?{query}")
        assert status == 200, body
        rows = [(each["metric"], each["value"][1]) for each in json.loads(body)["data"]["result"]]
        if "alert" in rule:
            yield from ((rule["alert"], labels.get("api_key_id")) for labels, _ in rows)
        elif rows:
            named = [(labels | {"__name__": rule["record"]}, float(value)) for labels, value in rows]
            assert len({json.dumps(labels, sort_keys=True) for labels, _ in named}) == len(named), rule["record"]
            lines = [{"metric": labels, "values": [value], "timestamps": [1000 * at]} for labels, value in named]
            _sent(database, "/api/v1/import", "\n".join(map(json.dumps, lines)).encode())
