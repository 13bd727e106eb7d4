# SPDX-License-Identifier: Apache-2.0
"""Documents name no metric, label, flag or key that does not exist, and no YAML that does not load."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from openai_exporter.config import Config
from openai_exporter.config.document import Document
from openai_exporter.config.load import parse_config
from openai_exporter.config.schema import config_shape
from openai_exporter.errors import ConfigError
from openai_exporter.metrics import CATALOGUE, Kind
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.rules.bundle import facts
from openai_exporter.rules.measures import MEASURES
from openai_exporter.rules.settings import parse_settings, schema_document
from openai_exporter.rules.thresholds import SCOPES
from tests.docs.documents import DOCUMENTS, ROOT, dotted_paths, flags, label_names, metric_names, yaml_blocks
from tests.docs.markdown import without_blocks

documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())

NOT_METRICS = {"openai_exporter", "openai_api_key", "openai_admin_key", "probe_cost_per_day"}
"""Words of the same form: the package, files that hold keys, a metric of thresholds.yml."""
FOREIGN_FLAGS = {
    "--cov",
    *("--data.retention", "--storage.tsdb.retention.time", "--enable-feature", "--web.enable-lifecycle"),
    *("--certificate-identity-regexp", "--certificate-oidc-issuer"),
}
"""Those of Prometheus and cosign, where the text speaks of them."""
TARGET_LABELS = {
    *("job", "instance", "le", "target", "module", "model", "endpoint", "provider", "organization", "status_page")
}
SERIES = {name: metric for name, metric in CATALOGUE.items() if metric.kind is not Kind.HISTOGRAM} | {
    f"{name}{suffix}": metric
    for name, metric in CATALOGUE.items()
    if metric.kind is Kind.HISTOGRAM
    for suffix in ("", "_bucket", "_count", "_sum")
}


FACTS = facts(ROOT)
SETTINGS = set(schema_document(FACTS)["properties"])


def unknown_metrics(text: str) -> list[str]:
    return sorted(set(metric_names(text)) - set(SERIES) - NOT_METRICS)


def unknown_labels(text: str) -> list[tuple[str, str]]:
    known = {name: {*metric.labels, *TARGET_LABELS} for name, metric in SERIES.items()}
    return sorted((name, label) for name, label in label_names(text) if label not in known.get(name, {label}))


def unknown_keys(text: str) -> list[str]:
    """Paths that begin with a key of the configuration and lead nowhere."""
    found = []
    for written in dotted_paths(text):
        plain = re.sub(r"\[\d*\]", ".0", written)
        path = [int(part) if part.isdigit() else part for part in plain.split(".")]
        if path[0] in Config.model_fields and not config_shape().node_at(tuple(path)):
            found.append(written)
    return found


def yaml_mistakes(block: str) -> list[str]:
    """What the loader has to say about a block that is a configuration, or settings; keys need not be there."""
    data = Document(block, "block").data
    if not isinstance(data, dict) or isinstance(data.get("thresholds"), list):
        return []
    settings = set(data) <= SETTINGS
    if not settings and not set(data) & set(Config.model_fields):
        return []
    try:
        if settings:
            parse_settings(block, "block", FACTS)
            return []
        parse_config(block, "block", {}, Path("/nonexistent"))
    except ConfigError as error:
        keys = ("_key_file", "_key_env")
        return [str(problem) for problem in error.problems if not problem.place.endswith(keys)]
    return []


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    commands: Mapping[str, tuple[str, str]] = pytest.importorskip("openai_exporter.cli.main").COMMANDS
    found = {"--help", "--version"}
    for place, _ in commands.values():
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        for each in (command, *getattr(command, "commands", {}).values()):
            for option in each.params:
                found.update(*(option.opts, option.secondary_opts) if isinstance(option, click.Option) else ())
    return found


@documents
def test_every_metric_that_a_document_names_exists(path: Path) -> None:
    assert unknown_metrics(path.read_text(encoding="utf-8")) == []


@documents
def test_every_label_that_a_document_selects_by_exists(path: Path) -> None:
    assert unknown_labels(path.read_text(encoding="utf-8")) == []


@documents
def test_every_flag_that_a_document_names_exists(path: Path, known_flags: set[str]) -> None:
    assert sorted(set(flags(path.read_text(encoding="utf-8"))) - known_flags - FOREIGN_FLAGS) == []


@documents
def test_every_key_that_a_document_names_exists(path: Path) -> None:
    assert unknown_keys(path.read_text(encoding="utf-8")) == []


@documents
def test_every_configuration_that_a_document_shows_loads(path: Path) -> None:
    found = [yaml_mistakes(block) for block in yaml_blocks(path.read_text(encoding="utf-8"))]
    assert [mistakes for mistakes in found if mistakes] == []


def test_the_documents_are_there_and_show_something() -> None:
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    assert {"README.md", "exporter/README.md"} <= {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert any(map(list, map(metric_names, texts)))
    assert any(map(list, map(flags, texts)))
    assert any(map(list, map(yaml_blocks, texts)))


def long_lines(text: str) -> list[str]:
    """Lines of prose above 100 characters; a table's row, a heading, an image, one link or piece of code may be."""
    lines = [line for line in without_blocks(text).splitlines() if len(line) > 100 and line[0] not in "|#!<"]
    return [line for line in lines if " " in re.sub(r"`[^`]+`|\[[^]]+\]\([^)]+\)", "x", line).strip("-*. ")]


