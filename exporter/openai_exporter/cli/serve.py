# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter serve`: flags to settings, logs, run, end."""

import logging
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from openai_exporter import __version__
from openai_exporter.cli import common
from openai_exporter.config.secret import Masker
from openai_exporter.errors import ExporterError
from openai_exporter.web import live

log = logging.getLogger(__name__)

_ENVIRONMENT = """\b
Environment:
  OPENAI_API_KEY     key for probes, when there is no configuration file
  OPENAI_ADMIN_KEY   admin key for usage and costs, likewise
  OPENAI_BASE_URL    root of the API, likewise
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY   used for every call
  SSL_CERT_FILE      CAs to trust, for proxies that inspect TLS

\b
Examples:
  openai-exporter serve --config.file=exporter.yml
  openai-exporter serve --web.listen-address=127.0.0.1:9985
  openai-exporter serve --web.config.file=web.yml
  kill -HUP $(pidof openai-exporter)    # reload; or POST /-/reload
"""


def _external_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise click.BadParameter(f"{value!r} is not a URL such as https://exporter.example.org or http://host/path")
    return value.rstrip("/")


def _prefix(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    stripped = value.strip("/")
    return f"/{stripped}" if stripped else ""


@click.command(epilog=_ENVIRONMENT)
@common.config_file_option("keys of the environment are")
@click.option(
    "--web.listen-address", "listen", multiple=True, default=(live.DEFAULT_LISTEN,), show_default=True,
    metavar="[HOST]:PORT", help="Where to listen; may be given several times.",
)  # fmt: skip
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), metavar="FILE",
    envvar="OPENAI_EXPORTER_WEB_CONFIG_FILE", show_envvar=True,
    help="TLS, users, headers and rate limit, in the format of Prometheus' exporters.",
)  # fmt: skip
@click.option(
    "--web.external-url", "external_url", default="", callback=_external_url, metavar="URL",
    help="Root under which Prometheus and people reach this exporter; /sd names it.  [default: the request's Host]",
)  # fmt: skip
@click.option(
    "--web.route-prefix", "route_prefix", callback=_prefix, metavar="PATH",
    help="Path before every route.  [default: the path of --web.external-url]",
)  # fmt: skip
@click.option(
    "--web.max-requests", "max_requests", type=click.IntRange(1), default=live.DEFAULT_MAX_REQUESTS,
    show_default=True, metavar="N",
    help="Scrapes that wait for an API at once; /metrics and health checks are never rejected.",
)  # fmt: skip
@click.option(
    "--timeout-offset", type=common.Finite(0), default=live.DEFAULT_TIMEOUT_OFFSET, show_default=True,
    metavar="SECONDS", help="Taken off the scrape timeout that Prometheus announces.",
)  # fmt: skip
@click.option(
    "--history.limit", "history_limit", type=click.IntRange(1, 10_000), metavar="N",
    help="Probe results kept for /history.  [default: history.limit of the configuration]",
)  # fmt: skip
@common.storage_option(
    "Directory for state kept across restarts: usage counters, probe spend, backoff; empty keeps nothing."
)
@click.option(
    "--stack.file", "stack_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Mode and problems of the stack around this exporter, as `prepare` of docker-compose.yml writes them.",
)  # fmt: skip
@click.option(
    "--log.level", "log_level", type=click.Choice(list(common.LEVELS)), default="info", show_default=True,
    envvar="OPENAI_EXPORTER_LOG_LEVEL",
)  # fmt: skip
@click.option(
    "--log.format", "log_format", type=click.Choice(common.FORMATS), default="logfmt", show_default=True,
    envvar="OPENAI_EXPORTER_LOG_FORMAT",
)  # fmt: skip
def serve(external_url: str, route_prefix: str | None, log_level: str, log_format: str, **flags: Any) -> None:
    """Run the exporter until SIGTERM or Ctrl-C.

    It answers /probe, /usage, /status, /metrics, /sd and a landing page; see http://localhost:9985/.
    """
    settings = live.Settings(
        env=dict(os.environ),
        proxies=urllib.request.getproxies(),
        external_url=external_url,
        route_prefix=urlsplit(external_url).path.rstrip("/") if route_prefix is None else route_prefix,
        announce=True,
        **flags,
    )
    masker = Masker()
    common.configure(log_level, log_format, masker)
    _leave(_run(settings, masker, as_lines=log_format != "json"))


def _run(settings: live.Settings, masker: Masker, as_lines: bool) -> int:
    from openai_exporter.web.server import run

    mode = live.read_stack(settings.stack_file).mode
    log.info("starting", extra={"fields": {"version": __version__} | ({"mode": mode} if mode else {})})
    if settings.storage is None:
        log.info("no state is kept over a restart: --storage.path is empty")
    else:
        log.info("state is kept in %s; --storage.path= keeps none", settings.storage)
    try:
        run(settings, masker)
    except ExporterError as error:
        if as_lines:
            common.print_problems(error)
        else:  # whoever reads records has no use for a line of another form
            for problem in common.problems_of(error):
                log.error("cannot start: %s", problem)
        return common.FAILED
    except KeyboardInterrupt:
        pass
    return 0


def _leave(status: int) -> None:
    """End without waiting for worker threads: one may hang in a call to an API for many seconds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
