"""The command line: results on stdout, messages on stderr; exit 0 done, 1 failed or mismatch, 2 misuse, 130 Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.arguments import decimal, file_argument, integer, path_option
from bitwright.console import finish, message, prepare, settle
from sim.errors import EngineError, InputError

__all__ = ["main"]

app = typer.Typer(
    help="Quantize, simulate, verify and cost low-bit networks on a shift-and-accumulate accelerator.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

MOST_COUNT, MOST_WORKERS, MOST_RATE, MOST_SEED = 10**9, 1024, 1e6, 2**32 - 1
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it."""
OUT_OF_MEMORY = "can't allocate memory"
"""In what torch says where it runs out; the exception is a RuntimeError like any other."""
FAILURES = InputError, EngineError, OSError, MemoryError, OverflowError, RecursionError, UnicodeError

ProgramFile = Annotated[Path, file_argument("A Program, *.safetensors.")]
MachineName = Annotated[
    str, typer.Option("--machine", "-m", help="A built-in machine (tiny, edge, large) or a YAML file.")]
TechnologyName = Annotated[
    str | None, typer.Option("--technology", help="A built-in technology or a YAML file; default: the machine's.")]
InputFile = Annotated[
    Path | None, path_option("Input codes, .npz or .npy, (N, C, H, W); default: random.", "--input", "-i")]
