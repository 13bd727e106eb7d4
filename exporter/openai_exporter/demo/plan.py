# SPDX-License-Identifier: Apache-2.0
"""What a demo runs: commands, ports and the configuration files that it writes into its directory."""

import fcntl
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from openai_exporter.config import base, load, sections
from openai_exporter.demo.history import Past
from openai_exporter.demo.processes import (
    ALERTMANAGER,
    GRAFANA,
    KEYS,
    LOOPBACK,
    PROMETHEUS,
    PROMTOOL,
    Ports,
    Program,
    Service,
)
from openai_exporter.errors import ConfigError, StartError
from openai_exporter.files import write_atomically
from openai_exporter.rules.measures import MEASURES
from openai_exporter.rules.rule_file import build_from
from openai_exporter.rules.thresholds import ThresholdFile, load_thresholds

EXPORTER_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT, GRAFANA_PORT = 9985, 9090, 9093, 3000
SIMULATOR_PORT, PAGES_PORT = 8085, 8086
_OURS = (sys.executable, "-m", "openai_exporter")


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs, in starting order.

    Attributes:
        exporter, prometheus, alertmanager, pages: root URLs, None for what does not run; `pages` is page-sink.
        missing: programs that are not installed.
        notes: what a person should know.
        past: what fills Prometheus before it starts; None where it begins empty.
        rules: folder with the rules that Prometheus runs, the user's among them; None where none run.
    """

    services: tuple[Service, ...]
    exporter: str
    simulator: str | None
    prometheus: str | None
    alertmanager: str | None
    pages: str | None
    missing: tuple[Program, ...]
    notes: tuple[str, ...] = ()
    past: Past | None = None
    rules: Path | None = None


class Planner:
    """Builds a plan in the folder `data`.

    Args:
        programs: path of each program that is on this machine.
        bundle: folder that holds `prometheus/rules`, `alerting/thresholds.yml` and `dashboards/generated`.
        history_days: how long the simulated organization's past is; 0 for none.

    Attributes:
        ports: what the services will listen on; each is held until it is released.
    """

    def __init__(
        self, data: Path, programs: Mapping[Program, str], bundle: Path, seed: int, history_days: int = 0
    ) -> None:
        self._history_days = history_days
        self._data = data
        self._programs = programs
        self._bundle = bundle
        self._seed = seed
        self.ports = Ports()
        self._services: list[Service] = []
        self._notes: list[str] = []

    def plan(self, *, real: bool, config: Path | None = None) -> Plan:
        """The plan: `real` probes the API of the environment, else the simulator."""
        simulator = None if real else self._simulator()
        exporter = self._url(EXPORTER_PORT)
        alertmanager = self._url(ALERTMANAGER_PORT) if ALERTMANAGER in self._programs else None
        prometheus = self._url(PROMETHEUS_PORT) if PROMETHEUS in self._programs else None
        self._exporter(exporter, simulator, config)
        pages = None
        if alertmanager:
            pages = self._page_sink()
            self._alertmanager(alertmanager, pages)
        if prometheus:
            grafana = self._url(GRAFANA_PORT) if GRAFANA in self._programs else None
            self._prometheus(prometheus, exporter, alertmanager, grafana)
            if grafana:
                self._grafana(grafana, prometheus)
        past = self._past(exporter) if simulator and prometheus and self._history_days else None
        return Plan(
            services=tuple(self._services),
            exporter=exporter,
            simulator=simulator,
            prometheus=prometheus,
            alertmanager=alertmanager,
            pages=pages,
            missing=tuple(p for p in (PROMETHEUS, ALERTMANAGER, GRAFANA) if p not in self._programs),
            notes=tuple(self._notes),
            past=past,
            rules=self._bundle if prometheus else None,
        )

    def _url(self, preferred: int) -> str:
        port = self.ports.hold(preferred)
        if port != preferred:
            self._notes.append(f"port {preferred} is taken, {port} is used in its place")
        return f"http://{LOOPBACK}:{port}"

    def _simulator(self) -> str:
        url = self._url(SIMULATOR_PORT)
        argv = (*_OURS, "simulate", "--seed", str(self._seed), "--listen-address", _address(url))
        hint = "the simulated OpenAI API; break it with POST /_simulator/faults"
        self._services.append(Service("simulator", argv, url, hint, ready="/_simulator/state"))
        return url

    def _exporter(self, url: str, simulator: str | None, config: Path | None) -> None:
        argv = [*_OURS, "serve", "--storage.path=", "--web.listen-address", _address(url)]
        env: dict[str, str] = {}
        if simulator is not None:
            config = write(self._data / "exporter.yml", exporter_document(simulator))
            # Accepted by the simulator only; a real key in the environment must never reach it.
            env = KEYS
        if config is not None:
            argv += ["--config.file", str(config)]
        self._services.append(Service("exporter", argv, url, "what is probed, last results, recent failures", env=env))

    def _page_sink(self) -> str:
        url = self._url(PAGES_PORT)
        argv = (*_OURS, "page-sink", "--listen-address", _address(url), "--file", str(self._data / "pages.jsonl"))
        self._services.append(Service("page-sink", argv, url, "pages that Alertmanager delivers, in place of a pager"))
        return url

    def _alertmanager(self, url: str, pages: str) -> None:
        config = write(self._data / "alertmanager.yml", alertmanager_document(pages))
        argv = (
            self._programs[ALERTMANAGER],
            f"--config.file={config}",
            f"--storage.path={self._data / 'alertmanager'}",
            *_listening(url),
            "--cluster.listen-address=",
        )
        hint = f"alerts that fire: amtool alert --alertmanager.url={url}"
        self._services.append(Service("alertmanager", argv, url, hint))

    def _prometheus(self, url: str, exporter: str, alertmanager: str | None, grafana: str | None) -> None:
        rules = [fitted(path, self._data / "rules", grafana, url) for path in bundled_rules(self._bundle)]
        document = prometheus_document(exporter, alertmanager, [*rules, self._thresholds(grafana, url)])
        argv = (
            self._programs[PROMETHEUS],
            f"--config.file={write(self._data / 'prometheus.yml', document)}",
            f"--storage.tsdb.path={self._data / 'prometheus'}",
            *_listening(url),
            "--enable-feature=exemplar-storage",
            "--storage.tsdb.retention.time=60d",
            "--log.level=warn",
        )
        hint = "queries, rules; /alerts: what is pending and fires"
        self._services.append(Service("prometheus", argv, url, hint))

    def _past(self, exporter: str) -> Past | None:
        if PROMTOOL not in self._programs:
            self._notes.append(f"without promtool ({PROMTOOL.remedy}) the pages have no past: they begin now")
            return None
        return Past(
            self._programs[PROMTOOL],
            self._programs[PROMETHEUS],
            exporter,
            self._data / "exporter.yml",
            self._bundle,
            self._data / "prometheus",
            self._data / "history",
            self._history_days,
        )

    def _thresholds(self, grafana: str | None, prometheus: str) -> Path:
        interval = base.parse_duration(SCRAPE_INTERVAL)
        text, notes = rule_file(self._bundle / "alerting", interval, self._programs.get(PROMTOOL))
        self._notes += notes
        return write(self._data / "rules" / "thresholds.yml", linked(text, grafana, prometheus))

    def _grafana(self, url: str, prometheus: str) -> None:
        provisioning = self._data / "grafana" / "provisioning"
        write(provisioning / "datasources" / "prometheus.yml", grafana_datasource(prometheus))
        dashboards = self._bundle / "dashboards" / "generated"
        if dashboards.is_dir():
            write(provisioning / "dashboards" / "openai.yml", grafana_dashboards(dashboards))
        binary = self._programs[GRAFANA]
        argv = [binary, "server"] if Path(binary).name == "grafana" else [binary]
        if home := grafana_home(Path(binary)):
            argv += ["--homepath", str(home)]
        env = {
            "GF_PATHS_DATA": str(self._data / "grafana"),
            "GF_PATHS_PROVISIONING": str(provisioning),
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(dashboards / "overview.json"),
            "GF_SERVER_HTTP_ADDR": LOOPBACK,
            "GF_SERVER_HTTP_PORT": url.rsplit(":", 1)[1],
            # Loopback only, and nothing in it but the demo's own data: no login, hence no password to choose.
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_DISABLE_LOGIN_FORM": "true",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        }
        self._services.append(Service("grafana", argv, url, "dashboards", ready="/api/health", env=env))


def _address(url: str) -> str:
    return url.removeprefix("http://")


def _listening(url: str) -> tuple[str, str]:
    """Flags of Prometheus and Alertmanager; else links in pages carry this machine's name, where nothing listens."""
    return f"--web.listen-address={_address(url)}", f"--web.external-url={url}"


