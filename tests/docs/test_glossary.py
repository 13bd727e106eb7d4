# SPDX-License-Identifier: Apache-2.0
"""Documents, HELP, messages, flags and alerts use one word for one thing: the field's own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from openai_exporter.metrics import CATALOGUE, LABELS
from tests.docs.documents import ALL, ROOT
from tests.docs.markdown import prose

GLOSSARY = {
    r"tell(?:s|ing)?|told": "report, log, notify, show, distinguish",
    r"dear(?:er|est)": "more expensive, most expensive",
    r"mend(?:s|ed|ing)?": "fix, clear, restore",
    r"anew": "again; of a counter: reset",
    r"in vain|for ever|be it": "whether or not; forever",
    r"beside": "next to, compared with",
    r"in force": "active, effective",
    r"left out|leaves? out|leaving out": "omitted, skipped",
    r"(?:set|sets|setting) aside": "moved to; reserved",
    r"authorities": "CAs, trust store",
    r"folders?": "directory",
    r"remed(?:y|ies)": "fix",
    r"mistakes?": "error, invalid value",
    r"slips?": "typo",
    r"readings?(?= of| is| that| was|\b[.,;])": "refresh, poll",
    r"the books": "usage reported by the API",
    r"the past": "historical data",
    r"go on|goes on|going on|went on": "continue, resume",
    r"used up": "exhausted",
    r"lies? (?:idle|about)": "unused",
    r"warm connections?": "reused connection",
    r"drips?": "trickles",
    r"in one piece": "in a single chunk",
    r"office hours": "business hours",
    r"quiet times": "mute time intervals",
    r"mut(?:es|ed|ing)": "inhibits, silences",
    r"fires no more": "is resolved",
    r"fold(?:s|ed|ing)?": "aggregated into",
    r"(?:took|takes?|taken) back": "corrected downwards",
    r"figures?": "values, data",
    r"whole(?! numbers?| segments)": "full, complete; of a write: atomically",
    r"usual band": "expected range",
    r"at the pace": "at the current run rate",
    r"leaves? the API alone": "backs off",
    r"stands? still": "paused, stopped",
    r"(?:good|bad) probes?": "successful probe, failed probe",
    r"few events": "low-traffic",
    r"refus(?:e|es|ed|al|ing)": "reject",
    r"(?:on|from|as|in) the (?:dashboard )?pages": "dashboards",
    r"licences?|colou?rs? of|behaviours?|favours?|organisations?": "American spelling",
}
"""What is not written, as a regular expression of words -> what is."""


EXCEPTIONS = {
    "connection refused": "what the operating system calls it",
    "short_deadline": "its value `refuse` is part of the contract",
    "`refuse`": "the value of short_deadline",
    "one of refuse, probe": "the values of short_deadline",
    "(?:exhausted|used up": "matches words of servers",
    "press m to mend": "the demo's keys",
    "[/] to mend it": "the demo's keys",
    "# and mend it": "the demo's keys",
    "; left out": "notes of the demo",
    "whole ": "stands before `number`",
}
"""Part of a text -> why its words may stand."""

_WORDS = re.compile(rf"(?i)(?<![\w/.:$-])(?:{'|'.join(GLOSSARY)})(?![\w/:-])")


def find(text: str) -> list[str]:
    """The words of a text that have a better one, with what is around them."""
    text = " ".join(text.split())
    return [text[max(0, at.start() - 40) : at.end() + 20] for at in _WORDS.finditer(text) if not excepted(text, at)]


def excepted(text: str, found: re.Match[str]) -> bool:
    around = text[max(0, found.start() - 30) : found.end() + 30]
    return any(part in around or part.strip() == text for part in EXCEPTIONS)


def messages(path: Path) -> Iterator[str]:
    """Every text of a source file that is no docstring and no single word."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and " " in text and id(node) not in alone:
            yield text


def alert_texts() -> Iterator[str]:
    for path in (ROOT / "prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from (text for rule in group["rules"] for text in rule.get("annotations", {}).values())


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_keeps_to_the_glossary(path: Path) -> None:
    assert find(prose(path.read_text(encoding="utf-8"))) == []


def test_help_and_labels_keep_to_the_glossary() -> None:
    texts = [*(metric.help for metric in CATALOGUE.values()), *LABELS.values()]
    assert [found for text in texts for found in find(text)] == []


def test_alerts_keep_to_the_glossary() -> None:
    assert [found for text in alert_texts() for found in find(text)] == []


@pytest.mark.parametrize("package", ["openai_exporter"])
def test_messages_and_flags_keep_to_the_glossary(package: str) -> None:
    paths = sorted((ROOT / "exporter" / package).rglob("*.py"))
    assert [(path.name, found) for path in paths for text in messages(path) for found in find(text)] == []


def test_a_word_of_the_left_column_is_caught_and_an_exception_is_not() -> None:
    assert len(find("a mistake is told, and the rest is left out")) == 3
    assert find("connection refused by a whole number of hosts, /etc/folders") == []
    assert find("openai_exporter_requests_refused_total") == []
