# SPDX-License-Identifier: Apache-2.0
"""The short cases of cases/*.yml, and what each becomes in promtool's own form.

A file of cases:

    labels:                                                # named label sets
      chat: {job: openai, instance: a, model: gpt-6}
    cases:
      - name: what it shows
        alert: OpenAITargetDown
        interval: 1m                                       # of samples and evaluations
        evaluation: 1m                                     # of evaluations, where it differs
        series:
          'probe_success{$chat, phase="x"}': 1x9 (0 1)*2   # promtool's notation; (...)*n stands for n repetitions
        silent: [10m, 11m]                                 # no alert of that name fires then
        fires:
          - at: 14m
            rule: {severity: critical}                     # which of the rules of that name
            labels: [chat, {extra: x}]                     # what the series gives; instance only if spelt
            description: The whole text.                   # may be left out where another case of the alert has it
        values:                                            # any expression -> its only value
          - {at: 14m, expr: 'sum(ALERTS)', value: 1}       # without value: there is none
        every_rule: true                                   # load the whole bundle

What is left out of an expected alert (static labels, summary, links) is taken from the rule, so that a case states
only what the evaluation adds. Loaded are the generated rules that the case needs: those of its alert, and all that
they read, which is found from the expressions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from tests.mixin.bundle import alert_rules, load_yaml

CASES = Path(__file__).parent / "cases"
Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """One case with what it shares with the others of its file."""

    file: str
    sets: Mapping[str, Labels]
    data: Mapping[str, Any]

    @property
    def alert(self) -> str:
        """Name of the alert that it is about; empty when it is about several."""
        return str(self.data.get("alert", ""))

    @property
    def interval(self) -> str:
        """Between two samples."""
        return str(self.data.get("interval", "1m"))

    @property
    def evaluation(self) -> str:
        """Between two evaluations."""
        return str(self.data.get("evaluation", self.interval))

    def fired(self) -> Iterator[dict[str, Any]]:
        """The rule behind each expected alert."""
        for each in self.data.get("fires", ()):
            yield rule_of(self.alert, each.get("rule", {}))

    def labels(self, parts: list[Any]) -> Labels:
        """Named sets and literal ones laid over each other; `instance` stays only where it is literal."""
        found: Labels = {}
        for part in parts:
            named = isinstance(part, str)
            chosen = self.sets[part] if named else part
            found |= {name: value for name, value in chosen.items() if not named or name != "instance"}
        return {name: str(value) for name, value in found.items()}

    def series(self) -> list[dict[str, str]]:
        """Input series, `$name` replaced by the set's matchers."""
        return [
            {"series": self.expanded(name), "values": _repeated(values)} for name, values in self.data["series"].items()
        ]

    def expanded(self, text: str) -> str:
        """The text with `$name` replaced by that set's matchers."""

        def spell(match: re.Match[str]) -> str:
            return ",".join(f'{name}="{value}"' for name, value in self.sets[match[1]].items())

        return re.sub(r"\$(\w+)", spell, text)

    def tests(self) -> dict[str, Any]:
        """An item of promtool's `tests`."""
        return {
            "name": f"{self.file}: {self.data['name']}",
            "interval": self.interval,
            "input_series": self.series(),
            "alert_rule_test": [*self._silences(), *self._firings()],
            "promql_expr_test": [*self._values(), *self._states()],
        }

    def _silences(self) -> Iterator[dict[str, Any]]:
        for at in self.data.get("silent", ()):
            yield {"eval_time": at, "alertname": self.alert, "exp_alerts": []}

    def _firings(self) -> Iterator[dict[str, Any]]:
        times: dict[str, list[dict[str, Any]]] = {}
        for each in self._described():
            times.setdefault(each["at"], []).append(self._expected(each))
        for at, alerts in times.items():
            yield {"eval_time": at, "alertname": self.alert, "exp_alerts": alerts}

    def _described(self) -> list[dict[str, Any]]:
        return [each for each in self.data.get("fires", ()) if "description" in each]

    def _states(self) -> Iterator[dict[str, Any]]:
        """Firing alerts without their texts, for where a value differs between versions of Prometheus."""
        times: dict[str, list[dict[str, Any]]] = {}
        for each in self.data.get("fires", ()):
            if "description" not in each:
                labels = {"alertname": self.alert, "alertstate": "firing"} | self.alert_labels(each)
                matchers = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
                times.setdefault(each["at"], []).append({"labels": f"ALERTS{{{matchers}}}", "value": 1})
        for at, samples in times.items():
            expr = f'ALERTS{{alertname="{self.alert}",alertstate="firing"}}'
            yield {"eval_time": at, "expr": expr, "exp_samples": samples}

    def alert_labels(self, firing: Mapping[str, Any]) -> Labels:
        """Labels of an alert that is expected to fire, those of its rule among them."""
        static: Labels = rule_of(self.alert, firing.get("rule", {}))["labels"]
        return self.labels(firing.get("labels", [])) | static

    def _expected(self, firing: Mapping[str, Any]) -> dict[str, Any]:
        rule = rule_of(self.alert, firing.get("rule", {}))
        labels = self.alert_labels(firing)
        annotations = {name: _linked(text, labels) for name, text in rule["annotations"].items()}
        given = {name: firing[name] for name in ("description", "command") if name in firing}
        return {"exp_labels": labels, "exp_annotations": annotations | given}

    def _values(self) -> Iterator[dict[str, Any]]:
        for each in self.data.get("values", ()):
            value = each.get("value")
            expr = f"sum({self.expanded(each['expr'])})" if value is not None else self.expanded(each["expr"])
            samples = [] if value is None else [{"labels": "{}", "value": value}]
            yield {"eval_time": each["at"], "expr": expr, "exp_samples": samples}


def rule_of(alert: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """The only rule of that name with these static labels.

    Raises:
        AssertionError: none has, or several have.
    """
    found = [rule for rule in alert_rules() if rule["alert"] == alert and labels.items() <= rule["labels"].items()]
    assert len(found) == 1, f"{alert} {dict(labels)}: {len(found)} rules; say which by label"
    return found[0]


def _repeated(values: str) -> str:
    """`(0 1x3)*2` written out."""
    assert isinstance(values, str), f"put {values!r} in quotes: YAML reads 0x30 as a number"
    return re.sub(r"\(([^()]*)\)\*(\d+)", lambda m: " ".join([m[1]] * int(m[2])), values)


def _linked(text: str, labels: Labels) -> str:
    """The text with its variables of dashboards filled in; one that the alert lacks is left out."""

    def filled(match: re.Match[str]) -> str:
        return f"&var-{match[1]}={quote_plus(labels[match[1]])}" if labels.get(match[1]) else ""

    text = re.sub(r"\{\{ with \$labels\.(\w+) \}\}&var-\w+=\{\{ \. \| urlquery \}\}\{\{ end \}\}", filled, text)
    return re.sub(r"\{\{ \$labels\.(\w+) \| reReplaceAll `\S+` `` \}\}", lambda match: labels.get(match[1], ""), text)


@cache
def cases() -> tuple[Case, ...]:
    """Every case of every file."""
    found = []
    for path in sorted(CASES.glob("*.yml")):
        document = load_yaml(path)
        for data in document["cases"]:
            found.append(Case(path.stem, document.get("labels", {}), data))
    return tuple(found)
