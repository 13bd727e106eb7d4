# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter page-sink`: flags to settings, run, end."""

from pathlib import Path

import click
from rich.console import Console

from openai_exporter.cli.failing import told
from openai_exporter.pagesink.server import Settings, run
from openai_exporter.simulator.command import ListenAddress


@click.command("page-sink")
@click.option(
    "--listen-address", "http", type=ListenAddress(), default="127.0.0.1:8086", show_default=True,
    help="Where webhooks are taken and pages are shown; port 0 takes a free one.",
)  # fmt: skip
@click.option("--smtp-listen-address", "smtp", type=ListenAddress(), help="Take mail here too, without TLS.")
@click.option(
    "--keep",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Pages that are kept.",
)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Keep them in this file too, as JSON lines; a restart reads it.",
)  # fmt: skip
def page_sink(http: tuple[str, int], smtp: tuple[str, int] | None, keep: int, file: Path | None) -> None:
    """Receive pages of an Alertmanager and show them, in place of a pager; for demos and tests.

    \b
    In alertmanager.yml:
      receivers:
        - name: page
          webhook_configs: [{url: "http://127.0.0.1:8086/"}]
    Look at them, and forget them:
      curl http://127.0.0.1:8086/api/v1/pages
      curl -X DELETE http://127.0.0.1:8086/api/v1/pages
    Slack's and PagerDuty's messages are understood as well. Mail needs `require_tls: false`.
    """
    with told():
        run(Settings(http, smtp, keep, file), Console(highlight=False, markup=False))
