"""The command line, assembled from one file for each command."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from bitwright.cli.allocate import allocate
from bitwright.cli.area import area
from bitwright.cli.assemble import assemble
from bitwright.cli.batch import batch
from bitwright.cli.calibrate import calibrate
from bitwright.cli.compare import compare
from bitwright.cli.console import message
from bitwright.cli.defaults import defaults_file, read_defaults
from bitwright.cli.demo import demo
from bitwright.cli.diff import diff
from bitwright.cli.disassemble import disassemble
from bitwright.cli.doctor import doctor
from bitwright.cli.estimate import estimate
from bitwright.cli.exit_status import exit_status
from bitwright.cli.explain import explain
from bitwright.cli.explore import explore
from bitwright.cli.export import export
from bitwright.cli.generate import generate
from bitwright.cli.import_model import import_model
from bitwright.cli.manner import MANNER
from bitwright.cli.quantize import quantize
from bitwright.cli.report import report
from bitwright.cli.sensitivities import sensitivities
from bitwright.cli.show import show
from bitwright.cli.simulate import simulate
from bitwright.cli.train import train
from bitwright.cli.vectors import vectors
from bitwright.cli.verify import verify
from bitwright.cli.warmup import warmup
from sim.io.bounds import shown_path

__all__ = ["main"]


class Command(TyperCommand):
    """A command that notes what it was told before it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        MANNER.runs_with(ctx.params)
        return super().invoke(ctx)


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for command in (demo, train, quantize, simulate, warmup, verify, explain, estimate, compare, report, area,
                sensitivities, allocate, explore, calibrate, generate, assemble, disassemble, show, diff, batch, export,
                vectors, doctor):
    app.command(cls=Command)(command)
app.command("import", cls=Command)(import_model)
app.command("disasm", cls=Command, hidden=True)(disassemble)


@app.callback(no_args_is_help=True)
def told(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option(
        "--quiet", "-q", help="Say nothing but results and what failed: no progress, no remarks.")] = False,
) -> None:
    """Quantize, simulate, verify and cost low-bit networks on a shift-and-accumulate accelerator."""
    MANNER.quiet = quiet
    given = (context.default_map or {}).get(context.invoked_subcommand or "", {})
    if given:
        message(f"options from {shown_path(defaults_file() or '')}: {', '.join(sorted(given))}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status; `argv` is that of the process if None."""
    return exit_status(partial(_run, argv))


def _run(argv: list[str] | None) -> None:
    MANNER.is_told(sys.argv[1:] if argv is None else argv)
    file, group = defaults_file(), get_command(app)
    assert isinstance(group, TyperGroup)
    group.main(args=argv, prog_name="bitwright",
               default_map={} if file is None else read_defaults(file, group.commands))
