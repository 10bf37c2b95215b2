"""`bitwright verify`: a Program, or random ones, on the RTL and in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import Report, message, show, steps
from bitwright.cli.options import (
    MAX_COUNT,
    MAX_DIGITS,
    MAX_WORKERS,
    AsJson,
    Images,
    InputFile,
    MachineName,
    RtlSimulator,
    Seed,
)
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import file_argument, integer, parse_bits, parse_extents, path_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bitwright.codesign.rtl_run import RtlOptions
    from bitwright.codesign.verify import Verification
    from bitwright.codesign.verify_random import RandomVerification
    from sim.arch.machine import Machine
    from sim.ir.program import Program
    from sim.plan.plan import Plan

    Codes = Mapping[str, NDArray[np.integer]]

__all__ = ["verify"]


def verify(
    network: Annotated[Path | None, file_argument(
        "A Program, *.safetensors; or, with numbers that are made up: a network by name, such as resnet18, shapes, "
        "*.yaml, or a model, *.onnx or *.pt2, which keeps its own numbers if it is quantized.")] = None,
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
    bits: Annotated[str | None, typer.Option(
        "--bits", "-b", help="WEIGHTS/ACTIVATIONS of what is not quantized yet; default: 8/8.")] = None,
    first_last_bits: Annotated[int | None, integer(
        1, 8, "Bits of the first and the last layer of what is not quantized yet; default: 8.",
        "--first-last-bits")] = None,
    digits: Annotated[int | None, integer(
        1, MAX_DIGITS, "Signed digits of its multipliers; default: the machine's most.", "--digits")] = None,
    image: Annotated[str | None, typer.Option(
        "--image", metavar="SHAPE", help="Shape of one image, such as 3x224x224, if a model leaves it open.")] = None,
    rtl_images: Annotated[int | None, integer(
        1, MAX_COUNT, "How many of the images run on the RTL; default: all.", "--rtl-images")] = None,
    layers: Annotated[str | None, typer.Option(
        "--layers", metavar="PATTERN", help="Run only the layers of such names, as layer1.*, on the RTL, each by "
        "itself on the codes that reach it in the whole network.")] = None,
    sample: Annotated[int | None, integer(
        1, MAX_COUNT, "Run only this many tiles of layers on the RTL, drawn by the seed.", "--sample")] = None,
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
        "Folder for random Programs and for layers that fail.", "--failures-dir", "--keep")] = Path("failures"),
    as_json: AsJson = False,
) -> None:
    """Run a network in torch, the simulator, ONNX Runtime and on the RTL; compare every code, cycle and event.

    With --from and --to only these ops and those between them run, each engine on the same codes. With --layers or
    --sample the RTL runs parts of a network that is too large for it, and the other engines run it whole.

    With --random-programs, the RTL runs Programs chosen for the situations they add and is compared with the simulator.
    """
    from bitwright.cli.verify_report import random_report
    from bitwright.codesign.rtl_run import RtlOptions
    from sim.arch.machine import load_machine

    whole = {"--onnxruntime": onnxruntime, "--from": first, "--to": last, "--waves": waves, "--divergence": divergence,
             "--rtl-images": rtl_images}
    of_network = {"--bits": bits, "--first-last-bits": first_last_bits, "--digits": digits, "--image": image,
                  "--layers": layers, "--sample": sample, **whole}
    if network is not None and random_programs is None:
        _refuse({"--scheduler": scheduler}, "goes with --random-programs, not with a Program")
        check_apart([waves], [network, input_file, machine])
        target = load_machine(machine)
        program, inputs = _network(network, target, input_file, images, seed, bits, first_last_bits, digits, image)
        options = RtlOptions(simulator, jobs, waves, divergence)
        if layers is None and sample is None:
            report, equal = _whole(network.name, program, target, inputs, first, last, rtl_images, options,
                                   onnxruntime, coverage)
        else:
            del whole["--onnxruntime"]
            _refuse(whole, "goes with whole images, not with --layers or --sample")
            report, equal = _layers(program, target, inputs, layers, sample, seed, options, onnxruntime, failures_dir)
    elif network is None and random_programs is not None:
        _refuse(of_network, "goes with a Program, not with --random-programs")
        target = load_machine(machine)
        found = _verify_random(target, random_programs, seed, simulator, failures_dir, jobs, scheduler)
        report, equal = random_report(found, target.name, coverage), not found.failure
    else:
        raise typer.BadParameter("give a Program or --random-programs, one of them")
    show(report, as_json)
    if not equal:
        raise typer.Exit(1)


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse the first option that is given."""
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{option} {why}")


def _network(source: Path, machine: Machine, input_file: Path | None, images: int, seed: int, bits: str | None,
             first_last_bits: int | None, digits: int | None, image: str | None) -> tuple[Program, Codes]:
    """Return the Program of a network, and the codes that it reads."""
    from bitwright.cli.parse_inputs import input_codes
    from bitwright.cli.read_network import read_network
    from bitwright.codesign.network_program import program_with_inputs

    def inputs(program: Program) -> Codes:
        return input_codes(program, input_file, images, seed, source)

    network = read_network(source, machine, None if image is None else parse_extents(image))
    both = None if bits is None else parse_bits(bits if "/" in bits else f"{bits}/{bits}")
    return program_with_inputs(network, machine, inputs, bits=both, first_last_bits=first_last_bits, digits=digits,
                               seed=seed)


def _whole(name: str, program: Program, machine: Machine, inputs: Codes, first: str | None, last: str | None,
           rtl_images: int | None, options: RtlOptions, onnxruntime: bool | None,
           coverage: bool) -> tuple[Report, bool]:
    """Verify whole images, or the ops from one to another, and report."""
    from bitwright.cli.verify_report import verify_report
    from bitwright.codesign.layers_between import layers_between
    from sim.errors import InputError
    from sim.plan.plan import plan

    part, read = layers_between(program, inputs, first, last)
    count = len(next(iter(read.values())))
    if rtl_images is not None and rtl_images > count:
        raise InputError(f"images that run on the RTL must be 1..{count}, not {rtl_images}")
    result = _verify_plan(name, plan(part, machine), read, rtl_images or count, options, onnxruntime)
    return verify_report(result, coverage), result.ok


def _layers(program: Program, machine: Machine, inputs: Codes, pattern: str | None, sample: int | None, seed: int,
            options: RtlOptions, onnxruntime: bool | None, failures_dir: Path) -> tuple[Report, bool]:
    """Verify some layers or tiles of them, keep those that differ, and report."""
    from bitwright.cli.verify_report import layers_report
    from bitwright.codesign.random_cases import keep
    from bitwright.codesign.verify_layers import layers_named, verify_layers

    chosen = layers_named(program, pattern)
    with steps("verify", None) as progress:
        result = verify_layers(program, machine, inputs, chosen, sample=sample, seed=seed, options=options,
                               progress=progress, onnxruntime=onnxruntime)
    kept = [keep(piece.case, piece.found, failures_dir) for piece in result.pieces if piece.found]
    return layers_report(result, kept), result.ok


def _verify_plan(name: str, planned: Plan, inputs: Codes, rtl_images: int, options: RtlOptions,
                 onnxruntime: bool | None) -> Verification:
    """Verify a planned Program on all inputs and some of them on the RTL, with its progress on stderr."""
    from bitwright.codesign.verify import STEPS, verify_plan

    with steps("verify", STEPS) as progress:
        result = verify_plan(name, planned, inputs, rtl_images, options, progress, onnxruntime=onnxruntime)
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
