# SPDX-License-Identifier: Apache-2.0
"""A made-up organization: projects, keys, users, and the streams of usage that they cause."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openai_exporter.metrics import usage
from tests.dashboards.data.timeline import noise, rhythm

TARGET = {"job": "openai", "instance": "exporter:9985", "organization": "acme"}


@dataclass(frozen=True)
class Key:
    """A project API key."""

    id: str
    name: str
    project: str
    owner_type: str
    owner: str
    used_days_ago: float | None = 0.01
    expires_in_days: float | None = None


@dataclass(frozen=True)
class Model:
    """What usage calls a model, with US dollars per million input, cached input and output tokens."""

    name: str
    prices: tuple[float, float, float] | None


@dataclass(frozen=True)
class Stream:
    """Usage of one operation under one set of dimensions.

    Attributes:
        peak: requests per hour at the busiest time.
        figures: what one request adds to each metric, in its own unit.
        more: labels after the dimensions.
        surge: Unix seconds from which traffic is six times as much, None for never.
    """

    operation: str
    key: Key
    model: Model
    peak: float
    figures: Mapping[str, float]
    batch: str = "false"
    tier: str = "default"
    more: Mapping[str, str] = field(default_factory=dict)
    surge: float | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The dimensions as labels."""
        return {
            "operation": self.operation,
            "project_id": self.key.project,
            "api_key_id": self.key.id,
            "user_id": self.key.owner,
            "model": self.model.name,
            "batch": self.batch,
            "service_tier": self.tier,
        }

    def requests(self) -> Callable[[int], float]:
        """Requests per hour as a function of the hour."""
        factor = noise(f"{self.key.id}/{self.model.name}/{self.operation}/{self.batch}", 0.12)

        def per_hour(hour: int) -> float:
            more = 6.0 if self.surge is not None and hour >= self.surge else 1.0
            return self.peak * rhythm(hour) * factor(hour) * more

        return per_hour

    def times(self, per_request: float) -> Callable[[int], float]:
        """What `per_request` adds up to in an hour."""
        requests = self.requests()
        factor = noise(f"{self.key.id}/{self.model.name}/{per_request}", 0.05)
        return lambda hour: requests(hour) * per_request * factor(hour)

    def dollars(self) -> Callable[[int], float]:
        """List price of an hour."""
        prices = self.model.prices or (0.0, 0.0, 0.0)
        input_tokens = self.figures.get(usage.INPUT_TOKENS.name, 0.0)
        cached = self.figures.get(usage.INPUT_CACHED_TOKENS.name, 0.0)
        output = self.figures.get(usage.OUTPUT_TOKENS.name, 0.0)
        half = 0.5 if self.batch == "true" else 1.0
        price = (input_tokens - cached) * prices[0] + cached * prices[1] + output * prices[2]
        return self.times(half * price / 1e6)


@dataclass(frozen=True)
class Organization:
    """Everything that `/usage` tells of."""

    projects: Mapping[str, str]
    users: Mapping[str, str]
    keys: Sequence[Key]
    streams: Sequence[Stream]


_LUNA = Model("gpt-6-luna-2026-05-12", (0.10, 0.01, 0.50))
_ASTRA = Model("gpt-6-astra-2026-04-02", (2.0, 0.2, 12.0))
_MINI = Model("gpt-5.4-mini-2026-03-05", (0.4, 0.04, 2.2))
_NANO = Model("gpt-5-nano", (0.05, 0.005, 0.4))
_EMBEDDING = Model("text-embedding-3-small", (0.02, 0.02, 0.0))
_MODERATION = Model("omni-moderation-latest", (0.0, 0.0, 0.0))
_TUNED = Model("ft:gpt-5.4-mini:acme", None)

_PROJECTS = {"proj_search": "Search", "proj_support": "Support bot", "proj_research": "Research", "proj_tools": "Tools"}
_USERS = {"user-ada": "Ada Byron", "user-lin": "Lin Chen", "user-noor": "Noor Haddad", "user-sam": "Sam Ortiz"}
_SEARCH = Key("key_search_prod", "search-production", "proj_search", "service_account", "user-svc-search")
_STAGING = Key("key_search_stage", "search-staging", "proj_search", "user", "user-lin", 0.2, 24)
_SUPPORT = Key("key_support_prod", "support-production", "proj_support", "service_account", "user-svc-support")
_NIGHTLY = Key("key_support_batch", "support-nightly", "proj_support", "service_account", "user-svc-support", 0.4)
_RESEARCH = Key("key_research_ada", "research-ada", "proj_research", "user", "user-ada", 0.01, 200)
_NOOR = Key("key_research_noor", "research-noor", "proj_research", "user", "user-noor", 0.05)
_TOOLS = Key("key_tools", "internal-tools", "proj_tools", "user", "user-sam")
_FORGOTTEN = Key("key_old", "hackathon-2025", "proj_tools", "user", "user-sam", 214)
_KEYS = (_SEARCH, _STAGING, _SUPPORT, _NIGHTLY, _RESEARCH, _NOOR, _TOOLS, _FORGOTTEN)


