"""From a trained float model to one with quantizers in every place where the machine stores codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.calibration.images import Data, read_images
from quant.calibration.prefix import pieces
from quant.calibration.walk import Progress, calibrate
from quant.data.pixels import Pixels
from quant.equalize import equalize
from quant.fold_pixels import fold_norms, fold_pixels
from quant.frontends.read_model import read_model
from quant.gains import gains_as_weights
from quant.input_quantizers import ByInput, quantizers_of_inputs
from quant.layers.function import Function, QuantFunction
from quant.layers.quantized import QuantConv2d, QuantLinear, normed
from quant.quantizers.base import ActivationQuantizer, round_half_up
from quant.quantizers.pixel import PixelActivation
from quant.quantizers.tied import TiedActivation
from quant.schemes import Scheme, WeightedLayer, scheme_of
from quant.shifts import shift_averages_and_norms
from quant.stages.frontend import as_floats
from quant.stages.stage import Stage
from quant.stages.stages import stages
from quant.stages.ties import check_operands, maker_of, tie_all, ties
from quant.tensor_units import fit_units
from quant.trace.calls import module_of, put_in_place
from quant.trace.checks import check_magnitude
from quant.trace.inputs import each, input_names
from quant.trace.naming import quantizer_path
from quant.trace.shapes import shape_of
from quant.trace.taps import Tap, is_output
from quant.widths import widths_of
from sim.ir.formats import Format

__all__ = ["quantize", "round_biases"]

NORM_STEP = 2.0**-6
"""Steps of the shift of a BatchNorm that follows no convolution, as a share of what a code of its input is worth: the
requantizer's multipliers reach further down."""
INDEX_BITS = 8
"""Width of what a function reads: as many as an index of a table can have."""