# The demo's directory and the configuration files that it writes for the programs it runs.

SCRAPE_INTERVAL = "5s"
_TOO_FINE = {"api_source", "context_level", "vector_store_id"}
"""Dimensions that no page shows."""
GROWTH_RULES = "recording-growth.yml"
GROWTH_STEP = "15s"
"""How often the demo records growth instead of every 5m or 10m, so that no page waits for it."""
USER_RULES = "user-thresholds.yml"
"""Compiled thresholds of the bundle; the demo has its own, faster ones."""


def exporter_document(simulator: str) -> dict[str, Any]:
    """A configuration of the exporter that shows every page against the simulator at `simulator`."""
    root = f"{simulator}/v1"
    probes = (
        ("models", ()),
        ("chat", load.CHAT_MODELS[:1]),
        ("chat_stream", load.CHAT_MODELS),
        ("responses", load.CHAT_MODELS[:1]),
        ("responses_stream", load.CHAT_MODELS[:1]),
        ("embeddings", (load.EMBEDDING_MODEL,)),
        ("moderations", (load.MODERATION_MODEL,)),
    )
    budget = {"organization": "acme", "period": "month"}
    credit = {"date": datetime.now(UTC).strftime("%Y-%m-01"), "amount_usd": 12_000.0}
    return {
        "targets": [{"name": "openai", "base_url": root, "api_key_env": "OPENAI_API_KEY"}],
        "modules": load.builtin_modules(),
        "probes": [
            {"target": "openai", "module": module} | ({"models": list(models)} if models else {})
            for module, models in probes
        ],
        "organizations": [
            {
                "name": "acme",
                "base_url": root,
                "admin_key_env": "OPENAI_ADMIN_KEY",
                "refresh_interval": "10s",
                "names_interval": "1m",
                "credits": [credit],
                "costs": {"refresh_interval": "1m", "group_by": ["project_id", "line_item", "api_key_id"]},
                "usage": {
                    operation: {"group_by": [label for label in labels if label not in _TOO_FINE]}
                    for operation, labels in sections.GROUPABLE.items()
                },
            }
        ],
        "budgets": [
            budget | {"name": "organization", "limit_usd": 5000.0},
            budget | {"name": "per-model", "each": "model", "limit_usd": 2000.0},
        ],
        "status_pages": [{"name": "openai", "url": f"{simulator}/status", "refresh_interval": "10s"}],
    }


