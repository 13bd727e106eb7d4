# SPDX-License-Identifier: Apache-2.0
"""Writes the settings that the services of docker-compose.yml read; the service `prepare` runs it before them.

What runs decides: beside `simulator` the exporter probes it, beside `mailpit` alerts are mailed there, beside
`thanos-receive` two Prometheus share the targets and write to it. With none of these, the user's keys and files are
used as they are, by symbolic links, so that an edit is in force at the next reload. A mistake in a user's file ends
this with status 1 before anything is written, and what runs goes on with what it had.

`--check PROFILE...` looks for mistakes before anything of those profiles runs, and writes nothing.
"""

import os
import re
import secrets
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from openai_exporter.config import load_config
from openai_exporter.config.base import format_duration, parse_duration
from openai_exporter.config.load import default_document, parse_config
from openai_exporter.demo.plan import exporter_document
from openai_exporter.errors import ConfigError, ExporterError, Problem
from openai_exporter.rules.rule_file import build
from openai_exporter.web.routes import DEFAULT_SCRAPE_TIMEOUT

GRAFANA = "http://localhost:3000"
"""Root of Grafana in the rules as shipped; one that was set otherwise stays."""
SIMULATOR = "http://simulator:8085"
USER = 65532
SHARDS = 2
RECEIVER, QUERIER, RULER = "thanos-receive", "thanos-query", "thanos-rule"
RELOADED = (
    "http://exporter:9985/-/reload",
    "http://alertmanager:9093/-/reload",
    # Prometheus looks for changes by itself; Thanos does not.
    f"http://{RULER}:10902/-/reload",
)
PROFILES = {"demo": {"simulator", "mailpit"}, "mail": {"mailpit"}, "scale": {RECEIVER}}
"""Profile -> its services that decide what is written."""
KEYS = {"openai_api_key": "OPENAI_API_KEY", "openai_admin_key": "OPENAI_ADMIN_KEY"}
DEMO_KEYS = {"openai_api_key": "sk", "openai_admin_key": "sk-admin"}
PURPOSE = {"openai_api_key": "nothing is probed", "openai_admin_key": "usage and costs are not read"}


@dataclass(frozen=True, slots=True)
class Place:
    """Folders, as they are mounted here and in the services that follow the links.

    Attributes:
        settings: what this writes, for exporter, Prometheus, Alertmanager and Grafana.
        password: holds Grafana's password; only Grafana sees it.
        bundle: `prometheus/`, `alerting/`, `dashboards/provisioning/` and `deploy/compose/` of the repository.
        config: may hold the user's exporter.yml.
        keys: the user's key files.
    """

    settings: Path = Path("/stack/settings")
    password: Path = Path("/stack/grafana")
    bundle: Path = Path("/bundle")
    config: Path = Path("/etc/openai-exporter")
    keys: Path = Path("/run/secrets")


@dataclass(slots=True)
class Plan:
    """What is to be written.

    Attributes:
        files: path below the settings -> text.
        links: path below the settings -> where it points.
        notes: what a person should know.
    """

    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plan(place: Place, env: Mapping[str, str], running: frozenset[str]) -> Plan:
    """Everything that the services read.

    Raises:
        ExporterError: a file of the user's cannot be used.
    """
    made = Plan()
    _exporter(made, place, env, demo="simulator" in running)
    _rules(made, place, _grafana_url(env))
    interval = env.get("DEMO_INTERVAL", "15s") if "simulator" in running else None
    _prometheus(made, place, interval, scale=RECEIVER in running)
    _alertmanager(made, place, caught="mailpit" in running)
    _grafana(made, place, interval, scale=RECEIVER in running)
    return made


def _exporter(made: Plan, place: Place, env: Mapping[str, str], demo: bool) -> None:
    own = place.config / "exporter.yml"
    if demo:
        made.notes.append(f"exporter: probes the simulator at {SIMULATOR}; no key is used, none is needed")
        made.files |= {f"keys/{name}": f"{kind}-demo-{secrets.token_hex(12)}\n" for name, kind in DEMO_KEYS.items()}
        document = _with_files(exporter_document(SIMULATOR), place.settings / "keys")
    elif own.exists():
        config = load_config(own, env)
        made.links["exporter.yml"] = own
        made.notes.append(f"exporter: runs on {own}")
        made.notes += [f"exporter: {problem}" for problem in config.unreadable_keys]
        return
    else:
        document = _of_keys(made, place, env)
    made.files["exporter.yml"] = _yaml(document)


