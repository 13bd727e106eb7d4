# SPDX-License-Identifier: Apache-2.0
"""Metrics of an organization (`/usage`) and of the provider's status page (`/status`).

Every value is read by a refresh that several scrapes share; HELP says so once, in the freshness metrics.
"""

from openai_exporter.model import Kind, Metric, Page

DIMENSIONS = (
    "operation", "project_id", "api_key_id", "user_id", "model", "batch", "service_tier", "api_source"
)  # fmt: skip
"""Labels of usage series; a dimension that is not grouped by is the empty label, hence absent."""

_FIELD = ("operation", "field")
_PROJECT_MODEL = ("project_id", "model")
_API_KEY = ("api_key_id", "kind")
_SCOPE = ("scope", "project_id")
_BUDGET = ("budget", "scope", "id", "period")
_WINDOW_MODEL = ("window", "model")
_SINCE = "since the first of the month (UTC)"


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, Page.USAGE, text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, Page.USAGE, text, labels)


def _usage(name: str, text: str, *more: str) -> Metric:
    return _counter(f"openai_usage_{name}_total", f"{text} {_SINCE}.", *DIMENSIONS, *more)


REQUESTS = _usage("requests", "Requests (field num_model_requests)")
INPUT_TOKENS = _usage("input_tokens", "Input tokens, cached and cache-write ones included (field input_tokens)")
INPUT_CACHED_TOKENS = _usage(
    "input_cached_tokens", "Input tokens read from the cache, a part of the input tokens (field input_cached_tokens)"
)
INPUT_CACHE_WRITE_TOKENS = _usage(
    "input_cache_write_tokens",
    "Input tokens written to the cache, a part of the input tokens (field input_cache_write_tokens)",
)
OUTPUT_TOKENS = _usage("output_tokens", "Output tokens (field output_tokens)")
AUDIO_INPUT_TOKENS = _usage(
    "audio_input_tokens", "Uncached audio input tokens, a part of the input tokens (field input_audio_tokens)"
)
AUDIO_OUTPUT_TOKENS = _usage(
    "audio_output_tokens", "Audio output tokens, a part of the output tokens (field output_audio_tokens)"
)
IMAGE_INPUT_TOKENS = _usage(
    "image_input_tokens", "Uncached image input tokens, a part of the input tokens (field input_image_tokens)"
)
IMAGE_OUTPUT_TOKENS = _usage(
    "image_output_tokens", "Image output tokens, a part of the output tokens (field output_image_tokens)"
)
IMAGES = _usage("images", "Images (field images)", "size", "source")
CHARACTERS = _usage("characters", "Characters turned into speech (field characters)")
AUDIO_SECONDS = _usage("audio_seconds", "Seconds of audio transcribed (field seconds)")
TOOL_CALLS = _usage(
    "tool_calls", "Tool calls, file and web search (field num_requests)", "vector_store_id", "context_level", "tool"
)
SESSIONS = _usage("sessions", "Code interpreter sessions (field num_sessions)")
VECTOR_STORE_BYTES = _gauge(
    "openai_usage_vector_store_bytes", "Bytes in vector stores, newest day (field usage_bytes).", "project_id"
)
ESTIMATED_COST = _usage(
    "estimated_cost_usd", "List price of what was used, an estimate (price table: openai_exporter_price_table_info),"
)
UNPRICED_TOKENS = _usage(
    "unpriced_tokens", "Tokens whose model, service tier or modality has no price, missing from the estimated cost,"
)
UNPRICED_IMAGES = _usage(
    "unpriced_images", "Images of models without a price per image, missing from the estimated cost,"
)
UNPRICED_CHARACTERS = _usage(
    "unpriced_characters", "Characters of models without a price, missing from the estimated cost,"
)
UNPRICED_AUDIO_SECONDS = _usage(
    "unpriced_audio_seconds", "Seconds of audio of models without a price, missing from the estimated cost,"
)
CORRECTIONS = Metric(
    "openai_usage_corrections_total",
    Kind.UNKNOWN,  # it falls, and a gauge may not be called _total
    Page.USAGE,
    "Usage that the API corrected downwards this month, to be subtracted from the counter; it can fall: do not use "
    "rate() or increase().",
    _FIELD,
)
PREVIOUS_MONTH = _gauge(
    "openai_usage_previous_month",
    "Usage of the full previous month (UTC) as the API reports it now, late-arriving usage included.",
    *_FIELD,
)
PREVIOUS_MONTH_LATE = _gauge(
    "openai_usage_previous_month_late",
    "What of openai_usage_previous_month is in no counter, as it came after that month's end; absent when unknown.",
    *_FIELD,
)

