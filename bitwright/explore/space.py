"""A space to explore, as a YAML file describes it: networks, a machine with parameters to vary, limits, objectives.

    networks:
    - {network: resnet18, bits: [4/4, 8/8]}
    machine:
      base: edge
      rows: [8, 16, 32]
      columns: {from: 7, to: 21, step: 7}
      lanes: {from: 32, to: 128, factor: 2}
      weight_words: 1152 * 64 // lanes
    constraints: [rows * columns <= 448]
    limits: {power_mw: 150, area_mm2: 8}
    objectives: [latency_ms, energy_mj]
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from bitwright.codesign.user_code import is_place
from bitwright.explore.expression import Expression, Value
from bitwright.explore.figures import Figure
from bitwright.explore.values import Derived, Values
from sim.arch.host_memory import Memory
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import read_text
from sim.io.yaml_model import MAX_DESCRIPTION_BYTES, parse

__all__ = ["BitChoice", "MachineSpace", "Method", "NetworkSpace", "Search", "Space", "load_space"]

MAX_NUMBER = 1e30
MAX_CHOICES = 100
MAX_EPOCHS = 1000
TRAINED = "lsq", "qil"
"""Schemes whose steps are learnt."""
UNVARIED = ("name", "technology", "roundings", "memory")
VARIED = (*(name for name in Machine.model_fields if name not in UNVARIED),
          *(f"memory.{name}" for name in Memory.model_fields))
"""Parameters of a machine that a space may vary."""

Method = Literal["exhaustive", "random", "nsga2", "tpe"]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
Width = Annotated[int, Field(ge=1, le=8)]
Limit = Annotated[float, Field(gt=0, le=MAX_NUMBER, allow_inf_nan=False)]


def _bits(given: Any) -> Any:
    """Return widths for `W/A`, or for one number that is both."""
    if isinstance(given, str) and re.fullmatch(r"[1-8]/[1-8]", given):
        return int(given[0]), int(given[2])
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 8:
        return given, given
    raise ValueError(f"bits are WEIGHTS/ACTIVATIONS in 1..8, such as 4/4, or one width for both, not '{shown(given)}'")


BitChoice = Annotated[tuple[Width, Width], BeforeValidator(_bits)]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class NetworkSpace(_Fields):
    """A network and the bits that it may have.

    Attributes
    ----------
    network : str
        A built-in network by name, or a file of shapes (*.yaml) or of a float model (*.onnx, *.pt2).
    name : str
        What it is called in results; `network` if there is none.
    bits : tuple of (int, int)
        Weight and activation bits to choose from; 8/8 alone if neither these nor budgets are given.
    first_last_bits : int, 1..8
        Of the weights of the first and the last layer and what the last one reads, with `bits`.
    sensitivities : str, optional
        A file that `bitwright sensitivities` has written.
    budgets : tuple of dict
        Budgets of `bitwright allocate`: for each of them bits are allocated on every machine.
    method : {"lp", "milp", "convex", "greedy"}
        How bits are allocated.
    weights : str, optional
        A file of trained weights, with which finalists are quantized.
    data : str, optional
        The data set that these are trained and judged on, by name or as a file or folder.
    epochs : int
        Of the training of each finalist at its bits, or within its budgets; 0: none.
    scheme : {"power_of_two", "uniform", "lsq", "qil"}, optional
        Of the finalists' steps: one of the first two without training (the first, if none is given), else one of the
        others (`lsq`).
    """

    network: Name
    name: Name | None = None
    bits: Annotated[tuple[BitChoice, ...], Field(strict=False, max_length=MAX_CHOICES)] = ()
    first_last_bits: Width = 8
    sensitivities: Name | None = None
    budgets: Annotated[tuple[dict[str, Limit], ...], Field(strict=False, max_length=MAX_CHOICES)] = ()
    weights: Name | None = None
    data: Name | None = None
    epochs: Annotated[int, Field(ge=0, le=MAX_EPOCHS)] = 0
    scheme: Literal["power_of_two", "uniform", "lsq", "qil"] | None = None
    method: Literal["lp", "milp", "convex", "greedy"] = "lp"

    @model_validator(mode="after")
    def _check(self) -> NetworkSpace:
        if self.budgets and self.sensitivities is None:
            raise ValueError("bits are allocated by sensitivities: give the file of `bitwright sensitivities`")
        if (self.weights is None) != (self.data is None):
            raise ValueError("weights and data go together: finalists are quantized with both")
        if self.epochs and self.weights is None:
            raise ValueError("finalists are trained from weights with data: give both")
        if self.scheme is not None and (self.scheme in TRAINED) != bool(self.epochs):
            raise ValueError(f"steps of {self.scheme} are learnt: give epochs" if self.scheme in TRAINED else
                             f"steps of {self.scheme} are not learnt: give no epochs, or lsq or qil")
        if self.data is not None and is_place(self.data):
            raise ValueError(f"data of a space are a name or files, not code, '{shown(self.data)}'")
        if any(not one for one in self.budgets):
            raise ValueError("budgets must name one at least, such as {latency_ms: 5}")
        if len({*self.bits}) < len(self.bits):
            raise ValueError("bits must be given once each")
        return self

    @property
    def steps(self) -> str:
        """The scheme of the finalists' steps."""
        return self.scheme or (TRAINED[0] if self.epochs else "power_of_two")

    @property
    def label(self) -> str:
        """What it is called in results."""
        return self.name or self.network

    @property
    def choices(self) -> tuple[dict[str, Any], ...]:
        """Ways to choose its bits, as plain data: fixed ones, or budgets to allocate them under."""
        bits = self.bits or (() if self.budgets else ((8, 8),))
        return (*({"bits": list(pair), "first_last": self.first_last_bits} for pair in bits),
                *({"budgets": dict(limits)} for limits in self.budgets))

    @property
    def choice_names(self) -> tuple[str, ...]:
        """Names of these ways, such as `4/4` and `latency_ms=5`."""
        return tuple(f"{choice['bits'][0]}/{choice['bits'][1]}" if "bits" in choice
                     else ", ".join(f"{name}={limit:g}" for name, limit in choice["budgets"].items())
                     for choice in self.choices)


