# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter probe`: one probe from the terminal, as a table or as plain data."""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter.cli import common
from openai_exporter.config import Config
from openai_exporter.config.secret import Masker, printable
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.probe.result import FREE
from openai_exporter.web import html, live, routes

Line = tuple[str, str]


@click.command()
@click.option("--target", metavar="NAME", help="Target; may be omitted if there is only one.")
@click.option("--module", metavar="NAME", help="Module; may be omitted if the target has only one.")
@click.option("--model", metavar="NAME", help="Model; may be omitted if the module has only one, and on a terminal.")
@common.config_file_option("OPENAI_API_KEY is")
@click.option(
    "--timeout", type=common.Finite(0, min_open=True), metavar="SECONDS",
    help="Total deadline; the module's own when that is shorter.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the full result as JSON.")
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

    Without options it is the cheapest one that is configured, which is free where the list of models is probed.

    \b
    Examples:
      OPENAI_API_KEY=... openai-exporter probe
      OPENAI_API_KEY=... openai-exporter probe --module models
      openai-exporter probe --config.file exporter.yml --module chat
      openai-exporter probe --module chat_stream --json | jq .stream.first_token
      openai-exporter probe --module chat --model gpt-6-luna --debug

    \b
    Exit status: 0 when the probe succeeded, 1 when it failed, 2 for a wrong flag.
    """
    if as_json and debug:
        raise click.UsageError("--json and --debug cannot be used together")
    masker = Masker()
    common.configure("error", "logfmt", masker)
    with common.exit_on_error():
        settings = live.Settings(env=dict(os.environ), proxies=urllib.request.getproxies(), config_file=config_file)
        config = live.read_config(settings)
    query = {name: value for name, value in (("target", target), ("module", module), ("model", model)) if value}
    key = _key(config, query) if query else _cheapest(config)
    answer = asyncio.run(_probe(config, key, timeout, settings.proxies, masker))
    if as_json:
        click.echo(masker(_json(answer.result)))
    elif debug:
        from openai_exporter.probe.result import explain

        click.echo(masker(explain(answer, config.modules[key.module])), nl=False)
    else:
        _show(answer, masker)
    sys.exit(0 if answer.result.success else common.FAILED)


def _cheapest(config: Config) -> ProbeKey:
    """The probe that costs least: a free one, else by the most that a call may cost."""
    keys = live.probe_keys(config)
    if not keys:
        raise click.UsageError("no probes are configured; add some under `probes:`")
    free = [key for key in keys if config.modules[key.module].endpoint in FREE]
    key = free[0] if free else min(keys, key=lambda key: _price(config, key))
    if len(keys) > 1:
        model = f" --model {key.model}" if key.model else ""
        options = f"--target {key.target} --module {key.module}{model}"
        click.echo(printable(f"the cheapest of {len(keys)} configured probes: {options}"), err=True)
    return key


def _price(config: Config, key: ProbeKey) -> Decimal:
    """USD of a call at most; without a price, more than any."""
    from openai_exporter.probe.service import probe_price

    price = probe_price(config, key, time.time())
    return Decimal("Infinity") if price is None else price


def _key(config: Config, query: dict[str, str]) -> ProbeKey:
    for name in ("target", "module"):
        left = {getattr(key, name) for key in _matching(config, query)}
        if name not in query and len(left) == 1:
            query[name] = left.pop()
    models = [key.model for key in _matching(config, query)]
    asked = len(models) > 1 and {"target", "module"} == query.keys() and sys.stdin.isatty() and sys.stderr.isatty()
    if asked:
        query["model"] = click.prompt("Model", type=click.Choice(models), err=True)
    try:
        return routes.find_probe(config, query)
    except routes.BadRequestError as error:
        raise click.UsageError(str(error).replace("parameter ", "--")) from None


def _matching(config: Config, query: dict[str, str]) -> list[ProbeKey]:
    """The probes that match the options; all of them when none does, so that the wrong option is named."""
    keys = live.probe_keys(config)
    return [key for key in keys if all(getattr(key, name) == query[name] for name in query)] or keys


async def _probe(
    config: Config, key: ProbeKey, timeout: float | None, proxies: Mapping[str, str], masker: Masker
) -> ProbeAnswer:
    from openai_exporter.probe.service import Prober
    from openai_exporter.probe.state import History

    if timeout is not None:
        module = config.modules[key.module]
        module = module.model_copy(update={"timeout": min(timeout, module.timeout)})
        config = config.model_copy(update={"modules": {**config.modules, key.module: module}})
    instruments = Instruments(process=False)
    prober = Prober(config, instruments=instruments, history=History(1), proxies=proxies, masker=masker)
    try:
        await prober.warm()
        return await prober.probe(key)
    finally:
        await prober.close()


def _json(result: ProbeResult) -> str:
    """The result as JSON; durations in seconds, times in Unix seconds, costs in USD."""
    document = asdict(result)
    fact = OUTCOMES.get(result.outcome)
    if fact:
        document |= {"meaning": fact.meaning, "remedy": fact.remedy}
    return json.dumps(document, indent=2, default=float)


def _show(answer: ProbeAnswer, mask: common.Mask) -> None:
    """Print a readable table."""
    result, console = answer.result, Console()
    key = result.key
    headline = Text(result.outcome, style="bold green" if result.success else "bold red")
    model = f", {key.model}" if key.model else ""
    headline.append(f"  {key.module} on {key.target}{model} in {html.seconds(result.duration)}", style="default")
    console.print(headline)
    fact = OUTCOMES.get(result.outcome)
    # The message ends with the remedy already, and where the API said nothing, it begins with the meaning.
    if fact is not None and not result.success and fact.meaning.rstrip(".") not in result.message:
        console.print(Text(fact.meaning))
    if result.message:
        console.print(Text(mask(result.message)))
    sections = {"Timing": _timing(result), "Answer": _answer(result), "Rate limits": _limits(answer)}
    for title, lines in sections.items():
        table = _table(title, ((name, mask(value)) for name, value in lines))
        if table.row_count:
            console.print(table)
    if not result.success and result.log:
        console.print(Text("\nLog", style="bold"))
        console.print(Text(mask("\n".join(result.log))), soft_wrap=True)


def _table(title: str, lines: Iterable[Line]) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    return table


def _timing(result: ProbeResult) -> Iterator[Line]:
    for name in result.phases.__dataclass_fields__:
        yield name, html.seconds(getattr(result.phases, name))
    stream = result.stream
    if stream is not None:
        yield "first event", html.seconds(stream.first_event)
        yield "first token", html.first_token(stream, result.tokens)
        if stream.gaps_mean is not None:
            yield "mean gap", html.seconds(stream.gaps_mean)
            yield "longest gap", html.seconds(stream.gaps_max)
        if stream.arrivals:
            yield "arrivals of tokens", str(stream.arrivals)
        if stream.tokens_per_second is not None:
            yield "output speed", f"{stream.tokens_per_second:.1f} tokens/s"
    if result.server_processing is not None:
        yield "API's own processing", html.seconds(result.server_processing)
    yield "total", f"{html.seconds(result.duration)} of {html.seconds(result.timeout)} allowed"


def _answer(result: ProbeResult) -> Iterator[Line]:
    tokens, tls = result.tokens, result.tls
    yield "HTTP status", str(result.status_code) if result.status_code else "no answer"
    where = f", {result.address}" if result.address else ""
    yield "connection", ("reused" if result.reused else "new") + where
    if tokens is not None:
        output = f"{tokens.output} out ({tokens.reasoning} reasoning)"
        yield "tokens", f"{tokens.input} in ({tokens.cached} cached), {output}"
    if result.cost_usd is not None:
        yield "list price", html.dollars(float(result.cost_usd))
    if result.models:
        yield "models listed", str(len(result.models))
    texts = {
        "error code": result.error_code,
        "request id": result.request_id,
        "served model": result.served_model,
        "service tier": result.service_tier,
    }
    yield from ((name, text) for name, text in texts.items() if text)
    if tls is not None:
        yield "TLS", ", ".join(filter(None, (tls.version, tls.cipher)))
        yield "certificate expires", html.clock(tls.earliest_expiry)


def _limits(answer: ProbeAnswer) -> Iterator[Line]:
    for limit in answer.result.rate_limits:
        seconds = limit.reset_seconds
        reset = f", resets in {html.seconds(seconds)}" if seconds is not None else ""
        yield limit.limit_type, f"{html.count(limit.remaining)} of {html.count(limit.limit)} left{reset}"
    if answer.result.retry_after is not None:
        yield "Retry-After", html.span(answer.result.retry_after)
    if answer.backoff > 0:
        yield "a running exporter", f"would back off for {html.span(answer.backoff)}"
