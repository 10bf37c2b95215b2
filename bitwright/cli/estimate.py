"""`bitwright estimate`: what a network costs on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import MAX_DIGITS, AsJson, MachineName, TechnologyName
from bitwright.cli.parameter_types import file_argument, integer, parse_bits, parse_extents, path_option
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.arch.machine import Machine
    from sim.cost.estimate import Estimate
    from sim.energy.technology import Technology

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
    image: Annotated[str | None, typer.Option(
        "--image", metavar="SHAPE", help="Shape of one image, such as 3x224x224, if a model leaves it open.")] = None,
    trace: Annotated[Path | None, path_option(
        "What simulate --trace --json printed: energies are those of this data; of a Program.", "--trace")] = None,
    plot: Annotated[Path | None, path_option(
        "Figure of cycles and energy by layer, *.svg, *.png or *.pdf.", "--plot")] = None,
    accelergy: Annotated[Path | None, path_option(
        "Folder for ERT.yaml, ART.yaml and action_counts.yaml, for Accelergy.", "--accelergy")] = None,
    as_json: AsJson = False,
) -> None:
    """Report cycles, what bounds them, energy, power and bytes of every layer of a network on a machine."""
    from bitwright.cli.estimate_report import add_choices, add_tables, clock_lines, prices_line
    from bitwright.cli.output_guard import check_apart
    from bitwright.cli.read_network import read_network
    from bitwright.codesign import costs
    from bitwright.codesign.programs_at_bits import programs_at_bits
    from bitwright.codesign.resolve import resolve_technology
    from sim.arch.machine import load_machine

    target = load_machine(machine)
    priced = resolve_technology(technology, target)
    check_apart([plot], [network, machine, technology, trace])
    source = read_network(network, target, None if image is None else parse_extents(image))
    programs = programs_at_bits(source, target, [parse_bits(_both(text)) for text in bits or []], first_last_bits,
                                digits)
    if accelergy is not None and len(programs) > 1:
        raise InputError(f"tables for Accelergy are of one choice of bits, not of {', '.join(programs)}")
    found = {name: costs.estimate(program, target, technology=priced, trace=trace)
             for name, program in programs.items()}
    data = {"network": str(network), "machine": target.name, "prices": _origin(priced),
            **_results(found, target, priced)}
    report = Report(data)
    if len(found) > 1:
        add_choices(report, found, data["energy_order"], target.name)
    else:
        add_tables(report, next(iter(found.values())), target.name)
    report.lines += [prices_line(priced), *clock_lines(target, priced)]
    report.lines += _written(found, plot, accelergy, target, priced)
    show(report, as_json)


def _results(found: dict[str, Estimate], machine: Machine, technology: Technology) -> dict[str, Any]:
    """Return estimates as plain data: one, or several with their order of energy."""
    from bitwright.codesign.programs_at_bits import OWN_BITS
    from sim.cost.robustness import energy_order
    from sim.energy.model import prices

    data = {name: {**vars(cost), "by_component": cost.energy.by_component, "figures": cost.figures}
            for name, cost in found.items()}
    if len(data) == 1:
        [(name, one)] = data.items()
        return one if name == OWN_BITS else one | {"bits": name}
    order = energy_order({name: cost.events for name, cost in found.items()}, prices(machine, technology))
    return {"choices": data, "energy_order": order}


def _written(found: dict[str, Estimate], plot: Path | None, accelergy: Path | None, machine: Machine,
             technology: Technology) -> Iterator[str]:
    """Write what else is asked for, and say so."""
    if plot is not None:
        from bitwright.codesign.estimate_plot import draw
        draw(found, plot)
        yield f"wrote {plot}"
    if accelergy is not None:
        from sim.energy.accelergy import write_accelergy
        write_accelergy(accelergy, machine, technology, next(iter(found.values())).events)
        tables = "ERT.yaml, ART.yaml" if technology.ART else "ERT.yaml"
        yield f"wrote {tables} and action_counts.yaml into {accelergy}"


def _both(text: str) -> str:
    """Return bits as `W/A`; one width is for both."""
    return text if "/" in text else f"{text}/{text}"


def _origin(technology: Technology) -> dict[str, object]:
    return {"technology": technology.name, "node_nm": technology.node_nm, "voltage_v": technology.voltage_v,
            "bases": technology.bases, "highest_clock_mhz": technology.highest_clock_mhz}

