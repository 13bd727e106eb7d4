# SPDX-License-Identifier: Apache-2.0
"""Reads a public status page of the Statuspage v2 form. Sends no credentials; judges nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from openai_exporter.errors import UpstreamError
from openai_exporter.model import Answer

if TYPE_CHECKING:
    from openai_exporter.client.session import Session

MAX_BYTES = 2 << 20
"""Bound on an answer; OpenAI's is some 12 KiB."""


class StatusClient:
    """The JSON documents of one page; blocking, for a worker thread, one call at a time.

    Args:
        root: URL of the page, without a slash at its end.
        timeout: total deadline of a call in seconds.
        proxies: as `urllib.request.getproxies()` returns them.
    """

    def __init__(self, root: str, timeout: float, proxies: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._timeout = timeout
        self._proxies = proxies or {}
        self._session: Session | None = None

    def get(self, document: str) -> Answer:
        """The JSON object of `/api/v2/<document>.json`.

        Raises:
            UpstreamError: no answer, not 200, or not a JSON object; its `api` is `status_<document>`.
        """
        # Loaded at the first read: it takes longer than all the rest of a start.
        from openai_exporter.client.organization import decoded
        from openai_exporter.client.session import Network, Session

        if self._session is None:
            self._session = Session(self._root, self._timeout, Network(self._proxies))
        api = f"status_{document}"
        path = f"/api/v2/{document}.json"
        with self._session.get(path, api=api) as reply:
            if reply.status != 200:
                text = f"{self._root}{path}: HTTP {reply.status}"
                raise UpstreamError(text, api=api, reason=_reason(reply.status), status=reply.status)
            return Answer(decoded(reply.body(MAX_BYTES), api, reply), reply.date, headers=reply.headers)

    def close(self) -> None:
        """Cut the running call and close the connection."""
        if self._session is not None:
            self._session.close()


def _reason(status: int) -> str:
    by_status = {401: "auth", 403: "permission", 404: "not_found", 429: "rate_limited"}
    if status in by_status:
        return by_status[status]
    if 300 <= status < 400:
        return "redirect"
    return "server_error" if status >= 500 else "bad_request" if status >= 400 else "malformed"
