# SPDX-License-Identifier: Apache-2.0
"""A probe's answer for the terminal: a table for people, plain data for programs."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter.model import ProbeAnswer, ProbeResult
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.web import words

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
    return text.append(f" in {words.seconds(result.duration)}", style="default")


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
        yield name, words.seconds(getattr(result.phases, name))
    if result.stream is not None:
        yield "first event", words.seconds(result.stream.first_event)
        yield "first token", words.first_token(result.stream, result.tokens)
        if result.stream.gaps_mean is not None:
            yield "mean gap", words.seconds(result.stream.gaps_mean)
            yield "longest gap", words.seconds(result.stream.gaps_max)
        if result.stream.arrivals:
            yield "arrivals of tokens", str(result.stream.arrivals)
        if result.stream.tokens_per_second is not None:
            yield "output speed", f"{result.stream.tokens_per_second:.1f} tokens/s"
    if result.server_processing is not None:
        yield "API's own processing", words.seconds(result.server_processing)
    yield "total", f"{words.seconds(result.duration)} of {words.seconds(result.timeout)} allowed"


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
        yield "list price", words.dollars(float(result.cost_usd))
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
        yield "certificate expires", words.clock(result.tls.earliest_expiry)


def _limits(answer: ProbeAnswer) -> Iterator[Line]:
    result = answer.result
    for each in result.rate_limits:
        reset = (
            f", whole again in {words.seconds(each.reset_seconds)}" if each.reset_seconds is not None else ""
        )
        yield each.limit_type, f"{words.count(each.remaining)} of {words.count(each.limit)} left{reset}"
    if result.retry_after is not None:
        yield "Retry-After", words.span(result.retry_after)
    if answer.backoff > 0:
        yield "a running exporter", f"would leave the API alone for {words.span(answer.backoff)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