def _of_keys(made: Plan, place: Place, env: Mapping[str, str]) -> dict[str, Any]:
    """The built-in configuration, for the keys that are there; with none, the status page alone."""
    found = [name for name in KEYS if (place.keys / name).exists()]
    shown = f"{env.get('SECRETS_DIR', 'deploy/compose/secrets')}/exporter"
    for name in KEYS:
        if name not in found:
            made.notes.append(
                f"exporter: no {name}: {PURPOSE[name]}; put the key into {shown}/{name} and run "
                "`docker compose up --detach` again"
            )
    _readable([place.keys / name for name in found], shown)
    if not found:
        made.notes.append("exporter: to see everything at work without a key: docker compose --profile demo up")
        return {"status_pages": [{"name": "openai"}]}
    given = {KEYS[name]: "set" for name in found} | {"OPENAI_BASE_URL": env.get("OPENAI_BASE_URL", "")}
    document = _with_files(default_document(given) or {}, place.keys)
    # A key that is none is told here, with its file, rather than by an exporter that does not start.
    config = parse_config(_yaml(document), "built-in configuration", env, place.keys)
    made.notes += [f"exporter: {problem}" for problem in config.unreadable_keys]
    return document


def _readable(keys: Iterable[Path], shown: str) -> None:
    """Refuse keys that the exporter, which runs as this user, could not read either."""
    problems = [
        Problem(
            f"{shown}/{path.name}",
            f"cannot be read by user {os.getuid()}; set EXPORTER_UID in .env to the user that owns it (id -u), or, if "
            f"that is root, give it to the exporter's: chown {USER} {shown}/{path.name}",
        )
        for path in keys
        if not os.access(path, os.R_OK)
    ]
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


def _grafana_url(env: Mapping[str, str]) -> str:
    url = (env.get("GRAFANA_URL") or GRAFANA).rstrip("/")
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/%\[\]-]+", url):
        allowed = "must be an http:// or https:// URL without user, query or fragment"
        raise ConfigError([Problem("GRAFANA_URL in .env", f"{url!r}: {allowed}")])
    return url


def _rules(made: Plan, place: Place, grafana: str) -> None:
    """The shipped rules by link, or with links to another Grafana; the user's thresholds and raw rules compiled."""
    compiled = "user-thresholds.yml"
    for path in sorted((place.bundle / "prometheus" / "rules").glob("*.yml")):
        if path.name == compiled:
            continue
        text = path.read_text(encoding="utf-8")
        name, led = f"prometheus/rules/{path.name}", _led(text, grafana)
        if led == text:
            made.links[name] = path
        else:
            made.files[name] = led
    built = build(place.bundle / "alerting" / "thresholds.yml", place.bundle / "alerting" / "rules.d")
    made.files[f"prometheus/rules/{compiled}"] = _led(built.text, grafana)
    made.notes += [f"rules: left out: {problem}" for problem in built.left_out]
    made.notes += [f"rules: {note}" for note in built.notes]


def _led(text: str, grafana: str) -> str:
    """Rules whose links lead to that Grafana."""
    return text.replace(f"{GRAFANA}/", f"{grafana}/")


def _prometheus(made: Plan, place: Place, interval: str | None, scale: bool) -> None:
    source = place.bundle / "prometheus" / "prometheus.yml"
    if interval is None and not scale:
        made.links["prometheus/prometheus.yml"] = source
        return
    document: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    if interval is not None:
        # The simulator costs nothing, and nobody wants to wait for a chart.
        document["global"] |= _paced(interval)
    if not scale:
        made.files["prometheus/prometheus.yml"] = _yaml(document)
        return
    remote = yaml.safe_load((place.bundle / "prometheus" / "remote-write" / "thanos.yml").read_text("utf-8"))
    for shard in range(SHARDS):
        name = "prometheus.yml" if shard == 0 else f"prometheus-{shard}.yml"
        made.files[f"prometheus/{name}"] = _yaml(sharded(document, shard, SHARDS) | remote)
    made.notes.append(f"prometheus: {SHARDS} servers share the targets and write to {RECEIVER}; thanos-rule alerts")


def _paced(interval: str) -> dict[str, str]:
    try:
        seconds = parse_duration(interval)
        if not seconds:
            raise ValueError("must be longer than zero")
    except ValueError as error:
        raise ConfigError([Problem("DEMO_INTERVAL in .env", str(error))]) from None
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


