"""What a parameter of a machine may be in a space: values, a range of them, or arithmetic on others."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bitwright.explore.expression import Expression, Value
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["MAX_VALUES", "Derived", "Range", "Values"]

MAX_VALUES = 10_000
"""Most values of a parameter."""
ROOM = 1e-9
"""Share of a step by which rounding may put the last value beyond the end."""

Finite = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(BaseModel):
    """Numbers from one to another, both included, in steps or by a factor.

    Examples
    --------
    >>> Range.model_validate({"from": 4, "to": 10, "step": 3}).numbers()
    (4, 7, 10)
    >>> Range.model_validate({"from": 8, "to": 100, "factor": 2}).numbers()
    (8, 16, 32, 64)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    first: Annotated[Finite, Field(alias="from")]
    last: Annotated[Finite, Field(alias="to")]
    step: Finite | None = None
    factor: Finite | None = None

    @model_validator(mode="after")
    def _check(self) -> Range:
        if (self.step is None) == (self.factor is None):
            raise ValueError("a range has a step or a factor, one of them")
        if self.last < self.first:
            raise ValueError(f"a range must rise, not go from {self.first:g} to {self.last:g}")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"the step of a range must be above 0, not {self.step:g}")
        if self.factor is not None and (self.factor <= 1 or self.first <= 0):
            raise ValueError("a range by a factor starts above 0 and has a factor above 1, not "
                             f"{self.first:g} and {self.factor:g}")
        if len(self.numbers()) > MAX_VALUES:
            raise ValueError(f"a range has at most {MAX_VALUES} values")
        return self

    def numbers(self) -> tuple[Value, ...]:
        """Return the numbers, at most one more than MAX_VALUES of them."""
        found: list[Value] = []
        number: int | float = self.first
        most = self.last + ROOM * abs(self.last) if isinstance(self.last, float) else self.last
        while number <= most and len(found) <= MAX_VALUES:
            found.append(number)
            number = (self.first + len(found) * self.step if self.step is not None
                      else self.first * (self.factor or 2) ** len(found))
        return tuple(found)


class Derived(BaseModel):
    """A parameter that follows from others."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    expression: Expression


def _read(given: Any) -> Any:
    """Return values, a range's numbers or a Derived, for what a file gives."""
    if isinstance(given, Derived):
        return given
    if isinstance(given, dict):
        return Range.model_validate(given).numbers()
    if isinstance(given, str):
        try:
            return Derived(expression=Expression(given))
        except InputError as error:
            raise ValueError(str(error)) from None
    numbers = given if isinstance(given, tuple | list) else (given,)
    for number in numbers:
        if not isinstance(number, int | float):
            raise ValueError(f"values must be numbers, true or false, a range with from, to and step or factor, or "
                             f"arithmetic, not '{shown(number)}'")
    if not 1 <= len(numbers) <= MAX_VALUES:
        raise ValueError(f"a parameter has 1 to {MAX_VALUES} values, not {len(numbers)}")
    if len({*numbers}) < len(numbers):
        twice = next(number for index, number in enumerate(numbers) if number in numbers[:index])
        raise ValueError(f"value {twice} is there twice")
    return tuple(numbers)


Values = Annotated[tuple[Value, ...] | Derived, BeforeValidator(_read)]
"""One number, several, a range, or arithmetic."""
