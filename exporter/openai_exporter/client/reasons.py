# SPDX-License-Identifier: Apache-2.0
"""The words for why a call to an organization or status API failed; the values of label `reason`."""

REASONS = (
    "auth",
    "bad_request",
    "call_budget",
    "connect",
    "credential",
    "dns",
    "malformed",
    "not_found",
    "page_loop",
    "permission",
    "proxy",
    "rate_limited",
    "redirect",
    "reset",
    "server_error",
    "timeout",
    "tls",
    "too_large",
    "truncated",
)
