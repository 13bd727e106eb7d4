# SPDX-License-Identifier: Apache-2.0
"""Writes the settings that the services of docker-compose.yml read; the service `prepare` runs it before them.

Rules, dashboards and provisioning come from this image; the user's files and the variables of .env are checked and
compiled with them. What is wrong at the first start ends this with status 1, before anything is written. Later, each
part that is wrong is replaced by the one that was accepted before, so that what runs goes on, and this is said: here,
on the exporter's landing page, and by an alert.

The mode is what Compose was asked for: each profile has a service `asked-PROFILE` that leaves a marker. A stack that
was once a demo or production stays that, for its volumes hold the data.

`--check PROFILE...` looks for mistakes before anything of those profiles runs, and writes nothing.
"""

import difflib
import ipaddress
import json
import os
import re
import secrets
import shlex
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from openai_exporter.cli.common import LEVELS
from openai_exporter.client.network import parse_proxy
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
RECEIVER, QUERIER, RULER = "thanos-receive", "thanos-query", "thanos-rule"
# A name that ends in a dot is looked up as it is, in no search domain of this machine's.
RELOADED = (
    "http://exporter.:9985/-/reload",
    "http://alertmanager.:9093/-/reload",
    # Prometheus looks for changes by itself; Thanos does not.
    f"http://{RULER}.:10902/-/reload",
)
DEMO, PRODUCTION = "demo", "production"
PROFILES = ("demo", "mail", "scale")
KEYS = {"openai_api_key": "OPENAI_API_KEY", "openai_admin_key": "OPENAI_ADMIN_KEY"}
DEMO_KEYS = {"openai_api_key": "sk", "openai_admin_key": "sk-admin"}
PURPOSE = {"openai_api_key": "nothing is probed", "openai_admin_key": "usage and costs are not read"}
OF_ANOTHER_KIND = {"openai_api_key": ("sk-admin-",), "openai_admin_key": ("sk-proj-", "sk-svcacct-", "sk-service-")}
"""File -> how the keys begin that belong into the other one."""
LEAST = {"status_pages": [{"name": "openai"}]}
"""What the exporter reads with no key."""
AGAIN = "run `docker compose up --detach` again"


# ---- Variables of .env ----------------------------------------------------------------------------------------------


def _url(value: str) -> None:
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/%\[\]-]+", value):
        raise ValueError("must be an http:// or https:// URL without user, query or fragment")
    try:
        usable = bool(urlsplit(value).hostname) and urlsplit(value).port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be a URL with a host, and with a port from 1 to 65535 if any")


def _level(value: str) -> None:
    if value not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")


def _port(value: str) -> None:
    if not (value.isascii() and value.isdecimal() and 0 < int(value) < 65536):
        raise ValueError("must be a port from 1 to 65535")


def _interval(value: str) -> None:
    if not parse_duration(value):
        raise ValueError("must be longer than zero")


def _retention(value: str) -> None:
    span = 0.0
    with suppress(ValueError):
        span = parse_duration(value)  # at most 100y
    if span < 2 * 3600:
        raise ValueError("must be a duration with its unit, such as 40d, from 2h to 100y")


def _size(value: str) -> None:
    if not re.fullmatch(r"[1-9]\d{0,8}(MB|GB|TB|PB)", value):
        raise ValueError("must be a size with its unit, such as 512MB or 20GB")


def _proxy(value: str) -> None:
    parse_proxy(value)


def _hosts(value: str) -> None:
    if re.search(r"\s", value):
        raise ValueError("must be names or addresses with commas between them, and no blank")


def _authorities(value: str) -> None:
    try:
        ssl.create_default_context(cafile=value)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no certificate in it"
        raise ValueError(f"must be a PEM file as the exporter sees it, such as /run/secrets/ca.pem: {reason}") from None


