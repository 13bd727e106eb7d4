# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter demo` and `page-sink`: everything at once on loopback, and the receiver of notifications."""

import os
from pathlib import Path

import click
from rich.console import Console

from openai_exporter.cli.common import Finite, exit_on_error, renamed_option
from openai_exporter.demo.history import Past, fill_new
from openai_exporter.demo.page_sink import run
from openai_exporter.demo.run import DemoSettings, run_demo
from openai_exporter.demo.watch import Schedule
from openai_exporter.errors import StartError
from openai_exporter.rules.bundle import bundle_root
from openai_simulator.server import ListenAddress

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("demo")
@click.option(
    "--real",
    is_flag=True,
    help="Probe the API of OPENAI_API_KEY (and OPENAI_ADMIN_KEY, OPENAI_BASE_URL) instead of the simulator.",
)
@click.option(
    "--config.file", "config", type=_FILE, help="With --real: the exporter's configuration (default: the built-in one)."
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Directory for logs and databases; it is emptied at startup.",
)
@click.option(
    "--bundle-dir",
    type=_FOLDER,
    help="Directory with prometheus/rules, alerting/thresholds.yml and dashboards/generated, such as "
    "`openai-exporter bundle` writes.  [default: the bundle of this version]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated organization.")
@click.option(
    "--history-days",
    type=click.IntRange(0, 60),
    default=30,
    show_default=True,
    metavar="N",
    help="Days of the simulated organization's usage and costs to fill in at the start (needs promtool).",
)
@click.option("--seconds", type=Finite(1), help="End by itself that long after the start.")
@click.option(
    "--break-after", type=Finite(0), metavar="SECONDS", help="Break the simulated API that long after the start."
)
@click.option("--restore-after", type=Finite(0), metavar="SECONDS", help="Restore it after that long, counted alike.")
@renamed_option("--mend-after", "--restore-after")
def demo(
    real: bool,
    config: Path | None,
    data_dir: Path,
    bundle_dir: Path | None,
    seed: int,
    history_days: int,
    seconds: float | None,
    break_after: float | None,
    restore_after: float | None,
) -> None:
    """Run simulator, exporter, Prometheus, Alertmanager and Grafana on loopback, as far as they are installed.

    In a terminal, press b to break the simulated API and m to mend it, and see the page arrive; q ends it all.

    \b
    Nothing needs a key, and nothing leaves this machine:
      openai-exporter demo
    Watch the real API instead (a fraction of a cent per probe):
      OPENAI_API_KEY=sk-... openai-exporter demo --real
    """
    if config is not None and not real:
        raise click.UsageError("--config.file goes with --real; the simulated demo brings its own configuration")
    if real and (break_after is not None or restore_after is not None):
        raise click.UsageError("--break-after and --restore-after need the simulator; remove --real")
    schedule = Schedule(seconds, break_after, restore_after)
    keys = os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_ADMIN_KEY")
    with exit_on_error():
        bundle_dir = bundle_dir or bundle_root()
        if real and config is None and not keys:
            raise StartError("environment: --real needs OPENAI_API_KEY (probes) or OPENAI_ADMIN_KEY (usage and costs)")
        settings = DemoSettings(data_dir, bundle_dir, real, config, seed, history_days, schedule)
        raise SystemExit(run_demo(settings, Console(highlight=False)))


@click.command("demo-history")
@click.option("--exporter", required=True, metavar="URL", help="Root of the running exporter, as Prometheus sees it.")
@click.option("--config.file", "config", type=_FILE, required=True, help="The exporter's configuration.")
@click.option("--programs", type=_FOLDER, required=True, help="Directory with promtool and prometheus.")
@click.option("--database", type=_FOLDER, required=True, help="Prometheus' data; it has not started yet.")
@click.option(
    "--history-days", type=click.IntRange(1, 60), default=30, show_default=True, metavar="N", help="Its length."
)
def demo_history(exporter: str, config: Path, programs: Path, database: Path, history_days: int) -> None:
    """Import the simulated organization's historical data into a new Prometheus; of docker-compose.yml's profile demo.

    Never ends with an error: the demo starts without historical data, too.
    """
    past = Past(
        str(programs / "promtool"), str(programs / "prometheus"), exporter, config, bundle_root(), database,
        database / "history.tmp", history_days,
    )  # fmt: skip
    console = Console(highlight=False, markup=False, soft_wrap=True)
    problem = fill_new(past, lambda text: console.print(f"history: {text}"))
    console.print(f"history: {problem or f'{history_days} days of historical data are imported'}")


@click.command("page-sink")
@click.option(
    "--listen-address", "http", type=ListenAddress(), default="127.0.0.1:8086", show_default=True,
    help="Where webhooks are taken and pages are shown; port 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--keep", type=click.IntRange(1, 100_000), default=200, show_default=True, metavar="N", help="Pages that are kept."
)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Keep them in this file too, as JSON lines; a restart reads it.",
)  # fmt: skip
def page_sink(http: tuple[str, int], keep: int, file: Path | None) -> None:
    """Receive pages of an Alertmanager and show them, in place of a pager; for demos and tests.

    \b
    In alertmanager.yml:
      receivers:
        - name: page
          webhook_configs: [{url: "http://127.0.0.1:8086/"}]
    Look at them, and forget them:
      curl http://127.0.0.1:8086/api/v1/pages
      curl -X DELETE http://127.0.0.1:8086/api/v1/pages
    """
    with exit_on_error():
        run(http, Console(highlight=False, markup=False), keep=keep, file=file)
