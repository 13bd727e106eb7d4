# SPDX-License-Identifier: Apache-2.0
"""What each service reads: the exporter, the rules and their routes, Prometheus and Grafana."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from variables import KEYS

from openai_exporter.config import load_config
from openai_exporter.config.base import format_duration, parse_duration
from openai_exporter.config.load import default_document, parse_config
from openai_exporter.demo.plan import exporter_document
from openai_exporter.errors import ConfigError, ExporterError, Problem
from openai_exporter.rules.bundle import (
    ALERTMANAGER,
    DASHBOARDS,
    RULES,
    SETTINGS,
    TEMPLATE,
    bundle_root,
    compile_bundle,
    load_settings,
    source,
)
from openai_exporter.web.routes import DEFAULT_SCRAPE_TIMEOUT

GRAFANA = "http://localhost:3000"
"""Root of Grafana in the rules as shipped."""
CAUGHT: Mapping[str, Any] = {
    "alertmanager": {
        "channels": {
            "email": {
                "to": "oncall@example.org", "from": "alerts@example.org", "smarthost": "mailpit:1025",
                "require_tls": False,
            },
        },
        "audiences": {"info": ["email"]},
        "groupWait": {"page": "5s", "notify": "5s"},
        "groupInterval": "1m",
        "officeHours": [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}],
    }
}  # fmt: skip
"""Alerts as the mail catcher takes them: all of them, soon, and by no other channel."""
SIMULATOR = "http://simulator:8085"
USER = 65532
SHARDS = 2
RECEIVER, QUERIER = "thanos-receive", "thanos-query"
DEMO, PRODUCTION = "demo", "production"
DEMO_KEYS = {"openai_api_key": "sk", "openai_admin_key": "sk-admin"}
PURPOSE = {"openai_api_key": "nothing is probed", "openai_admin_key": "usage and costs are not read"}
OF_ANOTHER_KIND = {"openai_api_key": ("sk-admin-",), "openai_admin_key": ("sk-proj-", "sk-svcacct-", "sk-service-")}
"""File -> how the keys begin that belong into the other one."""
LEAST = {"status_pages": [{"name": "openai"}]}
"""What the exporter reads with no key."""
AGAIN = "run `docker compose up --detach` again"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders, as they are mounted here.

    Attributes:
        settings: what this writes, for exporter, Prometheus, Alertmanager and Grafana.
        password: holds Grafana's password; only Grafana sees it.
        config: may hold the user's exporter.yml and prometheus.yml.
        keys: the user's key files.
        alerting: the user's settings.yml, thresholds.yml and rules.d/.
        bundle: what the image carries: `prometheus/`, `alerting/` and `dashboards/`.
    """

    settings: Path = Path("/stack/settings")
    password: Path = Path("/stack/grafana")
    config: Path = Path("/etc/openai-exporter")
    keys: Path = Path("/run/secrets")
    alerting: Path = Path("/stack/alerting")
    bundle: Path = field(default_factory=bundle_root)


@dataclass(frozen=True, slots=True)
class Before:
    """What the start before this one accepted.

    Attributes:
        mode: demo or production, empty at the first start.
        values: the variables.
        exporter: the exporter's configuration, None when none was accepted.
        origin: the directory on the machine from which it was started, empty when it is not known.
    """

    mode: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    exporter: str | None = None
    origin: str = ""


@dataclass(slots=True)
class Plan:
    """What is to be written.

    Attributes:
        mode: demo or production.
        files: path below the settings -> text.
        notes: what a person should know.
        problems: what is wrong, with what was accepted before in its place.
        warnings: what is wrong and keeps nothing from what is right.
        unused_keys: keys that the demo leaves alone.
    """

    mode: str
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unused_keys: list[str] = field(default_factory=list)

    def first(self, *makers: Callable[[], None]) -> None:
        """Run the first of these that raises no error; what is wrong with the very first is a problem.

        Raises:
            ConfigError: none can be used; the mistakes are those of the first.
        """
        found: list[Problem] = []
        for make in makers:
            try:
                make()
            except ExporterError as error:
                found = found or problems_of(error)
            else:
                self.problems += found
                return
        raise ConfigError(found)


