# SPDX-License-Identifier: Apache-2.0
"""The sections of the configuration: targets, modules and probes; organizations and budgets; your own prices."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from openai_exporter.config import base
from openai_exporter.config.base import Day, ModelName, Section, Token
from openai_exporter.model import Endpoint, Provider

# What is probed: targets, modules, and which module runs where.

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast"]

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_PROMPT = "Reply with the word: pong"
_LEAST_OUTPUT_OF_RESPONSES = 16


_SET_ELSEWHERE = {"model": "the models of the probe", "stream": "stream of the module"}
"""Fields of a request body that decide what labels and timings mean, and where they are set."""


def _of_no_other_key(extra: dict[str, Any]) -> dict[str, Any]:
    wrong = [name for name in _SET_ELSEWHERE if name in extra]
    base.raise_all([base.FieldError(f"is set by {_SET_ELSEWHERE[name]}; set it there", name) for name in wrong])
    return extra


def one_of(*alternatives: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema: exactly one of these keys is given, with this value."""
    options = [{"required": list(each), "properties": each} for each in alternatives]
    return {"oneOf": options}


def _gives_one(section: Section, *keys: str) -> bool:
    """Whether one of the keys is given; ValueError when more than one is."""
    given = [key for key in keys if getattr(section, key)]
    if len(given) > 1:
        raise ValueError(f"gives {' and '.join(given)}; keep one of them")
    return bool(given)


class Target(Section):
    """An API that is probed; its key is sent to `base_url` and nowhere else."""

    model_config = ConfigDict(
        json_schema_extra=one_of(
            {"api_key_file": {"type": "string"}}, {"api_key_env": {"type": "string"}}, {"no_key": {"const": True}}
        )
    )

    name: base.Name = Field(description="Name in URLs and in the label `target`.")
    provider: Provider = Field(Provider.OPENAI, strict=False, description="Whose API it is.")
    base_url: base.Url = Field(OPENAI_URL, description="Root of the API, with its version.")
    api_key_file: base.FileName | None = Field(
        None, description="File that holds the key, relative to the configuration; re-read when it changes."
    )
    api_key_env: base.Variable | None = Field(None, description="Environment variable that holds the key.")
    organization: Token | None = Field(None, description="Header OpenAI-Organization.")
    project: Token | None = Field(None, description="Header OpenAI-Project.")
    api_version: Token | None = Field(None, description="Azure only: query parameter api-version.")
    no_key: bool = Field(False, description="Compatible servers only: the server takes no key.")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if not _gives_one(self, "api_key_file", "api_key_env", "no_key"):
            raise ValueError("has no key; give api_key_file or api_key_env (or no_key: true, compatible servers)")
        if self.no_key and self.provider is not Provider.COMPATIBLE:
            raise base.FieldError(f"is for provider compatible only, not {self.provider}; give api_key_file", "no_key")
        if self.provider is not Provider.OPENAI and self.base_url == OPENAI_URL:
            raise base.FieldError(f"provider {self.provider} needs base_url, the root of its own API", "base_url")
        if self.api_version is not None and self.provider is not Provider.AZURE:
            raise base.FieldError(f"is for provider azure only, not {self.provider}; remove it", "api_version")
        return self


class Request(Section):
    """What a probe sends."""

    prompt: str = Field(DEFAULT_PROMPT, min_length=1, max_length=20_000, description="User message or input.")
    max_output_tokens: int | None = Field(16, ge=1, description="Bound on output tokens; null sends none.")
    reasoning_effort: ReasoningEffort | None = Field(None, description="Sent only when given.")
    service_tier: ServiceTier | None = Field(None, description="Sent only when given.")
    dimensions: int | None = Field(None, ge=1, description="Embeddings only: length of the vector.")
    voice: Token = Field("alloy", description="Speech only.")
    audio_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = Field("wav", description="Speech only.")
    audio_file: base.FileName | None = Field(None, description="Transcriptions only: a file; default is a short tone.")
    size: base.ImageSize = Field("1024x1024", description="Images only.")
    quality: Literal["low", "medium", "high", "auto"] = Field("low", description="Images only.")
    extra: Annotated[base.JsonObject, AfterValidator(_of_no_other_key)] = Field(
        default_factory=dict,
        description="More fields of the request body, sent as they are, not model and stream. Null omits a field "
        "that the probe sends itself, such as stream_options.",
        json_schema_extra={"propertyNames": {"not": {"enum": list(_SET_ELSEWHERE)}}},
    )


