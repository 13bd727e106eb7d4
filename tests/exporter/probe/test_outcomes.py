# SPDX-License-Identifier: Apache-2.0
"""The taxonomy is whole and says the same everywhere."""

from openai_exporter.client.trace import FailureKind
from openai_exporter.metrics.probe import OUTCOME
from openai_exporter.probe import classify
from openai_exporter.probe.outcomes import OUTCOMES, BackOff
from openai_exporter.probe.totals import USUAL_ERRORS


def test_every_outcome_explains_itself_in_sentences() -> None:
    for name, fact in OUTCOMES.items():
        assert name == fact.name
        assert fact.meaning.endswith(".")
        assert fact.remedy.endswith(".")
        assert max(len(fact.meaning), len(fact.remedy)) < 120


def test_only_success_is_a_success_and_a_good_event() -> None:
    assert ["success"] == [name for name, fact in OUTCOMES.items() if fact.success]
    assert ["success"] == [name for name, fact in OUTCOMES.items() if fact.good]


def test_what_makes_a_probe_wait_is_no_event_of_the_sli() -> None:
    assert not any(fact.valid for fact in OUTCOMES.values() if fact.backoff is not BackOff.NONE)


def test_every_name_that_is_used_elsewhere_is_in_the_table() -> None:
    used = {*classify.CODES.values(), *classify.STATUSES.values(), *(name for name, _ in USUAL_ERRORS)}
    used |= {str(kind) for kind in FailureKind} - {"timeout", "request"}
    assert used <= set(OUTCOMES)
    assert ("outcome",) == OUTCOME.labels
