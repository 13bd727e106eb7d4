# SPDX-License-Identifier: Apache-2.0
"""Metrics of one probe (`/probe`) and those accumulated over probes (`/metrics`)."""

from openai_exporter.model import Kind, Metric, Page


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, Page.PROBE, text, labels)


# blackbox_exporter's names, so that its dashboards and rules work unchanged.
SUCCESS = _gauge(
    "probe_success",
    "Whether the API gave the expected answer (1) or not (0); openai_probe_cached_age_seconds says how long ago.",
)
DURATION = _gauge(
    "probe_duration_seconds",
    "Time from the start of the request to the end of the answer; waits for our own resources excluded.",
)
TIMEOUT = _gauge("probe_timeout_seconds", "Time that the scrape left for the probe, at most the module's timeout.")
DNS_LOOKUP = _gauge(
    "probe_dns_lookup_time_seconds", "Time of the name lookup, phase resolve; 0 on a reused connection."
)
IP_PROTOCOL = _gauge(
    "probe_ip_protocol", "IP version, 4 or 6, of the address that was connected to (a proxy's when there is one)."
)
IP_ADDR_HASH = _gauge(
    "probe_ip_addr_hash", "Hash (FNV-1a, 32 bits) of that address, as blackbox_exporter makes it: a change shows."
)
HTTP_STATUS = _gauge("probe_http_status_code", "HTTP status of the answer, 0 when none came.")
HTTP_DURATION = _gauge(
    "probe_http_duration_seconds",
    "Time spent in each phase of the request; resolve, connect and tls are 0 on a reused connection.",
    "phase",
)
HTTP_CONTENT_LENGTH = _gauge("probe_http_content_length", "Bytes of the answer's body as received.")
HTTP_BODY_LENGTH = _gauge(
    "probe_http_uncompressed_body_length", "Bytes of the answer's body with its content coding undone."
)
HTTP_REDIRECTS = _gauge(
    "probe_http_redirects", "Redirects followed: always 0, for keys are not taken along (outcome redirect)."
)
HTTP_SSL = _gauge("probe_http_ssl", "Whether the answer came over TLS (1); 0 without an answer.")
HTTP_VERSION = _gauge("probe_http_version", "HTTP version of the answer.")
SSL_EARLIEST_EXPIRY = _gauge(
    "probe_ssl_earliest_cert_expiry",
    "Unix time at which the first of the certificates that the server sent expires; absent without TLS.",
)
SSL_CHAIN_EXPIRY = _gauge(
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "Unix time at which the first certificate of the verified chain expires, its root included; absent without TLS.",
)
SSL_CHAIN_INFO = _gauge(
    "probe_ssl_last_chain_info",
    "The server's own certificate; absent without TLS.",
    "fingerprint_sha256",
    "subject",
    "issuer",
    "subjectalternative",
    "serialnumber",
)
TLS_VERSION = _gauge("probe_tls_version_info", "TLS version of the connection; absent without TLS.", "version")
TLS_CIPHER = _gauge(
    "probe_tls_cipher_info", "Cipher of the connection as OpenSSL names it; absent without TLS.", "cipher"
)
FAILED_DUE_TO_REGEX = _gauge(
    "probe_failed_due_to_regex", "Whether the probe failed because the text did not match the expected pattern."
)