COSTS_MONTH = _gauge(
    "openai_costs_month_to_date_usd",
    "Billed cost since the first of the month (UTC) of /organization/costs; falls when credits are booked.",
    "project_id",
    "line_item",
    "api_key_id",
    "user_id",
    "api_source",
)
COSTS_DAY = _gauge(
    "openai_costs_day_usd",
    "Billed cost of the running day or of the day before (UTC), by project where costs are grouped by project_id.",
    "window",
    "project_id",
)
COSTS_PREVIOUS_MONTH = _gauge("openai_costs_previous_month_usd", "Billed cost of the full previous month (UTC).")

CREDIT_BALANCE = _gauge(
    "openai_credit_balance_usd",
    "Remaining prepaid credit: credits of the configuration less billed costs since then and what has expired; "
    "computed, as the API has no endpoint for it.",
)
CREDIT_EXPIRED = _gauge("openai_credit_expired_usd", "Prepaid credit that was not used before it expired; computed.")
CREDIT_EXHAUSTED = _gauge(
    "openai_credit_exhausted_timestamp_seconds",
    "Unix timestamp at which the prepaid credit is exhausted at the mean billed cost of the seven days before"
    " yesterday; absent without cost in these days.",
)
CREDIT_EXPIRES = _gauge(
    "openai_credit_expires_timestamp_seconds",
    "Unix timestamp of the next day on which a part of the remaining prepaid credit expires; absent when none does.",
)

COSTS_SKIPPED = _gauge(
    "openai_costs_skipped_rows",
    "Rows of the last read of costs in a currency other than usd; they are in no sum.",
    "currency",
)

_WINDOW = "day is the newest one whose bill is complete, month runs up to it"
DRIFT_ESTIMATED = _gauge(
    "openai_cost_drift_estimated_usd",
    f"Estimated cost of a model, to be compared with openai_cost_drift_billed_usd; {_WINDOW}.",
    *_WINDOW_MODEL,
)
DRIFT_BILLED = _gauge(
    "openai_cost_drift_billed_usd", f"Billed cost of a model, its line items together; {_WINDOW}.", *_WINDOW_MODEL
)
DRIFT_UNMATCHED = _gauge(
    "openai_cost_drift_unmatched_usd",
    f"Billed cost of line items that belong to no model with an estimate; {_WINDOW}.",
    "window",
    "line_item",
)
DRIFT_DAY = _gauge(
    "openai_cost_drift_day_timestamp_seconds", "Unix timestamp of the start of the last day in the cost drift values."
)

PROJECT_INFO = _gauge(
    "openai_project_info", "A project and its name; join by project_id.", "project_id", "project", "status"
)
API_KEY_INFO = _gauge(
    "openai_api_key_info",
    "A project API key, its name and owner; join by api_key_id.",
    "api_key_id",
    "api_key",
    "project_id",
    "owner_type",
    "owner_id",
)
USER_INFO = _gauge("openai_user_info", "A user of the organization; join by user_id.", "user_id", "user", "role")
API_KEY_LAST_USED = _gauge(
    "openai_api_key_last_used_timestamp_seconds", "Field last_used_at; absent when never used.", *_API_KEY
)
API_KEY_EXPIRES = _gauge(
    "openai_api_key_expires_timestamp_seconds", "Field expires_at; absent when the key does not expire.", *_API_KEY
)
API_KEY_CREATED = _gauge("openai_api_key_created_timestamp_seconds", "Field created_at.", *_API_KEY)

SPEND_LIMIT = _gauge(
    "openai_spend_limit_usd", "Hard monthly spend limit (field threshold_amount); absent when none is set.", *_SCOPE
)
SPEND_LIMIT_ENFORCING = _gauge(
    "openai_spend_limit_enforcing", "Whether the hard limit is blocking requests now.", *_SCOPE
)
SPEND_ALERT_THRESHOLD = _gauge(
    "openai_spend_alert_threshold_usd", "Threshold of a spend alert set at the API.", *_SCOPE, "alert_id"
)
PROJECT_RPM = _gauge(
    "openai_project_rate_limit_requests_per_minute", "Configured request limit of a project.", *_PROJECT_MODEL
)
PROJECT_TPM = _gauge(
    "openai_project_rate_limit_tokens_per_minute", "Configured token limit of a project.", *_PROJECT_MODEL
)

PEAK_RPM = _gauge(
    "openai_project_peak_requests_per_minute",
    "Most requests of a project in one minute of key peak_usage.window; model as its rate limit names it.",
    *_PROJECT_MODEL,
)
PEAK_TPM = _gauge(
    "openai_project_peak_tokens_per_minute",
    "Most input and output tokens of a project in one minute of key peak_usage.window.",
    *_PROJECT_MODEL,
)