@torch.inference_mode(False)  # what learns later must not be made of inference tensors
def quantize(model: nn.Module, data: Data, *, scheme: str | Scheme, weight_bits: int = 4, activation_bits: int = 4,
             first_last_bits: int | None = None, signed_bits: int | None = None,
             input_format: ByInput[Format] | None = None, input_exponent: ByInput[int] | None = None,
             pixels: ByInput[Pixels] | None = None, progress: Progress | None = None) -> fx.GraphModule:
    """Return a copy of `model` with quantized weights and one quantizer on each tensor that the machine stores.

    A stored tensor ends a convolution or linear layer with everything fused after it (BatchNorm, residual add, ReLU)
    or an average; one quantizer feeds all its readers, a shortcut too, because there is one tensor. Tensors without
    a ReLU get signed quantizers, 8 bits wide where only adds read them. Adaptive average
    pools that change nothing on `data` are left out. The model's output stays real.

    Parameters
    ----------
    model : nn.Module
        Traceable by torch.fx; a copy is taken, in eval mode, at least in single precision, without tied parameters.
    data : float Tensor, shape (n, C, H, W); with `pixels` a uint8 Tensor too; or an iterable of such batches
        Real inputs, or pixels, such as a `DataLoader` gives; instead of maps also sequences, shape (n, C, L), or rows,
        shape (n, C), if the model reads these. Batches may be tuples that begin with the images. For a model of several
        inputs a tuple of tensors, in the order of its arguments, or a dict of them by their names takes the place of
        one. Images are read once and kept as the host's codes. Every step is fitted to what they become at its place,
        after the quantizers before it.
    scheme : {"qil", "lsq", "power_of_two", "uniform"} or Scheme
        `qil` and `lsq`: learnt intervals or steps, BatchNorm kept, meant for training afterwards. `power_of_two` and
        `uniform`: BatchNorm folded into the weights, power-of-two or real steps per output channel and per tensor.
        `quant.schemes` makes those with other options.
    weight_bits, activation_bits : int, 1..8
        For all layers and tensors; `set_bits` of a quantizer changes one.
    first_last_bits : int, 1..8, optional
        Instead, for the weights of layers that read the input or write the output, and for what the latter read.
    signed_bits : int, 1..8, optional
        Instead, for tensors of both signs, such as linear bottlenecks: 8 where they would cost accuracy at 4.
    input_format, input_exponent : Format and int, optional
        How the host gives the input: codes of this format, unsigned or signed with zero point 0, and of the value
        code * 2**input_exponent. Of several inputs one for all, or a dict by their names.
    pixels : Pixels, or dict of str to Pixels, optional
        Instead: the host gives pixels of 8 bits; their mean and deviation are folded into the layers that read them.
        The graph reads normalised values all the same.
    progress : callable, optional
        Called after each stage that is calibrated, with its name, how many are done, and of how many.

    Returns
    -------
    fx.GraphModule
        In eval mode. The weights' quantizers are at `<layer>.weight_quantizer`, that of a tensor at
        `<layer that makes it>_quantizer`. Where channels are stored larger than in the float network, the quantizer has
        their `factor`; `meta["equalized"]` tells how many there are (`quant.equalize.Equalized`).

    Raises
    ------
    InputError
        If a width is not 1..8, the scheme is unknown, the input is described twice or not at all, parts of the model
        have no counterpart on the machine or would get lost (all of them are named), its graph computes something else
        than the model or the model something else each time, or data, weights or what becomes of them are not finite or
        do not fit together.
    """
    scheme = scheme_of(scheme)
    given = quantizers_of_inputs(input_names(model), input_format, input_exponent, pixels)
    images, first = read_images(data, given)
    graph = read_model(model, first)
    first = as_floats(first, graph)
    makers = dict(zip(graph.graph.find_nodes(op="placeholder"), given.values(), strict=True))
    of_pixels = {node: maker for node, maker in makers.items() if isinstance(maker, PixelActivation)}
    fold_norms(graph, of_pixels)
    if scheme.folds:
        _fold_norms(graph)
    if scheme.strict:
        gains_as_weights(graph)
    factors = shift_averages_and_norms(graph) if scheme.strict else {}
    fold_pixels(graph, of_pixels)
    images = images.of_kind(first.dtype)
    if scheme.equalize:
        equalized = equalize(graph, (images.values(which) for which in pieces(graph.graph.nodes, len(images))))
        factors |= {tensor.name: tensor.factor for tensor in equalized}
        graph.meta["equalized"] = equalized
    if scheme.own_units:
        widths = widths_of(stages(graph), weight_bits, activation_bits, first_last_bits, signed_bits)
        for name, factor in fit_units(graph, images, lambda stage: widths[stage.end][1]).items():
            factors[name] = factor * factors.get(name, 1.0)
    graph.meta["own_units"] = scheme.own_units
    reference = deepcopy(graph)
    found = stages(graph)
    widths = widths_of(found, weight_bits, activation_bits, first_last_bits, signed_bits)
    skewed = _skewed(found)
    tied = set() if scheme.strict else {(tie.operand or tie.product).end for tie in ties(found)}
    for stage in found:
        stage_weight_bits, stage_bits = widths[stage.end]
        _quantize_weights(graph, stage, scheme, stage_weight_bits)
        if stage.function is not None:
            follows = stage.is_product and stage.end in tied
            index = (TiedActivation(INDEX_BITS, signed=True, asymmetric=True) if follows
                     else scheme.stepped(INDEX_BITS, True, True))
            function = cast(Function, graph.get_submodule(stage.function))
            put_in_place(graph, stage.function, QuantFunction(function, index.to(each(first)[0])).eval())
        if stage.kind == "input":
            _insert(graph, stage, makers[stage.compute].to(each(first)[0]))
        elif not stage.keeps_codes and not stage.is_part and (stage.function is not None or not is_output(stage.end)):
            quantizer = _tensor(scheme, stage, stage_bits, tied=stage.end in tied, skewed=stage.end in skewed)
            quantizer.factor = factors.get(stage.name)
            _insert(graph, stage, quantizer.to(each(first)[0]))
    graph.graph.lint()
    graph.recompile()
    found = stages(graph)
    _tell_readers(graph, found)
    check_operands(graph, found)
    tie_all(graph, found)
    graph.meta["calibration"] = scheme.calibration
    calibrate(graph, reference, images, scheme.calibration, progress=progress)
    if scheme.strict:
        round_biases(graph)
    return graph


def _skewed(found: Sequence[Stage]) -> set[fx.Node]:
    """Return the ends of stages whose values are mostly on one side of 0: functions, products and averages of them."""
    ends: set[fx.Node] = set()
    for stage in found:
        average = stage.kind in ("average", "bilinear") and stage.norm is None and stage.residual is None
        if stage.function is not None or stage.is_product or (stage.source in ends and (average or stage.keeps_codes)):
            ends.add(stage.end)
    return ends


