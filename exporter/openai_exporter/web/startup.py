# SPDX-License-Identifier: Apache-2.0
"""What the log says after the start: what is probed and read, what a day of it costs, and whether keys are accepted.

The models endpoint, which is free, tells it of keys for probes, one small call of costs of admin keys. Nothing of it is
counted, and no failure ends anything.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from openai_exporter.config import Config
from openai_exporter.config.base import format_duration
from openai_exporter.config.sections import Module, Organization, Probe, Target
from openai_exporter.errors import ExporterError, PermissionDeniedError
from openai_exporter.exposition import Instruments
from openai_exporter.model import Endpoint, ProbeKey, ProbeResult
from openai_exporter.probe.result import FREE
from openai_exporter.probe.service import Prober, probe_price
from openai_exporter.probe.state import History
from openai_exporter.usage.ledger import DAY
from openai_exporter.web.live import Live, probe_keys
from openai_exporter.web.routes import DEFAULT_SCRAPE_INTERVAL

log = logging.getLogger(__name__)

_LISTED = 6
_AT_ONCE = 8
"""Keys that are tried at the same time."""
_CHECK = "key check"
_REJECTED = ("auth", "no_credentials")


async def announce(live: Live) -> None:
    """Log it all; at most a line for what is probed, one for what is read, and one for each key."""
    config = live.services.config
    keys = probe_keys(config)
    if keys:
        log.info("Prometheus' scrapes make %s", _probes(keys), extra={"fields": _daily_cost(config, keys, live.now())})
    reads = [f"usage and costs of organization {each.name}" for each in config.organizations]
    reads += [f"status page {each.name}" for each in config.status_pages]
    if reads:
        log.info("Prometheus' scrapes read %s", _listed(reads))
    probed = {key.target for key in keys}
    targets = [each for each in config.targets if each.name in probed and not each.no_key]
    await asyncio.gather(_check_keys(live, targets), *(_check_admin_key(live, each) for each in config.organizations))


def _probes(keys: Iterable[ProbeKey]) -> str:
    modules: dict[str, dict[str, None]] = defaultdict(dict)
    for key in keys:
        modules[key.target][key.module] = None
    targets = [f"{target} ({_listed(list(names))})" for target, names in modules.items()]
    return f"{len(list(keys))} probes: {_listed(targets)}"


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join(names[:_LISTED] + more)


def _daily_cost(config: Config, keys: Iterable[ProbeKey], now: float) -> dict[str, object]:
    """What the probes of a day cost at most, at the interval that /sd announces by default."""
    by_module: dict[str, Decimal] = defaultdict(Decimal)
    unpriced = 0
    for key in keys:
        module, price = config.modules[key.module], probe_price(config, key, now)
        calls = DAY / max(DEFAULT_SCRAPE_INTERVAL, module.min_interval, module.timeout)
        unpriced += price is None and module.endpoint not in FREE
        by_module[key.module] += (price or Decimal(0)) * Decimal(calls)
    limits = {name: config.modules[name].daily_cost_limit_usd for name in by_module}
    total = sum(min(usd, Decimal(str(limits[name] or usd))) for name, usd in by_module.items())
    fields = {"scrape_interval": format_duration(DEFAULT_SCRAPE_INTERVAL), "usd_per_day_at_most": f"{total:.2f}"}
    return fields | ({"probes_without_price": unpriced} if unpriced else {})


async def _check_keys(live: Live, targets: list[Target]) -> None:
    """Say of each target whether it accepts its key, by its list of models."""
    if not targets:
        return
    config = live.services.config.model_copy(
        update={
            "modules": {_CHECK: Module(endpoint=Endpoint.MODELS)},
            "probes": tuple(Probe(target=target.name, module=_CHECK) for target in targets),
        }
    )
    proxies, masker = live.settings.proxies, live.masker
    prober = Prober(
        config, instruments=Instruments(process=False), history=History(1), proxies=proxies, masker=masker,
        max_in_flight=_AT_ONCE,
    )  # fmt: skip
    try:
        for done in asyncio.as_completed([prober.try_once(key) for key in probe_keys(config)]):
            _report(config, await done)
    finally:
        await prober.close()


def _report(config: Config, result: ProbeResult) -> None:
    credential = config.target_credential(result.key.target)
    fields: dict[str, object] = {"target": result.key.target, "key": credential.place if credential else ""}
    if result.success:
        log.info("key accepted", extra={"fields": {**fields, "models": len(result.models)}})
    else:
        verdict = "rejected" if result.outcome in _REJECTED else "not checked"
        log.warning("key %s", verdict, extra={"fields": {**fields, "reason": result.message}})


async def _check_admin_key(live: Live, organization: Organization) -> None:
    """Say whether the organization's API accepts the admin key."""
    fields: dict[str, object] = {"organization": organization.name}
    try:
        id = await asyncio.to_thread(_read_little, live, organization)
    except PermissionDeniedError as error:
        log.warning("admin key rejected", extra={"fields": {**fields, "reason": str(error)}})
    except ExporterError as error:
        log.warning("admin key not checked", extra={"fields": {**fields, "reason": str(error)}})
    else:
        log.info("admin key accepted", extra={"fields": fields | ({"id": id} if id else {})})


def _read_little(live: Live, organization: Organization) -> str:
    """Make a small call; which organization it is, where the API says it."""
    from openai_exporter.client.organization import HEADER
    from openai_exporter.report.source import Source

    with Source(live.services.config, organization, live.settings.proxies, now=live.now, attempts=1) as source:
        source.learn_time()
        return source.calls.identity.get(HEADER, "")
