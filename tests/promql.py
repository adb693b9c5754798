"""Reads Prometheus' query language, as far as our alerts and dashboard speak it, and strictly.

Grammar and types: https://prometheus.io/docs/prometheus/latest/querying/basics/ (operators, functions). What is not
known here is refused, so that a slip of the pen is found without a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""\s*(?:
        (?P<duration>\d+(?:ms|[smhdwy])(?![\w.]))
      | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
      | (?P<string>"[^"\\]*"|'[^'\\]*')
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<sign>!=|=~|!~|==|<=|>=|[-+*/%^<>=(){}\[\],])
    )""",
    re.VERBOSE,
)
SCALAR, VECTOR, RANGE = "scalar", "vector", "range"
FUNCTIONS = {
    "rate": (RANGE,),
    "increase": (RANGE,),
    "min_over_time": (RANGE,),
    "histogram_quantile": (SCALAR, VECTOR),
}
AGGREGATIONS = ("sum", "min", "max", "avg", "count")
# Loosest first.
OPERATORS = (("or",), ("and", "unless"), ("==", "!=", "<=", "<", ">=", ">"), ("+", "-"), ("*", "/", "%"))
MATCHES = ("=", "!=", "=~", "!~")


class Mistake(Exception):
    """The text is not in the language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    metric: str
    matchers: tuple[Matcher, ...]
    window: str = ""

    @property
    def kind(self) -> str:
        return RANGE if self.window else VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: float
    kind: str = SCALAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    kind: str = VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """`by` is None for a sum over everything, else whether `labels` are those that stay (True) or go (False)."""

    by: bool | None
    labels: tuple[str, ...]
    inner: Node
    kind: str = VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    operator: str
    left: Node
    right: Node

    @property
    def kind(self) -> str:
        return SCALAR if self.left.kind == self.right.kind == SCALAR else VECTOR


Node = Selector | Number | Call | Aggregation | Operation


def parse(text: str) -> Node:
    """Raises `Mistake`."""
    reader = _Reader(text)
    node = reader.expression(0)
    reader.expect("")
    if node.kind == RANGE:
        raise Mistake(f"{text}: a range cannot be drawn or compared")
    return node


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    match node:
        case Call(arguments=arguments):
            below: tuple[Node, ...] = arguments
        case Aggregation(inner=inner):
            below = (inner,)
        case Operation(left=left, right=right):
            below = (left, right)
        case _:
            below = ()
    for child in below:
        yield from walk(child)


def selectors(node: Node) -> list[Selector]:
    """All in it."""
    return [found for found in walk(node) if isinstance(found, Selector)]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        end = 0
        while text[end:].strip():
            match = TOKEN.match(text, end)
            if match is None:
                raise Mistake(f"{text}: not understood from `{text[end:]}`")
            assert match.lastgroup is not None
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            end = match.end()
        self._tokens.append(("end", ""))

    @property
    def _next(self) -> str:
        return self._tokens[0][1]

    def _take(self, kind: str) -> str:
        found, text = self._tokens[0]
        if found != kind:
            raise Mistake(f"{self._text}: a {kind} belongs where `{text}` is")
        self._tokens.pop(0)
        return text

    def expect(self, sign: str) -> None:
        if self._next != sign:
            raise Mistake(f"{self._text}: `{sign}` belongs where `{self._next}` is")
        if sign:
            self._tokens.pop(0)

    def expression(self, level: int) -> Node:
        if level == len(OPERATORS):
            return self._operand()
        left = self.expression(level + 1)
        while self._next in OPERATORS[level]:
            operator = self._next
            self._tokens.pop(0)
            right = self.expression(level + 1)
            if RANGE in (left.kind, right.kind) or (level < 2 and SCALAR in (left.kind, right.kind)):
                raise Mistake(f"{self._text}: `{operator}` does not take that")
            left = Operation(operator=operator, left=left, right=right)
        return left

    def _operand(self) -> Node:
        kind, text = self._tokens[0]
        if text == "(":
            self.expect("(")
            node = self.expression(0)
            self.expect(")")
            return node
        if kind == "number":
            return Number(value=float(self._take("number")))
        name = self._take("name")
        if name in AGGREGATIONS:
            return self._aggregation()
        if self._next == "(":
            return self._call(name)
        return self._selector(name)

    def _aggregation(self) -> Aggregation:
        by: bool | None = None
        labels: tuple[str, ...] = ()
        if self._next in ("by", "without"):
            by = self._take("name") == "by"
            self.expect("(")
            labels = self._list("name")
            self.expect(")")
        self.expect("(")
        inner = self.expression(0)
        self.expect(")")
        if inner.kind != VECTOR:
            raise Mistake(f"{self._text}: a {inner.kind} cannot be summed up")
        return Aggregation(by=by, labels=labels, inner=inner)

    def _call(self, name: str) -> Call:
        if name not in FUNCTIONS:
            raise Mistake(f"{self._text}: no function {name}")
        self.expect("(")
        arguments = [self.expression(0)]
        while self._next == ",":
            self.expect(",")
            arguments.append(self.expression(0))
        self.expect(")")
        if tuple(argument.kind for argument in arguments) != FUNCTIONS[name]:
            raise Mistake(f"{self._text}: {name} takes {FUNCTIONS[name]}")
        return Call(function=name, arguments=tuple(arguments))

    def _selector(self, metric: str) -> Selector:
        matchers = []
        if self._next == "{":
            self.expect("{")
            while self._next != "}":
                label, operator = self._take("name"), self._take("sign")
                if operator not in MATCHES:
                    raise Mistake(f"{self._text}: `{operator}` compares no labels")
                matchers.append(Matcher(label=label, operator=operator, value=self._take("string")[1:-1]))
                if self._next != "}":
                    self.expect(",")
            self.expect("}")
        window = ""
        if self._next == "[":
            self.expect("[")
            window = self._take("duration")
            self.expect("]")
        return Selector(metric=metric, matchers=tuple(matchers), window=window)

    def _list(self, kind: str) -> tuple[str, ...]:
        found = [self._take(kind)]
        while self._next == ",":
            self.expect(",")
            found.append(self._take(kind))
        return tuple(found)