class Expect(Section):
    """What makes the answer a good one."""

    status: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], base.LIST, base.DISTINCT] = Field(
        (200,), min_length=1, description="Accepted HTTP statuses."
    )
    text: base.Pattern | None = Field(
        None,
        description="Regular expression (RE2, as in blackbox_exporter) that the reply's text must match somewhere.",
    )
    vector_length: int | None = Field(None, ge=1, description="Embeddings only: length of the vector.")


SLOWEST_RESULTS = 3600.0
"""Seconds between two results of a probe for which the shipped alerts still have a window."""


class Module(Section):
    """How a probe is made."""

    endpoint: Endpoint = Field(strict=False, description="What is called.")
    stream: bool = Field(False, description="Ask for a stream; chat and responses only.")
    timeout: base.PositiveDuration = Field(9.5, description="Total deadline, also of a stream that trickles.")
    connection: Literal["reuse", "fresh"] = Field(
        "reuse", description="Reused connection or a new one; a reused one is replaced 10 minutes after it was opened."
    )
    request: Request = Field(default_factory=Request, description="What is sent.")
    expect: Expect = Field(default_factory=Expect, description="What the answer must be like.")
    min_interval: base.Duration = Field(0.0, description="Scrapes closer than this share one probe.")
    short_deadline: Literal["refuse", "probe"] = Field(
        "refuse",
        description="Of a scrape that leaves less time than the fastest successful probe of the last 5 minutes took: "
        "`refuse` responds without a request, `probe` sends it anyway.",
    )
    daily_cost_limit_usd: base.Money | None = Field(
        None,
        description="Estimated spend per UTC day that stops it; a call is reserved for with what it may cost at most.",
    )
    price_per_call_usd: base.Money | None = Field(
        None,
        description="Cost assumed for responses without token usage: audio, interrupted streams, compatible servers.",
    )

    @model_validator(mode="after")
    def _limit_can_be_kept(self) -> Self:
        soundless = self.endpoint not in (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS)
        if self.daily_cost_limit_usd is None or self.price_per_call_usd is not None or soundless:
            return self
        text = f"has no effect for endpoint {self.endpoint}, whose answers name no tokens; add price_per_call_usd"
        raise base.FieldError(text, "daily_cost_limit_usd")

    @model_validator(mode="after")
    def _fits_endpoint(self) -> Self:
        wrong = []
        if self.stream and self.endpoint not in (Endpoint.CHAT, Endpoint.RESPONSES):
            text = f"is for the endpoints chat and responses, not {self.endpoint}; remove it"
            wrong.append(base.FieldError(text, "stream"))
        bound, least = self.request.max_output_tokens, _LEAST_OUTPUT_OF_RESPONSES
        if self.endpoint is Endpoint.RESPONSES and bound is not None and bound < least:
            text = f"must be at least {least}; the API rejects less for endpoint responses"
            wrong.append(base.FieldError(text, "request", "max_output_tokens"))
        for section, key in (("request", "dimensions"), ("expect", "vector_length")):
            if getattr(getattr(self, section), key) is not None and self.endpoint is not Endpoint.EMBEDDINGS:
                text = f"is for endpoint embeddings only, not {self.endpoint}; remove it"
                wrong.append(base.FieldError(text, section, key))
        base.raise_all(wrong)
        return self


class Probe(Section):
    """Which module runs on which target, for which models; each combination is one scrape target of `/sd`."""

    target: str = Field(description="Name of a target.")
    module: str = Field(description="Name of a module.")
    models: Annotated[tuple[ModelName, ...], base.LIST, base.DISTINCT] = Field(
        (), description="One probe each; none for endpoint models."
    )
    labels: base.Labels = Field(default_factory=dict, description="More target labels.")


# Whose usage is read, its budgets, and the status pages.

