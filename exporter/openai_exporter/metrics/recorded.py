# SPDX-License-Identifier: Apache-2.0
"""Series that the bundle's rules record and an import writes too, as no rule runs over the past.

The rules are in alerting/rules/growth.libsonnet; a test holds names and labels equal.
"""

from openai_exporter.metrics.metric import Kind, Metric, Page

_LABELS = ("operation", "project_id", "api_key_id", "user_id", "model")


def _growth(name: str, what: str, *more: str) -> Metric:
    text = f"What {what} grew by since the sample before; adds up over a range."
    return Metric(
        f"key_user_model:openai_usage_{name}:growth10m", Kind.GAUGE, Page.USAGE, text, (*_LABELS, *more)
    )


TOKENS_GROWTH = _growth("tokens", "tokens", "direction")
REQUESTS_GROWTH = _growth("requests", "requests")
COST_GROWTH = _growth("estimated_cost_usd", "the list price of the tokens used")
