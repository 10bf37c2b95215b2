"""`bitwright quantize`: a trained network to few bits without training, from unlabelled images."""

from __future__ import annotations

from pathlib import Path

from bitwright.cli.output_guard import check_apart
from bitwright.codesign.networks import (
    calibration_images,
    few_pixels,
    lowered_for,
    network_files,
    parse_bits,
    program_accuracy,
    write_network,
)
from bitwright.console import Report, message, show, steps
from quant.convert import quantize
from quant.data.registry import load_data
from quant.lowering.strict import beyond_one_shift
from quant.networks.registry import make_network
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.ptq.units import units
from quant.quantizers.base import Quantizer
from quant.schemes import scheme_of
from quant.training.checkpoint import load_weights
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.io.atomic_write import made_folder

__all__ = ["run_quantize"]


def run_quantize(network: str, weights: Path, data_name: str, scheme: str, bits: str, first_last_bits: int,
                 how: Reconstruction | None, machine: str, out: Path, as_json: bool) -> None:
    """Quantize, reconstruct unless `how` is None, and write weights, Program and summary.

    Raises
    ------
    InputError
        If names, widths or numbers are not understood, weights do not fit, or data is not there: before any work.
    """
    bits_w, bits_a = parse_bits(bits)
    if not scheme_of(scheme).folds:
        raise InputError(f"scheme {scheme} needs training: see 'bitwright train'")
    check_apart(network_files(out), [weights, machine])
    target, data = load_machine(machine), load_data(data_name)
    net = make_network(network, data.classes, data.channels)
    load_weights(net, weights)
    net.eval()
    made_folder(out)
    images = few_pixels(calibration_images(data.train))
    model = quantize(net, images, scheme=scheme, weight_bits=bits_w, activation_bits=bits_a,
                     first_last_bits=first_last_bits, input_format=data.train.format,
                     input_exponent=data.train.exponent)
    errors: dict[str, tuple[float, float]] = {}
    moves = []
    if how is not None:
        with steps("quantize", len(units(model)) + 1) as progress:
            def report_unit(name: str, before: float, after: float) -> None:
                errors[name] = before, after
                progress.done(f"'{name}' reconstructed, distance from float {before:.3g} to {after:.3g}")

            reconstruct(model, net, images, how, progress=report_unit)
            if scheme_of(scheme).strict and how.exponents:
                moves = move_exponents(model, net, images)
            progress.done(f"{len(moves)} exponents moved by the whole network's output")
    lowered = lowered_for(model, data, target)
    wider = beyond_one_shift(lowered) if scheme_of(scheme).strict else []
    if wider:
        message(f"not every multiplication is one exact shift: {', '.join(wider)}")
    message("accuracy of the Program in the simulator")
    sets = {"validation": data.validation, "test": data.test, "held_out": data.held_out}
    found = {name: program_accuracy(lowered.program, split) for name, split in sets.items() if split is not None}
    summary = {
        "network": network, "data": data_name, "scheme": scheme, "bits": bits, "accuracy": found,
        "distances": errors, "moved": moves, "fit_error_codes": max(e.error for e in lowered.errors.values()),
        "digits": lowered.digits,
        "steps": {name: module.scale.detach().flatten().tolist() for name, module in model.named_modules()
                  if isinstance(module, Quantizer)}}
    files = write_network(out, model, lowered, summary)
    shown = Report(summary | {"files": [str(path) for path in files]})
    shown.table(f"{network} on {data_name}, {scheme} {bits}", ["images", "accuracy %"],
                [[name, 100 * value] for name, value in found.items()])
    shown.lines.append(f"written to {out}")
    show(shown, as_json)
