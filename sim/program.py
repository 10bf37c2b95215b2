"""`Program`: an integer network, free of any machine, checked once when it is made.

A Program is an ordered list of records over named tensors. Nothing in it is a float, and everything that an engine
could trip over - a shape, a code, a reference, an accumulator that could overflow - is refused here, so that no
engine checks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.digits import Digits, digit_counts
from sim.errors import InputError
from sim.formats import Format, check_codes

__all__ = ["Conv", "Pool", "Program", "Record", "Rounding", "Tensor", "out_size"]

Rounding = Literal["half_up", "half_even", "floor"]
Pads = tuple[int, int, int, int]

ENGINE_BITS = 8
"""Widest code that an engine reads [bits]."""
MAX_REQUANT_BITS = 53
"""acc_bits + window + 2 may not pass the float64 mantissa, so that float64 reproduces every sum exactly."""


def out_size(size: int, before: int, after: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Output extent of a sliding window along one axis (floor mode).

    >>> out_size(8, 1, 1, 3, 2)
    4
    """
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class Tensor:
    """A map of codes, shape (channels, height, width).

    Parameters
    ----------
    name : str
    height, width : int, at least 1
    parts : tuple of int
        Channel counts of the pieces that different records write (concatenation); one piece is the usual case.
    format : Format
        Unsigned or signed; every part shares it.
    """

    name: str
    height: int
    width: int
    parts: tuple[int, ...]
    format: Format

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("a tensor needs a name")
        for what, value in (("height", self.height), ("width", self.width), *(("part", p) for p in self.parts)):
            if value < 1:
                raise InputError(f"tensor '{self.name}': {what} must be at least 1, not {value}")
        if not self.parts:
            raise InputError(f"tensor '{self.name}': needs at least one part")
        if self.format.kind not in ("unsigned", "signed"):
            raise InputError(f"tensor '{self.name}': activations are unsigned or signed, not {self.format.kind}")

    @property
    def channels(self) -> int:
        """Channels of all parts together."""
        return sum(self.parts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    def part_slice(self, part: int) -> slice:
        """Channels of one part."""
        start = sum(self.parts[:part])
        return slice(start, start + self.parts[part])


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution with its requantizer; also Linear, average pooling, add and copy (`unit` weights).

    Parameters
    ----------
    name : str
        Layer name; unique in a Program.
    input, output : str
        Tensor names. The input is read whole; the record writes `output_part` of the output.
    weights : int8 array, shape (O, C or 1, kh, kw)
        Codes of `weight_format`; second axis 1 when depthwise. Bipolar codes are the stored bits 0 and 1.
    weight_format : Format
        Zero point 0.
    multiplier : Digits, shape (O, T)
        M of the requantizer.
    shift : int64 array, shape (O,)
        n of the requantizer [bits].
    offset : int64 array, shape (O,)
        Everything constant: bias, zero points, the residual's zero point.
    low, high : int
        Clamp, codes of the output format (an activation fused in).
    depthwise : bool
        Output channel o reads input channel o alone.
    stride, dilation : int
        For both axes.
    pads : (top, left, bottom, right)
        Padded positions hold the zero point of the input.
    residual : str or None
        Tensor added in the requantizer, part `residual_part` of it, as many channels as the output part.
    residual_multiplier : Digits, shape (O, Tr)
        R of the requantizer; no columns without a residual.
    """

    name: str
    input: str
    output: str
    weights: NDArray[np.int8]
    weight_format: Format
    multiplier: Digits
    shift: NDArray[np.int64]
    offset: NDArray[np.int64]
    low: int
    high: int
    depthwise: bool = False
    stride: int = 1
    dilation: int = 1
    pads: Pads = (0, 0, 0, 0)
    output_part: int = 0
    residual: str | None = None
    residual_part: int = 0
    residual_multiplier: Digits = field(default_factory=lambda: np.zeros((0, 0), np.int8))

    @property
    def channels(self) -> int:
        """Output channels O."""
        return int(self.weights.shape[0])

    @property
    def kernel(self) -> tuple[int, int]:
        """(kh, kw)."""
        return int(self.weights.shape[2]), int(self.weights.shape[3])

    @property
    def weight_values(self) -> NDArray[np.int64]:
        """What the weight codes mean: bipolar bits become -1 and +1."""
        codes = self.weights.astype(np.int64)
        return 2 * codes - 1 if self.weight_format.kind == "bipolar" else codes

    @property
    def terms(self) -> int:
        """T: the most digits any channel's M has, at least 1 [cycles per output]."""
        return max(1, int(digit_counts(self.multiplier).max(initial=0)))

    @property
    def residual_terms(self) -> int:
        """Tr: the most digits any channel's R has; 0 without a residual [cycles per output]."""
        return int(digit_counts(self.residual_multiplier).max(initial=0)) if self.residual else 0


@dataclass(frozen=True)
class Pool:
    """Max pooling on codes; padded positions never win. Input and output share parts and format.

    Parameters
    ----------
    name, input, output : str
    kernel : (kh, kw)
    stride : int
    pads : (top, left, bottom, right)
        Each smaller than the kernel along its axis.
    """

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: int = 1
    pads: Pads = (0, 0, 0, 0)


Record = Conv | Pool


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network.

    Parameters
    ----------
    tensors : tuple of Tensor
    records : tuple of Conv or Pool
        In execution order.
    rounding : {"half_up", "half_even", "floor"}
    acc_bits : int
        Accumulator width [bits].
    window : int
        Exponents of M are 0..window - 1; acc_bits + window <= 51.
    terms : int
        Most digits a multiplier may have.
    wrap : bool
        Accumulate modulo 2**acc_bits instead of proving that no sum overflows.

    Raises
    ------
    InputError
        If anything breaks the contract; the message names the record or tensor, the limit and what came.
    """

    tensors: tuple[Tensor, ...]
    records: tuple[Record, ...]
    rounding: Rounding = "half_up"
    acc_bits: int = 32
    window: int = 12
    terms: int = 4
    wrap: bool = False

    def __post_init__(self) -> None:
        _check_program(self)

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise InputError(f"no tensor named '{name}'; there are {', '.join(t.name for t in self.tensors)}")

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that no record writes: the host provides them."""
        written = {record.output for record in self.records}
        return tuple(t for t in self.tensors if t.name not in written)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that no record reads: the host takes them."""
        read = {name for record in self.records for name in reads(record)}
        return tuple(t for t in self.tensors if t.name not in read)

    @property
    def convs(self) -> tuple[Conv, ...]:
        """The Conv records, in order."""
        return tuple(record for record in self.records if isinstance(record, Conv))


def reads(record: Record) -> Iterator[str]:
    """Names of the tensors that a record reads."""
    yield record.input
    if isinstance(record, Conv) and record.residual is not None:
        yield record.residual


def accumulator_bounds(conv: Conv, input_format: Format) -> NDArray[np.int64]:
    """Largest |sum| that any order of accumulation can reach, per output channel.

    Sum of |w| * A with A the largest absolute code of the input, padding included; bipolar layers accumulate stored
    bits beside a reference sum of ones, so there every |w| counts 1.
    """
    return np.asarray(np.abs(conv.weight_values).sum(axis=(1, 2, 3)) * input_format.magnitude, np.int64)


def _require(condition: bool, where: str, text: str) -> None:
    if not condition:
        raise InputError(f"{where}: {text}")


def _check_program(program: Program) -> None:
    _require(program.rounding in ("half_up", "half_even", "floor"), "program",
             f"rounding must be half_up, half_even or floor, not {program.rounding}")
    _require(2 <= program.acc_bits <= 32, "program", f"acc_bits must be in 2..32, not {program.acc_bits}")
    most = MAX_REQUANT_BITS - 2 - program.acc_bits
    _require(1 <= program.window <= most, "program",
             f"window must be in 1..{most} with acc_bits {program.acc_bits}, not {program.window}")
    _require(program.terms >= 1, "program", f"terms must be at least 1, not {program.terms}")
    for what, names in (("tensor", [t.name for t in program.tensors]), ("record", [r.name for r in program.records])):
        for name in names:
            _require(names.count(name) == 1, f"{what} '{name}'", "the name is used twice")
    tensors = {t.name: t for t in program.tensors}
    written: dict[str, set[int]] = {t.name: set(range(len(t.parts))) for t in program.inputs}
    for record in program.records:
        where = f"record '{record.name}'"
        for role, name in (("input", record.input), ("output", record.output)):
            _require(name in tensors, where, f"{role} '{name}' is not a tensor of the program")
        for name in reads(record):
            _require(name in tensors, where, f"residual '{name}' is not a tensor of the program")
            missing = set(range(len(tensors[name].parts))) - written.get(name, set())
            _require(not missing, where, f"reads '{name}' before part {min(missing, default=0)} of it is written")
            _require(tensors[name].format.bits <= ENGINE_BITS, where,
                     f"reads '{name}' of {tensors[name].format.bits} bits; engines read at most {ENGINE_BITS}")
        if isinstance(record, Conv):
            _check_conv(program, record, tensors, where)
            parts = {record.output_part}
        else:
            _check_pool(record, tensors, where)
            parts = set(range(len(tensors[record.output].parts)))
        done = written.setdefault(record.output, set())
        _require(not parts & done, where, f"part {min(parts)} of '{record.output}' is already written")
        done |= parts
    for name, done in written.items():
        missing = set(range(len(tensors[name].parts))) - done
        _require(not missing, f"tensor '{name}'", f"part {min(missing, default=0)} is never written")
    for tensor in program.tensors:
        _require(tensor.format.bits <= program.acc_bits, f"tensor '{tensor.name}'",
                 f"a code has at most acc_bits = {program.acc_bits} bits, not {tensor.format.bits}")


def _check_window(where: str, source: Tensor, target: Tensor, kernel: tuple[int, int], stride: int, dilation: int,
                  pads: Pads) -> None:
    for what, value in (("kernel", min(kernel)), ("stride", stride), ("dilation", dilation)):
        _require(value >= 1, where, f"{what} must be at least 1, not {value}")
    _require(len(pads) == 4 and min(pads) >= 0, where, f"pads must be four numbers of at least 0, not {pads}")
    top, left, bottom, right = pads
    size = (out_size(source.height, top, bottom, kernel[0], stride, dilation),
            out_size(source.width, left, right, kernel[1], stride, dilation))
    _require(size == (target.height, target.width), where,
             f"output '{target.name}' must be {size[0]} x {size[1]}, not {target.height} x {target.width}")


def _check_conv(program: Program, conv: Conv, tensors: dict[str, Tensor], where: str) -> None:
    source, target, fmt = tensors[conv.input], tensors[conv.output], conv.weight_format
    _require(conv.weights.ndim == 4, where, f"weights must have shape (O, C, kh, kw), not {conv.weights.shape}")
    _require(0 <= conv.output_part < len(target.parts), where,
             f"output_part must be in 0..{len(target.parts) - 1}, not {conv.output_part}")
    channels = target.parts[conv.output_part]
    fan_in = 1 if conv.depthwise else source.channels
    _require(conv.weights.shape[:2] == (channels, fan_in), where,
             f"weights must start with shape ({channels}, {fan_in}), not {conv.weights.shape[:2]}")
    if conv.depthwise:
        _require(source.parts == (channels,), where,
                 f"depthwise needs an input of one part with {channels} channels, not {source.parts}")
    _require(fmt.kind != "unit" or conv.depthwise, where, "unit weights are for depthwise records only")
    _require(fmt.kind != "bipolar" or not conv.depthwise, where, "bipolar weights are for dense records only")
    _require(fmt.zero_point == 0, where, f"weights have zero point 0, not {fmt.zero_point}")
    _require(fmt.bits <= ENGINE_BITS, where, f"weights have at most {ENGINE_BITS} bits, not {fmt.bits}")
    check_codes(conv.weights, fmt, f"{where}: weights")
    _check_window(where, source, target, conv.kernel, conv.stride, conv.dilation, conv.pads)
    _require(target.format.low <= conv.low <= conv.high <= target.format.high, where,
             f"low..high must lie in {target.format.low}..{target.format.high}, not {conv.low}..{conv.high}")
    _check_requantizer(program, conv, channels, where)
    operands = [name for name in (conv.input, conv.residual, conv.output) if name is not None]
    _require(len(set(operands)) == len(operands), where, "input, residual and output must be different tensors")
    if conv.residual is not None:
        other = tensors[conv.residual]
        _require(0 <= conv.residual_part < len(other.parts), where,
                 f"residual_part must be in 0..{len(other.parts) - 1}, not {conv.residual_part}")
        shape = (other.parts[conv.residual_part], other.height, other.width)
        _require(shape == (channels, target.height, target.width), where,
                 f"residual must have shape {(channels, target.height, target.width)}, not {shape}")
    limit = (1 << (program.acc_bits - 1)) - 1
    bounds = accumulator_bounds(conv, source.format)
    worst = int(bounds.argmax())
    _require(program.wrap or int(bounds[worst]) <= limit, where,
             f"the accumulator of channel {worst} can reach {int(bounds[worst])}; {program.acc_bits} bits hold {limit}"
             " (declare wrap, or use a wider accumulator or fewer bits)")


def _check_requantizer(program: Program, conv: Conv, channels: int, where: str) -> None:
    bits = program.acc_bits + program.window
    for what, array in (("shift", conv.shift), ("offset", conv.offset)):
        _require(array.shape == (channels,) and array.dtype == np.int64, where,
                 f"{what} must be int64 of shape ({channels},), not {array.dtype} {array.shape}")
    _check_digits(program, conv.multiplier, channels, program.window, f"{where}: multiplier")
    if conv.residual is None:
        _require(conv.residual_multiplier.size == 0, where, "residual_multiplier without a residual")
    else:
        _check_digits(program, conv.residual_multiplier, channels, bits - 9, f"{where}: residual_multiplier")
    _require(bool(np.all((conv.shift >= 0) & (conv.shift < bits))), where,
             f"shift must be in 0..{bits - 1}, not {conv.shift.min()}..{conv.shift.max()}")
    limit = 1 << (bits - 1)
    _require(bool(np.all(np.abs(conv.offset) < limit)), where,
             f"offset must stay below {limit} in magnitude, not {np.abs(conv.offset).max()}")


def _check_digits(program: Program, digits: Digits, channels: int, window: int, where: str) -> None:
    _require(digits.ndim == 2 and digits.shape[0] == channels and digits.dtype == np.int8, where,
             f"must be int8 of shape ({channels}, terms), not {digits.dtype} {digits.shape}")
    _require(digits.shape[1] <= program.terms, where, f"at most {program.terms} digits, not {digits.shape[1]}")
    exponents = np.abs(digits.astype(np.int64)) - 1
    _require(digits.size == 0 or int(exponents.max()) < window, where,
             f"exponents must be in 0..{window - 1}, not {int(exponents.max(initial=0))}")
    falling = np.all((exponents[:, 1:] < exponents[:, :-1]) | ((exponents[:, 1:] == -1) & (exponents[:, :-1] == -1)))
    _require(bool(falling), where, "digits must have falling exponents, absent ones last")




def _check_pool(pool: Pool, tensors: dict[str, Tensor], where: str) -> None:
    source, target = tensors[pool.input], tensors[pool.output]
    _require(pool.input != pool.output, where, "input and output must be two tensors")
    _require(source.parts == target.parts, where, f"output parts must be {source.parts}, not {target.parts}")
    _require(source.format == target.format, where, f"output format must be {source.format}, not {target.format}")
    _check_window(where, source, target, pool.kernel, pool.stride, 1, pool.pads)
    for what, pad, extent in zip(("top", "left", "bottom", "right"), pool.pads, pool.kernel * 2, strict=True):
        _require(pad < extent, where, f"{what} pad must be below the kernel's {extent}, not {pad}")
