# SPDX-License-Identifier: Apache-2.0
"""Decides what one exchange means: one outcome of a closed taxonomy, one sentence. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from openai_exporter.client.exchange import ApiError, Exchange, FailureKind, Step, refusal, status_outcome
from openai_exporter.config.base import compiled
from openai_exporter.config.sections import Expect
from openai_exporter.model import StreamTiming
from openai_exporter.probe.endpoints import CUT, FILTERED, FINISHED, read_reply
from openai_exporter.probe.reading import MAX_QUOTED, Reading, Setting, parse_count

# The closed taxonomy of outcomes: what each means, what to do, and whether it counts against availability.
# A *valid* event of the availability SLI is one that says something about the provider. What we caused ourselves
# (key, quota, request, a pattern that a model may miss) is none; neither are rate limits, which are agreed with the
# provider and have their own outcomes to alert on. What cannot be told from an outage (network, timeouts) is valid.


class BackOff(StrEnum):
    """How an outcome makes a probe wait before it calls the API again."""

    NONE = "none"
    LIMIT = "limit"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class OutcomeFact:
    """One row of the taxonomy.

    Attributes:
        meaning, remedy: a sentence each, for people.
        valid: counts in the availability SLI; it counts as good only when `success`.
        made: whether there was a probe, so that the result says when the last one was.
    """

    name: str
    meaning: str
    remedy: str
    valid: bool
    success: bool = False
    backoff: BackOff = BackOff.NONE
    made: bool = True

    @property
    def good(self) -> bool:
        """Whether it is a good event of the availability SLI."""
        return self.valid and self.success


_NETWORK = "Check the network, the proxy and the provider's status page."
_PROVIDER = "Check the provider's status page; if it persists, contact the provider with the request ID."
_LIMIT = "Lower the traffic on this limit, raise the limit, or probe less often (min_interval)."
_BILLING = "Check plan, credit and billing of the organization."


def _provider(name: str, meaning: str, remedy: str = _PROVIDER) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=True)


def _ours(name: str, meaning: str, remedy: str, *, made: bool = True) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=False, made=made)


def _limit(name: str, meaning: str, remedy: str = _LIMIT) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=False, backoff=BackOff.LIMIT)


def _quota(name: str, meaning: str, remedy: str = _BILLING) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=False, backoff=BackOff.QUOTA)


_TABLE = (
    OutcomeFact("success", "The API gave the expected answer.", "Nothing to do.", valid=True, success=True),
    # What we caused ourselves.
    _ours("auth", "The API does not accept the key.", "Check the target's key."),
    _ours("permission", "The key may not do this.", "Give the key the permission, or probe something else."),
    _ours(
        "region_unsupported",
        "The API does not serve the country that the request came from.",
        "Probe from a supported country, or through a proxy in one.",
    ),
    _ours(
        "model_not_found",
        "The model does not exist, was shut down, or is not open to this key.",
        "Check the name, and its shutdown date on the models page.",
    ),
    _ours("not_found", "There is nothing at this path.", "Check the target's base_url, version included."),
    _ours("bad_request", "The API rejects the request.", "Read the message; adapt the module's request."),
    _ours("redirect", "The API redirects elsewhere; keys are not taken along.", "Set base_url to the new place."),
    _ours("no_credentials", "The key cannot be read.", "Check the file or environment variable it names."),
    _ours("proxy", "The proxy rejected the connection or failed.", "Check the proxy and its address."),
    _ours(
        "content_mismatch",
        "The API answered, but not with the expected text or vector length.",
        "Read the reply; loosen the pattern or raise max_output_tokens when the model may differ.",
    ),
    _ours(
        "content_filtered",
        "The provider's content filter withheld the answer.",
        "Choose another prompt; report it when the prompt is harmless.",
    ),
    _ours("status_mismatch", "A success status, but none that is expected.", "Adapt expect.status."),
    # Limits and money.
    _limit("rate_limited", "A rate limit is reached; the API does not say which."),
    _limit("rate_limited_requests", "The limit of requests per minute or day is reached."),
    _limit("rate_limited_tokens", "The limit of tokens per minute or day is reached."),
    _limit("slow_down", "The API asks to send more slowly; the traffic grew too fast."),
    _quota("quota_exhausted", "The credit or quota is exhausted."),
    _quota("spend_limit", "The spend limit of the organization or project is reached.", "Raise it, or wait."),
    _quota("usage_limit", "The usage limit that the provider assigned is reached.", "Ask for a higher one."),
    _quota("billing_inactive", "The account is not active."),
    # The provider's failures.
    _provider("overloaded", "The API says that it is overloaded."),
    _provider("server_error", "The API failed."),
    _provider(
        "edge_error",
        "Something in front of the API answered in its place.",
        "Check the status page and the network; when it never worked, check base_url.",
    ),
    _provider("stream_error", "The stream ended with an error event."),
    _provider("empty_response", "A success status without any content."),
    _provider("malformed", "The answer is not valid HTTP, JSON or event stream."),
    _provider("schema_mismatch", "Valid JSON, but not of the documented shape."),
    _provider("response_too_large", "The answer is larger than the bound.", "Check what base_url really serves."),
    # What happened on the way.
    _provider("dns", "The host name cannot be resolved.", _NETWORK),
    _provider("connect", "No connection could be made.", _NETWORK),
    _provider("tls", "The TLS handshake failed.", "Check the certificate, the CA bundle and the clock."),
    _provider("connection_reset", "The connection was closed or reset before the answer was there.", _NETWORK),
    _provider("truncated", "The answer broke off.", _NETWORK),
    _provider("timeout_connect", "No connection within the deadline.", _NETWORK),
    _provider("timeout_headers", "Connected, but no answer within the deadline."),
    _provider("timeout_first_token", "A stream began, but no visible token came within the deadline."),
    _provider("timeout_total", "The answer was not complete within the deadline."),
    # The exporter itself.
    _ours("cost_limited", "Not probed: the module's daily cost limit is reached.", "Wait, or raise it.", made=False),
    _ours(
        "deadline_too_short",
        "Not measured: the scrape left less time than the probe needs.",
        "Raise the scrape's timeout, or lower the module's.",
        made=False,
    ),
    _ours(
        "exporter_busy",
        "Not probed: too many probes were in flight, or no file descriptor, thread or memory was left.",
        "Scrape less often, or raise the limits of the process.",
    ),
    _ours("exporter_error", "The exporter failed.", "Report it with the log."),
)

OUTCOMES: Mapping[str, OutcomeFact] = MappingProxyType({fact.name: fact for fact in _TABLE})
"""Name to fact, in the order in which documents and `openai_probe_outcome` list them."""

MAX_MATCHED = 20_000
"""Characters of a reply that `expect.text` is matched against."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exchange came to.

    Attributes:
        outcome: a name of the taxonomy.
        message: a sentence, not yet masked.
        error: the error object of the answer, empty without one.
    """

    outcome: str
    message: str
    reading: Reading
    error: ApiError = field(default_factory=ApiError)
    regex_failed: bool = False


def judge(exchange: Exchange, setting: Setting) -> Verdict:
    """The verdict over a finished exchange, whole or broken off."""
    expect = setting.module.expect
    good_status = 200 <= exchange.status < 300
    if exchange.failure is not None:
        streaming = good_status and setting.module.stream
        reading = read_reply(exchange, setting) if streaming else Reading()
        # A stream that had marked its end is whole, however its connection ended then.
        if not (reading.ended and exchange.failure.kind in (FailureKind.CONNECTION_RESET, FailureKind.TRUNCATED)):
            return _broken(exchange, reading, streaming)
    if exchange.status not in expect.status:
        if good_status:
            statuses = ", ".join(map(str, expect.status))
            return Verdict("status_mismatch", f"status {exchange.status}, expected {statuses}", Reading())
        outcome, error = classify_refusal(exchange)
        return Verdict(outcome, _refused(outcome, exchange, error), Reading(), error)
    if not good_status:
        return Verdict("success", f"status {exchange.status}, as expected", Reading())
    reading = read_reply(exchange, setting)
    if reading.problem is not None and looks_like_html(exchange):
        return Verdict("edge_error", "an HTML page came in place of the API's answer", Reading())
    return _judge_reading(reading, exchange, expect)


def _broken(exchange: Exchange, reading: Reading, streaming: bool) -> Verdict:
    assert exchange.failure is not None
    if reading.error is not None:  # the API had said why before the connection went
        return _stated_error(reading, exchange)
    outcome = classify_failure(exchange, (reading.stream or StreamTiming()) if streaming else None)
    message = exchange.failure.message
    if outcome.startswith("timeout"):
        message = f"{OUTCOMES[outcome].meaning.removesuffix('.')} ({exchange.duration:.3f} s)"
    return Verdict(outcome, message, reading)


def _judge_reading(reading: Reading, exchange: Exchange, expect: Expect) -> Verdict:
    # Gemini and gateways of it write what it was after a colon.
    finish = reading.finish.lower().replace("-", "_").partition(":")[0]
    if reading.error is None and finish not in FINISHED and finish not in FILTERED:
        error = ApiError(code=finish, message=f"the answer ended with finish reason {reading.finish[:MAX_QUOTED]!r}")
        reading = replace(reading, error=error, problem=None)
    if reading.error is not None:
        return _stated_error(reading, exchange)
    if finish in FILTERED:
        return Verdict("content_filtered", OUTCOMES["content_filtered"].meaning, reading)
    if reading.problem is not None:
        return Verdict(*reading.problem, reading)
    if expect.vector_length is not None and reading.vector_length != expect.vector_length:
        message = f"the vector has {reading.vector_length} elements, expected {expect.vector_length}"
        return Verdict("content_mismatch", message, reading)
    if expect.text is not None and not compiled(expect.text)((reading.text or "")[:MAX_MATCHED]):
        return Verdict("content_mismatch", _mismatch(reading), reading, regex_failed=True)
    return Verdict("success", OUTCOMES["success"].meaning, reading)


def _stated_error(reading: Reading, exchange: Exchange) -> Verdict:
    error = reading.error
    assert error is not None
    fallback = "server_error" if reading.stream is None else "stream_error"
    if reading.problem is not None and reading.stream is None:
        fallback = reading.problem[0]
    outcome = classify_error(error, dict(exchange.headers), fallback=fallback)
    if outcome == "server_error":
        outcome = fallback
    return Verdict(outcome, error.message or OUTCOMES[outcome].meaning, reading, error)


def _refused(outcome: str, exchange: Exchange, error: ApiError) -> str:
    if outcome == "redirect":
        return f"status {exchange.status}, redirects to {exchange.header('location') or 'nowhere'}"
    message = error.message or OUTCOMES[outcome].meaning
    if outcome == "bad_request" and (advice := _advice(error)):
        message = f"{message.rstrip('.')}. To fix it, {advice}"
    return f"status {exchange.status}: {message}"


def _advice(error: ApiError) -> str:
    """Which key of a module leaves out what the API refuses, or says it otherwise; empty where none does."""
    message = error.message[:_SEARCHED]
    if not (error.code in _UNKNOWN_HERE or _UNWELCOME.search(message)):
        return ""
    field = error.param.partition(".")[0]
    name = field if field in _OPTIONAL else next((each for each in _NAMED if re.search(rf"\b{each}\b", message)), "")
    return _REMEDIES.get(name, f"leave the field out: give the module request.extra.{name}: null") if name else ""


def _mismatch(reading: Reading) -> str:
    """What came in place of the expected text; that reasoning took the tokens is what a new module meets first."""
    tokens = reading.tokens
    if reading.text:
        instead = reading.text[:200]
    elif reading.finish.lower() not in CUT:
        instead = "there is no text"
    elif tokens is not None and tokens.output == tokens.reasoning > 0:
        instead = f"all {tokens.output} output tokens went into reasoning"
        instead += "; set request.reasoning_effort to none, or to the least that the model knows"
    else:
        instead = "max_output_tokens was reached before any text"
    return f"the text does not match the expected pattern: {instead}"


_NO_EFFORT = "give models that do not know it a module without request.reasoning_effort"
_REMEDIES = {
    "max_tokens": "give the module request.extra.max_completion_tokens, which takes its place",
    "max_completion_tokens": "give the module request.extra.max_tokens, which takes its place",
    "reasoning_effort": _NO_EFFORT,
    "reasoning": _NO_EFFORT,
}
"""By the field that the API refuses: which key of a module says otherwise."""
_NAMED = (
    *("max_tokens", "max_completion_tokens", "reasoning_effort", "stream_options"),
    *("service_tier", "encoding_format", "response_format", "max_output_tokens"),
)
_OPTIONAL = (*_NAMED, "reasoning", "store", "quality", "size", "voice", "n", "dimensions")
"""Fields that a probe may send and a server may not know; those before are known by their names in a message too."""
_UNKNOWN_HERE = ("unsupported_parameter", "unknown_parameter")
_UNWELCOME = re.compile(
    r"(?i)unrecogni[sz]ed|unsupported|unknown|unexpected|not (?:be )?(?:permitted|supported|allowed)|extra"
)
# From an error answer - status, error object, content type - or a broken exchange to an outcome.

CODES: Mapping[str, str] = {
    "invalid_api_key": "auth",
    "invalid_organization": "auth",
    "unsupported_country_region_territory": "region_unsupported",
    "model_not_found": "model_not_found",
    "deploymentnotfound": "model_not_found",
    "insufficient_quota": "quota_exhausted",
    "credit_balance_exhausted": "quota_exhausted",
    "billing_hard_limit_reached": "quota_exhausted",
    "organization_spend_limit_exceeded": "spend_limit",
    "project_spend_limit_exceeded": "spend_limit",
    "organization_usage_limit_exceeded": "usage_limit",
    "billing_not_active": "billing_inactive",
    "account_deactivated": "billing_inactive",
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "moderation_blocked": "content_filtered",
    "rate_limit_exceeded": "rate_limited",
    "slow_down": "slow_down",
    "server_is_overloaded": "overloaded",
    "engine_overloaded": "overloaded",
    "invalid_prompt": "bad_request",
    "server_error": "server_error",
    # Other makers' words that say nothing to who does not know them.
    "1113": "quota_exhausted",  # Zhipu
    "1008": "quota_exhausted",  # MiniMax
    "1004": "auth",  # MiniMax and Zhipu
    "1211": "model_not_found",  # Zhipu
    "1301": "content_filtered",  # Zhipu
}
"""What `error.code` means, whatever the status, and in the events of a stream."""

TYPES: Mapping[str, str] = {
    "insufficient_quota": "quota_exhausted",
    "no_db_connection": "auth",  # LiteLLM without a database looks for an unknown key there
    "rate_limit_error": "rate_limited",
    "requests": "rate_limited",
    "tokens": "rate_limited",
    "service_unavailable_error": "overloaded",
}
"""What `error.type` means when the code is not known."""

_GAP = r"[\W_]*"
_KEY = rf"(?:api|access|auth[a-z]*|bearer|iam|proxy server|security){_GAP}(?:key|token)s?"
_MONEY = "(?:quota|balance|(?<!thinking.)(?<!reasoning.)budget|funds?|credits?|allowance|allocation)"
_GONE = "(?:exhausted|used up|insufficient|exceeded|depleted|empty|too low|negative|reached|r[ua]n out|not enough)"
_MODEL = "(?:models?|engine|deployment)"
_AWAY = (
    "(?:do(?:es)?(?: not|n't) exist|not exist|not found|no longer (?:available|exists?|supported|offered|served)|"
    "deprecated|decommissioned|retired|removed|discontinued|sunset|shut down|not in the list|end of (?:its )?life|"
    "not have access|not available (?:in|for|to|on)|not supported by any|inaccessible|"
    "(?:id|identifier|name) is (?:invalid|not valid))"
)
_BAD = "(?:invalid|incorrect|wrong|expired|revoked|leaked|blocked|malformed|not valid|disabled)"
_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "content_filtered": (
        rf"content{_GAP}(?:filter|policy|management{_GAP}policy)|data{_GAP}inspection|responsible{_GAP}ai|safety{_GAP}system",
        rf"(?:inappropriate|unsafe|harmful|(?<!case.)sensitive){_GAP}(?:content|information|words)|new_sensitive|敏感",
        "flagged (?:for|as|by)|considered high risk|violates? .{0,40}?(?:policy|policies|guidelines)",
    ),
    "quota_exhausted": (
        rf"insufficient{_GAP}(?:(?:account|user|prepaid|api){_GAP})?{_MONEY}",
        rf"(?<![a-z])(?:not|no){_GAP}(?:(?:enough|remaining){_GAP})?{_MONEY}",
        rf"{_MONEY}{_GAP}{_GONE}",
        rf"(?<![a-z]){_MONEY}(?![a-z]).{{0,60}}?(?<![a-z]){_GONE}",
        rf"exceed[a-z]*{_GAP}(?:(?:your|its|the|current|monthly|daily|maximum|included|allocated|free){_GAP})*{_MONEY}",
        rf"(?:not|n't) have (?:(?:any|enough|sufficient) )*{_MONEY}",
        rf"used (?:(?:up|all|of|your|the|available|daily|monthly|free) )*{_MONEY}",
        rf"(?:out{_GAP}of|over){_GAP}(?:call volume )?{_MONEY}|free tier.{{0,60}}?{_GONE}",
        rf"credits? (?:have |has )?expired|arrear|overdue|payment{_GAP}required|recharge|(?<![a-z])top up",
        "余额|额度|欠费",
        rf"(?:spend(?:ing)?|usage|billing(?:{_GAP}hard)?){_GAP}limit|key{_GAP}limit{_GAP}exceeded",
    ),
    "billing_inactive": (
        "(?:account|organization).{0,30}?(?:suspended|deactivated|not active|inactive|locked|disabled|restricted)",
        rf"inactive{_GAP}subscription|billing{_GAP}disabled|requires billing",
    ),
    "model_not_found": (
        rf"(?<![a-z]){_MODEL}(?![a-z]).{{0,160}}?(?<![a-z]){_AWAY}",
        rf"(?:invalid|unknown|unsupported|no such|unrecognized|not a valid|no access to|not found the)"
        rf"{_GAP}{_MODEL}(?!{_GAP}(?:output|response|param|input|config))",
        rf"{_MODEL}{_GAP}(?:not{_GAP}(?:found|exist|supported|open|available)|decommissioned|disabled|access{_GAP}denied)",
        rf"(?:unable to|not|n't).{{0,20}}?access.{{0,20}}?{_MODEL}",
        rf"{_MODEL} \S{{1,200}} (?:is )?not supported$|could not find {_MODEL}|^unavailable model|^model: \S+$",
        "no (?:endpoints found|allowed providers|models? loaded)|模型不存在",
        "no longer available.{0,40}?model",
    ),
    "auth": (
        rf"(?:{_BAD}|missing|unknown|inactive|(?<![a-z])no){_GAP}(?:valid{_GAP})?(?:(?:x|openai|virtual){_GAP})?{_KEY}",
        rf"{_KEY}(?![a-z])(?:(?!model).){{0,60}}?(?<![a-z])"
        rf"(?:{_BAD}|missing|not found|required|not provided|does not exist|expected)",
        rf"authentication{_GAP}(?:error|fail|required|is{_GAP}denied)|denied{_GAP}authentication|unauthenticated|auth{_GAP}(?:error|failure)|expired{_GAP}key",
        rf"^\W*invalid{_GAP}(?:token|credentials)\W*$|unregistered callers|request signature|^login fail",
    ),
    "region_unsupported": ("(?:country|region|location|territory).{0,40}?not (?:supported|available)",),
    "overloaded": (
        rf"overloaded|capacity{_GAP}(?:temporarily{_GAP})?exceeded|queue{_GAP}exceeded|server{_GAP}(?:is{_GAP})?busy",
        rf"(?:insufficient|out of){_GAP}system{_GAP}resource|high (?:demand|traffic|load)",
    ),
    "server_error": ("(?:has|have) crashed|out of memory",),
    "rate_limited": (rf"rate{_GAP}limit|too{_GAP}many{_GAP}requests|throttl",),
}
"""What the words of code, type and message mean, the first match first, when neither code nor type is known."""
_WORDS = {
    outcome: re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE) for outcome, patterns in _MEANINGS.items()
}
_RATES = re.compile(r"(?i)per[ _-](?:sec|min|hour|day)|/ ?min\b|\b[RT]P[MDS]\b|throttl|(?:retry|try again) in \d")
"""A quota with a clock is a rate limit."""
_SEARCHED = 2000
"""Characters of a message that patterns are searched in; a longer one is no message."""
_TOKENS = re.compile(r"(?i)\btokens? per\b|\bTPM\b|\bTPD\b|token rate limit")
_REQUESTS = re.compile(r"(?i)\brequests? per\b|\bRPM\b|\bRPD\b|call rate limit")
_GATEWAY_STATUSES = frozenset({502, 504, *range(520, 531)} - {529})


def classify_refusal(exchange: Exchange) -> tuple[str, ApiError]:
    """The outcome of a whole answer whose status is no success, and what it says of its error."""
    status = exchange.status
    error, stated = refusal(exchange.body)
    if 300 <= status < 400:
        return "redirect", error
    headers = dict(exchange.headers)
    if not stated and (looks_like_html(exchange) or status in _GATEWAY_STATUSES):
        return _without_object(exchange), error
    return classify_error(error, headers, status=status, fallback=status_outcome(status)), error


def classify_error(error: ApiError, headers: Mapping[str, str], *, fallback: str, status: int = 0) -> str:
    """The outcome of an error by its code, type and words; `fallback` when they say nothing.

    Args:
        status: of a refusal; of 500 and more it counts before all but a code and words of the key.
    """
    outcome = CODES.get(error.code.lower())
    if outcome is None and status < 500:
        outcome = TYPES.get(error.type)
    outcome = outcome or _by_words(error, status)
    if outcome is None and not status and re.fullmatch("[45][0-9]{2}", error.code):
        outcome = status_outcome(int(error.code))  # vLLM and several gateways write the status there
    outcome = outcome or fallback
    return _which_limit(error, headers) if outcome == "rate_limited" else outcome


def _by_words(error: ApiError, status: int) -> str | None:
    text = "\n".join((error.code, error.type, error.message))[:_SEARCHED]
    for outcome, pattern in _WORDS.items():
        if status >= 500 and outcome != "auth":
            continue
        elsewhere = outcome == "model_not_found" and error.param not in ("", "model", "None")
        if pattern.search(text) and not elsewhere and not (outcome == "quota_exhausted" and _RATES.search(text)):
            return outcome
    return None


def classify_failure(exchange: Exchange, stream: StreamTiming | None) -> str:
    """The outcome of an exchange that broke off; `stream` tells what had come of a stream until then."""
    failure = exchange.failure
    assert failure is not None
    if failure.kind is FailureKind.REQUEST:
        return "exporter_error"
    if failure.kind is not FailureKind.TIMEOUT:
        return str(failure.kind)
    if failure.step in (Step.RESOLVE, Step.CONNECT, Step.PROXY, Step.TLS):
        return "timeout_connect"
    if exchange.status == 0:
        return "timeout_headers"
    if stream is not None and stream.first_token is None and 200 <= exchange.status < 300:
        return "timeout_first_token"
    return "timeout_total"


def looks_like_html(exchange: Exchange) -> bool:
    """Whether a page for people came, whatever the content type says."""
    if "html" in (exchange.header("content-type") or "").lower():
        return True
    start = exchange.body[:64].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _without_object(exchange: Exchange) -> str:
    """The API itself always sends an error object, so something else may have answered."""
    status, html = exchange.status, looks_like_html(exchange)
    if status in _GATEWAY_STATUSES or (html and (status >= 500 or status == 403)):
        return "edge_error"
    return "server_error" if status >= 500 and not exchange.body else status_outcome(status)


def _which_limit(error: ApiError, headers: Mapping[str, str]) -> str:
    message = error.message[:_SEARCHED]
    if error.type == "requests" or _REQUESTS.search(message):
        return "rate_limited_requests"
    if error.type == "tokens" or _TOKENS.search(message):
        return "rate_limited_tokens"
    if parse_count(headers.get("x-ratelimit-remaining-requests")) == 0:
        return "rate_limited_requests"
    if parse_count(headers.get("x-ratelimit-remaining-tokens")) == 0:
        return "rate_limited_tokens"
    return "rate_limited"