def problems_of(error: ExporterError) -> list[Problem]:
    return list(error.problems) if isinstance(error, ConfigError) else [Problem("prepare", str(error))]


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


# ---- The exporter ---------------------------------------------------------------------------------------------------


def exporter(made: Plan, place: Place, env: Mapping[str, str], known: Before) -> None:
    present = _keys(made, place, env)
    if made.mode == DEMO:
        made.notes.append(f"exporter: probes the simulator at {SIMULATOR}; no key is used, none is needed")
        made.unused_keys += present
        for name in present:
            made.warnings.append(Problem(f"{secrets_folder(env)}/{name}", "is a real key, which the demo does not use"))
        made.files |= _demo_keys(place)
        document = _with_files(exporter_document(SIMULATOR), place.settings / "keys")
        made.files["exporter.yml"] = _yaml(document)
        return

    def kept() -> None:
        if known.exporter is None:
            raise ConfigError([Problem("prepare", "no configuration was accepted before")])
        made.files["exporter.yml"] = known.exporter

    def least() -> None:
        """Of an earlier version nothing may be kept: all but the probes goes on."""
        made.files["exporter.yml"] = _yaml(LEAST)

    made.first(lambda: _current(made, place, env, present), kept, *([least] if known.mode else []))
    made.files["accepted/exporter.yml"] = made.files["exporter.yml"]


def _demo_keys(place: Place) -> dict[str, str]:
    """Keys that are made up, once for a stack."""
    return {
        f"keys/{name}": text_of(place.settings / "keys" / name) or f"{kind}-demo-{secrets.token_hex(12)}\n"
        for name, kind in DEMO_KEYS.items()
    }


def secrets_folder(env: Mapping[str, str]) -> str:
    return f"{env.get('SECRETS_DIR') or 'deploy/compose/secrets'}/exporter"


def _keys(made: Plan, place: Place, env: Mapping[str, str]) -> list[str]:
    """The key files that are there; a folder that may not be looked into is told, and taken for empty."""
    try:
        there = {path.name for path in place.keys.iterdir()}
        return [name for name in KEYS if name in there]
    except OSError as error:
        if made.mode == PRODUCTION:
            made.warnings.append(Problem(secrets_folder(env), _unreadable(error, secrets_folder(env))))
        return []


def _unreadable(error: OSError, shown: str) -> str:
    return (
        f"cannot be read by user {os.getuid()}: {error.strerror}; set EXPORTER_UID in .env to the user that owns it "
        f"(id -u), or, if that is root, let others look into it: chmod a+rX {shown}"
    )


def _current(made: Plan, place: Place, env: Mapping[str, str], present: Sequence[str]) -> None:
    """The user's exporter.yml, or the built-in configuration for the keys that are there."""
    own = place.config / "exporter.yml"
    try:
        there = own.exists()
    except OSError as error:
        made.warnings.append(Problem(str(place.config), _unreadable(error, str(place.config))))
        there = False
    if not there:
        made.files["exporter.yml"] = _yaml(_of_keys(made, place, env, present))
        return
    config = load_config(own, env)
    made.files["exporter.yml"] = _absolute(own)
    made.notes.append(f"exporter: runs on {own}")
    made.warnings += config.unreadable_keys


def _absolute(own: Path) -> str:
    """The text of the user's file, which is read in another folder than its own."""
    text = own.read_text(encoding="utf-8-sig")
    document = yaml.safe_load(text)
    return _yaml(document) if _rebase(document, own.parent) else text


def _rebase(value: Any, folder: Path) -> bool:
    """Make relative names of files absolute; whether there was one."""
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    changed = False
    for key, each in entries:
        if isinstance(each, str) and str(key).endswith("_file") and not each.startswith(("/", "~")):
            value[key] = str(folder / each)
            changed = True
        changed = _rebase(each, folder) or changed
    return changed


