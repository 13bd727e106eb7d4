# SPDX-License-Identifier: Apache-2.0
"""Whose usage is read, its budgets, and the status pages."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from openai_exporter.config import base
from openai_exporter.config.probing import OPENAI_URL, one_of

Dimension = Literal[
    "project_id",
    "api_key_id",
    "user_id",
    "model",
    "batch",
    "service_tier",
    "api_source",
    "size",
    "source",
    "vector_store_id",
    "context_level",
]
CostDimension = Literal["project_id", "line_item", "api_key_id", "user_id", "api_source"]

_TOKENS: tuple[Dimension, ...] = ("project_id", "api_key_id", "model")
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
COSTS_GROUPABLE: tuple[str, ...] = get_args(CostDimension)
"""Dimensions that costs can be grouped by (official OpenAPI description, SDK 3.52)."""
PRICED = (
    "completions", "decisions", "embeddings", "moderations", "audio_speeches", "audio_transcriptions",
)  # fmt: skip
"""The usage endpoints whose cost is estimated by list prices."""

_LONGEST_PEAK_WINDOW = 6 * 3600
Operation = Literal[
    "completions",
    "embeddings",
    "moderations",
    "images",
    "audio_speeches",
    "audio_transcriptions",
    "vector_stores",
    "code_interpreter_sessions",
    "file_search_calls",
    "web_search_calls",
    "decisions",
]


def _at_most_six_hours(seconds: float) -> float:
    if seconds > _LONGEST_PEAK_WINDOW:
        raise ValueError("must be at most 6h")
    return seconds


class Usage(base.Section):
    """How one usage endpoint is read."""

    group_by: Annotated[tuple[Dimension, ...], base.LIST, base.DISTINCT] = Field(
        description="Dimensions that become labels; the empty list gives totals."
    )


def default_usage() -> dict[Operation, Usage]:
    """The endpoints read when the configuration names none."""
    return {
        "completions": Usage(group_by=("project_id", "api_key_id", "model", "batch", "service_tier")),
        "embeddings": Usage(group_by=_TOKENS),
    }


class Costs(base.Section):
    """How /organization/costs is read."""

    group_by: Annotated[tuple[CostDimension, ...], base.LIST, base.DISTINCT] = Field(
        ("project_id", "line_item"),
        description="Dimensions that become labels. The API may refuse user_id together with project_id.",
    )
    refresh_interval: base.PositiveDuration = Field(600.0, description="Least time between two reads.")


class PeakMinute(base.Section):
    """Usage by the minute, for its peak beside the rate limits of projects."""

    window: Annotated[base.PositiveDuration, AfterValidator(_at_most_six_hours)] = Field(
        3600.0, description="How far back the peak is looked for, at most 6h; usage arrives late."
    )
    refresh_interval: base.PositiveDuration = Field(300.0, description="Least time between two reads.")


class CostDrift(base.Section):
    """Estimated cost beside the bill, by model, of days whose bill is complete."""

    settle: base.PositiveDuration = Field(172_800.0, description="Age at which a day's bill counts as complete.")
    refresh_interval: base.PositiveDuration = Field(21_600.0, description="Least time between two reads.")


class Organization(base.Section):
    """An organization whose usage and costs are read with an admin key."""

    model_config = ConfigDict(
        json_schema_extra=one_of({"admin_key_file": {"type": "string"}}, {"admin_key_env": {"type": "string"}})
    )

    name: base.Name = Field(description="Name in URLs and in the label `organization`.")
    base_url: base.Url = Field(OPENAI_URL, description="Root of the API, with its version.")
    admin_key_file: base.FileName | None = Field(
        None,
        description="File that holds the admin key, relative to the configuration; re-read when it changes.",
    )
    admin_key_env: base.Variable | None = Field(None, description="Environment variable that holds the admin key.")
    usage: dict[Operation, Usage] = Field(
        default_factory=default_usage,
        description="Usage endpoints to read; when left out, completions and embeddings by project, key and model.",
    )
    costs: Costs | None = Field(default_factory=Costs, description="Read billed costs; null reads none.")
    refresh_interval: base.PositiveDuration = Field(60.0, description="Least time between two reads of usage.")
    settle: base.PositiveDuration = Field(21_600.0, description="Age at which an hour's usage counts as final.")
    audit_interval: base.PositiveDuration = Field(3600.0, description="Time between two reads of the whole month.")
    timeout: base.PositiveDuration = Field(20.0, description="Deadline of one API call.")
    calls_per_hour: Annotated[int, Field(ge=60)] = Field(
        6000, description="API calls that may be made in an hour; names and limits get 80 % of them."
    )
    series_limit: Annotated[int, Field(ge=1)] = Field(
        20_000, description="Usage series per endpoint; the rest folds into `other`."
    )
    names: bool = Field(True, description="Read names of projects, keys and users.")
    names_interval: base.PositiveDuration = Field(
        900.0, description="Least time between two reads of names and limits."
    )
    limits: bool = Field(True, description="Read spend limits, spend alerts and project rate limits.")
    peak_minute: PeakMinute | None = Field(None, description="Read usage by the minute, for its peak; null reads none.")
    cost_drift: CostDrift | None = Field(
        default_factory=CostDrift, description="Compare estimated with billed cost by model; null does not."
    )
    emails: Literal["off", "hashed", "plain"] = Field("off", description="How e-mail addresses become names.")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.admin_key_file is None and self.admin_key_env is None:
            raise ValueError("has no admin key; give admin_key_file or admin_key_env")
        if self.admin_key_file is not None and self.admin_key_env is not None:
            raise ValueError("gives admin_key_file and admin_key_env; keep one of them")
        return self


class Scope(base.Section):
    """Whose spend a budget bounds; everything of the organization when nothing is given."""

    project: base.Token | None = Field(None, description="Project id.")
    key: base.Token | None = Field(None, description="API key id.")
    user: base.Token | None = Field(None, description="User id.")
    model: base.ModelName | None = Field(None, description="Model as usage names it.")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        given = [name for name in ("project", "key", "user", "model") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"gives {' and '.join(given)}; keep one of them")
        return self


class Budget(base.Section):
    """A bound on spend in a period, exported beside what was spent."""

    name: base.Name = Field(description="Name in the label `budget`.")
    organization: str | None = Field(None, description="Name of the organization; may be left out when there is one.")
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


class StatusPage(base.Section):
    """A public status page of the Statuspage v2 form."""

    name: base.Name = Field("openai", description="Name in URLs and in the label `status_page`.")
    url: base.Url = Field("https://status.openai.com", description="Root; /api/v2/summary.json is read below it.")
    components: Annotated[tuple[str, ...], base.LIST, base.DISTINCT] = Field(
        (), description="Names or ids to export; none exports all."
    )
    refresh_interval: base.PositiveDuration = Field(60.0, description="Least time between two reads.")
    timeout: base.PositiveDuration = Field(8.0, description="Deadline of one read.")
