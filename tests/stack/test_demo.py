# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it: from a folder with a space in its name, ended by a signal, ports taken."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from openai_exporter.demo import processes
from openai_exporter.demo.probe_history import INCIDENTS
from tests.dashboards.asking import QUIET_IN_THE_DEMO, without_data
from tests.dashboards.data.tsdb import Server
from tests.dashboards.pages import pages
from tests.deadlines import stop
from tests.docs.markdown import shell_blocks
from tests.exporter.demo.terminal import Terminal
from tests.stack.programs import PROMETHEUS, Prometheus, environment, wait_for

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
ALERTMANAGER = processes.ALERTMANAGER.find()
DEADLINE = 180
"""Seconds until a condition must hold. Nothing here says how fast the demo is: five programs on a busy machine may take
long, and a demo that hangs is found all the same."""


class Demo:
    """A running demo and the lines that it has printed."""

    def __init__(self, folder: Path, history_days: int = 0, **env: str) -> None:
        argv = [sys.executable, "-m", "openai_exporter", "demo", "--data-dir", str(folder / "demo data")]
        argv += ["--history-days", str(history_days)]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            argv, cwd=folder, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.lines.extend(line.rstrip() for line in out)

    def said(self, text: str) -> bool:
        return any(text in line for line in list(self.lines))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        self._reader.join(10)
        return status