class MachineSpace(BaseModel):
    """A machine, `base`, and its parameters that take other values; `memory.beats` is one of its memory."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, arbitrary_types_allowed=True)
    __pydantic_extra__: dict[str, Values]

    base: Name = "edge"

    @model_validator(mode="after")
    def _check(self) -> MachineSpace:
        for name in self.values:
            if name not in VARIED:
                raise ValueError(f"'{shown(name)}' is no parameter to vary: they are {', '.join(VARIED)}")
        for name, derived in self.derived.items():
            for read in sorted(derived.names):
                if read not in VARIED:
                    raise ValueError(f"{name} follows from '{shown(read)}', which is no parameter of machines")
                if read in self.derived:
                    raise ValueError(f"{name} follows from {read}, which is arithmetic itself")
        return self

    @property
    def values(self) -> dict[str, tuple[Value, ...] | Derived]:
        """What its parameters may be."""
        return self.__pydantic_extra__

    @cached_property
    def axes(self) -> dict[str, tuple[Value, ...]]:
        """Parameters that take several values, or one other than the base's."""
        return {name: values for name, values in self.values.items() if not isinstance(values, Derived)}

    @cached_property
    def derived(self) -> dict[str, Expression]:
        """Parameters that follow from others."""
        return {name: values.expression for name, values in self.values.items() if isinstance(values, Derived)}


class Search(_Fields):
    """Which candidates are evaluated.

    Attributes
    ----------
    method : {"exhaustive", "random", "nsga2", "tpe"}
        All; some, drawn without repetition; or those that Optuna proposes.
    candidates : int
        How many, but for `exhaustive`.
    seed : int
    """

    method: Method = "exhaustive"
    candidates: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


def _constraint(given: Any) -> Any:
    if isinstance(given, Expression):
        return given
    if not isinstance(given, str):
        raise ValueError(f"a constraint is a comparison such as rows * columns <= 256, not '{shown(given)}'")
    try:
        found = Expression(given)
    except InputError as error:
        raise ValueError(str(error)) from None
    if not found.is_comparison:
        raise ValueError(f"a constraint compares, as rows * columns <= 256 does, unlike '{shown(given)}'")
    if strangers := sorted(found.names - {*VARIED}):
        raise ValueError(f"'{shown(given)}' reads '{shown(strangers[0])}', which is no parameter of machines")
    return found


class Space(_Fields):
    """Everything that an exploration is.

    Attributes
    ----------
    networks : tuple of NetworkSpace
        All of them run on every machine.
    machine : MachineSpace
    constraints : tuple of Expression
        Comparisons of parameters that every machine must fulfil.
    technology : str, optional
        A built-in technology by name, or a YAML file; that of the base machine if None.
    limits : dict of str to number
        Of figures, at the high end of the band unless the name says which: `power_mw.nominal`. Each holds for every
        network by itself; `fps` is the least, all others are the most.
    objectives : tuple of str
        Figures to be small, nominal ones unless the name says which.
    search : Search
    finalists : int
        How many candidates of the front are simulated.
    """

    networks: Annotated[tuple[NetworkSpace, ...], Field(strict=False, min_length=1, max_length=20)]
    machine: MachineSpace = Field(default_factory=lambda: MachineSpace.model_validate({}))
    constraints: Annotated[tuple[Annotated[Expression, BeforeValidator(_constraint)], ...],
                           Field(strict=False, max_length=100)] = ()
    technology: Name | None = None
    limits: dict[str, Limit] = {}
    objectives: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=6)] = ("latency_ms",
                                                                                              "energy_mj")
    search: Search = Search()
    finalists: Annotated[int, Field(ge=0, le=1000)] = 10

    @field_validator("networks")
    @classmethod
    def _names(cls, networks: tuple[NetworkSpace, ...]) -> tuple[NetworkSpace, ...]:
        names = [network.label for network in networks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{shown(name)}' is there twice: give one of them another name")
        return networks

    @model_validator(mode="after")
    def _check(self) -> Space:
        try:
            _ = self.bounds
            wanted = self.wanted
        except InputError as error:
            raise ValueError(str(error)) from None
        for figure in wanted:
            if wanted.count(figure) > 1:
                raise ValueError(f"objective {figure} is there twice")
            if figure.name == "fps":
                raise ValueError("objectives are to be small: take latency_ms instead of fps")
        if "loss" in {figure.name for figure in (*wanted, *self.bounds)}:
            for network in self.networks:
                if network.sensitivities is None:
                    raise ValueError(f"loss takes sensitivities of every network, and '{shown(network.label)}' has "
                                     "none")
        return self

    @cached_property
    def bounds(self) -> dict[Figure, float]:
        """The limits, by figure."""
        return {Figure.parse(text, "high"): limit for text, limit in self.limits.items()}

    @cached_property
    def wanted(self) -> tuple[Figure, ...]:
        """The objectives."""
        return tuple(Figure.parse(text, "nominal") for text in self.objectives)


def load_space(path: str | Path) -> tuple[Space, str]:
    """Read a space, and return it with its text.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, or a field is missing, unknown or out of range; the message names it.
    """
    text = read_text(path, "space", MAX_DESCRIPTION_BYTES)
    return parse(Space, text, shown_path(path)), text
