"""The command line, assembled from one file for each command."""

from __future__ import annotations

from functools import partial

import typer

from bitwright.cli.allocate import allocate
from bitwright.cli.area import area
from bitwright.cli.assemble import assemble
from bitwright.cli.batch import batch
from bitwright.cli.calibrate import calibrate
from bitwright.cli.demo import demo
from bitwright.cli.diff import diff
from bitwright.cli.disassemble import disassemble
from bitwright.cli.doctor import doctor
from bitwright.cli.estimate import estimate
from bitwright.cli.exit_status import exit_status
from bitwright.cli.explain import explain
from bitwright.cli.export import export
from bitwright.cli.generate import generate
from bitwright.cli.import_model import import_model
from bitwright.cli.quantize import quantize
from bitwright.cli.sensitivities import sensitivities
from bitwright.cli.show import show
from bitwright.cli.simulate import simulate
from bitwright.cli.train import train
from bitwright.cli.vectors import vectors
from bitwright.cli.verify import verify
from bitwright.cli.warmup import warmup

__all__ = ["main"]

app = typer.Typer(
    help="Quantize, simulate, verify and cost low-bit networks on a shift-and-accumulate accelerator.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (demo, train, quantize, simulate, warmup, verify, explain, estimate, area, sensitivities, allocate,
                calibrate, generate, assemble, disassemble, show, diff, batch, export, vectors, doctor):
    app.command()(command)
app.command("import")(import_model)
app.command("disasm", hidden=True)(disassemble)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status; `argv` is that of the process if None."""
    return exit_status(partial(app, args=argv, prog_name="bitwright"))
