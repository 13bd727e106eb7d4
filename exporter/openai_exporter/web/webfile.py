# SPDX-License-Identifier: Apache-2.0
"""The web configuration in force; read again as soon as its file, certificate, key or CA changes."""

import logging
import ssl
from pathlib import Path

from openai_exporter.errors import ConfigError
from openai_exporter.web import tls
from openai_exporter.web.webconfig import WebConfig, read_web_config

log = logging.getLogger(__name__)

_Signature = tuple[tuple[int, int, int] | None, ...]


class WebFile:
    """Answers what counts for the next connection and the next request.

    Args:
        path: None for plain HTTP without users.

    Raises:
        ConfigError: the file cannot be used at start. Later a bad file is logged and the last good one stays.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._config = WebConfig()
        self._context: ssl.SSLContext | None = None
        self._watched: list[Path] = [path] if path else []
        self._seen: _Signature = ()
        if path is not None:
            self._load(path)
            self._notes()

    @property
    def secure(self) -> bool:
        """Whether connections are encrypted."""
        return self._context is not None

    def config(self) -> WebConfig:
        """The configuration as it is now."""
        if self._path is not None and _signature(self._watched) != self._seen:
            self._reload(self._path)
        return self._config

    def context(self) -> ssl.SSLContext | None:
        """The SSL context for a connection that begins now, None for plain HTTP."""
        self.config()
        return self._context

    def sans(self) -> tuple[str, ...]:
        """Subject alternative names of which a client certificate must carry one; empty asks for none."""
        config = self.config()
        return config.tls_server_config.client_allowed_sans if config.tls_server_config else ()

    def _reload(self, path: Path) -> None:
        self._seen = _signature(self._watched)
        try:
            self._load(path)
        except ConfigError as error:
            for problem in error.problems:
                log.error("web configuration not reloaded, the one in force stays: %s", problem)
        else:
            log.info("web configuration reloaded", extra={"fields": {"file": str(path)}})

    def _load(self, path: Path) -> None:
        config = read_web_config(path)
        server = config.tls_server_config
        if self._seen and (server is None) != (self._context is None):
            # Clients of a port that changes its protocol under them see garbage.
            log.warning(
                "web configuration switches TLS %s for new connections", "off" if server is None else "on"
            )
        made = tls.context(server, path.parent, str(path)) if server else None
        self._watched = [path, *(tls.files_of(server, path.parent) if server else [])]
        self._config, self._context = config, made
        self._seen = _signature(self._watched)

    def _notes(self) -> None:
        server = self._config.tls_server_config
        if server and self._config.http_server_config.http2:
            log.debug("http2 is accepted in the web configuration and ignored: answers are HTTP/1.1")
        if server and server.curve_preferences:
            log.warning("curve_preferences of the web configuration is ignored: OpenSSL's choice is used")
        if server and server.client_auth_type == "RequestClientCert":
            log.warning(
                "client_auth_type RequestClientCert lets every client in; none is asked for a certificate"
            )
        if server and server.trusts_system:
            log.warning(
                "client_auth_type %s without client_ca_file trusts every authority that the system trusts",
                server.client_auth_type,
            )


def _signature(paths: list[Path]) -> _Signature:
    return tuple(_stat(path) for path in paths)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