def _alertmanager(made: Plan, place: Place, caught: bool) -> None:
    own = place.bundle / "alerting" / "alertmanager"
    mail = place.bundle / "deploy" / "compose" / "alertmanager-mail.yml"
    made.links["alertmanager/alertmanager.yml"] = mail if caught else own / "alertmanager.yml"
    made.links["alertmanager/templates"] = own / "templates"
    if caught:
        made.notes.append("alertmanager: every alert is mailed to mailpit and nowhere else")


def _grafana(made: Plan, place: Place, interval: str | None, scale: bool) -> None:
    provisioning = place.bundle / "dashboards" / "provisioning"
    made.links["grafana/dashboards"] = provisioning / "dashboards"
    sources = provisioning / "datasources"
    if interval is None and not scale:
        made.links["grafana/datasources"] = sources
        return
    for path in sorted(sources.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def write(made: Plan, settings: Path) -> None:
    """Bring the folder up to date, each file whole or not at all; what is no longer wanted goes."""
    for name, target in made.links.items():
        _put(settings / name, lambda new, target=target: new.symlink_to(target))
    for name, text in made.files.items():
        path = settings / name
        if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8") != text:
            _put(path, lambda new, text=text: new.write_text(text, encoding="utf-8"))
    wanted = {settings / name for name in (*made.links, *made.files)}
    for path in _present(settings):
        if path not in wanted:
            path.unlink()


def _put(path: Path, make: Any) -> None:
    for parent in reversed(path.parents):
        if parent.is_symlink():
            parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder) / path.name
        make(new)
        if path.is_dir() and not path.is_symlink():
            for each in path.iterdir():
                each.unlink()
            path.rmdir()
        new.replace(path)


def _present(folder: Path) -> Iterable[Path]:
    """Files and links below the folder; links are not followed."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in files)
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())


def write_password(folder: Path) -> None:
    """Make Grafana's password at the first start; kept as long as the volume."""
    path = folder / "admin_password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(18), encoding="utf-8")
        # Grafana runs as another user, in this group.
        path.chmod(0o440)


def running(names: Iterable[str]) -> frozenset[str]:
    """Those services that have a container; Compose has started them before this."""
    return frozenset(name for name in names if _resolves(name))


def _resolves(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def reload(urls: Iterable[str]) -> Iterator[str]:
    """Tell what runs already, and yield its complaints; at the first start nothing does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in urls:
        try:
            opener.open(urllib.request.Request(url, method="POST"), timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                yield f"{url}: {error.read().decode(errors='replace').strip()}"
        except OSError:
            continue


def _not_root(user: int) -> None:
    if user == 0:
        raise ConfigError(
            [
                Problem(
                    "EXPORTER_UID in .env",
                    "the exporter is not to run as root; leave the line out and give the key files to its own user: "
                    f"chown {USER} deploy/compose/secrets/exporter/*",
                )
            ]
        )


def outside(text: str, place: Place, env: Mapping[str, str]) -> str:
    """A message with paths as they are on the machine of the person who reads it, seen from the project's folder."""
    keys = f"{env.get('SECRETS_DIR', 'deploy/compose/secrets')}/exporter"
    folders = {place.config: env.get("CONFIG_DIR", "deploy/compose/config"), place.keys: keys}
    for inside, there in folders.items():
        text = text.replace(f"{inside}/", f"{there}/")
    return text.replace(f"{place.bundle}/", "")


def main(arguments: Sequence[str] = ()) -> int:
    """Prepare the stack, or look for mistakes; 1 when a file of the user's cannot be used."""
    os.umask(0o022)
    place = Place()
    check = list(arguments[:1]) == ["--check"]

    def say(text: str, **where: Any) -> None:
        print(outside(text, place, os.environ), **where, flush=True)

    try:
        _not_root(os.getuid())
        if check:
            services = frozenset().union(*(PROFILES.get(each, set()) for each in arguments[1:]))
        else:
            services = running(("simulator", "mailpit", RECEIVER))
        made = plan(place, os.environ, services)
    except ExporterError as error:
        problems = error.problems if isinstance(error, ConfigError) else [error]
        for problem in problems:
            say(f"prepare: {problem}", file=sys.stderr)
        again = "try again" if check else "run `docker compose up --detach` again"
        say(f"prepare: nothing was changed; mend this and {again}", file=sys.stderr)
        return 1
    if check:
        return 0
    write(made, place.settings)
    write_password(place.password)
    for note in made.notes:
        say(note)
    say("grafana: user admin, password: docker compose exec grafana cat /stack/grafana/admin_password")
    for complaint in reload(RELOADED):
        say(complaint)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
