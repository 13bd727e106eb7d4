# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml and rules.d/ to one rule file; an invalid file in rules.d/ is omitted and reported."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openai_exporter.errors import ConfigError, Problem, StartError
from openai_exporter.rules import output
from openai_exporter.rules.compile import Group, groups
from openai_exporter.rules.load import load_thresholds
from openai_exporter.rules.raw import load_raw
from openai_exporter.rules.schema import ThresholdFile

_SUFFIXES = (".yml", ".yaml")
_UNCHECKED = "templates not checked: promtool is not on PATH"
_LIKELY = (".rules", ".json", ".rule")


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made.

    Attributes:
        text: the rule file.
        file: the thresholds.
        raw: names of the raw files that are in it.
        rules: number of rules in it.
        left_out: what is wrong with raw files that are not in it.
        notes: files that were not read and why, and what was not checked.
    """

    text: str
    file: ThresholdFile
    raw: tuple[str, ...]
    rules: int
    left_out: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def build(thresholds: Path, rules_dir: Path | None = None, promtool: str | None = None) -> Built:
    """Compile thresholds and raw rules to the text of a rule file. Writes nothing.

    Args:
        thresholds: the file of thresholds.
        rules_dir: folder of raw rule files; one that does not exist holds none.
        promtool: path of promtool, None to go by our own checks alone.

    Raises:
        ConfigError: a mistake in the thresholds.
        StartError: promtool cannot be run, or refuses what was compiled.
    """
    return build_from(load_thresholds(thresholds), thresholds.name, rules_dir, promtool)


def build_from(file: ThresholdFile, name: str, rules_dir: Path | None = None, promtool: str | None = None) -> Built:
    """As `build`, of thresholds that are loaded already, from a file of that name."""
    compiled, names, left_out, unchecked = groups(file), [], list[Problem](), False
    for path in _raw_files(rules_dir):
        try:
            raw = _raw(path, {group["name"] for group in compiled}, promtool)
            unchecked |= promtool is None and "{{" in str(raw)
            compiled += raw
            names.append(path.name)
        except ConfigError as error:
            left_out += error.problems
    sources = name + (f" and {rules_dir.name}/" if rules_dir else "")
    text = output.as_rule_file(compiled, sources)
    if promtool is not None and (refused := _refused(text, promtool)):
        reasons = "; ".join(refused)
        raise StartError(f"promtool refuses the compiled rules: {reasons}; nothing is written")
    count = sum(len(group["rules"]) for group in compiled)
    notes = [*_notes(rules_dir), *([_UNCHECKED] if unchecked else [])]
    return Built(text, file, tuple(names), count, tuple(left_out), tuple(notes))


def _raw_files(folder: Path | None) -> list[Path]:
    if folder is None or not folder.exists():
        return []
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith("."))
    except OSError as error:
        raise StartError(f"{folder}: cannot be read: {error.strerror or error}") from None


def _notes(folder: Path | None) -> Iterator[str]:
    if folder is not None and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in _LIKELY:
                yield f"{path}: is not read; rule files end in .yml or .yaml"


def _raw(path: Path, names: set[str], promtool: str | None) -> list[Group]:
    """The groups of one raw file; ConfigError when it must be left out."""
    refused = output.check_rules(promtool, path) if promtool else []
    raw = load_raw(path, vouched=promtool is not None and not refused)
    if promtool and not refused:
        refused = _refused(output.as_yaml({"groups": raw}), promtool)
    if refused:
        raise ConfigError([_problem(path, line) for line in refused])
    clash = next((group["name"] for group in raw if group["name"] in names), None)
    if clash is not None:
        raise ConfigError([Problem(str(path), f"group {clash!r} exists already; give it another name")])
    return raw


_LINE = re.compile(r"(?:yaml: )?(?:line )?(\d+)(?::\d+)?: (?:\d+:\d+: )?(.*)")


def _problem(path: Path, line: str) -> Problem:
    """A line of promtool, such as `5:12: group "a", rule 1: ...` or `line 3: cannot unmarshal ...`."""
    match = _LINE.match(line)
    place, message = (f"{path}:{match[1]}", match[2]) if match else (str(path), line)
    return Problem(place, f"promtool: {message}")


def _refused(text: str, promtool: str) -> list[str]:
    """What promtool has against the text of a rule file."""
    with tempfile.TemporaryDirectory(prefix="openai-exporter-rules-") as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(text, encoding="utf-8")
        return output.check_rules(promtool, path)