GROUPABLE: dict[str, tuple[str, ...]] = {
    "completions": ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source"),
    "embeddings": ("project_id", "user_id", "api_key_id", "model"),
    "moderations": ("project_id", "user_id", "api_key_id", "model"),
    "images": ("project_id", "user_id", "api_key_id", "model", "size", "source"),
    "audio_speeches": ("project_id", "user_id", "api_key_id", "model"),
    "audio_transcriptions": ("project_id", "user_id", "api_key_id", "model"),
    "vector_stores": ("project_id",),
    "code_interpreter_sessions": ("project_id",),
    "file_search_calls": ("project_id", "user_id", "api_key_id", "vector_store_id"),
    "web_search_calls": ("project_id", "user_id", "api_key_id", "model", "context_level", "api_source"),
    "decisions": ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source"),
}
"""Dimensions that each usage endpoint can be grouped by (official OpenAPI description, SDK 3.52)."""
COSTS_GROUPABLE = ("project_id", "line_item", "api_key_id", "user_id", "api_source")
"""Dimensions that costs can be grouped by (official OpenAPI description, SDK 3.52)."""
PRICED = (
    "completions", "decisions", "embeddings", "moderations", "audio_speeches", "audio_transcriptions",
)  # fmt: skip
"""The usage endpoints whose cost is estimated by list prices."""

if TYPE_CHECKING:  # a literal of names that stand in a table is beyond mypy
    Operation = str
    Dimension = str
    CostDimension = str
else:
    Operation = Literal[tuple(GROUPABLE)]
    Dimension = Literal[tuple(dict.fromkeys(name for names in GROUPABLE.values() for name in names))]
    CostDimension = Literal[COSTS_GROUPABLE]

_LONGEST_PEAK_WINDOW = 6 * 3600


def _at_most_six_hours(seconds: float) -> float:
    if seconds > _LONGEST_PEAK_WINDOW:
        raise ValueError("must be at most 6h")
    return seconds


class Usage(Section):
    """How one usage endpoint is read."""

    group_by: Annotated[tuple[Dimension, ...], base.LIST, base.DISTINCT] = Field(
        description="Dimensions that become labels; the empty list gives totals."
    )


def default_usage() -> dict[Operation, Usage]:
    """The endpoints read when the configuration names none."""
    return {
        "completions": Usage(group_by=("project_id", "api_key_id", "model", "batch", "service_tier")),
        "embeddings": Usage(group_by=("project_id", "api_key_id", "model")),
    }


class Costs(Section):
    """How /organization/costs is read."""

    group_by: Annotated[tuple[CostDimension, ...], base.LIST, base.DISTINCT] = Field(
        ("project_id", "line_item"),
        description="Dimensions that become labels. The API may reject user_id together with project_id.",
    )
    refresh_interval: base.PositiveDuration = Field(600.0, description="Least time between two reads.")


class PeakUsage(Section):
    """Usage by the minute, for its peak compared with the rate limits of projects."""

    window: Annotated[base.PositiveDuration, AfterValidator(_at_most_six_hours)] = Field(
        3600.0, description="How far back the peak is looked for, at most 6h; usage arrives late."
    )
    refresh_interval: base.PositiveDuration = Field(300.0, description="Least time between two reads.")


class CostDrift(Section):
    """Estimated compared with billed cost, by model, for days with a complete bill."""

    finalize_after: base.PositiveDuration = Field(
        172_800.0, description="Age at which a day's bill counts as complete."
    )
    refresh_interval: base.PositiveDuration = Field(21_600.0, description="Least time between two reads.")


_FIRST_CREDIT = "2020-01-01"


