"""ONNX's own tests of operators as Programs: no code is further from the expected number than its steps explain."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, log2
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from benchmarks.error_bounds import Near, error_bounds
from quant.convert import quantize
from quant.emit.emit import emit
from quant.graph.graph import Graph, Node
from quant.graph.interpret import shapes
from quant.graph.ops.linear import Conv, Linear
from quant.graph.passes.normalise import normalise
from quant.lowering.lower import Lowered, lower_with_report
from quant.quantizers.base import ActivationQuantizer
from quant.stages.stages import stages
from quant.trace.checks import check_data
from quant.trace.inputs import Inputs, input_names
from quant.trace.tracer import trace
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format

__all__ = ["Distance", "between_layers", "codes_of", "distance", "value_of"]

BITS = 8


@dataclass(frozen=True)
class Distance:
    """How far a Program's outputs are from what is expected, each number as a share of its bound.

    Attributes
    ----------
    largest, median : float
        Above 1 is wrong.
    """

    largest: float
    median: float


def distance(graph: Graph, inputs: Sequence[Tensor], expected: Sequence[NDArray[np.generic]], rtol: float,
             atol: float, scheme: str = "uniform") -> Distance:
    """Quantize a float graph to 8 bits on some inputs, lower it, run it on them, and compare.

    Parameters
    ----------
    graph : Graph
        As the front end reads it. If the host would compute all of it, it gets layers around it that change nothing.
    inputs : sequence of float Tensor
    expected : sequence of arrays
        What the graph shall return.
    rtol, atol : float
        By how much the float graph's own numbers may differ from the expected ones.
    scheme : str

    Raises
    ------
    InputError
        If the graph cannot be lowered.
    AssertionError
        If the float module that it becomes returns something else.
    """
    for tensor in inputs:
        check_data(tensor, "the inputs")
    model = emit(normalised(graph))
    if computes_nothing(model):
        model = emit(normalised(between_layers(graph)))
    with torch.no_grad():
        returned = model(*inputs)
    for found, wanted in zip(returned if isinstance(returned, tuple) else (returned,), expected, strict=True):
        np.testing.assert_allclose(found.double(), np.asarray(wanted, np.float64), rtol, atol)
    quantized = _quantized(model, inputs, scheme)
    read = inputs[0] if len(inputs) == 1 else Inputs(inputs)
    lowered = lower_with_report(quantized, read)
    near, made = error_bounds(quantized, model, read, lowered), codes_of(quantized, lowered, inputs)
    shares = [_shares(near[name], value_of(lowered, name, made[name]), rtol, atol) for name in lowered.outputs]
    return Distance(float(torch.cat(shares).max()), float(torch.cat(shares).median()))


def normalised(graph: Graph) -> Graph:
    """Return a copy of a graph, normalised."""
    own = deepcopy(graph)
    normalise(own)
    return own


def between_layers(graph: Graph) -> Graph:
    """Return a copy of a graph with a layer before each input and after each output that changes nothing.

    Raises
    ------
    InputError
        If images have other axes than layers read.
    """
    own, sizes = deepcopy(graph), shapes(graph)
    for given in own.inputs:
        made = own.fresh(f"{given.name}/read")
        own.redirect(given.name, made)
        own.add(_unchanging(own, given.name, made, given.shape), own.nodes[0])
    outputs = []
    for name in own.outputs:
        outputs.append(own.fresh(f"{name}/returned"))
        own.add(_unchanging(own, name, outputs[-1], sizes.get(name, own.known_shapes.get(name, ()))))
    own.outputs = tuple(outputs)
    return own


def _unchanging(graph: Graph, read: str, made: str, shape: tuple[int, ...]) -> Node:
    """Return a layer of weights 1 for images of a shape."""
    if not 1 <= len(shape) <= 3:
        raise InputError(f"a layer reads images of 1 to 3 axes, not shape {shape}")
    weight, axes = graph.fresh(f"{made}.weight"), len(shape) - 1
    graph.constants[weight] = torch.eye(shape[0])[(..., *[None] * axes)]
    layer = Conv((1,) * axes, (1,) * axes, ((0, 0),) * axes) if axes else Linear()
    return Node(layer, (read, weight), made, f"at '{made}'", made)


def computes_nothing(model: fx.GraphModule) -> bool:
    """Return whether the host computes all that a module does."""
    return all(stage.kind == "input" for stage in stages(trace(model)))


def _format_of(values: Tensor) -> tuple[Format, int]:
    """Return the format and exponent of the finest codes that hold some values."""
    fmt = Format(BITS, "signed" if bool((values < 0).any()) else "unsigned")
    largest = float(values.abs().max())
    return fmt, ceil(log2(largest / fmt.high)) if largest else 0


def value_of(lowered: Lowered, name: str, codes: NDArray[np.integer]) -> Tensor:
    """Return what codes of a Program's tensor mean."""
    zero = lowered.program.tensor(name).format.zero_point
    return torch.from_numpy(codes.astype(np.float64) - zero) * lowered.scales[name]


def _quantized(model: fx.GraphModule, inputs: Sequence[Tensor], scheme: str) -> fx.GraphModule:
    formats = dict(zip(input_names(model), map(_format_of, inputs), strict=True))
    return quantize(model, inputs[0] if len(inputs) == 1 else tuple(inputs), scheme=scheme, weight_bits=BITS,
                    activation_bits=BITS, input_format={name: fmt for name, (fmt, _) in formats.items()},
                    input_exponent={name: exponent for name, (_, exponent) in formats.items()})


def codes_of(quantized: fx.GraphModule, lowered: Lowered, inputs: Sequence[Tensor]) -> dict[str, NDArray[np.int32]]:
    """Return the codes of all tensors of a Program."""
    first = [stage for stage in stages(quantized) if stage.kind == "input"]
    makers = [cast(ActivationQuantizer, quantized.get_submodule(str(stage.quantizer))) for stage in first]
    return simulate(lowered.program, lowered.prepare_all({
        stage.name: maker.codes(tensor).numpy() for stage, maker, tensor in zip(first, makers, inputs, strict=True)}))


def _shares(near: Near, found: Tensor, rtol: float, atol: float) -> Tensor:
    """Return how far numbers are from those of the float network, as shares of their bounds; the finite ones alone."""
    off = (found.reshape(near.value.shape) - near.value).abs()
    shares = off / (near.error + rtol * near.value.abs() + atol)
    return shares[near.value.isfinite()]
