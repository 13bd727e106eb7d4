# SPDX-License-Identifier: Apache-2.0
"""A Prometheus database of 30 days: a team of 10 models x 4 probes and an organization with 100,000 usage series.

What a range query of a page reads is there with its true spacing: 60 s where it is scraped, that of its rule group
where it is recorded. All else has samples near the end only: the usage counters, of which pages read the end and
rules the last day, growth by key, user and model, which pages read where keys or users are chosen, and buckets.
"""

import itertools
import multiprocessing
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from openai_exporter.metrics import probe

END = 1_795_014_000
"""2026-11-18 15:00 UTC, in the middle of a month, so that every build is the same."""
DAYS = 30
SCRAPED, RECORDED, RECENT, DAY = 60, 30, 7200, 86_400
RULES = Path(__file__).parents[1] / "prometheus" / "rules"
MODELS = [f"gpt-6-model-{number}" for number in range(10)]
MODULES = {"chat": "chat", "chat_stream": "chat", "responses": "responses", "responses_stream": "responses"}
KEYS, PROJECTS, MODELS_PER_KEY = 910, 40, 10
_BLOCK = "--max-block-duration=4374h"
"""One block for it all, which END lies well within: promtool reads a file once per block."""
_POOL = 997

Labels = Mapping[str, str]
SCRAPE = {"job": "openai", "instance": "exporter:9985"}
PROBES = [
    {**SCRAPE, "target": "openai", "provider": "openai", "module": module, "endpoint": at, "model": model}
    for model in MODELS
    for module, at in MODULES.items()
]
ACME = {**SCRAPE, "organization": "acme"}
USAGE = [
    {
        "organization": "acme",
        "operation": "completions",
        "project_id": f"proj_{key % PROJECTS:02}",
        "api_key_id": f"key_{key:04}",
        "user_id": f"user-{key:04}",
        "model": MODELS[(key + number) % len(MODELS)],
    }
    for key in range(KEYS)
    for number in range(MODELS_PER_KEY)
]
COLUMNS = (
    "requests",
    "input_tokens",
    "input_cached_tokens",
    "input_cache_write_tokens",
    "output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "estimated_cost_usd",
    "unpriced_tokens",
)
LEVELS = {
    "key_user_model": (),
    "key_user": ("model",),
    "project_model": ("api_key_id", "user_id"),
    "project": ("api_key_id", "user_id", "model"),
    "model": ("project_id", "api_key_id", "user_id"),
}
"""Of recorded growth, and the labels of usage that they do not have."""
GROWING = ("requests", "input_tokens", "input_cached_tokens", "output_tokens", "estimated_cost_usd")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its series, whether they only rise, and the seconds before the end in which they have samples."""

    name: str
    labels: Sequence[Labels]
    rises: bool = False
    seconds: int = DAYS * DAY


def families() -> Iterator[list[Family]]:
    """Everything, in parts that are imported one after the other."""
    by_key = [{"job": "openai", **each} for each in USAGE]
    for level, absent in LEVELS.items():
        kept = {tuple(pair for pair in each.items() if pair[0] not in absent): None for each in by_key}
        grown = [dict(pairs) for pairs in kept]
        seconds = DAYS * DAY if absent else DAY
        usage = f"{level}:openai_usage_{{}}:growth10m".format
        for direction in ("input", "cached", "output"):
            yield [Family(usage("tokens"), [each | {"direction": direction} for each in grown], seconds=seconds)]
        yield [Family(usage(name), grown, seconds=seconds) for name in ("requests", "estimated_cost_usd")]
    yield list(_probes())
    yield list(_levels())
    yield list(_rest())
    yield list(_recent())


def _probes() -> Iterator[Family]:
    phases = ("resolve", "connect", "tls", "processing", "transfer")
    yield Family("probe_http_duration_seconds", _each(PROBES, "phase", phases))
    gauges = (
        *("availability_good", "availability_valid", "connection_reused", "network_seconds"),
        *("inter_token_seconds_max", "inter_token_seconds_mean", "output_tokens_per_second"),
        *("server_processing_seconds", "time_to_first_event_seconds"),
    )
    yield from (Family(f"openai_probe_{name}", PROBES) for name in gauges)
    yield from (Family(f"scrape_{name}", [*PROBES, ACME, SCRAPE]) for name in ("duration_seconds", "samples_scraped"))
    own = [{name: each[name] for name in each if name != "provider"} for each in PROBES]
    failed = [each | {"error_type": "server_error", "status_code": "500"} for each in own]
    yield Family("openai_api_errors_total", failed, rises=True)
    yield Family("openai_api_requests_total", own, rises=True)
    yield Family("openai_probe_not_sent_total", [each | {"error_type": "no_credentials"} for each in own], rises=True)
    yield Family("openai_probe_cost_usd_total", own, rises=True)
    bounds = [*map(str, probe.LATENCY_BUCKETS), "+Inf"]
    by_model = [{"job": "openai", "target": "openai", "model": model} for model in MODELS]
    by_endpoint = _each(by_model, "endpoint", sorted(set(MODULES.values())))
    name = "target_model_endpoint:openai_api_latency_seconds_bucket:growth5m"
    yield Family(name, _each(by_endpoint, "le", bounds))
    by_target = _each([{"job": "openai", "target": "openai"}], "endpoint", sorted(set(MODULES.values())))
    yield Family("target_endpoint:openai_api_latency_seconds_bucket:growth5m", _each(by_target, "le", bounds))
    name = "target_model:openai_api_time_to_first_token_seconds_bucket:growth5m"
    yield Family(name, _each(by_model, "le", bounds))
    yield Family("target_model:openai_api_latency_seconds:p95_20m", by_model)


def _levels() -> Iterator[Family]:
    recorded = [{name: each[name] for name in each if name != "instance"} for each in PROBES]
    # The page shows one service level at a time.
    levels = _each(recorded, "slo", ("availability",))
    for name in (
        *("error_budget:ratio", "period_error_budget_remaining:ratio", "sli_events:sum5m", "sli_bad_events:sum5m"),
        *(f"sli_error:ratio{window}" for window in ("1h", "2h", "6h", "1d", "3d")),
    ):
        yield Family(f"probe:openai_{name}", levels)
    name = "probe:openai_api_rate_limit_remaining_per_limit:ratio"
    yield Family(name, _each(recorded, "limit_type", ("requests", "tokens", "project_tokens")))
    target = {"job": "openai", "target": "openai", "provider": "openai"}
    name = "target:openai_period_error_budget_remaining:ratio"
    yield Family(name, _each([target], "slo", ("availability",)))


def _rest() -> Iterator[Family]:
    datasets = ("completions", "embeddings", "moderations", "images", "costs", "names", "limits", "cost_drift")
    of_datasets = _each([ACME], "dataset", datasets)
    for name in ("up", "refresh_calls", "refresh_duration_seconds"):
        yield Family(f"openai_usage_{name}", of_datasets)
    yield Family("openai_usage_newest_bucket_timestamp_seconds", _each([ACME], "operation", datasets[:4]))
    acme = {"job": "openai", "organization": "acme"}
    yield Family("dataset:openai_usage_data_age_seconds:min", _each([acme], "dataset", datasets))
    late = [{**each, "slo": "freshness"} for each in _each([acme], "dataset", datasets)]
    yield Family("dataset:openai_sli_error:ratio1d", late)
    for name in ("forecast_usd", "forecast_upper_usd", "forecast_lower_usd"):
        yield Family(f"organization:openai_costs_{name}:projection", [acme])
    yield Family("organization:openai_costs_month_to_date_usd:sum", [acme])
    for name in ("level", "upper_band", "lower_band"):
        yield Family(f"anomaly:openai_signal:{name}", _each([acme], "anomaly", ("tokens", "cost")))
    yield Family("openai_spend_limit_usd", [ACME | {"scope": "organization"}])
    budget = {"budget": "all", "scope": "organization", "period": "month"}
    yield Family("openai_budget_limit_usd", [ACME | budget])
    yield Family("openai_usage_clock_offset_seconds", [ACME])
    projects = [f"proj_{number:02}" for number in range(PROJECTS)]
    days = _each([ACME], "window", ("today", "yesterday"))
    yield Family("openai_costs_day_usd", _each(days, "project_id", projects))
    yield Family("openai_usage_vector_store_bytes", _each([ACME], "project_id", projects))
    named = [ACME | {"project_id": each, "project": f"Team {each}"} for each in projects]
    yield Family("openai_project_info", named)
    yield Family("openai_probe_model_listed", _each(PROBES[:1], "listed_model", MODELS))
    states = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance")
    parts = ("Chat Completions", "Responses", "Embeddings", "Images", "Audio", "Batch", "Files", "Realtime")
    page = _each([SCRAPE | {"status_page": "openai"}], "component", parts)
    yield Family("openai_status_component", _each(page, "state", states))
    calls = _each([ACME], "api", [f"usage_{name}" for name in datasets])
    yield Family("openai_exporter_upstream_calls_total", calls, rises=True)
    yield Family("openai_exporter_upstream_failures_total", _each(calls, "reason", ("timeout",)), rises=True)
    yield Family("openai_exporter_storage_failures_total", [ACME | {"reason": "write"}], rises=True)
    yield Family("openai_exporter_storage_last_write_successful", [ACME])
    yield Family("openai_exporter_requests_refused_total", [SCRAPE | {"reason": "concurrency"}], rises=True)
    yield Family("openai_exporter_unknown_names_total", [SCRAPE | {"kind": "target"}], rises=True)
    yield from (
        Family(name, [SCRAPE]) for name in ("process_resident_memory_bytes", "openai_exporter_probes_in_flight")
    )
    yield Family("process_cpu_seconds_total", [SCRAPE], rises=True)


def _recent() -> Iterator[Family]:
    usage = [{**SCRAPE, **each} for each in USAGE]
    for name in COLUMNS:
        # The rules of growth look back a day.
        seconds = DAY if name in GROWING else RECENT
        yield Family(f"openai_usage_{name}_total", usage, rises=True, seconds=seconds)
    users = [ACME | {"user_id": each, "user": f"Person {each}"} for each in sorted({u["user_id"] for u in USAGE})]
    yield Family("openai_user_info", users, seconds=RECENT)
    bounds = [*map(str, probe.LATENCY_BUCKETS), "+Inf"]
    own = [{name: each[name] for name in each if name != "provider"} | {"status_code": "200"} for each in PROBES]
    yield Family("openai_api_latency_seconds_bucket", _each(own, "le", bounds), rises=True, seconds=RECENT)
    name = "openai_api_time_to_first_token_seconds_bucket"
    yield Family(name, _each(own[1::2], "le", bounds), rises=True, seconds=RECENT)


def _each(labels: Sequence[Labels], name: str, values: Sequence[str]) -> list[Labels]:
    return [{**each, name: value} for each in labels for value in values]


def spacings() -> dict[str, int]:
    """Seconds between two samples of each recorded series."""
    found = {}
    for path in RULES.glob("recording-*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            text = group.get("interval", f"{RECORDED}s")
            for rule in group["rules"]:
                found[rule["record"]] = int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
    return found


def build(folder: Path, promtool: str) -> int:
    """Fill the database; while promtool reads one part, the next is written. Returns the number of series."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = list(families())
    known = sum(len(family.labels) for part in parts for family in part)
    paths = [folder / f"part{number}.om" for number in range(len(parts))]
    jobs = list(zip(paths, parts, itertools.repeat(spacings()), strict=False))
    with multiprocessing.Pool(1) as pool:
        ahead = pool.apply_async(write, (jobs[0],))
        for path, job in itertools.zip_longest(paths, jobs[1:]):
            ahead.get()
            if job is not None:
                ahead = pool.apply_async(write, (job,))
            argv = ["nice", promtool, "tsdb", "create-blocks-from", "--quiet", "openmetrics", _BLOCK]
            subprocess.run([*argv, str(path), str(folder / "tsdb")], check=True, capture_output=True)
            path.unlink()
    (folder / "series").write_text(str(known))
    return known


