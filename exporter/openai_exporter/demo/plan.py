# SPDX-License-Identifier: Apache-2.0
"""Which services a demo runs, with their commands; writes their configuration files and holds their ports."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openai_exporter.config.base import parse_duration
from openai_exporter.demo import files
from openai_exporter.demo.history import Past
from openai_exporter.demo.processes import (
    ALERTMANAGER,
    GRAFANA,
    LOOPBACK,
    PROMETHEUS,
    PROMTOOL,
    Ports,
    Program,
    Service,
)

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
            self._prometheus(prometheus, exporter, alertmanager)
        if GRAFANA in self._programs and prometheus:
            self._grafana(prometheus)
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

    def _add(
        self,
        name: str,
        argv: Sequence[str],
        url: str,
        hint: str,
        ready: str = "/-/ready",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._services.append(Service(name, argv, url + ready, url, env or {}, hint))

    def _simulator(self) -> str:
        url = self._url(SIMULATOR_PORT)
        argv = (*_OURS, "simulate", "--seed", str(self._seed), "--listen-address", _address(url))
        hint = "the simulated OpenAI API; break it with POST /_simulator/faults"
        self._add("simulator", argv, url, hint, ready="/_simulator/state")
        return url

    def _exporter(self, url: str, simulator: str | None, config: Path | None) -> None:
        argv = [*_OURS, "serve", "--web.listen-address", _address(url)]
        env: dict[str, str] = {}
        if simulator is not None:
            config = files.write(self._data / "exporter.yml", files.exporter_document(simulator))
            # Accepted by the simulator only; a real key in the environment must never reach it.
            env = files.KEYS
        if config is not None:
            argv += ["--config.file", str(config)]
        self._add("exporter", argv, url, "what is probed, last results, recent failures", env=env)

    def _page_sink(self) -> str:
        url = self._url(PAGES_PORT)
        argv = (
            *_OURS,
            "page-sink",
            "--listen-address",
            _address(url),
            "--file",
            str(self._data / "pages.jsonl"),
        )
        self._add("page-sink", argv, url, "pages that Alertmanager delivers, in place of a pager")
        return url

    def _alertmanager(self, url: str, pages: str) -> None:
        config = files.write(self._data / "alertmanager.yml", files.alertmanager_document(pages))
        argv = (
            self._programs[ALERTMANAGER],
            f"--config.file={config}",
            f"--storage.path={self._data / 'alertmanager'}",
            *_listening(url),
            "--cluster.listen-address=",
        )
        self._add("alertmanager", argv, url, "alerts that fire")

    def _prometheus(self, url: str, exporter: str, alertmanager: str | None) -> None:
        rules = [files.quickened(path, self._data / "rules") for path in files.bundled_rules(self._bundle)]
        document = files.prometheus_document(exporter, alertmanager, [*rules, self._thresholds()])
        argv = (
            self._programs[PROMETHEUS],
            f"--config.file={files.write(self._data / 'prometheus.yml', document)}",
            f"--storage.tsdb.path={self._data / 'prometheus'}",
            *_listening(url),
            "--enable-feature=exemplar-storage",
            "--storage.tsdb.retention.time=60d",
            "--log.level=warn",
        )
        self._add("prometheus", argv, url, "targets found through /sd; try openai_probe_outcome == 1")

    def _past(self, exporter: str) -> Past | None:
        if PROMTOOL not in self._programs:
            self._notes.append(f"without promtool ({PROMTOOL.remedy}) the pages have no past: they begin now")
            return None
        return Past(
            self._programs[PROMTOOL],
            self._programs[PROMETHEUS],
            _address(exporter),
            tuple(files.past_rules(self._bundle)),
            self._data,
            self._history_days,
        )

    def _thresholds(self) -> Path:
        interval = parse_duration(files.SCRAPE_INTERVAL)
        text, notes = files.rule_file(self._bundle / "alerting", interval, self._programs.get(PROMTOOL))
        self._notes += notes
        return files.write(self._data / "rules" / "thresholds.yml", text)

    def _grafana(self, prometheus: str) -> None:
        url = self._url(GRAFANA_PORT)
        provisioning = self._data / "grafana" / "provisioning"
        files.write(provisioning / "datasources" / "prometheus.yml", files.grafana_datasource(prometheus))
        dashboards = self._bundle / "dashboards" / "generated"
        if dashboards.is_dir():
            files.write(provisioning / "dashboards" / "openai.yml", files.grafana_dashboards(dashboards))
        binary = self._programs[GRAFANA]
        argv = [binary, "server"] if Path(binary).name == "grafana" else [binary]
        if Path("/usr/share/grafana/conf/defaults.ini").exists():
            argv += ["--homepath", "/usr/share/grafana"]
        env = {
            "GF_PATHS_DATA": str(self._data / "grafana"),
            "GF_PATHS_PROVISIONING": str(provisioning),
            "GF_SERVER_HTTP_ADDR": LOOPBACK,
            "GF_SERVER_HTTP_PORT": url.rsplit(":", 1)[1],
            # Loopback only, and nothing in it but the demo's own data: no login, hence no password to choose.
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_DISABLE_LOGIN_FORM": "true",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        }
        self._add("grafana", argv, url, "dashboards", ready="/api/health", env=env)


def _address(url: str) -> str:
    return url.removeprefix("http://")


def _listening(url: str) -> tuple[str, str]:
    """Flags of Prometheus and Alertmanager; else links in pages carry this machine's name, where nothing listens."""
    return f"--web.listen-address={_address(url)}", f"--web.external-url={url}"
