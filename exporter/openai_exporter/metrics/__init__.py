# SPDX-License-Identifier: Apache-2.0
"""The metric catalogue: each name, type, unit, HELP text and label is spelt here and nowhere else.

Code refers to the constants; documents, rules, panels and tests read `CATALOGUE` and `LABELS`.
"""

from openai_exporter.metrics import own, probe, usage
from openai_exporter.model import Kind, Metric, Page

__all__ = ["CATALOGUE", "LABELS", "RENAMED_VALUES", "Kind", "Metric", "Page"]

CATALOGUE: dict[str, Metric] = {
    metric.name: metric
    for module in (probe, usage, own)
    for metric in vars(module).values()
    if isinstance(metric, Metric)
}

LABELS: dict[str, str] = {
    "alert_id": "Id of a spend alert set at the API.",
    "api": "API that was called, such as `usage_completions`, `costs` or `status`.",
    "api_key": "Name of an API key.",
    "api_key_id": "Id of an API key, `key_...`.",
    "api_source": "`agents_api` for what the Agents API used, else `unlabeled`.",
    "basis": "Where a budget's value comes from: `estimated` (list prices) or `billed` (costs of the API).",
    "batch": "Whether the Batch API was used: `true` or `false`.",
    "budget": "Name of a budget in the configuration.",
    "cipher": "Cipher of a TLS connection, such as `TLS_AES_256_GCM_SHA384`.",
    "component": "Name of a component on the status page.",
    "component_id": "Id of a component on the status page.",
    "context_level": "Search context of web searches: `low`, `medium` or `high`.",
    "currency": "Currency as the API writes it, in lower case.",
    "dataset": "What a refresh reads: a usage operation, `costs`, `names`, `limits`, `peak_usage` or `cost_drift`.",
    "direction": "`input`, `output`, `cached` (a part of input) or `reasoning` (a part of output).",
    "endpoint": "What a module probes, such as `chat` or `embeddings`.",
    "error_type": "Outcome of a failed probe, one of the outcome taxonomy.",
    "field": "Field of a usage endpoint, such as `requests` or `input_tokens`.",
    "fingerprint_sha256": "SHA-256 of a certificate, in hexadecimal.",
    "id": "Id that a budget is for; absent if it is for the entire organization.",
    "impact": "Impact of an incident as the status page says it.",
    "issuer": "Who signed a certificate.",
    "kind": "What kind of thing it is: of API keys `project` or `admin`, of names which name was unknown.",
    "limit_type": "`requests`, `tokens` or `project_tokens`.",
    "line_item": "What the bill calls it, such as a model and a direction.",
    "list": "A list of names or limits, the last part of its path: `projects`, `users`, `rate_limits` and others.",
    "listed_model": "A model that the configuration probes.",
    "model": "Model as the API names it; as the configuration names it for probes.",
    "module": "Name of a module in the configuration.",
    "operation": "Usage endpoint, such as `completions`.",
    "organization": "Name of an organization or status page in the configuration.",
    "outcome": "One of the outcome taxonomy, such as `success` or `timeout_total`.",
    "owned_by": "Owner of a model as GET /models says it.",
    "owner_id": "Id of a key's owner: a user or a service account.",
    "owner_type": "`user` or `service_account`.",
    "period": "`day` or `month`.",
    "phase": "`resolve`, `connect`, `tls`, `processing` or `transfer`.",
    "project": "Name of a project.",
    "project_id": "Id of a project, `proj_...`.",
    "python_version": "Version of Python.",
    "reason": "Why it failed or was rejected, one of a closed set.",
    "requested_model": "Model that the probe asked for.",
    "result_source": "Whose probe a result is, or why the last one is repeated.",
    "role": "Role of a user in the organization.",
    "scope": "Whose it is: `organization`, `project`, `key`, `user` or `model`.",
    "serialnumber": "Serial number of a certificate, in hexadecimal.",
    "served_model": "Model that the answer names.",
    "service_tier": "Service tier as the API names it.",
    "size": "Size of the images, such as `1024x1024`.",
    "source": "Where it comes from: of images `image.generation` and the like, of prices the price table.",
    "state": "State of a component, such as `operational` or `major_outage`.",
    "status": "Status of a project, `active` or `archived`.",
    "status_code": "HTTP status of the answer, `0` when none came.",
    "subject": "Whom a certificate is for.",
    "subjectalternative": "DNS names that a certificate is for, joined by commas.",
    "target": "Name of a target in the configuration.",
    "tool": "`file_search` or `web_search`.",
    "user": "Name of a user: name, e-mail address or a hash of it, as the key `emails` of the organization says.",
    "user_id": "Id of a user, `user-...`.",
    "vector_store_id": "Id of a vector store, `vs_...`.",
    "version": "Version of what the metric is about.",
    "window": "`today` or `yesterday` (UTC); of the cost drift `day` or `month`.",
}
"""What each label means."""

RENAMED_VALUES = {
    "empty": "empty_response",
    "internal": "exporter_error",
    "peak_minute": "peak_usage",
    "reset": "connection_reset",
    "too_large": "response_too_large",
    "wrong_shape": "schema_mismatch",
}
"""Earlier spelling -> value of `outcome`, `error_type`, `reason` or `dataset`: files of users may still have it."""
