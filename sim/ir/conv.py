"""`Conv`: a convolution with its requantizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from sim.io.bounds import MAX_EXTENT, check_range, require, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import MAX_PLANES, Format, check_codes
from sim.ir.lattice import Lattice
from sim.ir.layer import LayerBase, Pads, Steps, check_footprint, check_run, check_whole, map_size
from sim.ir.residency import Residency
from sim.ir.residual import Broadcast, largest_sums, residual_shape
from sim.ir.signed_digits import Digits, digit_counts
from sim.ir.table import Table
from sim.ir.tensor import Run, Tensor

__all__ = ["Conv", "accumulator_bounds"]

MOST_PASSED = 64
"""Checks that a Conv remembers."""


@dataclass(frozen=True, eq=False)
class Conv(LayerBase):
    """A convolution with its requantizer; also Linear, average pooling, add, product and copy (`unit` weights).

    It keeps contiguous copies of its arrays that nobody can write to, so that what a Program has checked stays true.

    Parameters
    ----------
    name : str
        Layer name; unique in a Program.
    input, output : str
        Tensor names. The op reads `input_parts` of the input and writes `output_part` of the output.
    weights : int8 array, shape (O, C / groups, kh, kw)
        Codes of `weight_format`; C / groups of them per output channel and tap. Bipolar codes are the stored bits 0
        and 1.
    weight_format : Format
        Zero point 0.
    multiplier : Digits, shape (O, T)
        M of the requantizer.
    shift : int64 array, shape (O,)
        n of the requantizer [bits].
    offset : int64 array, shape (O,)
        Everything constant: bias, zero points, the residual's zero point.
    low, high : int
        Clamp, codes of the output format (an activation fused in), or of the table's index.
    groups : int
        Divides O and C, which is then the only part that is read: output channels o * groups // O read the input
        channels of their group alone. 1: all channels; O = C of them: output channel o reads input channel o.
    stride, dilation : (vertical, horizontal)
    pads : (top, left, bottom, right)
        Padded positions hold the zero point of the input.
    lattice : Lattice or None
        The pixels of the output part that its map becomes; None: all of them.
    residual : str or None
        Tensor added in the requantizer: part `residual_part` of it.
    residual_multiplier : Digits, shape (O, Tr)
        R of the requantizer; no columns without a residual.
    residual_broadcast : {"none", "map", "channel"}
        Shape of the residual: that of its own map; a pixel of its channels, for all pixels; or a channel of its
        pixels, for all channels.
    gate : int or None
        The requantizer also adds accumulator times residual, shifted left by this [bits]. For `unit` weights of one
        tap.
    prefer_depthwise : bool
        A layer of one channel is dense and depthwise at once; this one takes the machine's way for depthwise layers.
    table : Table or None
        The function in which it ends: the requantizer gives codes of the table's index, the output is what it says.
    input_parts : (first, after the last) or None
        Parts of the input that it reads, C channels together; None: all.
    """

    weights: NDArray[np.int8]
    weight_format: Format
    multiplier: Digits
    shift: NDArray[np.int64]
    offset: NDArray[np.int64]
    low: int
    high: int
    groups: int = 1
    stride: Steps = (1, 1)
    dilation: Steps = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    output_part: int = 0
    lattice: Lattice | None = None
    residual: str | None = None
    residual_part: int = 0
    residual_multiplier: Digits = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    residual_broadcast: Broadcast = "none"
    gate: int | None = None
    prefer_depthwise: bool = False
    table: Table | None = None
    input_parts: Run | None = None

    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray) and not _is_kept(value):
                own = value.copy()
                own.flags.writeable = False
                object.__setattr__(self, name, own)

    def __reduce__(self) -> tuple[type[Conv], tuple[Any, ...]]:
        """Make it anew when it is unpickled or copied, so that its arrays stay unwritable."""
        return Conv, tuple(getattr(self, item.name) for item in fields(self))

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the input and of the residual, if it has one."""
        return (self.input,) if self.residual is None else (self.input, self.residual)

    @property
    def writes_lattice(self) -> bool:
        """Whether its map becomes some pixels of an output part, and not all of it."""
        return self.lattice is not None

    def written_parts(self, target: Tensor) -> Sequence[int]:
        """Return the one part of its output that it writes."""
        return (self.output_part,)

    def map_size(self, source: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the map that it computes of `source`."""
        return map_size(source, self.kernel, self.stride, self.dilation, self.pads)

    def own_pixels(self, part: NDArray[np.int32], source: Tensor) -> NDArray[np.int32]:
        """Return, of codes (..., height, width) of its output part, those of its own map of `source`, as a view."""
        rows, columns = (self.lattice or Lattice()).piece(self.map_size(source))
        return part[..., rows.start : rows.stop : rows.step, columns.start : columns.stop : columns.step]

    def on_operands(self, name: str, reads: Sequence[str], output: str, pads: Pads) -> Conv:
        """Return the same layer on other tensors; it writes the only part of another output.

        It shares the arrays, and what is known of them.
        """
        other = object.__new__(Conv)
        vars(other).update(vars(self), name=name, input=reads[0], residual=reads[1] if len(reads) > 1 else None,
                           output=output, pads=pads, output_part=self.output_part if output == self.output else 0)
        return other

    def residual_rows(self, first: int, rows: int) -> tuple[int, int]:
        """Return the first row and the number of rows of the residual that some output rows take."""
        return (0, 1) if self.residual_broadcast == "map" else (first, rows)

    def check(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic, residency: Residency) -> None:
        """Refuse a Conv that breaks a rule."""
        self.check_operands(tensors, residency)
        _check_conv(self, tensors, arithmetic)
        if self.lattice is None:
            residency.compute(self.output, self.written_parts(tensors[self.output]), self.where)
        else:
            piece = self.lattice.piece(self.map_size(tensors[self.input]))
            residency.compute_piece(self.output, self.output_part, piece, self.where)

    @property
    def channels(self) -> int:
        """Output channels O."""
        return int(self.weights.shape[0])

    @property
    def depthwise(self) -> bool:
        """Whether it takes the machine's way for layers whose output channels read one input channel each."""
        alone = self.groups == self.channels and self.weights.shape[1] == 1
        return (alone and self.groups > 1) or self.prefer_depthwise or self.weight_format.kind == "unit"

    @property
    def grouped(self) -> bool:
        """Whether it has several groups, but is not depthwise."""
        return self.groups > 1 and not self.depthwise

    def ungrouped(self) -> Conv:
        """Return the same layer as one group, with weights of 0 between those that it has."""
        if not self.grouped:
            return self
        outputs, inputs = self.channels // self.groups, self.weights.shape[1]
        dense = np.zeros((self.channels, self.groups * inputs, *self.kernel), np.int8)
        for group in range(self.groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            dense[rows, group * inputs : (group + 1) * inputs] = self.weights[rows]
        return replace(self, weights=dense, groups=1)

    def of_whole(self, source: Tensor) -> Conv:
        """Return a dense layer on all parts of its input, with weights of 0 for those that this one does not read."""
        if self.input_parts is None:
            return self
        weights = np.zeros((self.channels, source.channels, *self.kernel), np.int8)
        weights[:, source.run_slice(self.input_parts)] = self.weight_values
        fmt = Format(2, "signed") if self.weight_format.kind == "bipolar" else self.weight_format
        return replace(self, weights=weights, weight_format=fmt, input_parts=None)

    @property
    def kernel(self) -> tuple[int, int]:
        """(kh, kw)."""
        return int(self.weights.shape[2]), int(self.weights.shape[3])

    @property
    def weight_values(self) -> NDArray[np.int64]:
        """What the weight codes mean: bipolar bits become -1 and +1."""
        codes = self.weights.astype(np.int64)
        return 2 * codes - 1 if self.weight_format.kind == "bipolar" else codes

    def requantized_format(self, output: Format) -> Format:
        """Return the format of the requantizer's codes: that of the output, or its table's index."""
        return output if self.table is None else self.table.index

    @cached_property
    def terms(self) -> int:
        """T: the most digits any channel's M has, without a gate at least 1 [cycles per output]."""
        return max(int(self.gate is None), int(digit_counts(self.multiplier).max(initial=0)))

    @property
    def digits(self) -> int:
        """The most digits that any channel's M or R has, at least 1."""
        return max(1, self.terms, self.residual_terms)

    @cached_property
    def residual_terms(self) -> int:
        """Tr: the most digits any channel's R has; 0 without a residual [cycles per output]."""
        return int(digit_counts(self.residual_multiplier).max(initial=0)) if self.residual else 0

    @cached_property
    def _passed(self) -> set[tuple[object, ...]]:
        """Checks that its arrays have passed, each with what they were checked against."""
        return set()


def _is_kept(array: NDArray[Any]) -> bool:
    """Tell whether an array can serve as it is: nobody writes to it, and it lies in memory as a copy of it would."""
    return not array.flags.writeable and array.flags.owndata and array.flags.c_contiguous


def accumulator_bounds(conv: Conv, input_format: Format) -> NDArray[np.int64]:
    """Return the largest |sum| that any order of accumulation can reach, per output channel.

    Sum of |w| * A with A the largest absolute code of the input, padding included; bipolar layers accumulate stored
    bits beside a reference sum of ones, so there every |w| counts 1.
    """
    if conv.weight_format.kind == "bipolar":
        sums = np.full(conv.channels, prod(conv.weights.shape[1:]), np.int64)
    else:
        sums = np.abs(conv.weights, dtype=np.int16).sum(axis=(1, 2, 3), dtype=np.int64)
    return np.asarray(sums * input_format.magnitude, np.int64)


def _check_once(check: Callable[..., None], conv: Conv, *against: object) -> None:
    """Check arrays of a Conv, unless they have passed: they do not change, and the same layer is in many Programs."""
    key = check, *against
    if key not in conv._passed:
        check(conv, *against)
        if len(conv._passed) >= MOST_PASSED:
            conv._passed.clear()
        conv._passed.add(key)


def _check_conv(conv: Conv, tensors: Mapping[str, Tensor], arithmetic: Arithmetic) -> None:
    source, target, where = tensors[conv.input], tensors[conv.output], conv.where
    require(0 <= conv.output_part < len(target.parts), where,
            f"output_part must be in 0..{len(target.parts) - 1}, not {shown(conv.output_part)}")
    channels = target.parts[conv.output_part]
    check_run(where, source, conv.input_parts)
    _check_once(_check_weights, conv, tuple(source.of_run(conv.input_parts).parts), channels)
    check_footprint(where, source, conv.kernel, conv.stride, conv.dilation, conv.pads)
    _check_map(conv, conv.map_size(source), target)
    if conv.table is not None:
        conv.table.check(target.format, where)
    clamped = conv.requantized_format(target.format)
    require(clamped.low <= conv.low <= conv.high <= clamped.high, where,
            f"low..high must lie in {clamped.low}..{clamped.high}, not {shown(conv.low)}..{shown(conv.high)}")
    _check_once(_check_requantizer, conv, channels, arithmetic)
    _check_residual(conv, tensors, channels, conv.map_size(source))
    if conv.gate is not None:
        _check_gate(conv, conv.gate, tensors, arithmetic)
    _check_once(_check_accumulator, conv, source.format, arithmetic)


def _check_accumulator(conv: Conv, source: Format, arithmetic: Arithmetic) -> None:
    limit = (1 << (arithmetic.acc_bits - 1)) - 1
    bounds = accumulator_bounds(conv, source)
    worst = int(bounds.argmax())
    require(arithmetic.wrap or int(bounds[worst]) <= limit, conv.where,
            f"the accumulator of channel {worst} can reach {int(bounds[worst])}; {arithmetic.acc_bits} bits hold "
            f"{limit} (declare wrap, or use a wider accumulator or fewer bits)")


def _check_map(conv: Conv, size: tuple[int, int], target: Tensor) -> None:
    """Refuse a map of (rows, columns) that is not the output, or the pixels of its lattice."""
    if conv.lattice is None:
        check_whole(conv.where, size, target)
        return
    require(min(size) > 0, conv.where, f"its own map must have at least 1 x 1 pixels, not {size[0]} x {size[1]}")
    conv.lattice.check(size, target, conv.where)


def _check_residual(conv: Conv, tensors: Mapping[str, Tensor], channels: int, size: tuple[int, int]) -> None:
    operands, where = conv.chip_tensors, conv.where
    require(len(set(operands)) == len(operands), where, "input, residual and output must be different tensors")
    require(conv.residual_broadcast in get_args(Broadcast), where,
            f"residual_broadcast must be none, map or channel, not {shown(conv.residual_broadcast)}")
    if conv.residual is None:
        check_range(conv.residual_part, 0, 0, f"{where}: without a residual, residual_part")
        require(conv.residual_broadcast == "none", where,
                f"without a residual, residual_broadcast must be none, not {conv.residual_broadcast}")
    else:
        other = tensors[conv.residual]
        require(0 <= conv.residual_part < len(other.parts), where,
                f"residual_part must be in 0..{len(other.parts) - 1}, not {shown(conv.residual_part)}")
        shape = (other.parts[conv.residual_part], other.height, other.width)
        expected = residual_shape(conv.residual_broadcast, channels, *size)
        require(shape == expected, where, f"residual must have shape {expected}, not {shape}")


def _check_gate(conv: Conv, gate: int, tensors: Mapping[str, Tensor], arithmetic: Arithmetic) -> None:
    """Refuse a gate that is not for a copy with a residual, or whose sum could overflow."""
    bits, where, kind = arithmetic.requant_bits, conv.where, conv.weight_format.kind
    require(conv.residual is not None, where, "a gate needs a residual")
    require(kind == "unit" and conv.kernel == (1, 1), where,
            f"a gate needs unit weights of 1 x 1, not {kind} ones of {conv.kernel[0]} x {conv.kernel[1]}")
    check_range(gate, 0, bits - 2, f"{where}: gate")
    magnitudes = tensors[conv.input].format.magnitude, tensors[conv.residual or ""].format.magnitude
    sums = largest_sums(conv.multiplier, conv.residual_multiplier, conv.shift, conv.offset, gate, magnitudes)
    worst, limit = max(range(len(sums)), key=sums.__getitem__), (1 << (bits - 1)) - 1
    require(sums[worst] <= limit, where,
            f"the gated sum of channel {worst} can reach {sums[worst]}; {bits} bits hold {limit}")


def _check_weights(conv: Conv, parts: tuple[int, ...], channels: int) -> None:
    """Refuse weights that do not fit an input of these parts, or are no codes."""
    fmt, where, inputs = conv.weight_format, conv.where, sum(parts)
    require(conv.weights.ndim == 4 and conv.weights.dtype == np.int8, where,
            f"weights must be int8 of shape (O, C, kh, kw), not {conv.weights.dtype} {conv.weights.shape}")
    check_range(conv.groups, 1, MAX_EXTENT, f"{where}: groups")
    divides = channels % conv.groups == inputs % conv.groups == 0
    require(divides and (conv.groups == 1 or len(parts) == 1), where,
            f"groups must be 1, or divide {channels} and the channels of an input of one part, "
            f"not {shown(conv.groups)} with parts of {shown(parts)}")
    fan_in = inputs // conv.groups
    require(conv.weights.shape[:2] == (channels, fan_in), where,
            f"weights must start with shape ({channels}, {fan_in}), not {conv.weights.shape[:2]}")
    require(not conv.prefer_depthwise or (channels, parts) == (1, (1,)), where,
            f"a depthwise op with groups 1 has one channel in and out, not {inputs} and {channels}")
    require(fmt.kind != "unit" or (fan_in == 1 and parts == (channels,)), where,
            "unit weights are for depthwise ops only")
    require(fmt.kind != "bipolar" or not (conv.depthwise or conv.grouped), where,
            "bipolar weights are for dense ops only")
    require(fmt.zero_point == 0, where, f"weights have zero point 0, not {fmt.zero_point}")
    most = MAX_PLANES - 1 if fmt.kind == "unsigned" else MAX_PLANES
    require(fmt.bits <= most, where, f"{fmt.kind} weights have at most {most} bits, not {fmt.bits}")
    check_codes(conv.weights, fmt, f"{where}: weights")


def _check_requantizer(conv: Conv, channels: int, arithmetic: Arithmetic) -> None:
    bits, where = arithmetic.offset_bits, conv.where
    for what, array in (("shift", conv.shift), ("offset", conv.offset)):
        require(array.shape == (channels,) and array.dtype == np.int64, where,
                f"{what} must be int64 of shape ({channels},), not {array.dtype} {array.shape}")
    _check_digits(conv.multiplier, channels, arithmetic.window, arithmetic.terms, f"{where}: multiplier")
    if conv.residual is None:
        require(conv.residual_multiplier.size == 0, where, "residual_multiplier without a residual")
    else:
        _check_digits(conv.residual_multiplier, channels, arithmetic.residual_window, arithmetic.terms,
                      f"{where}: residual_multiplier")
    require(bool(np.all((conv.shift >= 0) & (conv.shift < bits))), where,
            f"shift must be in 0..{bits - 1}, not {conv.shift.min()}..{conv.shift.max()}")
    limit = 1 << (bits - 1)
    beyond = conv.offset[(conv.offset <= -limit) | (conv.offset >= limit)]
    require(not beyond.size, where, f"offset must stay below {limit} in magnitude, not {beyond[:1].sum()}")


def _check_digits(digits: Digits, channels: int, window: int, terms: int, where: str) -> None:
    require(digits.ndim == 2 and digits.shape[0] == channels and digits.dtype == np.int8, where,
            f"must be int8 of shape ({channels}, terms), not {digits.dtype} {digits.shape}")
    require(digits.shape[1] <= terms, where, f"at most {terms} digits, not {digits.shape[1]}")
    exponents = np.abs(digits.astype(np.int64)) - 1
    require(digits.size == 0 or int(exponents.max()) < window, where,
            f"exponents must be in 0..{window - 1}, not {int(exponents.max(initial=0))}")
    falling = np.all((exponents[:, 1:] < exponents[:, :-1]) | ((exponents[:, 1:] == -1) & (exponents[:, :-1] == -1)))
    require(bool(falling), where, "digits must have falling exponents, absent ones last")