def _tensor(scheme: Scheme, stage: Stage, bits: int, *, tied: bool, skewed: bool) -> ActivationQuantizer:
    """Return the quantizer of a stored tensor; one that is skewed gets a zero point if it can be negative."""
    if tied and not (stage.is_product and stage.function is not None):
        return TiedActivation(bits, signed=stage.signed, asymmetric=stage.signed and skewed)
    if skewed and (stage.signed or (stage.is_product and stage.function is None)):
        return scheme.stepped(bits, stage.signed, stage.signed)
    return scheme.tensor(bits, stage.signed)


def round_biases(graph: fx.GraphModule) -> None:
    """Round every bias to a whole number of accumulator steps (weight step * input step), as integer hardware does.

    With power-of-two steps throughout, the float model then computes exactly what the lowered Program does.
    """
    steps: dict[fx.Node, Tensor] = {}
    for stage in stages(graph):
        layer = module_of(graph, stage.compute) if stage.compute.op == "call_module" else None
        if stage.source is not None:
            steps[stage.end] = steps[stage.source]
        if isinstance(layer, QuantConv2d | QuantLinear):
            steps[stage.end] = layer.weight_quantizer.scale * steps[stage.end]
            if layer.bias is not None:
                _round_bias(layer.bias, steps[stage.end])
        if stage.norm is not None:  # its gains are powers of two
            norm = cast(nn.BatchNorm2d, graph.get_submodule(stage.norm))
            gain = torch.where(norm.weight == 0, 1.0, norm.weight.detach())
            read = _along_parts(stage, steps) if stage.parts else steps[stage.end]
            _round_bias(norm.bias, gain * read * NORM_STEP)
        if stage.quantizer is not None:
            steps[stage.end] = cast(ActivationQuantizer, graph.get_submodule(stage.quantizer)).scale


def _along_parts(stage: Stage, steps: Mapping[fx.Node, Tensor]) -> Tensor:
    """Return the step of each channel that a concatenation joins, shape (channels,)."""
    return torch.cat([steps[part].expand(cast("tuple[int, ...]", shape_of(part))[1]) for part in stage.parts])


def _round_bias(bias: Tensor, step: Tensor) -> None:
    with torch.no_grad():
        bias.copy_(round_half_up(bias / step) * step)


def _fold_norms(graph: fx.GraphModule) -> None:
    for stage in stages(graph):
        if stage.kind in ("conv", "linear") and stage.norm is not None:
            layer, norm = module_of(graph, stage.compute), cast(nn.BatchNorm2d, graph.get_submodule(stage.norm))
            graph.set_submodule(str(stage.compute.target), normed(cast(nn.Conv2d | nn.Linear, layer), norm))
            for node in graph.graph.find_nodes(op="call_module", target=stage.norm):
                node.replace_all_uses_with(cast(fx.Node, node.args[0]))
                graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _quantize_weights(graph: fx.GraphModule, stage: Stage, scheme: Scheme, bits: int) -> None:
    if stage.kind not in ("conv", "linear"):
        return
    layer = cast(nn.Conv2d | nn.Linear, module_of(graph, stage.compute))
    check_magnitude(layer.weight, f"'{stage.compute.target}.weight'")
    traits = WeightedLayer(len(layer.weight), stage.norm is not None, isinstance(layer, nn.Conv2d) and layer.groups > 1)
    quantizer = scheme.weight(bits, traits).to(layer.weight)
    quantizer.initialise(layer.weight)
    quantized = QuantConv2d(layer, quantizer) if isinstance(layer, nn.Conv2d) else QuantLinear(layer, quantizer)
    put_in_place(graph, str(stage.compute.target), quantized.eval())


def _tell_readers(graph: fx.GraphModule, found: Sequence[Stage]) -> None:
    """Let convolutions know whose codes they read: if no code means 0, they pad by another."""
    by_end = {stage.end: stage for stage in found}
    for stage in by_end.values():
        layer = module_of(graph, stage.compute) if stage.kind == "conv" else None
        if isinstance(layer, QuantConv2d):
            maker = str(maker_of(by_end[cast(fx.Node, stage.source)], by_end).quantizer)
            layer.read_from(cast(ActivationQuantizer, graph.get_submodule(maker)))


def _insert(graph: fx.GraphModule, stage: Stage, quantizer: ActivationQuantizer) -> None:
    path, end = quantizer_path(graph, stage.name), stage.end
    if end.op == "call_module" and isinstance(module_of(graph, end), Tap):  # one of several outputs: a copy then
        end = cast(fx.Node, end.args[0])
    graph.add_submodule(path, quantizer.eval())
    with graph.graph.inserting_after(end):
        node = graph.graph.call_module(path, (end,))
    node.meta["shape"] = shape_of(end)
    end.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)
