# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml to a checked `ThresholdFile`."""

from pathlib import Path

from pydantic import ValidationError

from openai_exporter.config.document import Document, dotted
from openai_exporter.config.document import Path as Place
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.rules.checks import Finding, cross_check
from openai_exporter.rules.messages import problems
from openai_exporter.rules.reading import read
from openai_exporter.rules.schema import ThresholdFile

_EMPTY = "is empty; start with `thresholds:`, or write `thresholds: []` for none"
# What PyYAML says of `operator: >=`.
_BARE_SIGN = "expected chomping or indentation indicators"


def load_thresholds(path: Path) -> ThresholdFile:
    """Decode and check a file of thresholds.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_thresholds(read(path, "a file of thresholds"), str(path))


def place_of(path: Path, inner: Place) -> str:
    """`thresholds.yml:12: thresholds[0].examples[1]` of something in a file that has been loaded."""
    return _document(read(path, "a file of thresholds"), str(path)).place(inner)


def parse_thresholds(text: str, name: str) -> ThresholdFile:
    """Decode and check the text of thresholds; `name` is shown in errors.

    Raises:
        ConfigError: as `load_thresholds`.
    """
    document = _document(text, name)
    if document.data is None or document.data == {}:
        raise ConfigError([Problem(name, _EMPTY)])
    try:
        file = ThresholdFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(problems(error, document)) from None
    found = sorted(cross_check(file), key=lambda finding: document.line(finding.path))
    if found:
        raise ConfigError([_problem(finding, document) for finding in found])
    return file


def _document(text: str, name: str) -> Document:
    try:
        return Document(text, name)
    except ConfigError as error:
        raise ConfigError([_quoted(problem) for problem in error.problems]) from None


def _quoted(problem: Problem) -> Problem:
    if _BARE_SIGN not in problem.message:
        return problem
    return Problem(problem.place, "has a bare >= or similar sign; write it in quotes: operator: '>='")


def _problem(finding: Finding, document: Document) -> Problem:
    message = finding.message
    if finding.value is not None:
        message = f"{document.shown(finding.path, finding.value)}: {message}"
    if finding.first is not None:
        message += f"; first on line {document.line(finding.first)} ({dotted(finding.first)})"
    return document.problem(finding.path, message)