@contextmanager
def running_demo(folder: Path, history_days: int = 0, **env: str) -> Iterator[Demo]:
    demo = Demo(folder, history_days, **env)
    try:
        yield demo
    finally:
        stop(demo.process, DEADLINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder with spaces"
    made.mkdir()
    return made


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that still name the folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line:
                found.append(line)
    return found


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_demo_gets_every_probe_to_succeed_and_leaves_no_process(folder: Path, number: signal.Signals) -> None:
    with running_demo(folder) as demo:
        wait_for(lambda: demo.said("probe_success=8/8"), DEADLINE, lambda: f"all probes succeed; it said {demo.lines}")

        status = demo.end(number)

    assert status == 0, demo.lines
    assert wait_for(lambda: not left_over(folder), DEADLINE, lambda: f"no process left: {left_over(folder)}")
    assert not demo.said("Traceback")


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_dashboards_have_historical_data_as_soon_as_the_demo_runs(folder: Path) -> None:
    with running_demo(folder, history_days=8) as demo:
        wait_for(lambda: demo.said("Ctrl-C ends it all"), 3 * DEADLINE, lambda: f"it runs; it said {demo.lines}")
        (line,) = (line for line in demo.lines if line.startswith("prometheus"))
        prometheus = Prometheus(line.split()[1])
        used, begin = prometheus.value, "sum(increase(openai_usage_input_tokens_total[1d]))"

        assert demo.said("historical data imported in ")
        assert (used(begin) or 0) > 1e6
        assert used("count(organization:openai_costs_month_to_date_usd:sum offset 1d)") == 1
        recorded = 'sum(sum_over_time(key_user_model:openai_usage_tokens:growth10m{direction="input"}[1d]))'
        assert used(recorded) == pytest.approx(used(begin), rel=0.1)
        for incident in INCIDENTS:
            seen = f'max(max_over_time(openai_probe_outcome{{outcome="{incident.outcome}"}}[8d]))'
            assert used(seen) == 1, incident
        # Of the outage, of the slow afternoon, and of none that an alert of service levels still sees.
        assert (used('max(max_over_time(probe:openai_sli_error:ratio1h{slo="availability"}[8d]))') or 0) > 0.3
        assert (used('max(max_over_time(probe:openai_sli_error:ratio1h{slo="first_token"}[8d]))') or 0) > 0.3
        assert used("max(max_over_time(probe:openai_sli_error:ratio1h[3d]))") == 0
        server, mostly = Server(prometheus.url), set(QUIET_IN_THE_DEMO)

        def empty() -> set[str]:
            return {str(panel) for panel, _ in without_data(server, pages(), time.time())}

        wait_for(lambda: empty() <= mostly, DEADLINE, lambda: f"each panel has data or says why not: {empty()}")
        assert prometheus.query('ALERTS{severity="critical", alertstate="firing"}') == []


def test_without_prometheus_the_demo_says_so_and_scrapes_by_itself(folder: Path) -> None:
    with running_demo(folder, PATH="/nonexistent") as demo:
        wait_for(lambda: demo.said("up=11/11"), DEADLINE, lambda: f"all targets answer; it said {demo.lines}")
        demo.end(signal.SIGTERM)

    assert demo.said("without Prometheus (Debian: sudo apt-get install prometheus)")


def test_a_taken_port_moves_the_demo_to_the_next_one(folder: Path) -> None:
    with socket.socket() as taken:
        # Connections of a demo that has just ended linger on the port; one that somebody else uses is taken as well.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 9985))
            taken.listen()
        with running_demo(folder, PATH="/nonexistent") as demo:
            wait_for(lambda: demo.said("Ctrl-C ends it all"), DEADLINE, lambda: f"it runs; it said {demo.lines}")

            assert not demo.said("http://127.0.0.1:9985 ")
            assert demo.said("http://127.0.0.1:99")
            assert demo.said("port 9985 is taken, 99")


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed, and would be")
@pytest.mark.skipif(ALERTMANAGER is None, reason="prometheus-alertmanager is not installed, and would be")
def test_the_readme_s_make_demo_runs(folder: Path) -> None:
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("there is no environment of `make setup`")
    mark = f"tested-by: {Path(__file__).relative_to(ROOT).as_posix()}"
    (block,) = (each for each in shell_blocks((ROOT / "README.md").read_text()) if each.mark == mark)
    demo, test = (line.partition("#")[0].split() for line in block.text.splitlines())
    flags = f"--seconds 30 --history-days 0 --data-dir '{folder / 'demo data'}'"
    # What `make setup` makes is there, and not made anew because a file is younger.
    argv = [demo[0], "-o", ".venv/.ready", *demo[1:]]
    found = subprocess.run(
        argv, cwd=ROOT, env=environment(DEMO_FLAGS=flags), capture_output=True, text=True, timeout=DEADLINE
    )

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"stopped; logs are in {folder / 'demo data' / 'logs'}" in found.stdout
    # The other command runs this very test.
    assert " ".join(test) in (ROOT / ".ci" / "run").read_text()


def test_a_folder_of_somebody_else_is_not_emptied(folder: Path) -> None:
    data = folder / "demo data"
    data.mkdir()
    (data / "precious").write_text("x")

    demo = Demo(folder)

    assert demo.process.wait(DEADLINE) == 1
    wait_for(
        lambda: demo.said("is not empty and not a directory of the demo"),
        DEADLINE,
        lambda: f"the reason; it said {demo.lines}",
    )
    assert (data / "precious").read_text() == "x"


THRESHOLDS = """
thresholds:
  - {name: down, metric: error_rate, operator: '>', threshold: 50%, window: 10m, for: 0s, severity: critical}
"""


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
@pytest.mark.skipif(ALERTMANAGER is None, reason="prometheus-alertmanager is not installed")
def test_a_key_breaks_it_and_the_page_arrives_and_is_resolved_after_another(folder: Path) -> None:
    thresholds = folder / "alerting" / "thresholds.yml"
    thresholds.parent.mkdir()
    thresholds.write_text(THRESHOLDS)
    argv = [sys.executable, "-m", "openai_exporter", "demo", "--data-dir", str(folder / "demo data")]
    argv += ["--history-days", "0", "--bundle-dir", str(folder)]
    terminal = Terminal(argv, folder, environment(TERM="xterm"))

    def shows(text: str) -> None:
        wait_for(lambda: text in terminal.text, DEADLINE, lambda: f"{text}; it shows {terminal.text[-2000:]}")

    try:
        # Only what works can break: a rate of errors needs probes that Prometheus has scraped.
        shows("probes that succeed  8 of 8")
        shows(f"Rules of your own: {thresholds} (here at the demo's pace)")
        terminal.press("b")
        shows("outage set: every probe now gets 503")
        shows("OpenAIDown firing")
        shows("page delivered: critical OpenAIDown")
        terminal.press("m")
        shows("page delivered: OpenAIDown resolved")
        terminal.press("q")
        status = terminal.process.wait(DEADLINE)
    finally:
        terminal.press("\x03")
        terminal.end()

    assert status == 0
    assert wait_for(lambda: not left_over(folder), DEADLINE, lambda: f"no process left: {left_over(folder)}")
