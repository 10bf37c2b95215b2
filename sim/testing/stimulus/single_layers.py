"""Draw single layers for any machine, whose widths and shapes are limits; codes and requantizers reach the corners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.functional.one_op import Requantizer, accumulate, operands
from sim.functional.reference import simulate
from sim.io.bounds import check_range
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Rounding
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import Digits, digits_of, multipliers
from sim.testing.stimulus.corner_codes import corner_codes
from sim.testing.stimulus.layers import random_weights
from sim.testing.stimulus.requantizers import RequantizerLimits, limited_requantizer

__all__ = ["LayerLimits", "RandomLayer", "random_layer", "random_layers"]

TRIES = 100
Range = tuple[int, int]


@dataclass(frozen=True)
class LayerLimits:
    """What a machine can compute: each layer is drawn within it.

    Parameters
    ----------
    weights, inputs, outputs : Format
        Widths, signs and zero points; weights have none.
    acc_bits : int, 2..32
        Width of the accumulator [bits]; layers whose sums could leave it are not drawn, unless `wrap`.
    wrap : bool
        Sums are taken modulo 2**acc_bits.
    rounding : {"half_up", "half_even", "floor"}
    multiplier_bits : int
        |M| < 2**multiplier_bits; acc_bits + multiplier_bits is at most 51.
    most_shift : int or None
        n is in 0..most_shift; None: up to acc_bits + multiplier_bits - 1.
    offset_bits : int or None
        Width of a signed offset [bits], 0 for none; None: acc_bits.
    negative_multipliers, powers_of_two, before_multiplier, per_channel : bool
        As in `sim.testing.stimulus.requantizers.RequantizerLimits`.
    channels_in, channels_out, extent, kernel, stride, padding : (lowest, highest)
        Of the drawn shapes; height and width, and both directions of a window, are drawn apart but for the stride.
    relu : bool
        Whether every second layer clamps at the zero point.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    weights: Format
    inputs: Format
    outputs: Format
    acc_bits: int = 32
    wrap: bool = False
    rounding: Rounding = "half_up"
    multiplier_bits: int = 16
    most_shift: int | None = None
    offset_bits: int | None = None
    negative_multipliers: bool = False
    powers_of_two: bool = False
    before_multiplier: bool = False
    per_channel: bool = True
    channels_in: Range = (1, 8)
    channels_out: Range = (1, 8)
    extent: Range = (1, 6)
    kernel: Range = (1, 3)
    stride: Range = (1, 2)
    padding: Range = (0, 1)
    relu: bool = True
    requantizer: RequantizerLimits = field(init=False)

    def __post_init__(self) -> None:
        arithmetic = Arithmetic(self.acc_bits, self.multiplier_bits, 64, self.rounding, self.wrap)
        for name, least in (("channels_in", 1), ("channels_out", 1), ("extent", 1), ("kernel", 1), ("stride", 1),
                            ("padding", 0)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(f"{name} must be a range from {least} or more upwards, not {low}..{high}")
        most_shift = arithmetic.offset_bits - 1 if self.most_shift is None else self.most_shift
        offset_bits = self.acc_bits if self.offset_bits is None else self.offset_bits
        check_range(most_shift, 0, arithmetic.offset_bits - 1, "most_shift")
        check_range(offset_bits, 0, self.acc_bits if self.before_multiplier else arithmetic.offset_bits, "offset_bits")
        object.__setattr__(self, "requantizer", RequantizerLimits(
            self.multiplier_bits, most_shift, offset_bits, self.negative_multipliers, self.powers_of_two,
            self.before_multiplier, self.per_channel))

    @property
    def arithmetic(self) -> Arithmetic:
        """The arithmetic of the layers as Programs."""
        return Arithmetic(self.acc_bits, self.multiplier_bits, 64, self.rounding, self.wrap)


@dataclass(frozen=True, eq=False)
class RandomLayer:
    """A layer and codes for it.

    Attributes
    ----------
    program : Program
        Of the single Conv `layer`, from tensor `x` to tensor `y`.
    codes : int32 array, shape (N, C, H, W)
        Of `x`.
    bias : int64 array, shape (O,)
        The offsets as the machine holds them: of the sums if they are added before the multiplier, else of the
        products.
    """

    program: Program
    codes: NDArray[np.int32]
    bias: NDArray[np.int64]

    @property
    def conv(self) -> Conv:
        """The layer as a Program has it."""
        return self.program.convs[0]

    @property
    def weights(self) -> NDArray[np.int64]:
        """What the weights mean, shape (O, C, kh, kw)."""
        return self.conv.weight_values

    @property
    def multiplier(self) -> NDArray[np.int64]:
        """M of every channel."""
        return multipliers(self.conv.multiplier)

    @property
    def shift(self) -> NDArray[np.int64]:
        """The n of every channel."""
        return self.conv.shift

    @property
    def offset(self) -> NDArray[np.int64]:
        """The offset of every channel, as it is added to the product."""
        return self.conv.offset

    @cached_property
    def operands(self) -> NDArray[np.int64]:
        """Codes under the window of every output pixel, shape (N, Ho, Wo, kh, kw, C)."""
        conv = self.conv
        return operands(self.codes, conv.kernel, stride=conv.stride, padding=conv.pads,
                        zero_point=self.program.inputs[0].format.zero_point)

    @cached_property
    def sums(self) -> NDArray[np.int32]:
        """What the accumulators hold, shape (N, O, Ho, Wo)."""
        conv, arithmetic = self.conv, self.program.arithmetic
        return accumulate(self.codes, self.weights, stride=conv.stride, padding=conv.pads,
                          zero_point=self.program.inputs[0].format.zero_point, acc_bits=arithmetic.acc_bits, wrap=True)

    @property
    def requantizer(self) -> Requantizer:
        """What makes codes of the sums."""
        conv = self.conv
        return Requantizer(self.multiplier, conv.shift, conv.offset, conv.low, conv.high,
                           self.program.outputs[0].format.zero_point, self.program.arithmetic.rounding)

    @cached_property
    def tensors(self) -> dict[str, NDArray[np.int32]]:
        """The codes of `x` and `y` by the simulator."""
        return simulate(self.program, {"x": self.codes})

    @property
    def outputs(self) -> NDArray[np.int32]:
        """What the layer gives, shape (N, O, Ho, Wo)."""
        return self.tensors["y"]


def random_layers(limits: LayerLimits, seed: int, count: int, images: int = 2) -> Iterator[RandomLayer]:
    """Yield so many random layers, the same ones for the same seed.

    >>> from sim.ir.formats import Format
    >>> limits = LayerLimits(Format(4, "signed"), Format(4, "unsigned"), Format(4, "unsigned"), acc_bits=20)
    >>> layers = [*random_layers(limits, seed=1, count=3)]
    >>> all(np.array_equal(layer.requantizer(layer.sums), layer.outputs) for layer in layers)
    True
    """
    rng = np.random.default_rng(seed)
    return (random_layer(rng, limits, images) for _ in range(count))


def random_layer(rng: np.random.Generator, limits: LayerLimits, images: int = 2) -> RandomLayer:
    """Draw a layer within limits, and codes of so many images.

    Weights and codes come with extremes, and requantizers suit the sums: outputs cover their range, some sums are exact
    ties where the widths allow it, some clamp.

    Raises
    ------
    InputError
        If no layer was found whose window fits the map and whose sums fit the accumulator.
    """
    for _ in range(TRIES):
        inputs, outputs = (int(rng.integers(*_upto(bounds))) for bounds in (limits.channels_in, limits.channels_out))
        height, width = (int(size) for size in rng.integers(*_upto(limits.extent), 2))
        kernel = int(rng.integers(*_upto(limits.kernel))), int(rng.integers(*_upto(limits.kernel)))
        top, left, bottom, right = (int(pad) for pad in rng.integers(*_upto(limits.padding), 4))
        stride = int(rng.integers(*_upto(limits.stride)))
        if kernel[0] > height + top + bottom or kernel[1] > width + left + right:
            continue
        source = Tensor("x", height, width, (inputs,), limits.inputs)
        weights = random_weights(rng, limits.weights, (outputs, inputs, *kernel))
        codes = corner_codes(rng, source, images)
        reach = int(np.abs(weights.astype(np.int64)).sum(axis=(1, 2, 3)).max()) * limits.inputs.magnitude
        if limits.wrap or reach < 1 << (limits.acc_bits - 1):
            return _finished(rng, limits, source, weights, codes, stride, (top, left, bottom, right))
    raise InputError(f"no layer within these limits was found in {TRIES} tries: its window must fit the map, and its "
                     f"sums an accumulator of {limits.acc_bits} bits")


def _finished(rng: np.random.Generator, limits: LayerLimits, source: Tensor, weights: NDArray[np.int8],
              codes: NDArray[np.int32], stride: int, pads: tuple[int, int, int, int]) -> RandomLayer:
    """Give a layer its requantizer and its clamp."""
    meaning = 2 * weights.astype(np.int64) - 1 if limits.weights.kind == "bipolar" else weights.astype(np.int64)
    sums = accumulate(codes, meaning, stride=stride, padding=pads, zero_point=limits.inputs.zero_point,
                      acc_bits=limits.acc_bits, wrap=True)
    by_channel = sums.astype(np.int64).swapaxes(0, 1).reshape(len(weights), -1)
    m, n, bias = limited_requantizer(rng, by_channel, limits.outputs, limits.requantizer)
    cuts = limits.relu and rng.random() < 0.5
    offset = bias * m if limits.before_multiplier else bias
    conv = Conv("layer", "x", "y", weights, limits.weights, _digits(m), n, offset,
                limits.outputs.zero_point if cuts else limits.outputs.low, limits.outputs.high,
                stride=(stride, stride), pads=pads)
    target = Tensor("y", sums.shape[2], sums.shape[3], (len(weights),), limits.outputs)
    return RandomLayer(Program((source, target), (conv,), limits.arithmetic), codes, bias)


def _digits(numbers: NDArray[np.int64]) -> Digits:
    """Return the binary digits of multipliers, which any machine's M is a sum of."""
    return digits_of([[(1 if number > 0 else -1) * (bit + 1) for bit in reversed(range(abs(number).bit_length()))
                       if abs(number) >> bit & 1] for number in map(int, numbers)])


def _upto(bounds: Range) -> Range:
    return bounds[0], bounds[1] + 1
