# SPDX-License-Identifier: Apache-2.0
"""Which labels an expression's result can carry, and where an expression asks for labels that are not there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .nodes import SETS, Aggregate, Binary, Call, Matching, Node, Number, Selector
from .schema import EXPOSED, Series, up_labels

Labels = frozenset[str] | None
"""None: a number without labels."""

EVERY = frozenset().union(*(series.labels for series in EXPOSED.values()), {"alertname", "severity"})
"""Every label that occurs."""
_SCALARS = frozenset({"time", "scalar", "pi"})
_NO_INPUT = frozenset({"vector", "hour", "minute", "day_of_month", "day_of_week", "days_in_month", "month", "year"})


@dataclass
class Inference:
    """Infers labels and gathers problems on the way.

    Attributes:
        recorded: labels of the series that rules record.
        anywhere: series that may carry any label; nothing is said of theirs.
        problems: sentences, in the order of discovery.
    """

    recorded: Mapping[str, frozenset[str]]
    anywhere: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)

    def labels(self, node: Node) -> Labels:
        """Labels of the result."""
        handlers: dict[type, Callable[..., Labels]] = {
            Number: lambda _: None,
            Selector: self._selector,
            Call: self._call,
            Aggregate: self._aggregate,
            Binary: self._binary,
        }
        return handlers[type(node)](node)

    def _selector(self, node: Selector) -> Labels:
        if node.metric in self.anywhere:
            return EVERY
        if node.metric == "up":
            labels = up_labels(node)
        elif node.metric in self.recorded:
            labels = self.recorded[node.metric]
        else:
            found: Series | None = EXPOSED.get(node.metric)
            if found is None:
                self.problems.append(f"{node.metric or 'a selector without a name'}: no such metric or recorded series")
                return frozenset()
            labels = found.labels
        for matcher in node.matchers:
            if matcher.label not in labels:
                self.problems.append(f"{node.metric}: has no label {matcher.label}, which a matcher names")
        return labels

    def _call(self, node: Call) -> Labels:
        if node.name in _SCALARS or (node.name in _NO_INPUT and not node.args):
            return None if node.name in _SCALARS else frozenset()
        if node.name == "vector":
            return frozenset()
        if node.name.startswith("absent"):
            inner = node.args[0]
            self.labels(inner)
            equal = (each.label for each in inner.matchers if each.op == "=") if isinstance(inner, Selector) else ()
            return frozenset(equal)
        index = 1 if node.name in ("histogram_quantile", "quantile_over_time") else 0
        labels = self.labels(node.args[index])
        if node.name == "label_replace" and isinstance(node.args[1], Number) and labels is not None:
            return labels | {node.args[1].text or ""}
        return labels

    def _aggregate(self, node: Aggregate) -> Labels:
        labels = self.labels(node.expr) or frozenset()
        missing = [each for each in node.labels if each not in labels]
        if node.op in ("topk", "bottomk"):
            kept = labels
        else:
            kept = labels - set(node.labels) if node.without else labels & set(node.labels)
        clause = "without" if node.without else "by"
        for each in missing:
            self.problems.append(f"{node.op} {clause} ({each}): the series have no such label")
        return kept

    def _binary(self, node: Binary) -> Labels:
        left, right = self.labels(node.left), self.labels(node.right)
        if left is None or right is None:
            return right if left is None else left
        matched_left, matched_right = self._matched(node, left), self._matched(node, right)
        if node.op != "or" and matched_left != matched_right:
            only = ", ".join(sorted(matched_left ^ matched_right))
            self.problems.append(f"{node.op}: can never match, as only one side has {only}")
        if node.op in SETS:
            return left | right if node.op == "or" else left
        return self._result(node.matching, left, right)

    def _matched(self, node: Binary, labels: frozenset[str]) -> frozenset[str]:
        if node.matching is None:
            return labels
        wanted = frozenset(node.matching.labels)
        if not node.matching.on:
            return labels - wanted
        for each in sorted(wanted - labels):
            self.problems.append(f"{node.op} on ({each}): one side has no such label")
        return wanted

    def _result(self, matching: Matching | None, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
        if matching is None:
            return left
        if matching.group:
            many, one = (left, right) if matching.group == "group_left" else (right, left)
            for each in matching.include:
                if each not in one:
                    self.problems.append(f"{matching.group} ({each}): the other side has no such label")
            return many | set(matching.include)
        return frozenset(matching.labels) if matching.on else left - set(matching.labels)