def _address(value: str) -> None:
    ipaddress.ip_address(value)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of .env: what it is when it is not set, and what raises ValueError when it may not be that."""

    default: str
    check: Callable[[str], None]
    hidden: bool = False


VARIABLES = {
    "OPENAI_BASE_URL": Variable("", _url),
    "LOG_LEVEL": Variable("info", _level),
    "DEMO_INTERVAL": Variable("15s", _interval),
    "HTTPS_PROXY": Variable("", _proxy, hidden=True),
    "NO_PROXY": Variable("simulator,localhost,127.0.0.1", _hosts),
    "CA_FILE": Variable("/etc/ssl/certs/ca-certificates.crt", _authorities),
    "RETENTION": Variable("40d", _retention),
    "RETENTION_SIZE": Variable("20GB", _size),
    "BIND_ADDRESS": Variable("127.0.0.1", _address),
    "GRAFANA_PORT": Variable("3000", _port),
    "PROMETHEUS_PORT": Variable("9090", _port),
    "ALERTMANAGER_PORT": Variable("9093", _port),
    "EXPORTER_PORT": Variable("9985", _port),
    "SIMULATOR_PORT": Variable("8085", _port),
    "MAILPIT_PORT": Variable("8025", _port),
    "THANOS_PORT": Variable("10902", _port),
    "GRAFANA_URL": Variable("", _url),
    "PROMETHEUS_URL": Variable("", _url),
    "ALERTMANAGER_URL": Variable("", _url),
}
"""What this checks, in the order of .env.example; Compose itself checks sizes, and that folders are there."""
OF_COMPOSE = (
    "CONFIG_DIR", "SECRETS_DIR", "ALERTING_DIR", "EXPORTER_UID",
    "EXPORTER_MEMORY", "PROMETHEUS_MEMORY", "ALERTMANAGER_MEMORY", "GRAFANA_MEMORY", "THANOS_MEMORY",
    "PIP_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CONFIG_FILE",
)  # fmt: skip
NOT_OURS = ("HTTP_PROXY", "FTP_PROXY", "ALL_PROXY", *KEYS.values())


def checked(env: Mapping[str, str], accepted: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """The value of each variable, that of before where it may not be what it is; and what is wrong."""
    values, problems = {}, []
    for name, variable in VARIABLES.items():
        value = env.get(name, "").strip() or variable.default
        try:
            if value:
                variable.check(value)
        except ValueError as error:
            text = f"{error}" if variable.hidden else f"{value!r}: {error}"
            problems.append(Problem(f"{name} in .env", text))
            value = accepted.get(name, variable.default)
        values[name] = value
    for tool in ("GRAFANA", "PROMETHEUS", "ALERTMANAGER"):
        given = values[f"{tool}_URL"] or f"http://localhost:{values[f'{tool}_PORT']}"
        values[f"{tool}_URL"] = given.rstrip("/")
    return values, problems


def misspelt(env: Mapping[str, str]) -> Iterator[Problem]:
    """Names that are nearly those of variables; .env is read whole by this service for that."""
    known = (*VARIABLES, *OF_COMPOSE)
    for name in sorted(env.keys() - {*known, *NOT_OURS}):
        if name.isupper() and (near := difflib.get_close_matches(name, known, 1, 0.85)):
            yield Problem(f"{name} in .env", f"is not known, and has no effect; did you mean {near[0]}?")


# ---- What is written ------------------------------------------------------------------------------------------------


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


def before(settings: Path) -> Before:
    """What is known of the start before; a volume of version 0.1.0 and older says it by its files alone."""
    exporter = _text(settings / "accepted" / "exporter.yml")
    with suppress(ValueError, TypeError, KeyError):
        state = json.loads(_text(settings / "state.json") or "")
        return Before(str(state["mode"]), dict(state["values"]), exporter, str(state.get("origin", "")))
    file = settings / "exporter.yml"
    if not os.path.lexists(file):
        return Before()
    made_up = (settings / "keys" / "openai_api_key").exists()
    return Before(DEMO if made_up else PRODUCTION, {}, None if file.is_symlink() else _text(file))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def asked(settings: Path) -> frozenset[str]:
    """The profiles whose service `asked-PROFILE` ran before this; a marker counts once."""
    found = frozenset(name for name in PROFILES if (settings / f"asked-{name}").exists())
    for name in found:
        (settings / f"asked-{name}").unlink()
    return found


REMOVE = "`docker compose --profile '*' down --volumes` removes this stack and its data"


def granted(profiles: frozenset[str], known: Before) -> tuple[frozenset[str], list[Problem]]:
    """The profiles that a stack may have: production stays that, whoever asks for a demo, and goes on.

    Raises:
        ConfigError: the volumes hold data of the demo, and production was asked for.
    """
    if known.mode == DEMO and DEMO not in profiles:
        text = (
            "the volumes of this stack hold simulated data of the demo, and the profile demo was not asked for; "
            "go on with the demo by `docker compose --profile demo up --detach`; "
            f"or, before production, {REMOVE}"
        )
        raise ConfigError([Problem("mode", text)])
    if known.mode == PRODUCTION and DEMO in profiles:
        text = (
            "the volumes of this stack hold production data, which simulated data is not to be mixed with; the demo is "
            "rejected, and production continues; run the demo next to it, with COMPOSE_PROJECT_NAME=openai-demo"
            f" and other ports (GRAFANA_PORT, ...) in front of `docker compose --profile demo up`; or {REMOVE}"
        )
        return profiles - {DEMO}, [Problem("mode", text)]
    return profiles, []


def plan(
    place: Place, env: Mapping[str, str], profiles: frozenset[str], known: Before | None = None, user: int = USER
) -> Plan:
    """Everything that the services read.

    Raises:
        ExporterError: a file or variable of the user's cannot be used, and none was accepted before.
    """
    known = known or Before()
    profiles, refused = granted(profiles, known)
    made = Plan(DEMO if DEMO in profiles else PRODUCTION)
    made.problems += refused
    values, problems = checked(env, known.values)
    problems += _not_root(user)
    if problems and not known.mode:
        raise ConfigError(problems)
    made.problems += problems
    made.warnings += misspelt(env)
    _exporter(made, place, {**env, **values}, known)
    _alerting(made, place, values["GRAFANA_URL"], known, caught=bool(profiles & {"demo", "mail"}))
    pace = values["DEMO_INTERVAL"] if made.mode == DEMO else None
    _prometheus(made, place, pace, known, scale="scale" in profiles)
    _grafana(made, place, pace, values, scale="scale" in profiles)
    _values(made, values)
    here = origin(place.alerting)
    if known.origin and here and here != known.origin:
        made.warnings.append(Problem("project", f"{MOVED} it was {known.origin}, it is {here}"))
    state = {"mode": made.mode, "values": values, "origin": here or known.origin}
    made.files["state.json"] = json.dumps(state, indent=1) + "\n"
    made.files["stack.json"] = _stack(made, place, env)
    return made


MOVED = (
    "this stack was started from another directory before; if that is another stack, two directories of one name are "
    "one project: give one of them a COMPOSE_PROJECT_NAME in its .env;"
)


def origin(mounted: Path, table: Path = Path("/proc/self/mountinfo")) -> str:
    """Which directory of the machine is mounted there, as the kernel names it within its file system."""
    fields = (line.split(" ") for line in (_text(table) or "").splitlines())
    return next((each[3].replace("\\040", " ") for each in fields if each[4:5] == [str(mounted)]), "")


def _stack(made: Plan, place: Place, env: Mapping[str, str]) -> str:
    """What the exporter says of this on its landing page and in its metrics."""
    problems = [told(each, place, env) for each in (*made.problems, *made.warnings)]
    return json.dumps({"mode": made.mode, "problems": problems, "unused_keys": made.unused_keys}, indent=1) + "\n"


def _values(made: Plan, values: Mapping[str, str]) -> None:
    """Variables for the shells that start the services: checked, so that no service fails over one."""
    given = {
        "exporter": {
            "OPENAI_EXPORTER_LOG_LEVEL": values["LOG_LEVEL"],
            "HTTPS_PROXY": values["HTTPS_PROXY"],
            "NO_PROXY": values["NO_PROXY"],
            "SSL_CERT_FILE": values["CA_FILE"],
        },
        "prometheus": {name: values[name] for name in ("RETENTION", "RETENTION_SIZE", "PROMETHEUS_URL")},
        "alertmanager": {"ALERTMANAGER_URL": values["ALERTMANAGER_URL"]},
    }
    for service, variables in given.items():
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        made.files[f"values/{service}"] = "".join(lines)
    made.files["values/grafana"] = values["GRAFANA_URL"]


# ---- The exporter ---------------------------------------------------------------------------------------------------


def _exporter(made: Plan, place: Place, env: Mapping[str, str], known: Before) -> None:
    present = _keys(made, place, env)
    if made.mode == DEMO:
        made.notes.append(f"exporter: probes the simulator at {SIMULATOR}; no key is used, none is needed")
        made.unused_keys += present
        for name in present:
            made.warnings.append(Problem(f"{_shown(env)}/{name}", "is a real key, which the demo does not use"))
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
        f"keys/{name}": _text(place.settings / "keys" / name) or f"{kind}-demo-{secrets.token_hex(12)}\n"
        for name, kind in DEMO_KEYS.items()
    }


def _shown(env: Mapping[str, str]) -> str:
    return f"{env.get('SECRETS_DIR') or 'deploy/compose/secrets'}/exporter"


def _keys(made: Plan, place: Place, env: Mapping[str, str]) -> list[str]:
    """The key files that are there; a folder that may not be looked into is told, and taken for empty."""
    try:
        there = {path.name for path in place.keys.iterdir()}
        return [name for name in KEYS if name in there]
    except OSError as error:
        if made.mode == PRODUCTION:
            made.warnings.append(Problem(_shown(env), _unreadable(error, _shown(env))))
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
    shown = _shown(env)
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
        elif (_text(path) or "").lstrip().startswith(OF_ANOTHER_KIND[path.name]):
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


def _alerting(made: Plan, place: Place, grafana: str, known: Before, caught: bool) -> None:
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
        made.files[own] = _text(place.settings / own) or made.files[own]

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


def _prometheus(made: Plan, place: Place, interval: str | None, known: Before, scale: bool) -> None:
    own, accepted = place.config / "prometheus.yml", place.settings / "accepted" / "prometheus.yml"
    shipped = place.bundle / "prometheus" / "prometheus.yml"
    source = own if _text(own) is not None else shipped
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
        document = yaml.safe_load(_text(path) or "")
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


def _grafana(made: Plan, place: Place, interval: str | None, values: Mapping[str, str], scale: bool) -> None:
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


# ---- Writing, and what is told --------------------------------------------------------------------------------------

PRIVATE = ("state.json", "values/exporter")
"""Files that may hold the password of a proxy."""


def write(files: Mapping[str, str], settings: Path) -> None:
    """Bring the folder up to date: all of it is on disk before the first file is replaced; what is unwanted goes.

    Raises:
        OSError: it cannot be written, as when the volume is full; nothing was replaced.
    """
    new: dict[Path, Path] = {}
    try:
        for name, text in files.items():
            path = settings / name
            if not path.is_symlink() and _text(path) == text:
                continue
            # Earlier versions linked folders.
            for parent in reversed(path.relative_to(settings).parents[:-1]):
                if (settings / parent).is_symlink():
                    (settings / parent).unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            new[path] = path.with_name(f".{path.name}.new")
            new[path].unlink(missing_ok=True)
            new[path].write_text(text, encoding="utf-8")
            new[path].chmod(0o640 if name in PRIVATE else 0o664)
    except OSError:
        for each in new.values():
            each.unlink(missing_ok=True)
        raise
    for path, each in new.items():
        each.replace(path)
    wanted = {settings / name for name in files}
    for path in _present(settings):
        if path not in wanted:
            path.unlink()


def _present(folder: Path) -> Iterable[Path]:
    """Files and links below the folder; links are not followed."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in files)
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())


