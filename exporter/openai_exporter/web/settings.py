# SPDX-License-Identifier: Apache-2.0
"""What the command line asks of the server; reads no environment itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_LISTEN = ":9985"
DEFAULT_MAX_REQUESTS = 512
DEFAULT_TIMEOUT_OFFSET = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server runs.

    Attributes:
        env: the environment, for keys and the built-in configuration; never shown.
        proxies: as `urllib.request.getproxies()` returns them.
        config_file: None for the built-in configuration.
        listen: addresses such as `:9985`, `127.0.0.1:9985` or `[::1]:9985`.
        web_config_file: TLS, users and headers in exporter-toolkit's format.
        external_url: root under which clients reach the server, without a trailing slash; empty for the
            request's own Host.
        route_prefix: path before every route, empty or `/like/this`.
        max_requests: scrapes served at once; more are refused.
        timeout_offset: seconds taken off the scrape timeout that Prometheus announces.
        storage: folder for marks that survive a restart, None for none.
        history_limit: results kept for /history, None for the configuration's.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    config_file: Path | None = None
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    web_config_file: Path | None = None
    external_url: str = ""
    route_prefix: str = ""
    max_requests: int = DEFAULT_MAX_REQUESTS
    timeout_offset: float = DEFAULT_TIMEOUT_OFFSET
    storage: Path | None = None
    history_limit: int | None = None
