# SPDX-License-Identifier: Apache-2.0
"""The closed taxonomy of outcomes: what each means, what to do, and whether it counts against availability.

A *valid* event of the availability SLI is one that says something about the provider. What we caused ourselves
(key, quota, request, a pattern that a model may miss) is none; neither are rate limits, which are agreed with the
provider and have their own outcomes to alert on. What cannot be told from an outage (network, timeouts) is valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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
    """

    name: str
    meaning: str
    remedy: str
    valid: bool
    success: bool = False
    backoff: BackOff = BackOff.NONE

    @property
    def good(self) -> bool:
        """Whether it is a good event of the availability SLI."""
        return self.valid and self.success


_NETWORK = "Check the network, the proxy and the provider's status page."
_PROVIDER = "Check the provider's status page; give it the request id when it lasts."
_LIMIT = "Lower the traffic on this limit, raise the limit, or probe less often (min_interval)."
_BILLING = "Check plan, credit and billing of the organization."


def _provider(name: str, meaning: str, remedy: str = _PROVIDER) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=True)


def _ours(name: str, meaning: str, remedy: str) -> OutcomeFact:
    return OutcomeFact(name, meaning, remedy, valid=False)


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
    _ours("bad_request", "The API refuses the request.", "Read the message; adapt the module's request."),
    _ours(
        "redirect", "The API redirects elsewhere; keys are not taken along.", "Set base_url to the new place."
    ),
    _ours("no_credentials", "The key cannot be read.", "Check the file or environment variable it names."),
    _ours("proxy", "The proxy between us and the API refused or failed.", "Check the proxy and its address."),
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
    _quota("quota_exhausted", "The credit or quota is used up."),
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
    _provider("empty", "A success status without any content."),
    _provider("malformed", "The answer is not valid HTTP, JSON or event stream."),
    _provider("wrong_shape", "Valid JSON, but not of the documented shape."),
    _provider("too_large", "The answer is larger than the bound.", "Check what base_url really serves."),
    # What happened on the way.
    _provider("dns", "The host name cannot be resolved.", _NETWORK),
    _provider("connect", "No connection could be made.", _NETWORK),
    _provider("tls", "The TLS handshake failed.", "Check the certificate, the CA bundle and the clock."),
    _provider("reset", "The connection was closed or reset before the answer was there.", _NETWORK),
    _provider("truncated", "The answer broke off.", _NETWORK),
    _provider("timeout_connect", "No connection within the deadline.", _NETWORK),
    _provider("timeout_headers", "Connected, but no answer within the deadline."),
    _provider("timeout_first_token", "A stream began, but no visible token came within the deadline."),
    _provider("timeout_total", "The answer was not complete within the deadline."),
    # The exporter itself.
    _ours(
        "cost_limited", "Not probed: the module's daily cost limit is reached.", "Wait, or raise the limit."
    ),
    _ours("exporter_busy", "Not probed: too many probes were in flight.", "Scrape less often."),
    _ours("internal", "The exporter failed.", "Report it with the log."),
)

OUTCOMES: Mapping[str, OutcomeFact] = MappingProxyType({fact.name: fact for fact in _TABLE})
"""Name to fact, in the order in which documents and `openai_probe_outcome` list them."""
