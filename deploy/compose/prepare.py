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

import ipaddress
import json
import os
import re
import secrets
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from services import (
    AGAIN,
    DEMO,
    PRODUCTION,
    USER,
    Before,
    Place,
    Plan,
    alerting,
    exporter,
    grafana,
    problems_of,
    prometheus,
    secrets_folder,
    text_of,
)
from variables import bare, checked, misspelt

from openai_exporter.errors import ConfigError, ExporterError, Problem

# A name that ends in a dot is looked up as it is, in no search domain of this machine's.
RELOADED = (
    "http://exporter.:9985/-/reload",
    "http://alertmanager.:9093/-/reload",
    # Prometheus looks for changes by itself; Thanos does not.
    "http://thanos-rule.:10902/-/reload",
)
PROFILES = ("demo", "mail", "scale")


def before(settings: Path) -> Before:
    """What is known of the start before; a volume of version 0.1.0 and older says it by its files alone."""
    exporter = text_of(settings / "accepted" / "exporter.yml")
    with suppress(ValueError, TypeError, KeyError):
        state = json.loads(text_of(settings / "state.json") or "")
        return Before(str(state["mode"]), dict(state["values"]), exporter, str(state.get("origin", "")))
    file = settings / "exporter.yml"
    if not os.path.lexists(file):
        return Before()
    made_up = (settings / "keys" / "openai_api_key").exists()
    return Before(DEMO if made_up else PRODUCTION, {}, None if file.is_symlink() else text_of(file))


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
    exporter(made, place, {**env, **values}, known)
    alerting(made, place, values["GRAFANA_URL"], known, caught=bool(profiles & {"demo", "mail"}))
    pace = values["DEMO_INTERVAL"] if made.mode == DEMO else None
    prometheus(made, place, pace, known, scale="scale" in profiles)
    grafana(made, place, pace, values, scale="scale" in profiles)
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
    fields = (line.split(" ") for line in (text_of(table) or "").splitlines())
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
            if not path.is_symlink() and text_of(path) == text:
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
    host = bare(values["BIND_ADDRESS"])
    if ipaddress.ip_address(host).is_unspecified or host == "127.0.0.1":
        host = "localhost"
    host = f"[{host}]" if ":" in host else host
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
        place.keys: secrets_folder(env),
        place.alerting: env.get("ALERTING_DIR") or "alerting",
    }
    for inside, there in folders.items():
        text = re.sub(rf"{re.escape(str(inside))}(?=[/:; \"'),]|$)", there.replace("\\", r"\\"), text)
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
