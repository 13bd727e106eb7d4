# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter probe`: one probe from the terminal, as a table or as plain data."""

import asyncio
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter.cli import stderr as structured
from openai_exporter.cli.stderr import FAILED, exit_on_error
from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.web import html
from openai_exporter.web.live import Masker, Settings, probe_keys, read_config
from openai_exporter.web.routes import Refusal, find_probe

# `openai-exporter probe`: one probe from the terminal.


@click.command()
@click.option("--target", metavar="NAME", help="Target; may be left out when there is one.")
@click.option("--module", metavar="NAME", help="Module; may be left out when the target has one.")
@click.option("--model", metavar="NAME", help="Model; may be left out when the module has one.")
@click.option(
    "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
    show_envvar=True, metavar="FILE", help="Configuration; without one, OPENAI_API_KEY is enough.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Total deadline; the module's own when that is shorter.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option(
    "--debug", is_flag=True,
    help="Print all that /probe?debug=true shows: log, metrics, module, request and reply, secrets masked.",
)  # fmt: skip
def probe(
    target: str | None,
    module: str | None,
    model: str | None,
    config_file: Path | None,
    timeout: float | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Make one probe now, and show timings, headers and outcome. It costs what one request costs.

    \b
    Examples:
      OPENAI_API_KEY=... openai-exporter probe --module models
      openai-exporter probe --config.file exporter.yml --target openai --module chat --model gpt-5.4-mini
      openai-exporter probe --module chat_stream --model gpt-5.4-mini --json | jq .stream.first_token
      openai-exporter probe --module chat --model gpt-6-luna --debug

    \b
    Exit status: 0 when the probe succeeded, 1 when it failed, 2 for a wrong flag.
    """
    if as_json and debug:
        raise click.UsageError("--json and --debug are two forms of the same; choose one")
    masker = Masker()
    structured.configure("error", "logfmt", masker)
    settings = Settings(env=dict(os.environ), config_file=config_file)
    with exit_on_error():
        config = read_config(settings)
    masker.follow(config)
    key = _key(config, {"target": target, "module": module, "model": model})
    answer = asyncio.run(_probe(config, key, timeout))
    if as_json:
        click.echo(masker(json.dumps(as_document(answer), indent=2)))
    elif debug:
        from openai_exporter.probe.history import explain

        click.echo(masker(explain(answer, config.modules[key.module])), nl=False)
    else:
        show(answer, masker)
    sys.exit(0 if answer.result.success else FAILED)


def _key(config: Config, given: dict[str, str | None]) -> ProbeKey:
    query = {name: value for name, value in given.items() if value}
    for name in ("target", "module"):
        left = {getattr(each, name) for each in _fitting(config, query)}
        if name not in query and len(left) == 1:
            query[name] = left.pop()
    if "model" not in query:
        models = [key.model for key in _fitting(config, query) if key.model]
        if models and {"target", "module"} <= query.keys():
            query["model"] = models[0]
    found = find_probe(config, query)
    if isinstance(found, Refusal):
        raise click.UsageError(found.message.replace("parameter ", "--"))
    return found


def _fitting(config: Config, query: dict[str, str]) -> list[ProbeKey]:
    """The probes that fit what was given; all of them when none does, so that the wrong part is named."""
    keys = probe_keys(config)
    found = [key for key in keys if all(getattr(key, name) == value for name, value in query.items())]
    return found or keys


async def _probe(config: Config, key: ProbeKey, timeout: float | None) -> ProbeAnswer:
    from openai_exporter.probe.history import History
    from openai_exporter.probe.service import Prober

    prober = Prober(
        config,
        instruments=Instruments(process=False),
        history=History(1),
        proxies=urllib.request.getproxies(),
    )
    try:
        await prober.warm()
        return await prober.probe(key, timeout)
    finally:
        await prober.close()


# A probe's answer for the terminal: a table for people, plain data for programs.

Mask = Callable[[str], str]
Line = tuple[str, str]

_STYLES = {True: "bold green", False: "bold red"}


def as_document(answer: ProbeAnswer) -> dict[str, Any]:
    """The result as JSON data; durations in seconds, times in Unix seconds, costs in USD."""
    document: dict[str, Any] = _plain(asdict(answer.result))
    fact = OUTCOMES.get(answer.result.outcome)
    document |= {"meaning": fact.meaning, "remedy": fact.remedy} if fact else {}
    return document


def show(answer: ProbeAnswer, mask: Mask, console: Console | None = None) -> None:
    """Print a readable table."""
    result = answer.result
    console = console or Console()
    console.print(_headline(result))
    fact = OUTCOMES.get(result.outcome)
    # The message ends with the remedy already, and where the API said nothing, it begins with the meaning.
    if fact is not None and not result.success and fact.meaning.rstrip(".") not in result.message:
        console.print(Text(fact.meaning))
    if result.message:
        console.print(Text(mask(result.message)))
    for title, lines in (
        ("Timing", _timing(result)),
        ("Answer", _answer(result)),
        ("Rate limits", _limits(answer)),
    ):
        found = [(name, mask(value)) for name, value in lines]
        if found:
            console.print(_table(title, found))
    if not result.success and result.log:
        console.print(Text("\nLog", style="bold"))
        console.print(Text(mask("\n".join(result.log))), soft_wrap=True)


def _headline(result: ProbeResult) -> Text:
    key = result.key
    text = Text(result.outcome, style=_STYLES[result.success])
    text.append(f"  {key.module} on {key.target}" + (f", {key.model}" if key.model else ""), style="default")
    return text.append(f" in {html.seconds(result.duration)}", style="default")


def _table(title: str, lines: list[Line]) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    return table


def _timing(result: ProbeResult) -> Iterator[Line]:
    for name in result.phases.__dataclass_fields__:
        yield name, html.seconds(getattr(result.phases, name))
    if result.stream is not None:
        yield "first event", html.seconds(result.stream.first_event)
        yield "first token", html.first_token(result.stream, result.tokens)
        if result.stream.gaps_mean is not None:
            yield "mean gap", html.seconds(result.stream.gaps_mean)
            yield "longest gap", html.seconds(result.stream.gaps_max)
        if result.stream.arrivals:
            yield "arrivals of tokens", str(result.stream.arrivals)
        if result.stream.tokens_per_second is not None:
            yield "output speed", f"{result.stream.tokens_per_second:.1f} tokens/s"
    if result.server_processing is not None:
        yield "API's own processing", html.seconds(result.server_processing)
    yield "total", f"{html.seconds(result.duration)} of {html.seconds(result.timeout)} allowed"


def _answer(result: ProbeResult) -> Iterator[Line]:
    yield "HTTP status", str(result.status_code) if result.status_code else "no answer"
    where = f", {result.address}" if result.address else ""
    yield "connection", ("reused" if result.reused else "new") + where
    tokens = result.tokens
    if tokens is not None:
        yield (
            "tokens",
            f"{tokens.input} in ({tokens.cached} cached), {tokens.output} out ({tokens.reasoning} reasoning)",
        )
    if result.cost_usd is not None:
        yield "list price", html.dollars(float(result.cost_usd))
    if result.models:
        yield "models listed", str(len(result.models))
    named = (
        ("error code", result.error_code),
        ("request id", result.request_id),
        ("served model", result.served_model),
        ("service tier", result.service_tier),
    )
    yield from ((name, value) for name, value in named if value)
    if result.tls is not None:
        yield "TLS", ", ".join(filter(None, (result.tls.version, result.tls.cipher)))
        yield "certificate expires", html.clock(result.tls.earliest_expiry)


def _limits(answer: ProbeAnswer) -> Iterator[Line]:
    result = answer.result
    for each in result.rate_limits:
        reset = (
            f", whole again in {html.seconds(each.reset_seconds)}" if each.reset_seconds is not None else ""
        )
        yield each.limit_type, f"{html.count(each.remaining)} of {html.count(each.limit)} left{reset}"
    if result.retry_after is not None:
        yield "Retry-After", html.span(result.retry_after)
    if answer.backoff > 0:
        yield "a running exporter", f"would leave the API alone for {html.span(answer.backoff)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
