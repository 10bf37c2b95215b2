"""The table in which an op ends, from the function of its stage."""

from __future__ import annotations

from math import inf

import numpy as np
import torch

from quant.layers.function import QuantFunction
from quant.lowering.meaning import Meaning
from quant.lowering.values import Output
from quant.quantizers.base import ActivationQuantizer
from sim.ir.ops import Table

__all__ = ["index_output", "table_error", "table_of"]

POINTS = 17
"""Between which the distance of a function from its table is looked for, in what one code of the index stands for."""


def index_output(function: QuantFunction) -> Output:
    """Return the codes that a function reads."""
    index = function.index_quantizer
    gain, bias = (float(part.detach().flatten()[0]) for part in (index.gain, index.bias))
    return Output(gain, bias, index.format, Meaning(float(index.scale), np.full(1, index.zero)))


def table_of(function: QuantFunction, quantizer: ActivationQuantizer, kind: torch.dtype, low: int, high: int) -> Table:
    """Return the codes of `quantizer`, clamped to low..high, for what the model gives it for every code of the index.

    Parameters
    ----------
    function : QuantFunction
    quantizer : ActivationQuantizer
        Of the tensor that is stored.
    kind : torch.dtype
        Of the model's values.
    low, high : int
    """
    values, _ = function.entries()
    codes = quantizer.codes(values.to(kind)).clamp(low, high)
    return Table(function.index_quantizer.format, codes.numpy().astype(np.int16))


def table_error(function: QuantFunction, quantizer: ActivationQuantizer, table: Table) -> float:
    """Return the largest distance of a table from its function, both clamped to the codes of the output [codes].

    The function is looked at on all numbers that the index does not clamp. Half a code of that is rounding to codes,
    the rest is what rounding to the index's codes makes of the function's slope.
    """
    step = float(function.index_quantizer.scale)
    around = torch.linspace(-0.5, 0.5, POINTS, dtype=torch.float64) * step
    with torch.no_grad():
        values = function.exact((function.levels()[:, None] + around).flatten())
        wanted = values * float(quantizer.gain) + float(quantizer.bias)
    fmt = quantizer.format
    distance = (wanted.clamp(fmt.low, fmt.high).reshape(-1, POINTS) - torch.from_numpy(
        table.codes.astype(np.float64))[:, None]).abs()
    return float(distance.nan_to_num(nan=0.0, posinf=inf).max())
