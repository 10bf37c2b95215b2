"""`bitwright train`: a network in float, or with quantizers at one width after another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    MachineName,
    Mean,
    NetworkName,
    Ranges,
    Resize,
    Seed,
    Size,
)
from bitwright.cli.origin import origin
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import decimal, integer, parse_bits, path_option, positive
from sim.errors import InputError

if TYPE_CHECKING:
    from torch import fx, nn

    from quant.data.registry import DataSet
    from sim.arch.machine import Machine

__all__ = ["train"]


def train(
    network: NetworkName,
    out: Annotated[Path, path_option("Folder for checkpoints and results.", "--out", "-o")],
    data: DataName = "glyphs",
    size: Size = None,
    resize: Resize = None,
    mean: Mean = None,
    std: Deviation = None,
    mirrored: Annotated[bool | None, typer.Option(
        "--mirror/--no-mirror", help="Mirror half of the own training images; default: those in colour.")] = None,
    scheme: Annotated[Literal["float", "qil", "lsq"], typer.Option(
        help="What is trained: the float network, or one with these quantizers.")] = "float",
    bits: Annotated[list[str] | None, typer.Option(
        "--bits", "-b", help="Bits W/A of weights and activations; repeat it to train at one width after another. "
        "Default: 4/4.")] = None,
    weights: Annotated[Path | None, path_option("Weights of the float network, *.safetensors.")] = None,
    first_last_bits: FirstLastBits = 8,
    asymmetric: Asymmetric = False,
    ranges: Ranges = "mse",
    epochs: Annotated[int, integer(1, MAX_COUNT, "Epochs at each bit width.")] = 12,
    batch: Annotated[int, integer(1, MAX_COUNT, "Images in a batch, over all processes.")] = 128,
    lr: Annotated[float | None, positive(
        MAX_RATE, "Largest learning rate, above 0; default: 0.1, quantized 0.05.", "--lr", "--rate")] = None,
    quantizer_lr_mult: Annotated[float, decimal(
        0, MAX_RATE, "Factor on the learning rate of the quantizers' parameters.", "--quantizer-lr-mult",
        "--interval-rate")] = 1.0,
    quantizers_only: Annotated[bool, typer.Option("--quantizers-only", help="Train only the quantizers.")] = False,
    kd_weight: Annotated[float, decimal(
        0, 1, "Share of the loss that is the distance from the float network.", "--kd-weight", "--distillation")] = 0.0,
    keep: Annotated[Literal["best", "last"] | None, typer.Option(
        help="Which epoch is the result: that of the best validation accuracy, or the last; default: the best, where "
        "validation and test images differ.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", "--half", help="Convolutions in bfloat16.")] = False,
    machine: MachineName = "edge",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a network, in float or with quantizers; resume if it was interrupted. It runs under torchrun, too."""
    import torch

    from bitwright.cli.network_report import network_report
    from bitwright.codesign import networks
    from bitwright.codesign.data import load_data
    from bitwright.codesign.history import history_files, write_history
    from bitwright.codesign.layer_report import layer_files
    from bitwright.codesign.quantization import scheme_for
    from bitwright.codesign.training import Training, check_widths, recipe_for
    from quant.training.distributed import is_first, processes
    from quant.training.history import plain
    from sim.arch.machine import load_machine
    from sim.io.atomic_write import ensure_folder

    check_apart([*networks.network_files(out), *history_files(out), *layer_files(out)], [weights, machine, data])
    texts = [] if scheme == "float" else bits or ["4/4"]
    widths = [parse_bits(text) for text in texts]
    recipe = recipe_for(scheme, epochs, batch, lr, seed=seed, interval_rate=quantizer_lr_mult,
                        quantizers_only=quantizers_only, distillation=kd_weight)
    target = load_machine(machine)
    _check_start(scheme, network, weights, quantizers_only or kd_weight > 0 or asymmetric or ranges != "mse")
    kind = None if scheme == "float" else scheme_for(scheme, asymmetric=asymmetric, ranges=ranges)
    images = load_data(data, size=size, resize=resize, mean=mean, deviation=std, mirrored=mirrored)
    with processes() as device:
        torch.manual_seed(seed)
        net = networks.load_network(network, images, weights)
        if kind is not None:
            check_widths(net, images, kind, widths, first_last_bits, target)
        ensure_folder(out)
        with steps("train", epochs * max(len(widths), 1)) as progress:
            training = Training(recipe, images, device, bf16, out, progress, keep)
            quantized = training.quantized(net, kind, widths, first_last_bits) if kind else None
            trained = (training.float_network(net) if quantized is None else net).cpu()
        if is_first():
            summary = {"network": network, "data": data, "scheme": scheme, "asymmetric": asymmetric, "ranges": ranges,
                       "machine": target.name, "bits": texts, "recipe": asdict(recipe),
                       "pixels": networks.pixels_of(images), "provenance": origin(),
                       "history": {name: plain(history) for name, history in training.histories.items()}}
            files = write_history(out, training.histories)
            if quantized is None:
                message("accuracy of the network")
                summary["accuracy"] = networks.accuracies(trained, images)
                files += networks.write_network(out, trained, None, summary)
            else:
                files += _finish(quantized.cpu(), trained.eval(), images, target, summary, out)
            title = f"{network} on {data}, {scheme} {' then '.join(texts)}".strip()
            show(network_report(title, summary, files, out), as_json)


def _check_start(scheme: str, network: str, weights: Path | None, needs_quantizers: bool) -> None:
    """Refuse quantizers and teachers of float networks, and quantized networks without weights to start from."""
    from bitwright.codesign.networks import check_trained

    if scheme == "float" and needs_quantizers:
        raise InputError("a float network has no quantizers and no teacher")
    if scheme != "float":
        check_trained(network, weights)


def _finish(model: fx.GraphModule, net: nn.Module, data: DataSet, machine: Machine, summary: dict[str, Any],
            out: Path) -> list[Path]:
    """Lower a trained network with quantizers, add to the summary what it loses, write both, and return the files."""
    from bitwright.cli.network_report import compare_layers
    from bitwright.codesign import networks
    from bitwright.codesign.layer_report import write_layers

    lowered = networks.lowered_for(model, data, machine)
    images = networks.few_pixels(networks.calibration_images(data.train))
    layers = compare_layers(model, net, images, lowered)
    message("accuracy of the Program in the simulator")
    summary |= {"accuracy": networks.accuracies(lowered, data), "fit_error_codes": networks.worst_fit(lowered),
                "layers": layers}
    return [*networks.write_network(out, model, lowered, summary), *write_layers(out, layers)]
