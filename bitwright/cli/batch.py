"""`bitwright batch`: a Program for several images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, MachineName, ProgramFile, TechnologyName
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import file_argument, integer

if TYPE_CHECKING:
    from sim.cost.estimate import Estimate

__all__ = ["batch"]


def batch(
    program: ProgramFile,
    batched: Annotated[Path, file_argument("The Program for several images to write, *.safetensors.")],
    images: Annotated[int, integer(1, 256, "How many images it computes.", "--images", "-n")],
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Make one Program for several images, whose last layers read their weights once; tell what that saves."""
    from bitwright.codesign.costs import estimate
    from sim.arch.machine import load_machine
    from sim.ir.batch import batch as make_batch
    from sim.ir.serialize import load_program, save_program

    check_apart([batched], [program])
    source, target = load_program(program), load_machine(machine)
    several = make_batch(source, images)
    found = {"one after the other": (estimate(source, target, technology=technology), 1),
             "in a batch": (estimate(several.program, target, technology=technology), images)}
    save_program(several.program, batched)
    costs = {how: _of_an_image(cost, count) for how, (cost, count) in found.items()}
    report = Report({"file": str(batched), "machine": target.name, "images": images, "stacked": sorted(several.stacked),
                     "costs_of_an_image": costs})
    report.table(f"one of {images} images on '{target.name}'", ["images", "cycles", "energy uJ", "weights read, bytes"],
                 [[how, f"{cost['latency_cycles']:,.0f}", f"{cost['energy_pj'] / 1e6:,.2f}",
                   f"{cost['weight_bytes']:,.0f}"] for how, cost in costs.items()])
    report.lines.append(f"{len(several.program.ops)} ops; tensors of all images: {', '.join(sorted(several.stacked))}"
                        if several.stacked else "no layer can run for all images at once")
    show(report, as_json)


def _of_an_image(cost: Estimate, images: int) -> dict[str, float]:
    return {"latency_cycles": cost.latency_cycles / images, "energy_pj": cost.energy.nominal_pj / images,
            "weight_bytes": cost.weight_bytes / images}
