"""`bitwright verify`: a Program, or random ones, on the RTL and in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import message, show, steps
from bitwright.cli.options import (
    MAX_COUNT,
    MAX_WORKERS,
    PROGRAM_HELP,
    AsJson,
    Images,
    InputFile,
    MachineName,
    RtlSimulator,
    Seed,
)
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import integer, path_option, program_argument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bitwright.codesign.rtl_run import RtlOptions
    from bitwright.codesign.verify import Verification
    from bitwright.codesign.verify_random import RandomVerification
    from sim.arch.machine import Machine
    from sim.plan.plan import Plan

__all__ = ["verify"]


def verify(
    program: Annotated[Path | None, program_argument(PROGRAM_HELP)] = None,
    machine: MachineName = "tiny",
    input_file: InputFile = None,
    images: Images = 1,
    seed: Seed = 0,
    simulator: RtlSimulator = "auto",
    jobs: Annotated[int, integer(1, MAX_WORKERS, "Processes that share the images, or the random Programs.", "--jobs",
                                     "-j")] = 1,
    scheduler: Annotated[str | None, typer.Option(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers run random Programs; `local`: one of this "
        "machine, with --jobs workers.")] = None,
    onnxruntime: Annotated[bool | None, typer.Option(
        "--onnxruntime/--no-onnxruntime",
        help="Run the exported model in ONNX Runtime, too; default: if it is installed.", show_default=False)] = None,
    first: Annotated[str | None, typer.Option(
        "--from", metavar="OP", help="First op to compare, on the codes that reach it; default: all.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="OP", help="Last op to compare.")] = None,
    waves: Annotated[Path | None, path_option("Write the waveforms of the RTL, FST (Icarus Verilog).")] = None,
    divergence: Annotated[Path | None, path_option(
        "Folder for what is found out about a difference: a report, the smallest case, waveforms (Icarus Verilog).",
        "--divergence")] = None,
    random_programs: Annotated[int | None, integer(
        1, MAX_COUNT, "Verify this many random Programs instead of a file.", "--random-programs", "--random")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Name the situations that no Program met.")] = False,
    failures_dir: Annotated[Path, path_option(
        "Folder for random Programs that fail.", "--failures-dir", "--keep")] = Path("failures"),
    as_json: AsJson = False,
) -> None:
    """Run a Program in torch, the simulator, ONNX Runtime and on the RTL; compare every code, cycle and event.

    With --from and --to only these ops and those between them run, each engine on the same codes.

    With --random-programs, the RTL runs Programs chosen for the situations they add and is compared with the simulator.
    """
    from bitwright.cli.parse_inputs import input_codes
    from bitwright.cli.verify_report import random_report, verify_report
    from bitwright.codesign.layers_between import layers_between
    from bitwright.codesign.rtl_run import RtlOptions
    from sim.arch.machine import load_machine
    from sim.ir.serialize import load_program
    from sim.plan.plan import plan

    if program is not None and random_programs is None:
        if scheduler is not None:
            raise typer.BadParameter("--scheduler goes with --random-programs, not with a Program")
        check_apart([waves], [program, input_file, machine])
        loaded = load_program(program)
        inputs = input_codes(loaded, input_file, images, seed, program)
        part, read = layers_between(loaded, inputs, first, last)
        planned = plan(part, load_machine(machine))
        result = _verify_plan(program.name, planned, read, RtlOptions(simulator, jobs, waves, divergence),
                              onnxruntime)
        report, equal = verify_report(result, coverage), result.ok
    elif program is None and random_programs is not None:
        given = {"--onnxruntime": onnxruntime, "--from": first, "--to": last, "--waves": waves,
                 "--divergence": divergence}
        if any(given.values()):
            wrong = next(option for option, value in given.items() if value)
            raise typer.BadParameter(f"{wrong} goes with a Program, not with --random-programs")
        target = load_machine(machine)
        found = _verify_random(target, random_programs, seed, simulator, failures_dir, jobs, scheduler)
        report, equal = random_report(found, target.name, coverage), not found.failure
    else:
        raise typer.BadParameter("give a Program or --random-programs, one of them")
    show(report, as_json)
    if not equal:
        raise typer.Exit(1)


def _verify_plan(name: str, planned: Plan, inputs: Mapping[str, NDArray[np.integer]],
                 options: RtlOptions, onnxruntime: bool | None) -> Verification:
    """Verify a planned Program on all inputs, with its progress on stderr."""
    from bitwright.codesign.verify import STEPS, verify_plan

    with steps("verify", STEPS) as progress:
        result = verify_plan(name, planned, inputs, len(next(iter(inputs.values()))), options, progress,
                             onnxruntime=onnxruntime)
    if options.waves is not None and options.waves.exists():
        message(f"wrote the waveforms to {options.waves}")
    return result


def _verify_random(machine: Machine, count: int, seed: int, simulator: str, failures_dir: Path, jobs: int,
                   scheduler: str | None) -> RandomVerification:
    """Verify random Programs on a machine, with their progress on stderr."""
    from bitwright.codesign.rtl_run import AUTO
    from bitwright.codesign.verify_random import verify_random
    from bitwright.farm.open_workers import open_workers
    from rtl.cosim.simulators import ICARUS, engine_named

    engine = ICARUS if simulator == AUTO else engine_named(simulator)
    engine.require()
    with open_workers(jobs, scheduler) as workers, steps("verify", count) as progress:
        return verify_random(machine, count, seed, engine, failures_dir, progress, workers)