Images = Annotated[int, integer(1, MOST_COUNT, "How many images to run.", "--images", "-n")]
Seed = Annotated[int, integer(0, MOST_SEED, "Seed of everything random.", "--seed")]
NetworkName = Annotated[str, typer.Argument(help="Its name: resnet8, resnet18, mobilenet_v2, ...; see the docs.")]
DataName = Annotated[str, typer.Option("--data", "-d", help="glyphs, digits, or a folder with train/ and val/.")]
FirstLastBits = Annotated[int, integer(2, 8, "Bits of the first and the last layer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def demo(
    out: Annotated[Path, path_option("Folder for the results.", "--out", "-o")] = Path("demo-out"),
    machine: MachineName = "tiny",
    images: Annotated[int, integer(1, MOST_COUNT, "Images to run on the RTL.", "--images", "-n")] = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train, quantize, lower, run and verify a real network on handwritten digits, under hard budgets."""
    from bitwright.cli.commands import run_demo

    if not run_demo(out, machine, images, seed, as_json):
        raise typer.Exit(1)


@app.command()
def simulate(
    program: ProgramFile,
    input_file: InputFile = None,
    images: Images = 1,
    seed: Seed = 0,
    threads: Annotated[int, integer(1, MOST_WORKERS, "Images are shared among them.", "--threads", "-t")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Show how often bits are 1, and change.")] = False,
    out: Annotated[Path | None, path_option("Write the codes of every tensor, .npz.", "--out", "-o")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a Program in the bit-exact simulator."""
    from bitwright.cli.commands import run_simulate

    run_simulate(program, input_file, images, seed, threads, trace, out, as_json)


@app.command()
def warmup(as_json: AsJson = False) -> None:
    """Compile the kernels of the simulator that this CPU can run, so that no run waits for them."""
    from bitwright.cli.commands import run_warmup

    run_warmup(as_json)


@app.command()
def verify(
    program: Annotated[Path | None, file_argument("A Program, *.safetensors.")] = None,
    machine: MachineName = "tiny",
    input_file: InputFile = None,
    images: Images = 1,
    seed: Seed = 0,
    simulator: Annotated[
        Literal["auto", "icarus", "verilator"],
        typer.Option(help="icarus starts at once, verilator is faster; auto: what will be done first.")] = "auto",
    jobs: Annotated[int, integer(1, MOST_WORKERS, "Simulator processes that share the images.", "--jobs", "-j")] = 1,
    waves: Annotated[Path | None, path_option("Write the waveforms of the RTL, FST (Icarus Verilog).")] = None,
    random: Annotated[int | None, integer(1, MOST_COUNT, "Instead of a Program: this many random ones.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Name the situations that nothing met.")] = False,
    keep: Annotated[Path, path_option("Where a random Program that fails is kept.")] = Path("failures"),
    as_json: AsJson = False,
) -> None:
    """Run a Program in torch, in the simulator and on the RTL; compare every code, cycle and event.

    With --random, the RTL runs Programs chosen for the situations they add and is compared with the simulator.
    """
    from bitwright.cli.commands import run_verify, run_verify_random

    if (program is None) == (random is None):
        raise typer.BadParameter("give a Program or --random, one of them")
    if program is not None:
        equal = run_verify(program, machine, input_file, images, seed, simulator, jobs, waves, coverage, as_json)
    else:
        equal = run_verify_random(machine, random or 0, seed, simulator, coverage, keep, as_json)
    if not equal:
        raise typer.Exit(1)


@app.command()
def estimate(
    program: ProgramFile,
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Cycles, utilisation, energy and bytes of every layer of a Program on a machine."""
    from bitwright.cli.commands import run_estimate

    run_estimate(program, machine, technology, as_json)


@app.command()
def allocate(
    program: ProgramFile,
    sensitivities: Annotated[
        Path, path_option("JSON: expected loss of each layer at each width.", "--sensitivities", "-s")],
    budget: Annotated[
        list[str], typer.Option("--budget", "-b", help="NAME=LIMIT; latency_cycles, energy_pj, weight_bytes, "
                                "peak_activation_bytes, bops, mean_weight_bits or mean_activation_bits.")],
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    method: Annotated[
        Literal["lp", "milp", "convex", "greedy"],
        typer.Option(help="milp is exact, the others are faster; all give a certified gap.")] = "milp",
    as_json: AsJson = False,
) -> None:
    """Choose the bits of every layer so that every budget holds and the loss is least."""
    from bitwright.cli.commands import run_allocate

    run_allocate(program, sensitivities, budget, machine, technology, method, as_json)


@app.command()
def train(
    network: NetworkName,
    out: Annotated[Path, path_option("Folder for checkpoints and results.", "--out", "-o")],
    data: DataName = "glyphs",
    scheme: Annotated[Literal["float", "qil", "lsq"], typer.Option(help="Which quantizers learn.")] = "float",
    bits: Annotated[list[str] | None, typer.Option(
        "--bits", "-b", help="Bits W/A of weights and activations; several: one after another. Default: 4/4.")] = None,
    weights: Annotated[Path | None, path_option("Of the float network, *.safetensors.")] = None,
    first_last_bits: FirstLastBits = 8,
    epochs: Annotated[int, integer(1, MOST_COUNT, "For each width.")] = 12,
    batch: Annotated[int, integer(1, MOST_COUNT, "Images in a batch, of all processes together.")] = 128,
    rate: Annotated[float | None, decimal(0, MOST_RATE, "Largest learning rate; default: 0.1, quantized 0.05.")] = None,
    interval_rate: Annotated[float, decimal(0, MOST_RATE, "Factor on the rate of the quantizers' parameters.")] = 1.0,
    quantizers_only: Annotated[bool, typer.Option("--quantizers-only", help="Weights stay as they are.")] = False,
    distillation: Annotated[float, decimal(0, 1, "Share of the loss that the float network teaches.")] = 0.0,
    half: Annotated[bool, typer.Option("--half", help="Convolutions in bfloat16.")] = False,
    machine: MachineName = "edge",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a network, in float or with quantizers; goes on where it was stopped, also by torchrun in processes."""
    from bitwright.cli.train import Training, run_train

    widths = tuple(bits or ["4/4"]) if scheme != "float" else ()
    run_train(Training(network, data, scheme, widths, weights, first_last_bits, epochs, batch, rate, seed,
                       interval_rate, quantizers_only, distillation, half, machine, out), as_json)


@app.command()
def quantize(
    network: NetworkName,
    weights: Annotated[Path, file_argument("Weights of the float network, *.safetensors.")],
    out: Annotated[Path, path_option("Folder for the results.", "--out", "-o")],
    data: DataName = "glyphs",
    scheme: Annotated[Literal["power_of_two", "uniform"], typer.Option(help="Steps 2^k, or any.")] = "power_of_two",
    bits: Annotated[str, typer.Option("--bits", "-b", help="Bits W/A of weights and activations.")] = "4/4",
    first_last_bits: FirstLastBits = 8,
    iterations: Annotated[int, integer(0, MOST_COUNT, "Of reconstruction, for each unit; 0: none.")] = 1000,
    rate: Annotated[float, decimal(0, MOST_RATE, "Learning rate of the rounding.")] = 0.03,
    fixed_exponents: Annotated[bool, typer.Option("--fixed-exponents", help="Steps stay as fitted.")] = False,
    machine: MachineName = "edge",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Quantize a trained network without labels or training."""
    from bitwright.cli.quantize import run_quantize
    from quant.ptq.reconstruct import Reconstruction

    how = Reconstruction(iterations=iterations, rate=rate, exponents=not fixed_exponents,
                         seed=seed) if iterations else None
    run_quantize(network, weights, data, scheme, bits, first_last_bits, how, machine, out, as_json)


@app.command()
def generate(
    out: Annotated[Path, path_option("Folder for the Verilog.", "--out", "-o")],
    machine: MachineName = "edge",
    as_json: AsJson = False,
) -> None:
    """Write the accelerator as Verilog."""
    from bitwright.cli.commands import run_generate

    run_generate(out, machine, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """List the tools that are installed, and how to get those that are missing."""
    from bitwright.cli.commands import run_doctor

    if not run_doctor(as_json):
        raise typer.Exit(1)


@app.command()
def assemble(
    program: ProgramFile,
    out: Annotated[Path, path_option("Folder for the files.", "--out", "-o")],
    machine: MachineName = "edge",
    as_json: AsJson = False,
) -> None:
    """Write what a board's host sends to run a Program: image, stream and a list of what passes when."""
    from bitwright.cli.assemble import run_assemble

    run_assemble(program, machine, out, as_json)


@app.command()
def disasm(
    image: Annotated[Path, file_argument("A program image, program.bin of 'assemble'.")],
    machine: MachineName = "edge",
    as_json: AsJson = False,
) -> None:
    """Show a program image: every op of every queue, by the names of its fields."""
    from bitwright.cli.assemble import run_disasm

    run_disasm(image, machine, as_json)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status is returned, never raised."""
    prepare()
    try:
        return _status(argv)
    finally:
        settle()


def _status(argv: list[str] | None) -> int:
    """The exit status, after a sentence on stderr where something failed."""
    try:
        return _run(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status, text = INTERRUPTED, "interrupted"
    except FAILURES as error:
        status, text = 1, _said(error)
    except RuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        status, text = 1, f"not enough memory: {error}"
    message(f"bitwright: {text}")
    return status


def _run(argv: list[str] | None) -> int:
    """What typer makes of the words; KeyboardInterrupt comes back out of its exit status."""
    if sys.stdout is None:
        raise InputError("stdout is closed: the result would be lost")
    try:
        app(args=argv, prog_name="bitwright")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            raise KeyboardInterrupt from None
        if end.code:
            raise
    finish()
    return 0


def _said(error: BaseException) -> str:
    """A failure as a sentence."""
    match error:
        case OSError(filename=str(name), strerror=str(reason)):
            return f"'{name}': {reason}"
        case OSError(strerror=str(reason)):
            return reason
        case MemoryError():
            return f"not enough memory: {error}" if str(error) else "not enough memory"
        case OverflowError():
            return f"a number is too large: {error}"
        case RecursionError():
            return f"something is nested too deeply: {error}"
        case _:
            return str(error)
