"""`bitwright sensitivities`: what each layer of a network loses at each width."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.console import Report, message, show, steps
from bitwright.cli.options import (
    AsJson,
    DataName,
    Deviation,
    FloatWeights,
    Mean,
    NetworkName,
    PostTrainingScheme,
    Resize,
    Seed,
    Size,
)
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import path_option

__all__ = ["sensitivities"]

WIDEST = 8
"""Bits of the network whose layers are named and whose input is rounded; everything else runs in float."""


def sensitivities(
    network: NetworkName,
    out: Annotated[Path, path_option("JSON file for the losses, for `bitwright allocate`.", "--out", "-o")],
    weights: FloatWeights = None,
    data: DataName = "glyphs",
    size: Size = None,
    resize: Resize = None,
    mean: Mean = None,
    std: Deviation = None,
    scheme: PostTrainingScheme = "power_of_two",
    method: Annotated[Literal["fisher", "measured"], typer.Option(
        help="fisher foresees the loss to second order, measured quantizes one tensor at a time.")] = "fisher",
    bits: Annotated[str, typer.Option(
        "--bits", "-b", help="Widths to tell the losses of, such as 1-8 or 2,4,8.")] = "2-8",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Tell what every layer loses at every width, without labels or training."""
    from bitwright.cli.parse_pins import parse_widths
    from bitwright.codesign import networks, post_training
    from bitwright.codesign.data import load_data
    from bitwright.codesign.json_text import to_json
    from bitwright.codesign.measured_sensitivities import measured
    from quant.bits.sensitivities import Measurement
    from sim.io.atomic_write import atomic_write_text

    widths = parse_widths(bits)
    networks.check_trained(network, weights)
    check_apart([out], [weights, network, data])
    found = load_data(data, size=size, resize=resize, mean=mean, deviation=std)
    net = networks.load_network(network, found, weights).eval()
    images = networks.few_pixels(networks.calibration_images(found.train))
    model = post_training.quantize_network(net, found.train, images, scheme, (WIDEST, WIDEST), WIDEST)
    measurement = Measurement(model, images, widths, method=method, seed=seed)
    with steps("sensitivities", measurement.steps) as progress:
        losses = measured(measurement, progress)
    atomic_write_text(out, to_json(losses))
    report = Report(losses)
    for side, what in (("weight", "weights of layer"), ("activation", "tensor")):
        rows = losses[side]
        assert isinstance(rows, dict)
        report.table(f"expected loss [nats], {side}s", [what, *(f"{bits} bits" for bits in measurement.bits)],
                     [[name, *row] for name, row in rows.items()])
    message(f"written to {out}")
    show(report, as_json)