def bundled_rules(bundle: Path) -> list[Path]:
    """The bundle's rule files, its compiled thresholds left out."""
    paths = sorted((bundle / "prometheus" / "rules").glob("*.yml"))
    return [path for path in paths if path.name != USER_RULES]


def fitted(rules: Path, folder: Path, grafana: str | None, prometheus: str) -> Path:
    """The rules, or a copy in `folder`: growth at the demo's step (in the file 5m and 10m), links to what runs."""
    text = rules.read_text(encoding="utf-8")
    changed = linked(text, grafana, prometheus)
    if rules.name == GROWTH_RULES:
        changed = re.sub(r"\b(5|10)m\b", GROWTH_STEP, changed)
    return rules if changed == text else write(folder / rules.name, changed)


def linked(text: str, grafana: str | None, prometheus: str) -> str:
    """Rules whose links lead to the demo's Grafana, or without one to the alerts in Prometheus."""
    if grafana is not None:
        return text.replace(f"http://localhost:{GRAFANA_PORT}", grafana)
    return re.sub(r"(\bdashboard_url: ).*", rf"\g<1>{prometheus}/alerts", text)


def prometheus_document(exporter: str, alertmanager: str | None, rules: Sequence[Path]) -> dict[str, Any]:
    """A Prometheus configuration that finds everything through the exporter's `/sd`."""
    document: dict[str, Any] = {
        "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL},
        "scrape_configs": [
            {
                "job_name": "openai",
                "scrape_timeout": SCRAPE_INTERVAL,
                "http_sd_configs": [{"url": f"{exporter}/sd", "refresh_interval": "5s"}],
            }
        ],
    }
    if rules:
        document["rule_files"] = [str(path) for path in rules]
    if alertmanager is not None:
        host = alertmanager.removeprefix("http://")
        document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [host]}]}]}
    return document


