# SPDX-License-Identifier: Apache-2.0
"""The provider's public status page: Statuspage-v2 shapes with the live page's quirks. Knows nothing of usage."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator.catalogue import SimClock
from openai_simulator.faults import Faults, Outage

PREFIX = "/status/api/v2"
_FROZEN = "2026-07-09T16:20:11.381Z"  # the live page's update times have stood still for months
_PAGE = {
    "id": "01JMDK9XYNY6RXSED6SDWW50WY",
    "name": "OpenAI (simulated)",
    "url": "https://status.openai.com",
    "updated_at": _FROZEN,
}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Component:
    """A component. `path` is the API path whose outage it reports; `summary` whether summary.json lists it."""

    id: str
    name: str
    path: str | None = None
    summary: bool = True


def _other(group: str, name: str, summary: bool = True) -> Component:
    """A component outside of the API group; the ids of those are our own."""
    number = int.from_bytes(sha256(f"{group}/{name}".encode()).digest()[:10], "big")
    letters = "".join(_CROCKFORD[number >> 5 * place & 31] for place in range(16))
    return Component(f"01JMXBRMFE{letters}", name, None, summary)


_API = (
    Component("01JMXBRMFE6N2NNT7DG6XZQ6PW", "Chat Completions", "/v1/chat/completions"),
    Component("01JP8CD9JR3HR6Y7G4Q75N4DVW", "Responses", "/v1/responses"),
    Component("01JMXBRMFEMZK0HPK19RYET250", "Fine-tuning", "/v1/fine_tuning/jobs"),
    Component("01JMXBRMFEV0AJ0VVS68N9CD6R", "Embeddings", "/v1/embeddings"),
    Component("01JMXBRMFE4MAP2BHSJNZ787WX", "Images", "/v1/images/generations"),
    Component("01JMXBRMFE5ESNNV8JDHVCGSRD", "Batch", "/v1/batches"),
    Component("01JMXBRMFEKVBWKK82B44QFMCE", "Audio", "/v1/audio/transcriptions"),
    Component("01JMXBRMFEVZ7E0X9GD9FWR9WX", "Moderations", "/v1/moderations"),
    Component("01JMXBRMFEQW613TFE89F45035", "Realtime", "/v1/realtime"),
    Component("01JMXBRMFESJCBGJR10PDD3WCQ", "Files", "/v1/files"),
    Component("01JSM5RTJWHRWDTS6Q604VEW3B", "Login"),
    Component("01K9G527YRPY1EFRMHTKB5BKT5", "Sora"),
)
_CHATGPT = (
    "Conversations", "Login", "ChatGPT Work", "Codex in ChatGPT Desktop", "Compliance API", "Search",
    "File uploads", "Voice mode", "GPTs", "Image Generation", "Deep Research", "Agent", "ChatGPT Atlas",
    "Sites", "Connectors/Apps",
)  # fmt: skip
COMPONENTS: tuple[Component, ...] = (
    *_API,
    *(_other("chatgpt", name) for name in _CHATGPT),
    *(_other("codex", name, summary=False) for name in ("Codex Web", "Codex API", "CLI")),
    _other("codex", "VS Code extension"),
    *(_other("others", name) for name in ("FedRAMP", "Ads Manager", "Ads API")),
)


@dataclass(slots=True)
class _Incident:
    """An outage as the page tells it; times are simulated unix seconds."""

    id: str
    began: float
    components: int
    resolved: float | None = None


class StatusPage:
    """The status page. An `outage` fault on an API path shows after `delay_seconds` (simulated)."""

    def __init__(self, clock: SimClock, faults: Faults, delay_seconds: float = 0.0) -> None:
        self._clock = clock
        self._faults = faults
        self._delay = delay_seconds
        self._incidents: dict[str, _Incident] = {}

    def routes(self) -> list[BaseRoute]:
        """The GET routes; no key is asked for."""
        table = (self.summary, self.components, self.status, self.incidents)
        return [Route(f"{PREFIX}/{answer.__name__}.json", self._endpoint(answer), methods=["GET"]) for answer in table]

    def _endpoint(self, answer: Callable[[set[str]], dict[str, Any]]) -> Callable[..., Awaitable[JSONResponse]]:
        async def endpoint(_request: Request) -> JSONResponse:
            return JSONResponse({"page": _PAGE, **answer(self._down())})

        return endpoint

    def summary(self, down: set[str]) -> dict[str, Any]:
        """The overall status, most components, and the incidents that last."""
        listed = [self._component(component, down) for component in COMPONENTS if component.summary]
        running = [_shown(incident) for incident in self._incidents.values() if incident.resolved is None]
        # The live page leaves the key out when there is none.
        incidents = {"incidents": running} if running else {}
        return {"status": _overall(len(down)), "components": listed, **incidents}

    def components(self, down: set[str]) -> dict[str, Any]:
        """All components."""
        return {"components": [self._component(component, down) for component in COMPONENTS]}

    def status(self, down: set[str]) -> dict[str, Any]:
        """The overall status."""
        return {"status": _overall(len(down))}

    def incidents(self, _down: set[str]) -> dict[str, Any]:
        """All incidents, newest first."""
        newest_first = sorted(self._incidents.values(), key=lambda incident: -incident.began)
        return {"incidents": [_shown(incident) for incident in newest_first]}

    def _component(self, component: Component, down: set[str]) -> dict[str, Any]:
        return {
            "id": component.id,
            "name": component.name,
            "status": "major_outage" if component.id in down else "operational",
            "position": COMPONENTS.index(component) + 1,
            "updated_at": _FROZEN,
        }

    def _down(self) -> set[str]:
        """The components that are down now; opens and resolves incidents on the way."""
        now, down, struck = self._clock.now(), set[str](), dict[str, int]()
        for component in _API:
            for fault in self._faults.matching(component.path) if component.path else ():
                if isinstance(fault, Outage):
                    struck[fault.id] = struck.get(fault.id, 0) + 1
                    incident = self._incidents.setdefault(fault.id, _Incident(fault.id, now + self._delay, 0))
                    if incident.began <= now:
                        down.add(component.id)
        for fault_id, incident in list(self._incidents.items()):
            incident.components = max(incident.components, struck.get(fault_id, 0))
            if fault_id not in struck and incident.began > now:
                del self._incidents[fault_id]  # over before it was noticed
            elif fault_id not in struck and incident.resolved is None:
                incident.resolved = now
        return down


def _overall(down: int) -> dict[str, str]:
    if not down:
        return {"indicator": "none", "description": "All Systems Operational"}
    if down < 3:
        return {"indicator": "minor", "description": "Partial System Outage"}
    return {"indicator": "major", "description": "Major System Outage"}


def _shown(incident: _Incident) -> dict[str, Any]:
    """The incident object; like the live page's it names no components."""
    status = "investigating" if incident.resolved is None else "resolved"
    number = sha256(incident.id.encode()).hexdigest()[:12].upper()
    began = _stamp(incident.began)
    changed = began if incident.resolved is None else _stamp(incident.resolved)
    return {
        "id": f"01SIM0{number}",
        "name": "Elevated error rates on the API (simulated)",
        "status": status,
        "impact": "major" if incident.components >= 3 else "minor",
        "created_at": began,
        "updated_at": changed,
        "shortlink": f"https://status.openai.com/incidents/01SIM0{number}",
        "incident_updates": [
            {"id": f"01SIM1{number}", "status": "investigating", "body": "We are investigating.", "created_at": began}
        ],
    }


def _stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