@documents
def test_prose_is_wrapped_at_a_hundred_characters(path: Path) -> None:
    assert long_lines(path.read_text(encoding="utf-8")) == []


def test_a_long_line_is_caught_and_a_block_or_table_is_not() -> None:
    long = "word " * 29 + "word"
    assert long_lines(f"{long}\n```\n{long}\n```\n| {long} |\n") == [long]


def test_the_readme_is_read_in_one_go() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert text.count("![") == 1


ALERTS = {path.stem for path in (ROOT / "alerting/runbooks").glob("OpenAI*.md")}
CONVENTION = {"level:metric:operations"}
_ALERT = re.compile(r"\bOpenAI[A-Z]\w+")
_RECORDED = re.compile(r"`([a-z_]+:[a-z][a-z0-9_]*:[a-z0-9_]+)`")


@documents
def test_every_alert_that_a_document_names_exists(path: Path) -> None:
    own = (ROOT / "prometheus/rules/user-thresholds.yml").read_text("utf-8")
    known = ALERTS | set(re.findall(r"alert: (\S+)", own))
    assert set(_ALERT.findall(path.read_text(encoding="utf-8"))) - known == set()


@documents
def test_every_recorded_series_that_a_document_names_exists(path: Path) -> None:
    rules = "".join(file.read_text("utf-8") for file in (ROOT / "prometheus/rules").glob("*.yml"))
    recorded = set(re.findall(r"record: (\S+)", rules))
    assert len(recorded) > 50
    assert set(_RECORDED.findall(path.read_text(encoding="utf-8"))) - recorded - CONVENTION == set()


def test_the_readme_counts_right() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "over forty outcomes" in text
    assert 40 < len(OUTCOMES) < 50
    assert "some sixty alerts" in text
    assert 55 < len(ALERTS) < 66
    assert "**Seven dashboards**" in text
    assert len(list((ROOT / "dashboards/generated").glob("*.json"))) == 7


WRONG = """
Ask `openai_probe_outcomes{outcome="ok"}` or openai_usage_requests_total{user="me"}, see /run/secrets/openai_api_key,
openai_usage_* and `slo:probe_success:ratio`; start `openai-exporter serve --config.fil=x`, `curl --fail`,
set `targets[].base_ur`, `budgets[0].scope.key` and `history.limit`.

```yaml
targets: [{name: a, api_key_file: /nowhere, base: x}]
```

```yaml
scrape_configs: []
```
"""


def test_a_document_with_mistakes_is_caught(known_flags: set[str]) -> None:
    assert unknown_metrics(WRONG) == ["openai_probe_outcomes"]
    assert unknown_labels(WRONG) == [("openai_usage_requests_total", "user")]
    assert sorted(set(flags(WRONG)) - known_flags) == ["--config.fil"]
    assert unknown_keys(WRONG) == ["targets[].base_ur"]
    assert [len(yaml_mistakes(block)) for block in yaml_blocks(WRONG)] == [1, 0]


def narrowing_keys() -> list[str]:
    """The table of docs/rules.md: which keys narrow a metric of thresholds.yml."""
    keys = [*SCOPES, "not_model"]
    rows = [f"| metric | {' | '.join(f'`{key}`' for key in keys)} |", "|" + "---|" * (len(keys) + 1)]
    for name, measure in MEASURES.items():
        has = [key in measure.scope or (key == "not_model" and "model" in measure.scope) for key in keys]
        rows.append(f"| `{name}` | {' | '.join('yes' if each else 'no' for each in has)} |")
    return rows


def test_the_guide_of_rules_says_which_keys_narrow_which_metric() -> None:
    assert "\n".join(narrowing_keys()) in (ROOT / "docs/rules.md").read_text(encoding="utf-8")