def _of_keys(made: Plan, place: Place, env: Mapping[str, str], present: Sequence[str]) -> dict[str, Any]:
    """The built-in configuration, for the keys that are there; with none, the status page alone."""
    shown = secrets_folder(env)
    _not_in_the_environment(made, env, present, shown)
    for name in (each for each in KEYS if each not in present):
        made.notes.append(f"exporter: no {name}: {PURPOSE[name]}; put the key into {shown}/{name} and {AGAIN}")
    _usable([place.keys / name for name in present], shown)
    if not present:
        made.notes.append("exporter: to see everything at work without a key: docker compose --profile demo up")
        return LEAST
    given = {KEYS[name]: "set" for name in present} | {"OPENAI_BASE_URL": env.get("OPENAI_BASE_URL", "")}
    document = _with_files(default_document(given) or {}, place.keys)
    # A key that is none is told here, with its file, rather than by an exporter that does not start.
    config = parse_config(_yaml(document), "built-in configuration", env, place.keys)
    made.warnings += config.unreadable_keys
    return document


def _not_in_the_environment(made: Plan, env: Mapping[str, str], present: Sequence[str], shown: str) -> None:
    """Refuse a key of the shell or of .env when there is no file, and say what works; Compose tells only that it is."""
    problems = []
    for name, variable in KEYS.items():
        if env.get(variable) and name in present:
            made.notes.append(
                f"exporter: {variable} of the shell or .env is not used; the key is that in {shown}/{name}"
            )
        elif env.get(variable):
            command = f'(umask 077 && printf %s "${variable}" > {shown}/{name})'
            problems.append(
                Problem(
                    variable,
                    "is set in the shell or in .env, where `docker inspect` would show it, and is not used; put the "
                    f'key into a file: {command} && echo "EXPORTER_UID=$(id -u)" >> .env (as root: chown {USER} '
                    f"{shown}/{name} in place of the last), and {AGAIN}",
                )
            )
    if problems:
        raise ConfigError(problems)


def _usable(keys: Iterable[Path], shown: str) -> None:
    """Refuse keys that the exporter, which runs as this user, could not read either, and those of the other kind."""
    problems = []
    for path in keys:
        if not os.access(path, os.R_OK):
            text = (
                f"cannot be read by user {os.getuid()}; set EXPORTER_UID in .env to the user that owns it (id -u), or, "
                f"if that is root, give it to the exporter's: chown {USER} {shown}/{path.name}"
            )
            problems.append(Problem(f"{shown}/{path.name}", text))
        elif (text_of(path) or "").lstrip().startswith(OF_ANOTHER_KIND[path.name]):
            (other,) = KEYS.keys() - {path.name}
            kind = "an admin key" if other == "openai_admin_key" else "a project key"
            text = f"holds {kind}, which cannot do the work of {path.name}; it belongs into {shown}/{other}"
            problems.append(Problem(f"{shown}/{path.name}", text))
    if problems:
        raise ConfigError(problems)


