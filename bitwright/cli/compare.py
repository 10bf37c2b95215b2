"""`bitwright compare`: networks, bits, machines, estimates and runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, TechnologyName
from bitwright.cli.parameter_types import file_argument, integer, parse_bits
from sim.errors import InputError

if TYPE_CHECKING:
    from bitwright.codesign.comparison import Candidate, FigureComparison, LayerComparison
    from sim.arch.machine import Machine
    from sim.energy.technology import Technology

    Targets = Mapping[str, tuple[Machine, Technology]]

__all__ = ["compare"]

MOST_LAYERS = 20
"""Layers that a table shows; JSON has all."""
MOST_CANDIDATES = 50


def compare(
    items: Annotated[list[Path], file_argument(
        "Programs, *.safetensors; networks by name, such as resnet18; shapes, *.yaml; models, *.onnx or *.pt2; what "
        "estimate --json printed, *.json; folders of demo and quantize. Or machines alone, by name or *.yaml.")],
    machine: Annotated[list[str] | None, typer.Option(
        "--machine", "-m", help="A built-in machine (tiny, edge, large) or a YAML file; repeat it to compare machines; "
        "default: edge.")] = None,
    bits: Annotated[list[str] | None, typer.Option(
        "--bits", "-b", help="WEIGHTS/ACTIVATIONS, or one width for both, of what is not quantized yet; repeat it to "
        "compare choices; default: 8.")] = None,
    first_last_bits: Annotated[int | None, integer(
        1, 8, "Bits of the first and the last layer of what is not quantized yet; default: 8.",
        "--first-last-bits")] = None,
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Compare networks, bits, machines, estimates or runs; say which differences are within the bands."""
    from bitwright.codesign.comparison import compare_figures, compare_layers
    from bitwright.codesign.machine_files import is_machine
    from bitwright.codesign.resolve import resolve_technology
    from sim.arch.machine import load_machine

    if all(is_machine(item) for item in items) and not machine:
        _check_count(len(items))
        show(_machines([load_machine(item) for item in items], technology), as_json)
        return
    loaded = {name: load_machine(name) for name in machine or ["edge"]}
    targets = {name: (target, resolve_technology(technology, target)) for name, target in loaded.items()}
    candidates = list(_candidates(items, targets, bits or [], first_last_bits))
    _check_count(len(candidates))
    show(_report(candidates, compare_figures(candidates), compare_layers(candidates)), as_json)


def _check_count(count: int) -> None:
    if not 2 <= count <= MOST_CANDIDATES:
        raise InputError(f"networks, bits and machines must make 2 to {MOST_CANDIDATES} candidates to compare, not "
                         f"{count}")


def _candidates(items: Sequence[Path], targets: Targets, bits: Sequence[str],
                first_last_bits: int | None) -> Iterator[Candidate]:
    """Yield every network at every choice of bits on every machine, and the estimates of every run."""
    from bitwright.report.candidates import candidates_of

    choices = [parse_bits(text if "/" in text else f"{text}/{text}") for text in bits]
    for item in items:
        if item.is_dir() or item.suffix.lower() == ".json":
            yield from candidates_of(item, targets)
        else:
            yield from _estimated(item, len(items) > 1, targets, choices, first_last_bits)


def _estimated(item: Path, several: bool, targets: Targets, choices: Sequence[tuple[int, int]],
               first_last_bits: int | None) -> Iterator[Candidate]:
    """Yield a network at every choice of bits on every machine, named by what tells it from the others."""
    from bitwright.cli.read_network import read_network
    from bitwright.codesign.comparison import Candidate
    from bitwright.codesign.costs import estimate
    from bitwright.codesign.programs_at_bits import programs_at_bits

    for name, (target, priced) in targets.items():
        programs = programs_at_bits(read_network(item, target), target, choices, first_last_bits)
        for text, program in programs.items():
            told = [(str(item), several), (text, len(programs) > 1), (name, len(targets) > 1)]
            label = " ".join(word for word, wanted in told if wanted) or str(item)
            yield Candidate(label, target, priced, estimate(program, target, technology=priced))


def _report(candidates: Sequence[Candidate], figures: Sequence[FigureComparison],
            layers: Sequence[LayerComparison]) -> Report:
    """Report candidates, differences and layers."""
    report = Report({"candidates": [{
        "name": one.name, "machine": one.on, "technology": one.priced_by, "latency_cycles": one.cost.latency_cycles,
        "figures": one.cost.figures, "accuracy": one.accuracy} for one in candidates],
        "figures": figures, "layers": layers})
    report.table("what is compared", ["", "machine", "cycles", "ms", "energy mJ", "low", "high", "mW", "TOPS/W"],
                 [[one.name, one.on, one.cost.latency_cycles, one.cost.latency_ms, one.cost.energy_mj.nominal,
                   one.cost.energy_mj.low, one.cost.energy_mj.high, one.cost.power_mw.nominal,
                   one.cost.tops_per_w.nominal] for one in candidates])
    measured = [[one.name, name, 100 * value] for one in candidates for name, value in one.accuracy.items()]
    if measured:
        report.table("accuracy", ["", "images", "%"], measured)
    report.table(f"against '{candidates[0].name}'", ["", "figure", "there", "here", "ratio", "order is certain"],
                 [[one.other, one.figure, one.first_value, one.other_value,
                   "" if one.ratio is None else round(one.ratio, 4), _certain(one.open)] for one in figures])
    report.table("layers whose latency differs most [cycles]", ["", *(one.name for one in candidates)],
                 [[layer.layer, *("" if count is None else count for count in layer.latency_cycles)]
                  for layer in layers[:MOST_LAYERS] if layer.spread_cycles])
    return report


def _machines(machines: Sequence[Machine], technology: str | None) -> Report:
    """Report the parameters in which machines differ, and their areas."""
    from bitwright.codesign.machine_comparison import compare_machines
    from bitwright.codesign.resolve import resolve_technology

    found = compare_machines(machines, [resolve_technology(technology, machine) for machine in machines])
    report = Report({"machines": found.names, "parameters": found.parameters, "areas": found.areas})
    report.table("parameters that differ", ["", *found.names],
                 [[name, *map(str, values)] for name, values in found.parameters.items()])
    report.table("areas that differ [mm2], and whether their order is certain", [
        "", found.names[0], *(word for name in found.names[1:] for word in (name, "certain"))],
        [[one.part, one.areas_mm2[0], *(word for area, doubt in zip(one.areas_mm2[1:], one.open[1:], strict=True)
                                        for word in (area, _certain(doubt)))] for one in found.areas])
    return report


def _certain(doubt: bool) -> str:
    return "no" if doubt else "yes"