def write_password(folder: Path) -> None:
    """Make Grafana's password at the first start; kept as long as the volume."""
    path, new = folder / "admin_password", folder / ".admin_password.new"
    if not path.exists():
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(18), encoding="utf-8")
        # Grafana runs as another user, in this group.
        new.chmod(0o440)
        new.replace(path)


def reload(urls: Iterable[str]) -> Iterator[str]:
    """Tell what runs already, and yield its complaints; at the first start nothing does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in urls:
        try:
            opener.open(urllib.request.Request(url, method="POST"), timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                yield f"{url}: {error.read().decode(errors='replace').strip()}"
        except (OSError, ValueError):
            continue


def headline(profiles: frozenset[str], env: Mapping[str, str]) -> str:
    """The first line of every start."""
    caught = "alerts are mailed to the mail catcher and nowhere else"
    if DEMO in profiles:
        return f"mode: demo: a simulated API; no number is real, no key is used, {caught}"
    api = env.get("OPENAI_BASE_URL") or "the real API"
    told = caught if "mail" in profiles else "alerts go to the channels that are set"
    return f"mode: production: {api}, with your keys; {told}"


def addresses(made: Plan, profiles: frozenset[str], values: Mapping[str, str]) -> Iterator[str]:
    """Where to look."""
    host = values["BIND_ADDRESS"]
    host = "localhost" if ipaddress.ip_address(host).is_unspecified or host == "127.0.0.1" else host
    password = "user admin, password: docker compose exec grafana cat /stack/grafana/admin_password"
    yield f"open: {values['GRAFANA_URL']} Grafana; {password}"
    yield f"open: http://{host}:{values['EXPORTER_PORT']} exporter: what is probed, recent failures"
    yield f"open: {values['PROMETHEUS_URL']} Prometheus; {values['ALERTMANAGER_URL']} Alertmanager"
    if profiles & {"demo", "mail"}:
        yield f"open: http://{host}:{values['MAILPIT_PORT']} Mailpit, the mail catcher"
    if made.mode == DEMO:
        yield f"open: http://{host}:{values['SIMULATOR_PORT']} the simulated API; break it with POST /_simulator/faults"
    if "scale" in profiles:
        yield f"open: http://{host}:{values['THANOS_PORT']} Thanos, which sees every Prometheus"


def _not_root(user: int) -> list[Problem]:
    text = (
        "the exporter is not to run as root, and does not; leave the line out and give the key files to its own user: "
        f"chown {USER} deploy/compose/secrets/exporter/*"
    )
    return [] if user else [Problem("EXPORTER_UID in .env", text)]


def outside(text: str, place: Place, env: Mapping[str, str]) -> str:
    """A message with paths as they are on the machine of the person who reads it, seen from the project's folder."""
    folders = {
        place.config: env.get("CONFIG_DIR") or "deploy/compose/config",
        place.keys: _shown(env),
        place.alerting: env.get("ALERTING_DIR") or "alerting",
    }
    for inside, there in folders.items():
        text = re.sub(rf"{re.escape(str(inside))}(?=[/:; \"'),]|$)", lambda _, there=there: there, text)
    return text.replace(f"{place.bundle}/", "")


