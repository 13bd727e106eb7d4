# SPDX-License-Identifier: Apache-2.0
"""A usage service against a simulator, and what a scrape of it shows."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import EncodedPage, Instruments
from openai_exporter.metrics import Metric, own, usage as metrics
from openai_exporter.usage.rows import OPERATIONS
from openai_exporter.usage.service import UsageService

ADMIN_KEY = "sk-admin-0123456789abcdef"
ALL = """
  usage:
    completions: {group_by: [project_id, api_key_id, model, batch, service_tier]}
    decisions: {group_by: [project_id, model, api_source]}
    embeddings: {group_by: [project_id, api_key_id, model]}
    moderations: {group_by: [model]}
    images: {group_by: [project_id, size, source]}
    audio_speeches: {group_by: [user_id, model]}
    audio_transcriptions: {group_by: [project_id, model]}
    vector_stores: {group_by: [project_id]}
    code_interpreter_sessions: {group_by: [project_id]}
    file_search_calls: {group_by: [project_id, api_key_id, vector_store_id]}
    web_search_calls: {group_by: [model, context_level, api_source]}
"""

Series = tuple[str, tuple[tuple[str, str], ...]]
Scrape = dict[Series, float]


class Now:
    """Our clock, moved by the test; at first as the simulator's and the served documents' is."""

    def __init__(self, seconds: float = 1_795_254_000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def service(
    api_url: str,
    now: Now,
    *,
    more: str = "",
    tail: str = "",
    key: str = ADMIN_KEY,
    storage: Path | None = None,
    instruments: Instruments | None = None,
) -> UsageService:
    """A service of one organization `acme`; `more` is YAML of the organization, `tail` of the top level."""
    config = configured(api_url, more=more, tail=tail, key=key)
    return UsageService(
        config, config.organizations[0], instruments=instruments or Instruments(process=False), storage=storage, now=now
    )


def configured(api_url: str, *, more: str = "", tail: str = "", key: str = ADMIN_KEY) -> Config:
    """The configuration of that service."""
    return parse_config(document(api_url, more, tail), "test", {"KEY": key}, Path())


def document(api_url: str, more: str = "", tail: str = "") -> str:
    return f"organizations:\n- name: acme\n  base_url: {api_url}\n  admin_key_env: KEY\n{more}\n{tail}"


def scrape(page: EncodedPage) -> Scrape:
    """Every sample of a page, parsed from its text."""
    lines = [line for line in page.body().decode().split("\n") if line and not line.startswith("#")]
    return {series(text): float(value) for text, _, value in (line.rpartition(" ") for line in lines)}


@lru_cache(100_000)
def series(text: str) -> Series:
    """What prometheus_client reads in `name{labels}`; most of a page was on the one before."""
    (family,) = text_string_to_metric_families(f"{text} 0")
    (sample,) = family.samples
    assert sample.timestamp is None, text
    return sample.name, tuple(sorted(sample.labels.items()))


def one(found: Scrape, metric: Metric, **labels: str) -> float:
    """The value of one series."""
    return found[metric.name, tuple(sorted(labels.items()))]


def of(found: Scrape, metric: Metric) -> dict[tuple[tuple[str, str], ...], float]:
    """All series of a metric, by labels."""
    return {labels: value for (name, labels), value in found.items() if name == metric.name}


def books(rows: list[dict[str, Any]], operation: str, group_by: tuple[str, ...]) -> Scrape:
    """The counters that the simulator's rows of one operation must give (without estimated costs)."""
    found: Scrape = {}
    for row in rows:
        labels = {name: text(row[name]) for name in group_by} | {"operation": operation}
        for column in OPERATIONS[operation].sources:
            names = column.metric.labels
            kept = {name: value for name, value in labels.items() if name in names and value}
            kept |= dict(zip(names[len(names) - len(column.more) :], column.more, strict=True))
            name = (column.metric.name, tuple(sorted(kept.items())))
            found[name] = found.get(name, 0) + row[column.source]
    return found


def text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def counters(found: Scrape) -> Scrape:
    """The counters that come from fields of the API."""
    names = {column.metric.name for each in OPERATIONS.values() for column in each.sources}
    return {series: value for series, value in found.items() if series[0] in names}


def net(found: Scrape, operation: str) -> dict[str, float]:
    """Each counter's sum less its corrections, by field: what the API must say."""
    sums: dict[str, float] = {}
    for column in OPERATIONS[operation].columns:
        values = [v for k, v in of(found, column.metric).items() if ("operation", operation) in k]
        corrections = one(found, metrics.CORRECTIONS, operation=operation, field=column.name)
        sums[column.name] = sum(values) - corrections
    return sums


def asked(usage: UsageService) -> dict[str, int]:
    """API calls that a service has made so far, by dataset: what it asked for, whenever the API logs it."""
    text = usage.instruments.render("text/plain")[0].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families[own.UPSTREAM_CALLS.name.removesuffix("_total")].samples
    return {each.labels["api"]: int(each.value) for each in samples if each.name.endswith("_total")}


def since(usage: UsageService, before: dict[str, int]) -> dict[str, int]:
    """The calls since an earlier look, without the datasets that made none."""
    return {name: count - before[name] for name, count in asked(usage).items() if count > before[name]}


def up(found: Scrape) -> Mapping[str, float]:
    """The state of each dataset."""
    return {dict(labels)["dataset"]: value for labels, value in of(found, metrics.UP).items()}
