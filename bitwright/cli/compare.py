"""`bitwright compare`: networks, bits and machines side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, TechnologyName
from bitwright.cli.parameter_types import file_argument, integer, parse_bits
from sim.errors import InputError

if TYPE_CHECKING:
    from bitwright.codesign.comparison import Candidate
    from sim.energy.band import Band

__all__ = ["compare"]

MOST_LAYERS = 20
"""Layers that a table shows; JSON has all."""
MOST_CANDIDATES = 50


def compare(
    networks: Annotated[list[Path], file_argument(
        "Programs, *.safetensors; networks by name, such as resnet18; shapes, *.yaml; models, *.onnx or *.pt2.")],
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
    """Compare what networks cost at several bits on several machines; say which differences are within the bands."""
    from bitwright.codesign.comparison import compare_figures, compare_layers

    candidates = list(_candidates(networks, machine or ["edge"], bits or [], first_last_bits, technology))
    if not 2 <= len(candidates) <= MOST_CANDIDATES:
        raise InputError(f"networks, bits and machines must make 2 to {MOST_CANDIDATES} candidates to compare, not "
                         f"{len(candidates)}")
    figures, layers = compare_figures(candidates), compare_layers(candidates)
    report = Report({"candidates": [{"name": one.name, "machine": one.machine.name, "technology": one.technology.name,
                                     "latency_cycles": one.cost.latency_cycles, "figures": one.cost.figures}
                                    for one in candidates], "figures": figures, "layers": layers})
    _add_candidates(report, candidates)
    report.table(f"against '{candidates[0].name}'", ["", "figure", "there", "here", "ratio", "order is certain"],
                 [[one.other, one.figure, _text(one.first_value), _text(one.other_value),
                   "" if one.ratio is None else round(one.ratio, 4), "no" if one.open else "yes"] for one in figures])
    report.table("layers whose latency differs most [cycles]", ["", *(one.name for one in candidates)],
                 [[layer.layer, *("" if count is None else count for count in layer.latency_cycles)]
                  for layer in layers[:MOST_LAYERS] if layer.spread_cycles])
    show(report, as_json)


def _candidates(networks: Sequence[Path], machines: Sequence[str], bits: Sequence[str], first_last_bits: int | None,
                technology: str | None) -> Iterator[Candidate]:
    """Yield every network at every choice of bits on every machine, named by what tells it from the others."""
    from bitwright.cli.read_network import read_network
    from bitwright.codesign.comparison import Candidate
    from bitwright.codesign.costs import estimate
    from bitwright.codesign.programs_at_bits import programs_at_bits
    from bitwright.codesign.resolve import resolve_technology
    from sim.arch.machine import load_machine

    choices = [parse_bits(text if "/" in text else f"{text}/{text}") for text in bits]
    for source in networks:
        for name in machines:
            target = load_machine(name)
            priced = resolve_technology(technology, target)
            programs = programs_at_bits(read_network(source, target), target, choices, first_last_bits)
            for text, program in programs.items():
                told = [(str(source), len(networks)), (text, len(programs)), (name, len(machines))]
                label = " ".join(word for word, count in told if count > 1) or str(source)
                yield Candidate(label, target, priced, estimate(program, target, technology=priced))


def _add_candidates(report: Report, candidates: Sequence[Candidate]) -> None:
    report.table("what is compared", ["", "machine", "cycles", "ms", "energy mJ", "low", "high", "mW", "TOPS/W"],
                 [[one.name, one.machine.name, one.cost.latency_cycles, one.cost.latency_ms, one.cost.energy_mj.nominal,
                   one.cost.energy_mj.low, one.cost.energy_mj.high, one.cost.power_mw.nominal,
                   one.cost.tops_per_w.nominal] for one in candidates])


def _text(value: float | Band) -> str:
    from sim.energy.band import Band

    if isinstance(value, Band):
        return f"{value.nominal:.4g} ({value.low:.3g} to {value.high:.3g})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