def alertmanager_document(pages: str) -> dict[str, Any]:
    """An Alertmanager configuration that sends every alert to page-sink at `pages`; not the dead-man switch."""
    return {
        "route": {
            "receiver": "page-sink",
            "group_by": ["alertname"],
            "group_wait": "1s",
            "group_interval": "5s",
            "routes": [{"matchers": ['severity="none"'], "receiver": "nobody"}],
        },
        "receivers": [{"name": "page-sink", "webhook_configs": [{"url": f"{pages}/"}]}, {"name": "nobody"}],
    }


def grafana_datasource(prometheus: str) -> dict[str, Any]:
    """A Grafana provisioning file for the demo's Prometheus."""
    source = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "isDefault": True,
        "jsonData": {"timeInterval": SCRAPE_INTERVAL, "httpMethod": "POST"},
    }
    return {"apiVersion": 1, "datasources": [source]}


def grafana_home(binary: Path) -> Path | None:
    """Grafana's own files, for a binary on PATH: of an archive, of Homebrew, or of a distribution's package."""
    folder = binary.resolve().parent.parent
    places = (folder, folder / "share" / "grafana", Path("/usr/share/grafana"))
    return next((place for place in places if (place / "conf" / "defaults.ini").exists()), None)


def grafana_dashboards(folder: Path) -> dict[str, Any]:
    """A Grafana provisioning file for the dashboards in `folder`."""
    provider = {"name": "openai", "type": "file", "folder": "OpenAI", "options": {"path": str(folder)}}
    return {"apiVersion": 1, "providers": [provider]}


def write(path: Path, content: str | dict[str, Any]) -> Path:
    """Write a text, or a document as YAML, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


_MARKER = ".openai-exporter-demo"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Empty the demo's folder, and keep other demos out of it until the end of the block, however that comes.

    Raises:
        StartError: the folder holds something else, cannot be written, or a demo runs in it.
    """
    marker = data / _MARKER
    try:
        if data.exists() and any(data.iterdir()) and not marker.exists():
            raise StartError(f"{data} is not empty and not a directory of the demo; choose another with --data-dir")
        data.mkdir(parents=True, exist_ok=True)
        file = marker.open("a")
    except OSError as error:
        raise StartError(f"{data} cannot be written: {error.strerror}; choose another with --data-dir") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"a demo runs in {data} already; end it, or choose another with --data-dir") from None
        _empty(data)
        yield


def _empty(data: Path) -> None:
    for path in data.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _MARKER:
            path.unlink()
    (data / "logs").mkdir(exist_ok=True)


NAME = "thresholds.yml"

_BUILT_IN = ThresholdFile.model_validate(
    {
        "thresholds": [
            {"name": "high_latency", "metric": "p95_latency", "operator": ">", "threshold": "5s", "for": "2m",
             "severity": "warning"},
            {"name": "high_error_rate", "metric": "error_rate", "operator": ">", "threshold": "5%", "for": "5m",
             "severity": "critical"},
        ]
    }
)  # fmt: skip
"""Where there is no bundle."""


def rule_file(alerting: Path, interval: float, promtool: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a rule file with the user's rules, and what is wrong with them.

    Thresholds have shorter windows, so that an alert fires in seconds; raw rules are taken as they are.

    Args:
        alerting: the bundle's folder with `thresholds.yml`, in place of which built-in ones are used when it is missing
            or has a mistake, and `rules.d/`, whose rules are taken as they are.
        interval: seconds between two scrapes.
        promtool: path of promtool, to check raw rules with.
    """
    notes: list[str] = []
    file = _BUILT_IN
    if (alerting / NAME).exists():
        try:
            file = load_thresholds(alerting / NAME)
        except ConfigError as error:
            notes += [f"{error.problems[0]}; the demo continues with its own thresholds"]
    built = build_from(faster(file, interval), NAME, alerting / "rules.d", promtool)
    notes += [f"{problem}; left out" for problem in built.left_out]
    return built.text, (*notes, *built.notes)


def faster(file: ThresholdFile, interval: float) -> ThresholdFile:
    """The same thresholds with the windows of probes shortened as the interval is."""
    factor = interval / file.settings.interval
    thresholds = []
    for threshold in file.thresholds:
        measure = MEASURES[threshold.metric]
        if not measure.is_usage:
            window = (threshold.window or measure.window) * factor
            scaled = {"hold": round(threshold.hold * factor, 3), "window": round(window, 3)}
            threshold = threshold.model_copy(update=scaled)
        thresholds.append(threshold)
    settings = file.settings.model_copy(update={"interval": interval})
    return file.model_copy(update={"settings": settings, "thresholds": tuple(thresholds)})