class Credit(Section):
    """Prepaid credit; the API does not say what is left of it."""

    date: base.Day = Field(description="UTC day from which on costs are paid with it, such as 2026-11-01.")
    amount_usd: Annotated[base.Money, Field(le=10**12)] = Field(description="The amount, in US dollars.")
    expires: base.Day | None = Field(None, description="UTC day on which the rest expires; null for never.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.date < _FIRST_CREDIT:
            raise base.FieldError(f"must not be before {_FIRST_CREDIT}; no API key is older", "date")
        if self.expires is not None and self.expires <= self.date:
            raise base.FieldError(f"must be later than date {self.date}", "expires")
        return self


class Organization(Section):
    """An organization whose usage and costs are read with an admin key."""

    model_config = ConfigDict(
        json_schema_extra=one_of({"admin_key_file": {"type": "string"}}, {"admin_key_env": {"type": "string"}})
    )

    name: base.Name = Field(description="Name in URLs and in the label `organization`.")
    base_url: base.Url = Field(OPENAI_URL, description="Root of the API, with its version.")
    admin_key_file: base.FileName | None = Field(
        None, description="File that holds the admin key, relative to the configuration; re-read when it changes."
    )
    admin_key_env: base.Variable | None = Field(None, description="Environment variable that holds the admin key.")
    usage: dict[Operation, Usage] = Field(
        default_factory=default_usage,
        description="Usage endpoints to read; default is completions and embeddings by project, key and model.",
    )
    costs: Costs | None = Field(default_factory=Costs, description="Read billed costs; null reads none.")
    refresh_interval: base.PositiveDuration = Field(60.0, description="Least time between two reads of usage.")
    finalize_after: base.PositiveDuration = Field(21_600.0, description="Age at which an hour's usage counts as final.")
    full_refresh_interval: base.PositiveDuration = Field(
        3600.0, description="Time between two reads of the full month."
    )
    loss_limit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Ratio of known usage that may be missing from a full refresh, or be under other labels in any "
        "refresh. Above it the last values are kept until two full refreshes in a row agree; 1 accepts everything.",
    )
    timeout: base.PositiveDuration = Field(20.0, description="Deadline of one API call.")
    calls_per_hour: Annotated[int, Field(ge=60)] = Field(
        6000, description="API calls that may be made in an hour; names and limits get 80 % of them."
    )
    series_limit: Annotated[int, Field(ge=1)] = Field(
        20_000, description="Usage series per endpoint; the rest is aggregated into `other`."
    )
    names: bool = Field(True, description="Read names of projects, keys and users.")
    names_interval: base.PositiveDuration = Field(
        900.0, description="Least time between two reads of names and limits."
    )
    limits: bool = Field(True, description="Read spend limits, spend alerts and project rate limits.")
    peak_usage: PeakUsage | None = Field(None, description="Read usage by the minute, for its peak; null reads none.")
    cost_drift: CostDrift | None = Field(
        default_factory=CostDrift, description="Compare estimated with billed cost by model; null does not."
    )
    credits: Annotated[tuple[Credit, ...], Field(strict=False)] = Field(
        (), description="Prepaid credits, for the remaining balance: credits less billed costs since."
    )
    emails: Literal["off", "hashed", "plain"] = Field("off", description="How e-mail addresses become names.")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if not _gives_one(self, "admin_key_file", "admin_key_env"):
            raise ValueError("has no admin key; give admin_key_file or admin_key_env")
        if self.admin_key_env == "OPENAI_ADMIN_KEY_WRITE":
            raise base.FieldError(
                "is the key that changes limits; the exporter only reads: give another", "admin_key_env"
            )
        if self.credits and self.costs is None:
            raise base.FieldError("need billed costs; remove `costs: null`", "credits")
        return self


class Scope(Section):
    """Whose spend a budget bounds; everything of the organization when nothing is given."""

    project: Token | None = Field(None, description="Project id.")
    key: Token | None = Field(None, description="API key id.")
    user: Token | None = Field(None, description="User id.")
    model: ModelName | None = Field(None, description="Model as usage names it.")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        _gives_one(self, "project", "key", "user", "model")
        return self


class Budget(Section):
    """A limit on spend in a period, exported with what was spent.

    For an alert on billed cost alone, a threshold is enough: metric cost_per_day or cost_per_month, with a project.
    """

    name: base.Name = Field(description="Name in the label `budget`.")
    organization: str | None = Field(None, description="Name of the organization; may be omitted if there is only one.")
    scope: Scope = Field(default_factory=Scope, description="Whose spend it bounds; default is all of it.")
    each: Literal["project_id", "api_key_id", "user_id", "model"] | None = Field(
        None, description="One budget for each value of this dimension; not together with scope."
    )
    period: Literal["day", "month"] = Field("month", description="UTC day or calendar month.")
    limit_usd: base.Money = Field(description="The bound, in US dollars.")
    warn_ratio: float = Field(0.8, gt=0, le=1, description="Share of the limit at which the budget warns.")

    @model_validator(mode="after")
    def _scope_or_each(self) -> Self:
        if self.each is not None and self.scope != Scope():
            raise ValueError("gives scope and each; keep one of them")
        return self


