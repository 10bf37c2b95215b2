"""`bitwright estimate`: what a network costs on a machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import MAX_DIGITS, AsJson, MachineName, TechnologyName
from bitwright.cli.parameter_types import file_argument, integer, parse_bits, path_option
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.arch.machine import Machine
    from sim.cost.estimate import Estimate
    from sim.ir.program import Program
    from sim.ir.shapes import Shapes

__all__ = ["estimate"]


def estimate(
    network: Annotated[Path, file_argument(
        "A Program, *.safetensors; a network by name, such as resnet18 or mobilenet_v2; a file of shapes, *.yaml; or a "
        "model, *.onnx or *.pt2.")],
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    bits: Annotated[list[str] | None, typer.Option(
        "--bits", "-b", help="WEIGHTS/ACTIVATIONS, or one width for both, of what is not quantized yet; default: 8. "
        "Repeat it to compare choices.")] = None,
    first_last_bits: Annotated[int | None, integer(
        1, 8, "Bits of the first and the last layer of what is not quantized yet; default: 8.",
        "--first-last-bits")] = None,
    digits: Annotated[int | None, integer(
        1, MAX_DIGITS, "Signed digits of its multipliers: 1 for strict powers of two; default: the machine's most.",
        "--digits")] = None,
    plot: Annotated[Path | None, path_option(
        "Figure of cycles and energy by layer, *.svg, *.png or *.pdf.", "--plot")] = None,
    as_json: AsJson = False,
) -> None:
    """Report cycles, what bounds them, energy, power and bytes of every layer of a network on a machine."""
    from bitwright.cli.estimate_report import add_choices, add_tables
    from bitwright.cli.output_guard import check_apart
    from bitwright.codesign import costs
    from bitwright.codesign.programs_at_bits import OWN_BITS, programs_at_bits
    from bitwright.codesign.resolve import resolve_technology
    from sim.arch.machine import load_machine
    from sim.cost.robustness import energy_order
    from sim.energy.model import prices

    target = load_machine(machine)
    if plot is not None:
        check_apart([plot], [network, machine, *([technology] if technology else [])])
    programs = programs_at_bits(_read(network, target), target, [parse_bits(_both(text)) for text in bits or []],
                                first_last_bits, digits)
    found = {name: costs.estimate(program, target, technology=technology) for name, program in programs.items()}
    if len(found) > 1:
        order = energy_order({name: cost.events for name, cost in found.items()},
                             prices(target, resolve_technology(technology, target)))
        report = Report({"machine": target.name, "choices": {name: _data(cost) for name, cost in found.items()},
                         "energy_order": order})
        add_choices(report, found, order, target.name)
    else:
        [(name, cost)] = found.items()
        report = Report({"machine": target.name, **_data(cost)} | ({} if name == OWN_BITS else {"bits": name}))
        add_tables(report, cost, target.name)
    if plot is not None:
        from bitwright.codesign.estimate_plot import draw
        draw(found, plot)
        report.lines.append(f"wrote {plot}")
    show(report, as_json)


def _both(text: str) -> str:
    """Return bits as `W/A`; one width is for both."""
    return text if "/" in text else f"{text}/{text}"


def _read(source: Path, machine: Machine) -> Program | Shapes:
    from sim.io.bounds import shown_path
    from sim.ir.serialize import load_program
    from sim.ir.shapes import builtin_networks, load_shapes

    kind = source.suffix.lower()
    if str(source) in builtin_networks() or kind in (".yaml", ".yml"):
        return load_shapes(source)
    if kind in (".onnx", ".pt2"):
        from bitwright.codesign.network_shapes import model_or_shapes
        return model_or_shapes(source, machine)
    if not kind and not os.path.lexists(source):
        raise InputError(f"no network '{shown_path(source)}': give one of {', '.join(builtin_networks())}, or a file")
    return load_program(source)


def _data(cost: Estimate) -> dict[str, object]:
    return {**vars(cost), "by_component": cost.energy.by_component, "figures": cost.figures}