def told(problem: Problem, place: Place, env: Mapping[str, str]) -> str:
    """A problem as a person sees it; the value of a variable stays as it is."""
    return str(problem) if problem.place.endswith(" in .env") else outside(str(problem), place, env)


def main(arguments: Sequence[str] = ()) -> int:
    """Prepare the stack, or look for mistakes; 1 when something cannot be used and nothing was accepted before."""
    os.umask(0o002)
    place, env = Place(), os.environ
    check = list(arguments[:1]) == ["--check"]

    def say(text: object, **where: Any) -> None:
        print(outside(str(text), place, env), **where, flush=True)

    def fail(problems: Iterable[Problem], last: str) -> None:
        for problem in problems:
            print(f"prepare: {told(problem, place, env)}", file=sys.stderr, flush=True)
        say(f"prepare: {last}", file=sys.stderr)

    again = "try again" if check else AGAIN
    nothing = f"nothing was changed; fix this and {again}"
    try:
        profiles = frozenset(arguments[1:]) if check else asked(place.settings)
        known = before(place.settings)
        profiles_granted, _ = granted(profiles, known)
        say(headline(profiles_granted, env))
        made = plan(place, env, profiles, known, os.getuid())
    except ExporterError as error:
        fail(problems_of(error), nothing)
        return 1
    if check:
        if made.problems:
            fail(made.problems, nothing)
        return int(bool(made.problems))
    values = json.loads(made.files["state.json"])["values"]
    try:
        write(made.files, place.settings)
        write_password(place.password)
    except OSError as error:
        full = f"the settings cannot be written: {error.strerror}; make room for Docker's volumes (docker system df)"
        fail([Problem("prepare", full)], f"what was accepted before stays in force; {AGAIN}")
        return 0 if known.mode and (place.settings / "prometheus" / "prometheus.yml").is_file() else 1
    for note in made.notes:
        say(note)
    for line in addresses(made, profiles_granted, values):
        say(line)
    for complaint in reload(RELOADED):
        say(complaint)
    if made.warnings:
        fail(made.warnings, f"this has no effect as it is, what was accepted before or is shipped has; {AGAIN}")
    if made.problems:
        fail(made.problems, f"WHAT WAS ACCEPTED BEFORE STAYS IN FORCE in place of this; fix it and {AGAIN}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