def _tokens(given: float, cached: float, output: float, audio: float = 0.0) -> dict[str, float]:
    found = {
        usage.INPUT_TOKENS.name: given,
        usage.INPUT_CACHED_TOKENS.name: given * cached,
        usage.INPUT_CACHE_WRITE_TOKENS.name: given * cached * 0.06,
        usage.OUTPUT_TOKENS.name: output,
    }
    if audio:
        found |= {usage.AUDIO_INPUT_TOKENS.name: audio, usage.AUDIO_OUTPUT_TOKENS.name: audio * 0.6}
    return found


def small_organization() -> Organization:
    """Four projects, eight keys and some twenty streams."""
    chat = "completions"
    streams = (
        Stream(chat, _SEARCH, _LUNA, 5200, _tokens(2100, 0.62, 180)),
        Stream(chat, _SEARCH, _MINI, 900, _tokens(3400, 0.4, 420)),
        Stream(chat, _STAGING, _LUNA, 160, _tokens(2000, 0.2, 170)),
        Stream(chat, _SUPPORT, _MINI, 1500, _tokens(2900, 0.55, 510)),
        Stream(chat, _SUPPORT, _ASTRA, 110, _tokens(6200, 0.35, 900), tier="priority"),
        Stream(chat, _SUPPORT, _NANO, 700, _tokens(420, 0.0, 30)),
        Stream(chat, _NIGHTLY, _MINI, 620, _tokens(2600, 0.1, 380), batch="true"),
        Stream(chat, _RESEARCH, _ASTRA, 190, _tokens(9000, 0.25, 2100)),
        Stream(chat, _RESEARCH, _TUNED, 40, _tokens(1200, 0.0, 300)),
        Stream(chat, _NOOR, _ASTRA, 60, _tokens(7000, 0.2, 1800, audio=300)),
        Stream(chat, _TOOLS, _LUNA, 240, _tokens(1500, 0.3, 260), tier="flex"),
        Stream("embeddings", _SEARCH, _EMBEDDING, 2600, {usage.INPUT_TOKENS.name: 310}),
        Stream("moderations", _SUPPORT, _MODERATION, 900, {usage.INPUT_TOKENS.name: 150}),
        *_other_operations(),
    )
    return Organization(_PROJECTS, _USERS, _KEYS, streams)


def _other_operations() -> Iterator[Stream]:
    image, speech = Model("gpt-image-2", None), Model("tts-2", None)
    sizes = ({"size": "1024x1024", "source": "image.generation"}, {"size": "512x512", "source": "image.edit"})
    yield from (Stream("images", _TOOLS, image, 12, {usage.IMAGES.name: 1.3}, "", "", more) for more in sizes)
    yield Stream("audio_speeches", _SUPPORT, speech, 30, {usage.CHARACTERS.name: 640}, "", "")
    heard = Model("gpt-transcribe", None)
    yield Stream("audio_transcriptions", _SUPPORT, heard, 25, {usage.AUDIO_SECONDS.name: 95}, "", "")
    yield Stream("code_interpreter_sessions", _RESEARCH, Model("", None), 9, {usage.SESSIONS.name: 1}, "", "")
    for operation, tool in (("file_search_calls", "file_search"), ("web_search_calls", "web_search")):
        calls = {usage.TOOL_CALLS.name: 1.0}
        yield Stream(operation, _SUPPORT, Model("", None), 60, calls, "", "", {"tool": tool})


def large_organization(projects: int = 30, keys_each: int = 5) -> Organization:
    """Many projects, keys, users and models, for charts that must not drown."""
    named = {f"proj_{n:03}": f"Team {n:03}" for n in range(projects)}
    models = [Model(f"gpt-6-luna-2026-{1 + n % 12:02}-{1 + n:02}", (0.1, 0.01, 0.5)) for n in range(25)]
    keys = [
        Key(f"key_{project}_{n}", f"{name}, key {n}", project, "user", f"user-{project}-{n}")
        for project, name in named.items()
        for n in range(keys_each)
    ]
    users = {key.owner: f"Person {number:03}" for number, key in enumerate(keys)}
    streams = [
        Stream("completions", key, models[(n + extra) % 25], 20 + 7 * (n % 13), _tokens(900 + 11 * n, 0.3, 200))
        for n, key in enumerate(keys)
        for extra in range(2)
    ]
    return Organization(named, users, keys, streams)


def with_surge(organization: Organization, start: float) -> Organization:
    """The same organization whose first key sends six times its traffic from `start` on."""
    first, *rest = organization.streams
    return replace(organization, streams=(replace(first, surge=start), *rest))