def _with_files(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with its keys read from files of the folder in place of the environment."""
    files = {variable: str(folder / name) for name, variable in KEYS.items()}
    for entry in [*document.get("targets", []), *document.get("organizations", [])]:
        for key in ("api_key", "admin_key"):
            if (variable := entry.pop(f"{key}_env", None)) is not None:
                entry[f"{key}_file"] = files[variable]
    return document


# ---- Rules and routing ----------------------------------------------------------------------------------------------


def alerting(made: Plan, place: Place, grafana: str, known: Before, caught: bool) -> None:
    """Rules, Alertmanager's configuration and dashboards, of the user's files, those accepted before, or as shipped."""
    accepted = place.settings / "accepted" / "alerting"

    def of(folder: Path, strict: bool = False) -> Callable[[], None]:
        return lambda: made.files.update(_compiled(made, place, folder, grafana, caught, strict))

    def shipped() -> None:
        """What is generated already, and the user's thresholds as they were compiled last."""
        for name in (RULES, DASHBOARDS, ALERTMANAGER, TEMPLATE):
            path = place.bundle / name
            found = [path] if path.is_file() else [each for each in path.iterdir() if each.suffix in (".yml", ".json")]
            made.files |= {_settled(f"{name}/{each.name}" if path.is_dir() else name): _read(each) for each in found}
        own = "prometheus/rules/user-thresholds.yml"
        made.files[own] = text_of(place.settings / own) or made.files[own]

    makers = [of(accepted)] if accepted.is_dir() else []
    last = [of(place.bundle / "alerting"), *([] if caught else [shipped])]
    try:
        _inputs(place.alerting)
    except OSError as error:
        # As after `git clone` with umask 077: the files may be the shipped ones, but that is not known.
        made.warnings.append(Problem(str(place.alerting), _unreadable(error, str(place.alerting))))
        makers += last
    else:
        makers.insert(0, of(place.alerting, strict=bool(known.mode)))
        makers += [of(place.alerting), *last] if known.mode else []
    made.first(*makers)


INPUTS = ("settings.yml", "thresholds.yml")


def _inputs(folder: Path) -> dict[str, Path]:
    """The user's files in a folder, as far as they are there; each can be opened.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    found = {path.name: path for path in folder.iterdir() if path.name in INPUTS}
    raw = folder / "rules.d"
    if raw.is_dir():
        found |= {f"rules.d/{path.name}": path for path in raw.iterdir() if path.suffix == ".yml"}
    for path in found.values():
        path.open("rb").close()
    return found


def _compiled(made: Plan, place: Place, folder: Path, grafana: str, caught: bool, strict: bool) -> dict[str, str]:
    """What is made of a folder with settings, thresholds and rules.d/, and these themselves, to go back to.

    Raises:
        ExporterError: a mistake; raw rule files with one are left out unless `strict`.
    """
    files = {}
    for name, path in _inputs(folder).items():
        try:
            files[f"accepted/alerting/{name}"] = _read(path)
        except UnicodeDecodeError as error:
            raise ConfigError([Problem(str(path), f"is not a text file: {error.reason}")]) from None
    settings = load_settings(source(folder, place.bundle, SETTINGS), place.bundle)
    # With the address that is shipped, nothing but what the settings change is compiled.
    changes: dict[str, Any] = {} if "grafana" in settings.links or grafana == GRAFANA else {"grafanaUrl": grafana}
    if caught:
        kept = {key: value for key, value in settings.config.items() if key != "alertmanager"}
        settings, changes = replace(settings, config=kept), {**changes, **CAUGHT}
    compiled = compile_bundle(folder, place.bundle, settings=settings, changes=changes)
    if compiled.left_out and strict:
        raise ConfigError(list(compiled.left_out))
    made.warnings += compiled.left_out
    made.notes += [f"rules: {note}" for note in compiled.notes]
    return files | {_settled(name): text for name, text in compiled.files.items()}


def _settled(name: str) -> str:
    """Where a file of the bundle goes among the settings."""
    return name.removeprefix("alerting/").replace(f"{DASHBOARDS}/", "grafana/pages/")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ---- Prometheus and Grafana -----------------------------------------------------------------------------------------


def prometheus(made: Plan, place: Place, interval: str | None, known: Before, scale: bool) -> None:
    own, accepted = place.config / "prometheus.yml", place.settings / "accepted" / "prometheus.yml"
    shipped = place.bundle / "prometheus" / "prometheus.yml"
    source = own if text_of(own) is not None else shipped
    document: dict[str, Any] = {}

    def of(path: Path) -> Callable[[], None]:
        return lambda: document.update(_scraping(path))

    made.first(of(source), *(of(each) for each in (accepted, shipped) if known.mode))
    made.files["accepted/prometheus.yml"] = _yaml(document)
    if interval is not None:
        # The simulator costs nothing, and nobody wants to wait for a chart. What it counts is told apart anywhere.
        labels = {"external_labels": {**document["global"].get("external_labels", {}), "env": DEMO}}
        document["global"] |= _paced(interval) | labels
    if not scale:
        made.files["prometheus/prometheus.yml"] = _yaml(document)
        return
    remote = yaml.safe_load((place.bundle / "prometheus" / "remote-write" / "thanos.yml").read_text("utf-8"))
    for shard in range(SHARDS):
        name = "prometheus.yml" if shard == 0 else f"prometheus-{shard}.yml"
        made.files[f"prometheus/{name}"] = _yaml(sharded(document, shard, SHARDS) | remote)
    made.notes.append(f"prometheus: {SHARDS} servers share the targets and write to {RECEIVER}; thanos-rule alerts")


def _scraping(path: Path) -> dict[str, Any]:
    """A configuration of Prometheus, as far as it can be judged here.

    Raises:
        ConfigError: it has not the form of one.
    """
    allowed = "global, rule_files, alerting, scrape_configs, remote_write, remote_read, storage, tracing, otlp, runtime"
    try:
        document = yaml.safe_load(text_of(path) or "")
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        raise ConfigError([Problem(f"{path}{line}", f"is no YAML: {getattr(error, 'problem', error)}")]) from None
    if not isinstance(document, dict) or not isinstance(document.get("scrape_configs"), list):
        raise ConfigError(
            [Problem(str(path), "must be a mapping with scrape_configs; start from prometheus/prometheus.yml")]
        )
    unknown = [key for key in document if key not in allowed.split(", ")]
    if unknown:
        raise ConfigError([Problem(str(path), f"{unknown[0]!r}: unknown section; there are {allowed}")])
    document.setdefault("global", {})
    return document


def _paced(interval: str) -> dict[str, str]:
    seconds = parse_duration(interval)
    timeout = interval if seconds < DEFAULT_SCRAPE_TIMEOUT else format_duration(DEFAULT_SCRAPE_TIMEOUT)
    return {"scrape_interval": interval, "scrape_timeout": timeout, "evaluation_interval": interval}


def sharded(document: Mapping[str, Any], shard: int, shards: int) -> dict[str, Any]:
    """A Prometheus configuration for one of several servers: its share of the exporter's targets, and no rules.

    Every other job stays with the first server, but for `prometheus`, with which each watches itself.
    """
    jobs = [dict(job) for job in document["scrape_configs"]]
    kept = [job for job in jobs if shard == 0 or job["job_name"] in ("openai", "prometheus")]
    for job in kept:
        if job["job_name"] == "openai":
            job["relabel_configs"] = [*job.get("relabel_configs", []), *share(shard, shards)]
        elif job["job_name"] == "prometheus" and shard:
            job["static_configs"] = [{"targets": [f"prometheus-{shard}:9090"]}]
    labels = {**document["global"].get("external_labels", {}), "shard": str(shard)}
    return {"global": {**document["global"], "external_labels": labels}, "scrape_configs": kept}


def share(shard: int, shards: int) -> list[dict[str, Any]]:
    """Relabelling that keeps the share of one server, by all that tells one page of the exporter from another."""
    told_apart = [
        "__address__",
        "__metrics_path__",
        "__param_target",
        "__param_module",
        "__param_model",
        "__param_organization",
        "__param_page",
    ]
    hashed = {"source_labels": told_apart, "modulus": shards, "target_label": "__tmp_hash", "action": "hashmod"}
    return [hashed, {"source_labels": ["__tmp_hash"], "regex": str(shard), "action": "keep"}]


def grafana(made: Plan, place: Place, interval: str | None, values: Mapping[str, str], scale: bool) -> None:
    """Data sources, and the path at which Grafana sees the pages."""
    pages = place.bundle / "dashboards"
    for path in (pages / "provisioning" / "dashboards").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        made.files[f"grafana/dashboards/{path.name}"] = text.replace(
            "/etc/grafana/dashboards", "/stack/settings/grafana/pages"
        )
    for path in (pages / "provisioning" / "datasources").glob("*.yaml"):
        text = path.read_text("utf-8").replace("localhost:9985", f"localhost:{values['EXPORTER_PORT']}")
        document = yaml.safe_load(text)
        for each in document["datasources"]:
            if each["type"] == "prometheus":
                # Grafana's shortest step and range: that of the scrapes.
                each["jsonData"] |= {"timeInterval": interval} if interval else {}
                if scale:
                    each["url"] = f"http://{QUERIER}:10902"
                    each["jsonData"]["prometheusType"] = "Thanos"
        made.files[f"grafana/datasources/{path.name}"] = _yaml(document)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False)
