"""Arithmetic on the parameters of a machine, read with Python's grammar and computed here: nothing is executed.

Numbers, parameters, `+ - * / // %`, comparisons, `and`, `or`, `not`, and `min`, `max` and `abs`.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["Expression", "Value"]

Value = int | float | bool
Compute = Callable[[Mapping[str, Value]], Value]

MAX_LENGTH, MAX_DEPTH = 1000, 50
LARGEST = 10**30
"""Largest number on the way, so that a product of parameters takes no time."""
BINARY: dict[type, Callable[[Value, Value], Value]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod}
COMPARED: dict[type, Callable[[Value, Value], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne}
CALLED: dict[str, Callable[..., Value]] = {"min": min, "max": max, "abs": abs}


@dataclass(frozen=True)
class Expression:
    """A text such as `rows * columns <= 256` or `1152 * 64 // lanes`.

    Raises
    ------
    InputError
        If it is too long or too deep, not in Python's grammar, or has anything beside what the head of this file names.

    Examples
    --------
    >>> Expression("rows * columns <= 4 * memory.beats").value({"rows": 2, "columns": 3, "memory.beats": 1})
    False
    """

    text: str

    def __post_init__(self) -> None:
        _ = self._compute

    @cached_property
    def names(self) -> frozenset[str]:
        """The parameters that it reads."""
        return frozenset(name for node in ast.walk(self._tree) if (name := _parameter(node)) and name not in CALLED
                         and name != "memory")

    @cached_property
    def is_comparison(self) -> bool:
        """Whether its value is true or false."""
        return isinstance(self._tree.body, ast.Compare | ast.BoolOp) or (
            isinstance(self._tree.body, ast.UnaryOp) and isinstance(self._tree.body.op, ast.Not))

    def value(self, parameters: Mapping[str, Value]) -> Value:
        """Compute it.

        Raises
        ------
        InputError
            If a number on the way is beyond 10^30, or something is divided by zero.
        """
        try:
            return self._compute(parameters)
        except ZeroDivisionError:
            raise InputError(f"'{shown(self.text)}' divides by zero") from None

    @cached_property
    def _tree(self) -> ast.Expression:
        if len(self.text) > MAX_LENGTH:
            raise InputError(f"an expression has at most {MAX_LENGTH} characters, not {len(self.text)}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as "5is" for `5 is`
                return ast.parse(self.text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refusal() from None

    @cached_property
    def _compute(self) -> Compute:
        return self._of(self._tree.body, 0)

    def _refusal(self) -> InputError:
        return InputError(f"'{shown(self.text)}' must be arithmetic of parameters and numbers, such as rows * columns "
                          "<= 256, with + - * / // %, comparisons, and, or, not, min, max and abs")

    def _of(self, node: ast.expr, depth: int) -> Compute:
        """Return what computes a node."""
        if depth > MAX_DEPTH:
            raise InputError(f"'{shown(self.text)}' is nested more than {MAX_DEPTH} deep")
        parts = [self._of(part, depth + 1) for part in _operands(node)]
        match node:
            case ast.Constant(value=int() | float() as number) if abs(number) <= LARGEST:
                return lambda given: number
            case ast.Name() | ast.Attribute() if name := _parameter(node):
                return lambda given: given[name]
            case ast.BinOp(op=kind) if type(kind) in BINARY:
                apply = BINARY[type(kind)]
                return lambda given: self._bounded(apply(parts[0](given), parts[1](given)))
            case ast.UnaryOp(op=ast.USub()):
                return lambda given: -parts[0](given)
            case ast.UnaryOp(op=ast.Not()):
                return lambda given: not parts[0](given)
            case ast.Compare(ops=kinds) if all(type(kind) in COMPARED for kind in kinds):
                return _chain([COMPARED[type(kind)] for kind in kinds], parts)
            case ast.BoolOp(op=ast.And()):
                return lambda given: all(part(given) for part in parts)
            case ast.BoolOp(op=ast.Or()):
                return lambda given: any(part(given) for part in parts)
            case ast.Call(func=ast.Name(id=called), keywords=[]) if called in CALLED and _counts(called, parts):
                function = CALLED[called]
                return lambda given: function(*(part(given) for part in parts))
        raise self._refusal()

    def _bounded(self, number: Value) -> Value:
        if abs(number) > LARGEST:
            raise InputError(f"'{shown(self.text)}' reaches a number beyond {LARGEST:.0e}")
        return number


def _operands(node: ast.expr) -> list[ast.expr]:
    """Return the nodes that a node computes with."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case ast.BoolOp(values=values):
            return values
        case ast.Call(args=arguments):
            return arguments
    return []


def _counts(called: str, parts: list[Compute]) -> bool:
    """Return whether a function takes so many arguments."""
    return len(parts) == 1 if called == "abs" else len(parts) >= 2


def _chain(compared: list[Callable[[Value, Value], bool]], parts: list[Compute]) -> Compute:
    def holds(given: Mapping[str, Value]) -> bool:
        values = [part(given) for part in parts]
        return all(one(a, b) for one, a, b in zip(compared, values, values[1:], strict=False))

    return holds


def _parameter(node: ast.AST) -> str:
    """Return the parameter that a node names, such as `rows` or `memory.beats`; empty if it names none."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
    return ""
