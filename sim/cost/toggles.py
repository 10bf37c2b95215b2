"""How many bits of a layer's data change, from the shares of ones in its tensors and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.energy.model import Toggles
from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.ops import Conv
from sim.ir.program import Program

__all__ = ["layer_toggles"]

Ones = NDArray[np.float64]


def layer_toggles(program: Program, ones: Mapping[str, Sequence[float]]) -> dict[str, Toggles]:
    """Return the toggles of the data of every Conv, by its name.

    Bits are taken to be independent: one that is 1 with a share p changes in 2 p (1 - p) of all steps, and a one-bit
    product is 1 with the product of the shares of its planes. Every weight plane meets every activation plane as often
    as every other. `unit` weights have no toggles of products. Lanes without a channel are left out.

    Parameters
    ----------
    program : Program
    ones : mapping of str to sequence of float
        Share of ones of every bit of each tensor that a Conv reads, the lowest bit first, as
        `bitwright simulate --trace --json` gives them.

    Raises
    ------
    InputError
        If a tensor is missing, or its shares are not as many as it has bits or not in 0..1.
    """
    found: dict[str, Toggles] = {}
    for conv in program.convs:
        planes = _planes(program, conv, ones)
        found[conv.name] = {"activations": float(np.mean(_changing(planes)))}
        if conv.weight_format.kind != "unit":
            products = np.outer(_weight_ones(conv), planes)
            found[conv.name] = {**found[conv.name], "products": float(np.mean(_changing(products)))}
    return found


def _planes(program: Program, conv: Conv, ones: Mapping[str, Sequence[float]]) -> Ones:
    if conv.input not in ones:
        raise InputError(f"a trace must have tensor '{shown(conv.input)}', which layer '{shown(conv.name)}' reads")
    planes, bits = np.array(ones[conv.input], np.float64), program.tensor(conv.input).format.bits
    if planes.shape != (bits,) or not bool(np.all((planes >= 0) & (planes <= 1))):
        raise InputError(f"a trace of tensor '{shown(conv.input)}' must have a share of ones in 0..1 for each of its "
                         f"{bits} bits, not {shown(ones[conv.input])}")
    return planes


def _weight_ones(conv: Conv) -> Ones:
    """Return the share of ones in every plane of the weights."""
    codes = conv.weights.astype(np.int64)
    return np.array([float(np.mean(codes >> plane & 1)) for plane in range(conv.weight_format.bits)])


def _changing(ones: Ones) -> Ones:
    return 2 * ones * (1 - ones)
