# SPDX-License-Identifier: Apache-2.0
"""Recording rules over a past that is there already: in the order they need each other, by a real Prometheus."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from openai_exporter.demo.recorded import Part, Recorder, levels
from openai_exporter.errors import StartError

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
FIRST = {"record": "a:x:sum", "expr": "sum(x)"}
SECOND = {"record": "b:x:ratio", "expr": "a:x:sum / 4", "labels": {"kind": "quarter"}}
START = 1_700_000_100


def test_a_rule_comes_after_those_that_it_reads_and_alerts_are_left_out() -> None:
    assert levels([SECOND, {"alert": "A", "expr": "b:x:ratio"}, FIRST]) == [[FIRST], [SECOND]]


def test_rules_that_need_each_other_are_refused_by_name() -> None:
    with pytest.raises(StartError, match="a:x:sum, c:x:sum"):
        levels([{"record": "a:x:sum", "expr": "c:x:sum"}, {"record": "c:x:sum", "expr": "a:x:sum"}])


@pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="prometheus and promtool are not installed"
)
def test_each_level_is_evaluated_on_what_the_one_before_recorded(tmp_path: Path) -> None:
    lines = [
        f'x{{of="{of}"}} {value} {START + 300 * n}' for of, value in (("a", 8), ("b", 4)) for n in range(3)
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [FIRST, SECOND]}]}))
    _imported("\n".join([*lines, "# EOF\n"]), tmp_path)

    recorder = Recorder(str(PROMETHEUS), tmp_path / "data", tmp_path, [rules])
    found = []
    for number, total in recorder.levels([Part(START, START + 600, 300)]):
        text = (tmp_path / "recorded.om").read_text()
        found.append((number, total, text.splitlines()[0]))
        _imported(text, tmp_path)

    assert found == [(1, 2, f"a:x:sum{{}} 12 {START}"), (2, 2, f'b:x:ratio{{kind="quarter"}} 3 {START}')]


def _imported(text: str, folder: Path) -> None:
    (folder / "import.om").write_text(text)
    argv = [str(PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", "import.om", "data"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