def write(part: tuple[Path, list[Family], Mapping[str, int]]) -> Path:
    """One part as OpenMetrics text."""
    path, found, known = part
    with path.open("w", encoding="utf-8", buffering=1 << 22) as out:
        for family in found:
            step = known.get(family.name, SCRAPED)
            first = END - family.seconds
            # Off the full minutes, each family by itself, as scrapes and rule groups are.
            offset = sum(family.name.encode()) % step
            stamps = [f" {moment}\n" for moment in range(first + offset, END + 1, step)]
            values = _values(family, len(stamps))
            for number, labels in enumerate(family.labels):
                pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
                head = f"{family.name}{{{pairs}}} "
                series = itertools.islice(itertools.cycle(values), number % _POOL, None)
                own = iter(values) if family.rises else series
                out.write("".join([head + value + stamp for value, stamp in zip(own, stamps, strict=False)]))
        out.write("# EOF\n")
    return path


def _values(family: Family, count: int) -> list[str]:
    """What series of a family show: they share it, each from another place on unless they rise."""
    rng = random.Random(family.name)
    if family.rises:
        return [str(value) for value in itertools.accumulate(rng.randrange(3) for _ in range(count))]
    if ":growth" in family.name or "sum1h" in family.name:
        return [str(rng.randrange(3000) if rng.random() < 0.5 else 0) for _ in range(_POOL)]
    if family.name.startswith("openai_status") or "availability" in family.name or family.name.endswith("_up"):
        return [str(int(rng.random() < 0.99)) for _ in range(_POOL)]
    return [f"{rng.random():.6f}" for _ in range(_POOL)]
