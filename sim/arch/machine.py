"""The machine: one validated set of parameters from which every engine derives everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.ranges import MAX_CLOCK_MHZ, RANGES
from sim.arch.table_memory import TABLE_CODE_BITS
from sim.io.bounds import name_fault, shown
from sim.io.html_table import html_table
from sim.io.yaml_model import built_in, load
from sim.ir.arithmetic import MAX_REQUANT_BITS, Arithmetic
from sim.ir.formats import Rounding

__all__ = ["Machine", "builtin_machines", "load_machine"]


def _name(name: str) -> str:
    fault = name_fault(name)
    if fault:
        raise ValueError(f"{fault}: '{shown(name)}'" if name else fault)
    return name


def _range(name: str) -> Any:
    low, high = RANGES[name]
    return Field(ge=low, le=high)


def _is_power_of_two(value: int) -> bool:
    return value & (value - 1) == 0


class Machine(BaseModel):
    """A low-bit accelerator: an array of rows x columns processing elements, each `lanes` one-bit products wide.

    Integers lie in the ranges of `sim.arch.ranges`.

    Attributes
    ----------
    name : str
        As `sim.io.bounds.name_fault` allows.
    rows : int
        Output channels worked on at once; a power of two, at most `lanes`.
    columns : int
        Output rows worked on at once; odd keeps strides 2 and 4 free of bank conflicts.
    lanes : int
        One-bit products per element and cycle; a power of two, at least 4.
    max_bits_w, max_bits_a : int, 1..8
        Widest weight and activation code [bits].
    acc_bits, acc_depth : int
        Accumulator width [bits] and accumulators per element and bank [words].
    requantizers : int
        Per column; divides `rows`.
    terms, window : int
        Most digits of a multiplier, and the exponents 0..window - 1 they may have; acc_bits + window <= 51.
    weight_words : int
        Words of `lanes` bits per row and slot; a row tile of a layer must fit into one slot.
    act_regions, region_words : int
        Macros per column and words of `lanes` bits in each (a power of two). A tensor takes whole regions.
    stream_bits : int
        Bits per cycle of the weight stream: a power of two times or a power of two below `lanes`, at most
        min(rows, columns) words.
    depthwise_lanes : int
        Lanes per column that work on depthwise layers beside the array, `rows` times a power of two, at most `lanes`;
        0: the array alone does. A row's bank word times `rows` must hold their weights.
    table_bits : int
        Widest index of a table that a Conv may end in; 0: no tables. They need at least 8 lanes.
    bipolar : bool
        Has the reference row that bipolar weights need.
    roundings : tuple
        Rounding modes the requantizer has.
    clock_mhz : float
    technology : str
        Name of a built-in technology or path of a technology file.
    memory : Memory
        The host's, behind both streams; not part of the hardware.

    Examples
    --------
    >>> load_machine("tiny").lanes
    8
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, AfterValidator(_name)]
    rows: Annotated[int, _range("rows")]
    columns: Annotated[int, _range("columns")]
    lanes: Annotated[int, _range("lanes")]
    max_bits_w: Annotated[int, _range("max_bits_w")] = 8
    max_bits_a: Annotated[int, _range("max_bits_a")] = 8
    acc_bits: Annotated[int, _range("acc_bits")] = 32
    acc_depth: Annotated[int, _range("acc_depth")]
    requantizers: Annotated[int, _range("requantizers")]
    terms: Annotated[int, _range("terms")]
    window: Annotated[int, _range("window")]
    weight_words: Annotated[int, _range("weight_words")]
    act_regions: Annotated[int, _range("act_regions")]
    region_words: Annotated[int, _range("region_words")]
    stream_bits: Annotated[int, _range("stream_bits")]
    depthwise_lanes: Annotated[int, _range("depthwise_lanes")] = 0
    table_bits: Annotated[int, _range("table_bits")] = 0
    bipolar: bool = True
    roundings: Annotated[tuple[Rounding, ...], Field(max_length=3, strict=False)] = ("half_up", "half_even", "floor")
    clock_mhz: Annotated[float, Field(gt=0, le=MAX_CLOCK_MHZ, allow_inf_nan=False)]
    technology: Annotated[str, Field(min_length=1, max_length=4096)] = "generic45"
    memory: Memory = IDEAL

    def _repr_html_(self) -> str:
        return html_table(f"machine '{self.name}'", ["", "value"], self)

    @model_validator(mode="after")
    def _check(self) -> Machine:
        for what in ("rows", "lanes", "region_words"):
            value = getattr(self, what)
            if not _is_power_of_two(value):
                raise ValueError(f"{what} must be a power of two, not {value}")
        if self.rows > self.lanes:
            raise ValueError(f"rows must be at most lanes = {self.lanes}, not {self.rows}")
        if self.rows % self.requantizers:
            raise ValueError(f"requantizers must divide rows = {self.rows}, not be {self.requantizers}")
        if self.acc_bits + self.window + 2 > MAX_REQUANT_BITS:
            raise ValueError(f"acc_bits + window must be at most {MAX_REQUANT_BITS - 2}, "
                             f"not {self.acc_bits} + {self.window}")
        wide, narrow = max(self.stream_bits, self.lanes), min(self.stream_bits, self.lanes)
        if wide % narrow or not _is_power_of_two(wide // narrow):
            raise ValueError(f"stream_bits must be lanes = {self.lanes} times or divided by a power of two, "
                             f"not {self.stream_bits}")
        if self.stream_bits > self.lanes * min(self.rows, self.columns):
            raise ValueError(f"stream_bits must be at most {self.lanes * min(self.rows, self.columns)}, "
                             f"a word for each of min(rows, columns), not {self.stream_bits}")
        if not self.roundings or len(set(self.roundings)) < len(self.roundings):
            raise ValueError(f"roundings must name at least one mode and each once, not {shown(self.roundings)}")
        if self.table_bits and self.lanes < TABLE_CODE_BITS:
            raise ValueError(f"table_bits needs lanes of at least {TABLE_CODE_BITS}, not {self.lanes}")
        if self.depthwise_lanes:
            self._check_depthwise_lanes()
        return self

    def _check_depthwise_lanes(self) -> None:
        lanes, most = self.depthwise_lanes, self.rows * self.lanes // self.max_bits_w
        if lanes % self.rows or not _is_power_of_two(lanes) or lanes > self.lanes:
            raise ValueError(f"depthwise_lanes must be 0, or rows = {self.rows} times a power of two and at most "
                             f"lanes = {self.lanes}, not {lanes}")
        if lanes > most:
            raise ValueError(f"depthwise_lanes must be at most rows * lanes / max_bits_w = {most}, "
                             f"a word per row for their weights, not {lanes}")
        if lanes // self.rows > self.acc_depth:
            raise ValueError(f"depthwise_lanes must be at most rows * acc_depth = {self.rows * self.acc_depth}, "
                             f"an accumulator for each, not {lanes}")

    @property
    def arithmetic(self) -> Arithmetic:
        """The widest arithmetic that it has; rounds half up, or as it can."""
        rounding = "half_up" if "half_up" in self.roundings else self.roundings[0]
        return Arithmetic(self.acc_bits, self.window, self.terms, rounding)

    @property
    def requant_bits(self) -> int:
        """Width at which no prefix of the requantizer's sum can overflow [bits]."""
        return self.arithmetic.requant_bits


def builtin_machines() -> tuple[str, ...]:
    """Return the names of the machines that come with Bitwright."""
    return built_in("arch/machines")


def load_machine(source: str | Path) -> Machine:
    """Read a built-in machine by name, or a YAML file.

    Raises
    ------
    InputError
        If there is no such machine, the file is not YAML, or a parameter breaks its rule (the message names it).
    """
    return load(Machine, "arch/machines", source)
