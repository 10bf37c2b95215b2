"""`bitwright allocate`: bits for every layer of a Program, under budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import MAX_DIGITS, AsJson, MachineName, ProgramFile, TechnologyName
from bitwright.cli.parameter_types import integer, path_option

__all__ = ["allocate"]


def allocate(
    program: ProgramFile,
    sensitivities: Annotated[
        Path, path_option("JSON: expected loss of each layer at each width.", "--sensitivities", "-s")],
    budget: Annotated[
        list[str], typer.Option("--budget", "-b", help="NAME=LIMIT; latency_cycles, latency_ms, fps (at least), "
                                "energy_pj (nominal), energy_mj, power_mw, edp_mj_ms (at the high end of the band), "
                                "weight_bytes, peak_activation_bytes, bops, mean_weight_bits or "
                                "mean_activation_bits.")],
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    method: Annotated[
        Literal["lp", "milp", "convex", "greedy"],
        typer.Option(help="milp is exact, the others are faster; all give a certified gap.")] = "milp",
    pin: Annotated[list[str] | None, typer.Option(
        "--pin", help="LAYER=WEIGHTS/ACTIVATIONS, such as conv1=8/* or 'layer1.*=2-4/4'; repeat it for more.")] = None,
    digits: Annotated[int | None, integer(
        1, MAX_DIGITS, "Most signed digits of a multiplier: 1 for strict powers of two; default: the machine's most.",
        "--digits")] = None,
    out: Annotated[Path | None, path_option("JSON file for the bits, for `bitwright quantize --bits-file`.",
                                            "--out", "-o")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose the bits of every layer so that every budget holds and the loss is least."""
    from bitwright.cli.output_guard import check_apart
    from bitwright.cli.parse_budgets import parse_budgets
    from bitwright.cli.parse_pins import parse_pins
    from bitwright.codesign import allocation
    from bitwright.codesign.json_text import to_json
    from quant.bits.budgets import FLOORS
    from sim.arch.machine import load_machine
    from sim.io.atomic_write import atomic_write_text
    from sim.ir.serialize import load_program

    if out is not None:
        check_apart([out], [program, sensitivities, machine])
    loaded, target, limits = load_program(program), load_machine(machine), parse_budgets(budget)
    found = allocation.allocate(loaded, target, sensitivities, limits, technology=technology, method=method,
                                pins=parse_pins(pin or []), digits=digits)
    report = Report({"machine": target.name, "technology": technology or target.technology, "method": method,
                     **vars(found), "gap": found.gap, "limits": limits})
    report.table(f"bits on machine '{target.name}'", ["layer", "W bits", "A bits"],
                 [[conv.name, "unit" if conv.weight_format.kind == "unit" else found.bits[conv.name][0],
                   found.bits[conv.name][1]] for conv in loaded.convs])
    report.table("budgets", ["budget", "limit", "used", "slack %"],
                 [[name, f"at least {limit:g}" if name in FLOORS else limit, found.used[name],
                   100 * abs(1 - found.used[name] / limit)] for name, limit in limits.items()])
    report.lines.append(f"expected loss {found.objective:.4g}; no allocation within the budgets loses less than "
                        f"{found.lower_bound:.4g}: a gap of {found.gap:.4g}")
    if out is not None:
        atomic_write_text(out, to_json(report.data))
    show(report, as_json)