OUTCOME = _gauge(
    "openai_probe_outcome",
    "State set over the outcome taxonomy: 1 for the outcome of this probe, 0 for every other one.",
    "outcome",
)
AVAILABILITY_VALID = _gauge(
    "openai_probe_availability_valid",
    "Whether this probe counts as a valid event of the availability SLI; absent on a repeated answer.",
)
AVAILABILITY_GOOD = _gauge(
    "openai_probe_availability_good",
    "Whether this probe counts as a good event of the availability SLI; absent on a repeated answer.",
)
CONNECTION_REUSED = _gauge(
    "openai_probe_connection_reused", "Whether the probe reused a connection (1) or opened a new one (0)."
)
TIME_TO_FIRST_EVENT = _gauge(
    "openai_probe_time_to_first_event_seconds",
    "Time from the start of the request to the first event of the stream, whatever it says; streams only.",
)
TIME_TO_FIRST_TOKEN = _gauge(
    "openai_probe_time_to_first_token_seconds",
    "Time from the start of the request to the first visible token; streams only.",
)
INTER_TOKEN_MEAN = _gauge(
    "openai_probe_inter_token_seconds_mean",
    "Mean gap between the events that brought visible tokens; absent when all of them came in one arrival.",
)
INTER_TOKEN_MAX = _gauge(
    "openai_probe_inter_token_seconds_max",
    "Longest gap between the events that brought visible tokens; absent when all of them came in one arrival.",
)
TOKEN_ARRIVALS = _gauge(
    "openai_probe_token_arrivals",
    "Number of chunks with visible tokens; 1 if something on the way, such as a buffering proxy, sends a single chunk.",
)
OUTPUT_TOKENS_PER_SECOND = _gauge(
    "openai_probe_output_tokens_per_second",
    "Output tokens after the first, divided by the time between the first and the last visible token.",
)
TOKENS = _gauge(
    "openai_probe_tokens",
    "Tokens of this probe as its usage object says; cached is a part of input, reasoning a part of output.",
    "direction",
)
SERVER_PROCESSING = _gauge(
    "openai_probe_server_processing_seconds", "The API's own processing time (header openai-processing-ms)."
)
NETWORK = _gauge(
    "openai_probe_network_seconds",
    "Time to the first byte of the answer less the API's own processing time: network and edge.",
)
COST = _gauge("openai_probe_cost_usd", "Estimated list price of this probe; absent when the model has no price.")
CACHED_AGE = _gauge(
    "openai_probe_cached_age_seconds",
    "Time since the API answered, or was last called, when the answer is from the cache; 0 for a fresh result.",
)
LAST_RESULT = _gauge(
    "openai_probe_last_result_timestamp_seconds",
    "Unix time at which this result was made, repeated by answers from the cache: each value is one result; "
    "absent when nothing was probed.",
)
RESULT_SOURCE = _gauge(
    "openai_probe_result_source",
    "State set: whose probe this result is (own: of this scrape; shared: of another scrape at the same time), or why "
    "the last one is repeated.",
    "result_source",
)
BACKOFF = _gauge("openai_probe_backoff_seconds", "Time for which the probe will still not call the API, else 0.")
COST_LIMITED = _gauge(
    "openai_probe_cost_limited", "Whether the module's daily cost limit stops this probe until midnight UTC."
)
RATE_LIMIT_LIMIT = _gauge(
    "openai_api_rate_limit_limit", "Permitted per window (header x-ratelimit-limit-*).", "limit_type"
)
RATE_LIMIT_REMAINING = _gauge(
    "openai_api_rate_limit_remaining", "Left in the window (header x-ratelimit-remaining-*).", "limit_type"
)
RATE_LIMIT_RESET = _gauge(
    "openai_api_rate_limit_reset_seconds",
    "Time until the rate limit window resets (header x-ratelimit-reset-*).",
    "limit_type",
)
PROBE_MODEL_INFO = _gauge(
    "openai_probe_model_info",
    "The model asked for and the one that answered (field model of the answer), with the tier used.",
    "requested_model",
    "served_model",
    "service_tier",
)
MODEL_LISTED = _gauge(
    "openai_probe_model_listed",
    "Whether GET /models lists the model that is configured for probing; module models only; absent where the list may "
    "mean it by another name.",
    "listed_model",
)
MODEL_INFO = _gauge("openai_model_info", "A model that GET /models lists.", "model", "owned_by")
MODEL_CREATED = _gauge("openai_model_created_timestamp_seconds", "Field created of GET /models.", "model")
MODEL_SHUTDOWN = _gauge(
    "openai_model_shutdown_timestamp_seconds",
    "Field shutdown_date of GET /models, a day as its midnight UTC; absent without a date.",
    "model",
)

# Bounds of the OpenTelemetry GenAI semantic conventions, with the SLO thresholds 2.5, 5 and 10 added.
LATENCY_BUCKETS = (
    0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.28, 2.0, 2.56, 5.0, 7.5, 10.0, 20.48, 40.96, 81.92
)  # fmt: skip
_PROBE_LABELS = ("target", "module", "endpoint", "model")
_KEY = ("target", "module", "model")


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, Page.METRICS, text, labels)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, Page.METRICS, text, labels, LATENCY_BUCKETS)


API_LATENCY = _histogram(
    "openai_api_latency_seconds",
    "Duration of fresh probes that got an HTTP answer or (status_code 0) ran into their deadline without one; "
    "the exemplar is the request id.",
    *_PROBE_LABELS,
    "status_code",
)
API_TTFT = _histogram(
    "openai_api_time_to_first_token_seconds",
    "Time to the first visible token of fresh streamed probes, their deadline when it came first; "
    "the exemplar is the request id.",
    *_PROBE_LABELS,
)
API_REQUESTS = _counter(
    "openai_api_requests_total",
    "Total number of probes that sent a request to the API, whether or not it succeeded.",
    *_PROBE_LABELS,
)
API_ERRORS = _counter(
    "openai_api_errors_total",
    "Those of openai_api_requests_total that failed, by outcome (error_type) and HTTP status (0: no answer came).",
    *_PROBE_LABELS,
    "error_type",
    "status_code",
)
API_TOKENS = _counter(
    "openai_api_tokens_total",
    "Tokens that probes spent; cached is a part of input, reasoning a part of output.",
    *_PROBE_LABELS,
    "direction",
)
PROBE_COST_TOTAL = _counter("openai_probe_cost_usd_total", "Estimated list price of all probes since start.", *_KEY)
PROBE_UNPRICED = _counter(
    "openai_probe_unpriced_total",
    "Answered probes that may be billed but have no counted cost: no tokens are named, or the model has no price.",
    *_PROBE_LABELS,
)
PROBE_NOT_SENT = _counter(
    "openai_probe_not_sent_total",
    "Probes that failed before the API was called, by outcome, such as no_credentials or exporter_busy.",
    *_PROBE_LABELS,
    "error_type",
)
PROBES_CACHED = _counter("openai_probe_cached_answers_total", "Scrapes answered without a call of their own.", *_KEY)
