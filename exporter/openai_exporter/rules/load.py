# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml to a checked `ThresholdFile`."""

import functools
from pathlib import Path

from pydantic import ValidationError

from openai_exporter.config.document import Document, Place
from openai_exporter.config.schema import Shape
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.files import read_text
from openai_exporter.rules.checks import cross_check
from openai_exporter.rules.schema import MUST_BE, ThresholdFile

_WHAT = "a file of thresholds"
_EMPTY = "is empty; start with `thresholds:`, or write `thresholds: []` for none"
# What PyYAML says of `operator: >=`.
_BARE_SIGN = "expected chomping or indentation indicators"


def load_thresholds(path: Path) -> ThresholdFile:
    """Decode and check a file of thresholds.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_thresholds(read_text(path, _WHAT), str(path))


def place_of(path: Path, inner: Place) -> str:
    """`thresholds.yml:12: thresholds[0].examples[1]` of something in a file that has been loaded."""
    return _document(read_text(path, _WHAT), str(path)).place(inner)


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
        raise ConfigError(_shape().problems(error, document)) from None
    problems = document.problems(cross_check(file))
    if problems:
        raise ConfigError(problems)
    return file


@functools.cache
def _shape() -> Shape:
    return Shape(ThresholdFile.model_json_schema(), MUST_BE)


def _document(text: str, name: str) -> Document:
    try:
        return Document(text, name)
    except ConfigError as error:
        raise ConfigError([_quoted(problem) for problem in error.problems]) from None


def _quoted(problem: Problem) -> Problem:
    if _BARE_SIGN not in problem.message:
        return problem
    return Problem(problem.place, "has a bare >= or similar sign; write it in quotes: operator: '>='")
