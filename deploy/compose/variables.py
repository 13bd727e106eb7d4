# SPDX-License-Identifier: Apache-2.0
"""Variables of .env: what each is when it is not set, what it may be, and names that are nearly those of one."""

import difflib
import ipaddress
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from openai_exporter.cli.common import LEVELS
from openai_exporter.client.network import parse_proxy
from openai_exporter.config.base import parse_duration
from openai_exporter.errors import Problem

KEYS = {"openai_api_key": "OPENAI_API_KEY", "openai_admin_key": "OPENAI_ADMIN_KEY"}
"""File -> the variable of the exporter that has such a key."""


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
    if not 1 <= parse_duration(value) <= 300:
        raise ValueError("must be a duration from 1s to 5m; Prometheus takes an older sample for gone")


def _retention(value: str) -> None:
    span = 0.0
    with suppress(ValueError):
        span = parse_duration(value)  # at most 100y
    if span < 31 * 86400:
        raise ValueError(
            "must be a duration with its unit, such as 40d, from 31d to 100y; service levels look back 30d"
        )


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
        reason = "no certificate in it" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise ValueError(f"must be a PEM file as the exporter sees it, such as /run/secrets/ca.pem: {reason}") from None


def bare(address: str) -> str:
    """An IPv6 address without the brackets that it may have."""
    return address[1:-1] if re.fullmatch(r"\[.*:.*\]", address) else address


def _address(value: str) -> None:
    try:
        ipaddress.ip_address(bare(value))
    except ValueError:
        raise ValueError("must be an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all") from None


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
        injected = name.endswith("_proxy")  # by Docker, of the proxy that its own client uses
        if not injected and (near := difflib.get_close_matches(name.upper(), known, 1, 0.85)):
            yield Problem(f"{name} in .env", f"is not known, and has no effect; did you mean {near[0]}?")
