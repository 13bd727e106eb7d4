# SPDX-License-Identifier: Apache-2.0
"""What `/probe` exposes of an answer; families without samples are left out when they are encoded."""

from collections.abc import Iterator
from functools import cache

from openai_exporter.exposition import Family, family, fixed
from openai_exporter.metrics import probe as m
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeResult
from openai_exporter.probe.blackbox import blackbox
from openai_exporter.probe.outcomes import OUTCOMES

DIRECTIONS = ("input", "output", "cached", "reasoning")


def families(answer: ProbeAnswer) -> list[Family]:
    """The families of one answer, in the catalogue's order."""
    result = answer.result
    return [
        *blackbox(result),
        _outcome(result.outcome),
        *_availability(answer),
        *_timing(result),
        *_spend(answer),
        *_limits(result),
        *_models(result),
    ]


@cache  # of the outcomes
def _outcome(outcome: str) -> Family:
    return fixed(m.OUTCOME, [((name,), int(name == outcome)) for name in OUTCOMES])


def _availability(answer: ProbeAnswer) -> Iterator[Family]:
    result, fresh = answer.result, not answer.cached
    yield family(m.AVAILABILITY_VALID, int(result.valid) if fresh else None)
    yield family(m.AVAILABILITY_GOOD, int(result.good) if fresh else None)
    yield family(m.CONNECTION_REUSED, int(result.reused) if result.status_code else None)


def _timing(result: ProbeResult) -> Iterator[Family]:
    stream = result.stream
    if stream is not None:
        yield family(m.TIME_TO_FIRST_EVENT, stream.first_event)
        yield family(m.TIME_TO_FIRST_TOKEN, stream.first_token)
        yield family(m.INTER_TOKEN_MEAN, stream.gaps_mean)
        yield family(m.INTER_TOKEN_MAX, stream.gaps_max)
        yield family(m.TOKEN_ARRIVALS, stream.arrivals)
        yield family(m.OUTPUT_TOKENS_PER_SECOND, stream.tokens_per_second)
    if result.tokens is not None:
        tokens = Family(m.TOKENS)
        for direction in DIRECTIONS:
            tokens.add(getattr(result.tokens, direction), direction)
        yield tokens
    yield family(m.SERVER_PROCESSING, result.server_processing)
    if result.server_processing is not None and result.status_code:
        # The API's clock has whole milliseconds, so a fast answer may seem to precede its own processing.
        yield family(m.NETWORK, max(result.phases.processing - result.server_processing, 0.0))


def _spend(answer: ProbeAnswer) -> Iterator[Family]:
    cost = answer.result.cost_usd
    yield family(m.COST, None if cost is None else float(cost))
    yield family(m.CACHED_AGE, answer.age)
    yield family(m.BACKOFF, answer.backoff)
    yield family(m.COST_LIMITED, int(answer.cost_limited))


def _limits(result: ProbeResult) -> Iterator[Family]:
    limit, remaining, reset = (
        Family(m.RATE_LIMIT_LIMIT), Family(m.RATE_LIMIT_REMAINING), Family(m.RATE_LIMIT_RESET),
    )  # fmt: skip
    for each in result.rate_limits:
        for found, value in ((limit, each.limit), (remaining, each.remaining), (reset, each.reset_seconds)):
            if value is not None:
                found.add(value, each.limit_type)
    yield from (limit, remaining, reset)


def _models(result: ProbeResult) -> Iterator[Family]:
    if result.endpoint is not Endpoint.MODELS:
        info = Family(m.PROBE_MODEL_INFO)
        if result.served_model:
            info.add(1, result.key.model, result.served_model, result.service_tier)
        yield info
        return
    yield from _cards(result)


def _cards(result: ProbeResult) -> Iterator[Family]:
    listed, info = Family(m.MODEL_LISTED), Family(m.MODEL_INFO)
    created, shutdown = Family(m.MODEL_CREATED), Family(m.MODEL_SHUTDOWN)
    names = {card.id for card in result.models}
    for model in result.expected_models if result.models else ():
        listed.add(int(model in names), model)
    for card in result.models:
        info.add(1, card.id, card.owned_by)
        if card.created is not None:
            created.add(card.created, card.id)
        if card.shutdown_timestamp is not None:
            shutdown.add(card.shutdown_timestamp, card.id)
    yield from (listed, info, created, shutdown)
