"""Layer by layer: how much of the float network's signal is left, and which quantizer took the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from quant.analysis.noise import Clipped, Noise
from quant.analysis.pairs import Pair, as_float, pairs_of, real_weight
from quant.frontends.read_model import read_model
from quant.lowering.lower import Lowered
from quant.quantizers.pixel import PixelActivation
from quant.stages.frontend import as_floats
from quant.stages.outputs import output_stages
from quant.trace.checks import check_data
from quant.trace.inputs import Read, each
from quant.trace.segment import Segment
from sim.errors import InputError

__all__ = ["LayerQuality", "Progress", "layer_qualities"]

CHUNK_ELEMENTS = 1 << 24
"""Elements of all tensors of a network, for the images that go through it together."""

Progress = Callable[[int, int], None]
"""Called with the images that are done and how many there are."""


@dataclass(frozen=True)
class LayerQuality:
    """What one stage of a quantized network loses. A ratio is None where nothing is lost, or where there is no such.

    Attributes
    ----------
    name, kind : str
        Of the stage (`quant.stages.stages.Stage`).
    weight_bits, tensor_bits : int or None
        Width of the weights, and of the tensor that is stored; None: no weights, or the output, which the host reads.
    weight_sqnr_db : float or None
        Of the weights that the codes stand for, over what quantizing them changes [dB].
    tensor_sqnr_db : float or None
        Of what the quantizer of the tensor reads, over what it changes: its own rounding and clipping [dB].
    clipped_share : float or None
        Share of the elements beyond the codes of that quantizer, 0..1. Zeros that a ReLU makes are codes.
    output_sqnr_db : float or None
        Of the float network's tensor, over its distance from the quantized network's: all that was lost so far [dB].
    fit_error_codes : float or None
        Largest distance of the requantizer's map from the real one [codes of the tensor, or of its function's index];
        None for the output.
    fit_error_output : float or None
        Of the output, in its own unit, since its codes are as fine as the accumulator.
    agreement : float or None
        Share of the answers, of all outputs together, that stay those of the float network if the network is quantized
        as far as this stage and float from here on, 0..1.
    table_error_codes : float or None
        Largest distance of the table in which the op ends from its function [codes of the tensor], rounding included.
    """

    name: str
    kind: str
    weight_bits: int | None
    tensor_bits: int | None
    weight_sqnr_db: float | None
    tensor_sqnr_db: float | None
    clipped_share: float | None
    output_sqnr_db: float | None
    fit_error_codes: float | None
    fit_error_output: float | None
    agreement: float | None
    table_error_codes: float | None = None


def layer_qualities(quantized: fx.GraphModule, model: nn.Module, data: Read, lowered: Lowered | None = None, *,
                    agreement_images: int = 32, progress: Progress | None = None) -> list[LayerQuality]:
    """Compare a quantized network with its float network, stage by stage, on some images.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize(model, ...)`, reconstructed or trained or not; in eval mode.
    model : nn.Module
        The float network, in eval mode.
    data : float Tensor, shape (n, C, H, W), or Inputs of several
        Normalised images; no labels are needed. Memory is bounded whatever n is.
    lowered : Lowered, optional
        Of `quantized`; it gives the fit errors.
    agreement_images : int, at least 0
        For so many of the images the rest of the float network runs after each stage; 0: for none.
    progress : callable, optional

    Returns
    -------
    list of LayerQuality
        In the order in which stages run, the input first.

    Raises
    ------
    InputError
        If `quantized` does not come from `model`, or data are not images that it reads.
    """
    for tensor in each(data):
        check_data(tensor)
    if agreement_images < 0:
        raise InputError(f"agreement_images must be at least 0, not {agreement_images}")
    exact = read_model(model, data)
    comparison = _Comparison(quantized, exact)
    data = as_floats(data, exact)
    size = comparison.images_at_once(data)
    done = 0
    for start in range(0, len(data), size):
        images = data[start:start + size]
        comparison.add(images, max(agreement_images - done, 0))
        done += len(images)
        if progress is not None:
            progress(done, len(data))
    return comparison.found(lowered)


class _Comparison:
    """What is known of each pair of stages after some batches."""

    def __init__(self, graph: fx.GraphModule, exact: fx.GraphModule) -> None:
        self.exact, self.pairs = exact, pairs_of(graph, exact)
        self.starts = graph.graph.find_nodes(op="placeholder")
        self.exact_starts = exact.graph.find_nodes(op="placeholder")
        self.read = {pair.stage.name: cast(fx.Node, pair.stage.end.args[0]) for pair in self.pairs if pair.quantizer}
        self.ends = [pair.stage.end for pair in self.pairs]
        self.exact_ends = [pair.exact.end for pair in self.pairs]
        self.outputs = [stage.end for stage in output_stages(exact, [pair.exact for pair in self.pairs])]
        self.written = {part: pair for pair in self.pairs for part in pair.stage.parts}
        self.segment = Segment(graph, self.starts, dict.fromkeys([*self.ends, *self.read.values()]))
        self.exact_segment = Segment(exact, self.exact_starts, dict.fromkeys(self.exact_ends))
        self.tensor = {pair.stage.name: Noise() for pair in self.pairs}
        self.output = {pair.stage.name: Noise() for pair in self.pairs}
        self.clipped = {pair.stage.name: Clipped() for pair in self.pairs}
        self.agreeing = dict.fromkeys(self.tensor, 0)
        self.answers = 0

    def images_at_once(self, data: Read) -> int:
        """Return how many images' tensors fit into memory together."""
        with torch.no_grad():
            elements = sum(value.numel() for value in self.segment.run(_given(self.starts, data[:1])).values())
        return max(CHUNK_ELEMENTS // elements, 1)

    @torch.no_grad()
    def add(self, images: Read, agreement_images: int) -> None:
        """Run both networks on images, and the rest of the float network on the first of them."""
        values = self.segment.run(_given(self.starts, images))
        exact = self.exact_segment.run(_given(self.exact_starts, images))
        for pair in self.pairs:
            name, after = pair.stage.name, values[pair.stage.end]
            self.output[name].add(exact[pair.exact.end], as_float(after, pair))
            if pair.quantizer is not None:
                before = values[self.read[name]]
                found = as_float(after, pair) if pair.stage.kind == "input" else after
                self.tensor[name].add(before, found)
                self.clipped[name].add(before, pair.quantizer)
        if agreement_images:
            answers = {end: exact[end][:agreement_images].argmax(1) for end in self.outputs}
            self._agree({pair.exact.end: as_float(values[pair.stage.end], pair)[:agreement_images]
                         for pair in self.pairs}, answers)

    def _agree(self, values: Mapping[fx.Node, Tensor], answers: Mapping[fx.Node, Tensor]) -> None:
        """Count the answers that stay, for each stage that the network may be quantized up to."""
        for place, pair in enumerate(self.pairs):
            known = dict.fromkeys([*self.exact_starts, *self.exact_ends[:place + 1]])
            rest = Segment(self.exact, known, self.outputs)
            read = {operand for node in rest.nodes for operand in node.all_input_nodes}
            found = rest.run({node: values[node].clone() for node in known if node in read or node in rest.wanted})
            same = sum(int((found[end].argmax(1) == of).sum()) for end, of in answers.items())
            self.agreeing[pair.stage.name] += same
        self.answers += sum(of.numel() for of in answers.values())

    def found(self, lowered: Lowered | None) -> list[LayerQuality]:
        """Return what has come out."""
        return [self._quality(pair, lowered) for pair in self.pairs]

    def _quality(self, pair: Pair, lowered: Lowered | None) -> LayerQuality:
        name, stored = pair.stage.name, pair.quantizer
        error = lowered.errors[name].error if lowered is not None and name in lowered.errors else None
        tensor = self.written.get(pair.stage.end, pair)
        is_output = tensor.exact.end in self.outputs
        in_its_unit = error * lowered.scales[tensor.stage.name] if error is not None and lowered is not None else None
        return LayerQuality(
            name, pair.stage.kind, pair.layer.weight_quantizer.bits if pair.layer else None,
            stored.bits if stored else None, self._weight_sqnr_db(pair), self.tensor[name].sqnr_db,
            self.clipped[name].share if stored and not isinstance(stored, PixelActivation) else None,
            self.output[name].sqnr_db, None if is_output else error, in_its_unit if is_output else None,
            self.agreeing[name] / self.answers if self.answers else None,
            lowered.table_errors.get(name) if lowered is not None else None)

    def _weight_sqnr_db(self, pair: Pair) -> float | None:
        if pair.layer is None:
            return None
        noise = Noise()
        with torch.no_grad():
            noise.add(real_weight(pair, self.exact), pair.layer.weight_quantizer(pair.layer.weight))
        return noise.sqnr_db


def _given(starts: Sequence[fx.Node], images: Read) -> dict[fx.Node, Tensor]:
    """Return copies of what a graph reads, by its inputs."""
    return dict(zip(starts, each(images.clone()), strict=True))
