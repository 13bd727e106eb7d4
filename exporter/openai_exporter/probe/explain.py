# SPDX-License-Identifier: Apache-2.0
"""One probe as text for people: its log, its metrics, its module, what was sent and received; all masked."""

import yaml

from openai_exporter.config.probing import Module
from openai_exporter.exposition import encode
from openai_exporter.model import ProbeAnswer
from openai_exporter.probe.families import families
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.probe.redact import Redactor, named_secrets


def explain(answer: ProbeAnswer, module: Module) -> str:
    """The text of `debug=true` and of a page of the history."""
    result = answer.result
    fact = OUTCOMES[result.outcome]
    sections = [
        ("Outcome", f"{result.outcome}: {fact.meaning}\n{result.message}\n{_freshness(answer)}"),
        ("Logs for the probe", "\n".join(result.log)),
        ("Metrics that would have been returned", encode(families(answer)).decode()),
        ("Module configuration", _module(module)),
        ("Request", result.request or "none was sent"),
        ("Reply", result.reply or "none came"),
    ]
    return "\n\n".join(f"{title}:\n{text.rstrip()}" for title, text in sections) + "\n"


def _freshness(answer: ProbeAnswer) -> str:
    if not answer.cached:
        return "Fresh: the API was called for this answer."
    return (
        f"From the cache ({answer.reason or 'history'}), {answer.age:.1f} s old; "
        f"the API is left alone for {answer.backoff:.1f} s more."
    )


def _module(module: Module) -> str:
    text: str = yaml.safe_dump(module.model_dump(mode="json", exclude_none=True), sort_keys=False)
    return Redactor(named_secrets(module.request.extra)).mask(text)