class StatusPage(Section):
    """A public status page of the Statuspage v2 form."""

    name: base.Name = Field("openai", description="Name in URLs and in the label `status_page`.")
    url: base.Url = Field("https://status.openai.com", description="Root; /api/v2/summary.json is read below it.")
    components: Annotated[tuple[str, ...], base.LIST, base.DISTINCT] = Field(
        (), description="Names or ids to export; none exports all."
    )
    refresh_interval: base.PositiveDuration = Field(60.0, description="Least time between two reads.")
    timeout: base.PositiveDuration = Field(8.0, description="Deadline of one read.")


# Prices of your own, over the list prices: negotiated ones, and those of models that are on no list.

Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class PerMillion(Section):
    """USD per million tokens, or characters, of each kind.

    What is omitted is as on the list. What is on no list costs as input or output; audio then has no price.
    """

    input: Usd | None = Field(None, description="Uncached text input tokens.")
    cached_input: Usd | None = Field(None, description="Input tokens read from the cache.")
    cache_write: Usd | None = Field(None, description="Input tokens written to the cache.")
    audio_input: Usd | None = Field(None, description="Uncached audio input tokens.")
    cached_audio_input: Usd | None = Field(None, description="Audio input tokens read from the cache.")
    image_input: Usd | None = Field(None, description="Uncached image input tokens.")
    cached_image_input: Usd | None = Field(None, description="Image input tokens read from the cache.")
    output: Usd | None = Field(None, description="Text output tokens, reasoning included.")
    audio_output: Usd | None = Field(None, description="Audio output tokens.")
    image_output: Usd | None = Field(None, description="Image output tokens.")
    characters: Usd | None = Field(None, description="Characters turned into speech.")


class Price(Section):
    """What a model costs you. The first entry that matches counts; what none matches is priced by the list."""

    model: ModelName = Field(description="Model as usage names it; `*` stands for any characters, as in `gpt-5.4*`.")
    batch: bool | None = Field(None, description="Only usage of the Batch API, or only other usage; default is both.")
    service_tier: Token | None = Field(None, description="Only this service tier, such as `priority`; default is all.")
    since: Day | None = Field(None, description="Only usage from this UTC day on, such as 2026-11-01; default is all.")
    usd_per_million: PerMillion | None = Field(None, description="USD per million tokens or characters, by kind.")
    usd_per_minute: Usd | None = Field(None, description="USD per minute of audio transcribed.")
    usd_per_image: Usd | None = Field(None, description="USD per image, of usage endpoint images; no list has one.")
    list_price_ratio: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None, description="What you pay of the list price: 0.85 is a discount of 15 %."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        own = any(each is not None for each in (self.usd_per_million, self.usd_per_minute, self.usd_per_image))
        if own and self.list_price_ratio is not None:
            raise ValueError("gives prices and list_price_ratio; keep one of them")
        if self.list_price_ratio is None and not own:
            raise ValueError("has no price; give usd_per_million, usd_per_minute, usd_per_image or list_price_ratio")
        if self.usd_per_million is not None and self.usd_per_million == PerMillion():
            raise ValueError("usd_per_million is empty; give a price such as input: 0.25")
        return self

    @property
    def since_seconds(self) -> int:
        """The start of day `since` in Unix seconds; 0 when it is not given."""
        return 0 if self.since is None else base.day_seconds(self.since)

    def matches(self, model: str, *, batch: bool | None, service_tier: str | None, day: int) -> bool:
        """Whether it prices usage of a model, or all usage where `batch` or `service_tier` is None.

        Args:
            model: a name, or a pattern of names.
            day: Unix seconds.
        """
        return (
            self.batch in (None, batch)
            and self.service_tier in (None, service_tier)
            and self.since_seconds <= day
            and named(self.model, model)
        )

    def covers(self, other: "Price") -> bool:
        """Whether it matches everything that the other one matches."""
        day = other.since_seconds
        return self.matches(other.model, batch=other.batch, service_tier=other.service_tier, day=day)


class PriceFile(Section):
    """The content of a price file."""

    prices: tuple[Price, ...] = Field(strict=False)


def named(pattern: str, model: str) -> bool:
    """Whether a model, or every model of another pattern, is named by a pattern."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model) is not None
