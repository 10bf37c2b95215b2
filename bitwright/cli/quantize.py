"""`bitwright quantize`: a trained network to few bits without training, from unlabelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bitwright.cli.console import message, show, steps
from bitwright.cli.options import (
    MAX_COUNT,
    MAX_RATE,
    AsJson,
    Asymmetric,
    DataName,
    Deviation,
    FirstLastBits,
    FloatWeights,
    MachineName,
    Mean,
    NetworkName,
    PostTrainingScheme,
    Ranges,
    Resize,
    Seed,
    Size,
)
from bitwright.cli.origin import origin
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import integer, parse_bits, path_option, positive
from sim.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from bitwright.codesign.post_training import Reconstructed
    from quant.ptq.reconstruct import Reconstruction

__all__ = ["quantize"]


def quantize(
    network: NetworkName,
    out: Annotated[Path, path_option("Folder for the results.", "--out", "-o")],
    weights: FloatWeights = None,
    data: DataName = "glyphs",
    size: Size = None,
    resize: Resize = None,
    mean: Mean = None,
    std: Deviation = None,
    scheme: PostTrainingScheme = "power_of_two",
    bits: Annotated[str | None, typer.Option(
        "--bits", "-b", help="Bits W/A of weights and activations; default: 4/4.")] = None,
    bits_file: Annotated[Path | None, path_option(
        "Bits of every layer instead, as `bitwright allocate --out` writes them; the Program keeps their budgets.",
        "--bits-file")] = None,
    first_last_bits: FirstLastBits = 8,
    signed_bits: Annotated[int | None, integer(
        1, 8, "Bits of tensors of both signs, such as linear bottlenecks, if not those of other tensors.")] = None,
    preset: Annotated[Literal["thorough", "fast"], typer.Option(
        help="How to reconstruct: learn roundings, or fast, without learning: round weights together, layer by layer."
    )] = "thorough",
    iterations: Annotated[int | None, integer(
        0, MAX_COUNT, "Iterations per unit that learn, instead of 1000; 0 skips reconstruction.")] = None,
    lr: Annotated[float, positive(MAX_RATE, "Learning rate of the rounding, above 0.", "--lr", "--rate")] = 0.1,
    downscale: Annotated[int, integer(
        1, MAX_COUNT, "Reconstruct from images of which as many pixels along each axis are one: 2 takes a quarter of "
        "the time.")] = 1,
    checkpoint: Annotated[Path | None, path_option(
        "File to write after each reconstructed unit, and to go on from.", "--checkpoint")] = None,
    asymmetric: Asymmetric = False,
    ranges: Ranges = "mse",
    fixed_exponents: Annotated[bool, typer.Option(
        "--fixed-exponents", help="Do not learn the exponents of the steps.")] = False,
    machine: MachineName = "edge",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Quantize a trained network without labels or training."""
    from bitwright.cli.network_report import compare_layers, network_report
    from bitwright.codesign import networks, post_training, quantization
    from bitwright.codesign.chosen_bits import load_bits
    from bitwright.codesign.data import load_data
    from bitwright.codesign.layer_report import layer_files, write_layers
    from sim.arch.machine import load_machine
    from sim.io.atomic_write import ensure_folder

    how = quantization.reconstruction_for(preset, iterations=iterations, rate=lr, exponents=not fixed_exponents,
                                          seed=seed, downscale=downscale)
    if bits is not None and bits_file is not None:
        raise InputError("give --bits or --bits-file, not both")
    both = parse_bits(bits or "4/4")
    networks.check_trained(network, weights)
    check_apart([*networks.network_files(out), *layer_files(out), checkpoint],
                [weights, machine, network, data, bits_file])
    target = load_machine(machine)
    widths = quantization.Widths(both, first_last_bits, signed_bits,
                                 None if bits_file is None else load_bits(bits_file, target))
    found = load_data(data, size=size, resize=resize, mean=mean, deviation=std)
    net = networks.load_network(network, found, weights).eval()
    ensure_folder(out)
    images = networks.few_pixels(networks.calibration_images(found.train))
    kind = quantization.scheme_for(scheme, asymmetric=asymmetric, ranges=ranges)
    model = quantization.quantize_to(widths, net, found, images, kind, target)
    reconstructed = _reconstruct(model, net, images, scheme, how, checkpoint)
    lowered = networks.lowered_for(model, found, target)
    if wider := post_training.inexact_multiplications(lowered, scheme):
        message(f"not every multiplication is one exact shift: {', '.join(wider)}")
    if lowered.host:
        message(f"the host computes {', '.join(lowered.host)} from what the Program puts out")
    layers = compare_layers(model, net, images, lowered)
    message("accuracy of the Program in the simulator")
    summary = {"network": network, "data": data, "scheme": scheme, "asymmetric": asymmetric, "ranges": ranges,
               "machine": target.name, "provenance": origin(),
               **quantization.summary_of(model, lowered, found, target, widths, reconstructed, layers)}
    files = [*networks.write_network(out, model, lowered, summary), *write_layers(out, layers)]
    show(network_report(f"{network} on {data}, {scheme} {bits or bits_file or '4/4'}", summary, files, out), as_json)


def _reconstruct(model: fx.GraphModule, net: nn.Module, images: Tensor, scheme: str,
                 how: Reconstruction | None, checkpoint: Path | None) -> Reconstructed:
    """Reconstruct a quantized network with its progress on stderr, or leave it as it is if `how` is None."""
    from bitwright.codesign import post_training

    if how is None:
        return post_training.Reconstructed()
    with steps("quantize", post_training.step_count(model)) as progress:
        return post_training.reconstruct_network(model, net, images, scheme, how, progress, checkpoint)
