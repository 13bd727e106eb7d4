# SPDX-License-Identifier: Apache-2.0
"""The parts of a PromQL expression."""

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or a string argument of a function (`text`)."""

    value: float = 0.0
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """`label op "value"` within braces."""

    label: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """`metric{matchers}[range] offset d`; seconds, None where absent."""

    metric: str
    matchers: tuple[Matcher, ...] = ()
    range: float | None = None
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """`name(args)`."""

    name: str
    args: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`op by|without (labels) (parameter, expr)`; `without` is False when there is no clause."""

    op: str
    labels: tuple[str, ...]
    without: bool
    args: "tuple[Node, ...]"

    @property
    def expr(self) -> "Node":
        """What is aggregated."""
        return self.args[-1]


@dataclass(frozen=True, slots=True)
class Matching:
    """`on|ignoring (labels) group_left|group_right (include)`; `group` is empty for one to one."""

    on: bool
    labels: tuple[str, ...]
    group: str = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`; `returns_bool` for `> bool`."""

    op: str
    left: "Node"
    right: "Node"
    matching: Matching | None = None
    returns_bool: bool = False


Node = Number | Selector | Call | Aggregate | Binary

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SETS = frozenset({"and", "or", "unless"})


def walk(node: Node) -> Iterator[Node]:
    """The node and everything within it."""
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        children = value if isinstance(value, tuple) else (value,)
        for child in children:
            if isinstance(child, Node):
                yield from walk(child)


def selectors(node: Node) -> list[Selector]:
    """Every selector of the expression."""
    return [each for each in walk(node) if isinstance(each, Selector)]
