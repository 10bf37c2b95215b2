"""`explain`: everything there is to say about one code of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.inspect.contract import Requantization, Tap, requantization_of, taps_of
from sim.inspect.machine_place import MachinePlace, place_of
from sim.inspect.writers import Pixel, Writer, writer_of
from sim.io.bounds import check_range
from sim.ir.ops import Conv, Load, Pool
from sim.plan.plan import Plan

__all__ = ["Explanation", "explain_code"]


@dataclass(frozen=True)
class Explanation:
    """One code of a tensor.

    Attributes
    ----------
    tensor : str
    image, channel, y, x, code : int
    op, kind : str
        What makes it; "input" if the host gives it.
    own : Pixel
        Its place in the op's own map.
    taps : tuple of Tap
        What a Conv or Pool reads for it, padding included.
    requantization : Requantization or None
        Of a Conv.
    place : MachinePlace or None
        Where and when the machine makes it, or for an input puts it on chip; None for an input that is not loaded.
    """

    tensor: str
    image: int
    channel: int
    y: int
    x: int
    code: int
    op: str
    kind: str
    own: Pixel
    taps: tuple[Tap, ...]
    requantization: Requantization | None
    place: MachinePlace | None


def explain_code(plan: Plan, codes: Mapping[str, NDArray[np.int32]], tensor: str, image: int,
                 place: Pixel) -> Explanation:
    """Explain a code from the contract.

    Parameters
    ----------
    plan : Plan
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of all tensors of `plan.program`; the op reads these.
    tensor : str
    image : int
        Number of the image, 0..N - 1.
    place : Pixel
        In the tensor.

    Raises
    ------
    InputError
        If there is no such tensor, image, channel or pixel.
    """
    program = plan.program
    sizes = (len(next(iter(codes.values()))), *program.tensor(tensor).shape)
    for what, number, size in zip(("image", "channel", "y", "x"), (image, place.channel, place.y, place.x), sizes,
                                  strict=True):
        check_range(number, 0, size - 1, f"{what} of '{tensor}'")
    writer = writer_of(program, tensor, place)
    code = int(codes[tensor][image, place.channel, place.y, place.x])
    if writer is None:
        loads = (Writer(number, op, place) for number, op in enumerate(program.ops)
                 if isinstance(op, Load) and op.output == tensor)
        loaded = next((_place(plan, load, tensor, place) for load in loads), None)
        return Explanation(tensor, image, place.channel, place.y, place.x, code, "input", "input", place, (), None,
                           loaded)
    op, taps, requantization = writer.op, tuple[Tap, ...](), None
    if isinstance(op, Conv | Pool):
        taps = taps_of(program, op, codes, image, writer.own)
    if isinstance(op, Conv):
        requantization = requantization_of(program, op, codes, image, writer.own, taps)
    return Explanation(tensor, image, place.channel, place.y, place.x, code, op.name, op.kind, writer.own, taps,
                       requantization, _place(plan, writer, tensor, place))


def _place(plan: Plan, writer: Writer, tensor: str, place: Pixel) -> MachinePlace:
    """Return where a code is made; a Store takes it from its input on chip."""
    if tensor in plan.bases:
        return place_of(plan, writer, tensor, place)
    return place_of(plan, writer, writer.op.input, writer.own)