BUDGET_LIMIT = _gauge("openai_budget_limit_usd", "Limit of a budget in the configuration.", *_BUDGET)
BUDGET_SPENT = _gauge("openai_budget_spent_usd", "Spent of a budget in its period so far.", *_BUDGET, "basis")
BUDGET_REMAINING = _gauge(
    "openai_budget_remaining_usd", "Left of a budget in its period; below 0 when it is overspent.", *_BUDGET, "basis"
)
BUDGET_RATIO = _gauge(
    "openai_budget_spent_ratio", "Spent of a budget in its period so far, as a share of its limit.", *_BUDGET, "basis"
)
BUDGET_WARN_RATIO = _gauge("openai_budget_warn_ratio", "Share of the limit at which the budget warns.", *_BUDGET)

UP = _gauge(
    "openai_usage_up",
    "Whether the last refresh of this dataset succeeded; absent before the first one ends.",
    "dataset",
)
UNREAD_SINCE = _gauge(
    "openai_usage_unread_since_timestamp_seconds",
    "Unix time since which this dataset has waited for its first successful refresh; absent once there was one.",
    "dataset",
)
LAST_SUCCESS = _gauge(
    "openai_usage_last_success_timestamp_seconds",
    "Unix timestamp of the last successful refresh of the dataset.",
    "dataset",
)
NEWEST_BUCKET = _gauge(
    "openai_usage_newest_bucket_timestamp_seconds",
    "Start of the newest usage bucket with data, in the API's time.",
    "operation",
)
NEGATIVE_ROWS = _gauge(
    "openai_usage_negative_rows",
    "Rows of the last refresh with a value below 0; they are counted as corrections.",
    "operation",
)
LOSS = _gauge(
    "openai_usage_loss_ratio",
    "Share of usage that the last read lacks, or has under other labels, while that is not believed.",
    "operation",
)
SKIPPED_ENTRIES = _gauge(
    "openai_usage_skipped_entries",
    "Entries of lists of names and limits, and dates in them, that the last read skipped as invalid; see the log.",
    "dataset",
    "list",
)
SERIES = _gauge("openai_usage_series", "Usage series exposed, by operation.", "operation")
SERIES_DROPPED = _gauge(
    "openai_usage_series_dropped",
    "Usage series aggregated into the label value other by the series limit.",
    "operation",
)
REFRESH_DURATION = _gauge(
    "openai_usage_refresh_duration_seconds", "Duration of the last refresh of this dataset.", "dataset"
)
REFRESH_CALLS = _gauge("openai_usage_refresh_calls", "API calls of the last refresh of this dataset.", "dataset")
CALLS = _gauge("openai_usage_calls_last_hour", "API calls of the last hour, of all datasets.")
CALLS_LIMIT = _gauge(
    "openai_usage_calls_limit", "API calls that may be made in an hour (key calls_per_hour); then reads wait."
)
CLOCK_OFFSET = _gauge(
    "openai_usage_clock_offset_seconds",
    "The API's clock (header Date) less ours; windows and months follow the API's clock once several responses agree.",
)

# The provider's public status page (`/status`).


def _status(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, Page.STATUS, text, labels)


STATUS_UP = _status(
    "openai_status_up",
    "Whether the last read of the status page found a component; the rest shows the last good read, shared by scrapes.",
)
STATUS_COMPONENT = _status(
    "openai_status_component",
    "State set: 1 for the component's present state, 0 for every other one.",
    "component_id",
    "component",
    "state",
)
STATUS_INCIDENT = _status("openai_status_incident", "Unresolved incidents by impact.", "impact")
STATUS_FETCHED = _status("openai_status_last_success_timestamp_seconds", "Unix time at which the page was last read.")


# Series that the bundle's rules record and an import writes too, as no rule runs over historical data. The rules are in
# alerting/rules/growth.libsonnet; a test holds names and labels equal.


_WHOSE = ("operation", "project_id", "api_key_id", "user_id", "model")


def _growth(name: str, what: str, *more: str) -> tuple[Metric, ...]:
    """That of keys, users and models, and its sums by fewer labels."""
    text = f"What {what} grew by since the sample before; adds up over a range."
    levels = {
        "key_user_model": _WHOSE,
        "key_user": ("operation", "project_id", "api_key_id", "user_id"),
        "project_model": ("operation", "project_id", "model"),
        "project": ("operation", "project_id"),
        "model": ("operation", "model"),
    }
    return tuple(
        Metric(f"{level}:openai_usage_{name}:growth10m", Kind.GAUGE, Page.USAGE, text, (*labels, *more))
        for level, labels in levels.items()
    )


RECORDED = {
    "tokens": _growth("tokens", "tokens", "direction"),
    "requests": _growth("requests", "requests"),
    "cost": _growth("estimated_cost_usd", "the list price of the tokens used"),
}
