"""`bitwright simulate`: a Program in the bit-exact simulator."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitwright.cli.console import Report, message, show
from bitwright.cli.options import MAX_WORKERS, AsJson, Images, InputFile, ProgramFile, Seed
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import integer, path_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sim.ir.ops import Tensor

__all__ = ["simulate"]


def simulate(
    program: ProgramFile,
    input_file: InputFile = None,
    images: Images = 1,
    seed: Seed = 0,
    threads: Annotated[int, integer(
        1, MAX_WORKERS, "Threads; each takes a share of the images.", "--threads", "-t")] = 1,
    trace: Annotated[bool, typer.Option(
        "--trace", help="Report how often each bit is 1 and how often it toggles.")] = False,
    out: Annotated[Path | None, path_option("Write the codes of every tensor, .npz.", "--out", "-o")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a Program in the bit-exact simulator."""
    from bitwright.cli.parse_inputs import input_codes
    from sim.functional.engine.simulator import Simulator
    from sim.ir.serialize import load_program, save_vectors

    check_apart([out], [program, input_file])
    loaded = load_program(program)
    inputs = input_codes(loaded, input_file, images, seed, program)
    simulator = Simulator(loaded, capture=[tensor.name for tensor in loaded.tensors], threads=threads)
    started = perf_counter()
    codes = simulator.run(inputs)
    seconds = perf_counter() - started
    if out is not None:
        save_vectors(out, codes)
        message(f"wrote the codes of {len(codes)} tensors to {out}")
    rows = [_statistics(tensor, codes[tensor.name], trace) for tensor in loaded.tensors]
    count = len(next(iter(inputs.values())))
    report = Report({"images": count, "seconds": seconds, "tensors": rows})
    report.table(f"{program} on {count} {'image' if count == 1 else 'images'}", list(rows[0]),
                 [[_text(value) if isinstance(value, list) else value for value in row.values()] for row in rows])
    show(report, as_json)


def _statistics(tensor: Tensor, codes: NDArray[np.int32], trace: bool) -> dict[str, Any]:
    """Return the row of a tensor; with `trace` also the share of ones and of changes of every bit."""
    from sim.functional.engine.bit_statistics import BitStatistics

    row: dict[str, Any] = {
        "tensor": tensor.name, "shape": list(tensor.shape), "format": str(tensor.format),
        "min": int(codes.min()), "max": int(codes.max()), "mean": float(codes.mean())}
    if trace:
        bits = BitStatistics(tensor.format)
        bits.add(codes)
        row |= {"ones": bits.density.tolist(), "toggles": bits.toggle_rate.tolist()}
    return row


def _text(values: list[int] | list[float]) -> str:
    """Write a shape as extents, and shares of bits with the highest bit first."""
    if all(isinstance(value, int) for value in values):
        return " x ".join(map(str, values))
    return " ".join(f"{value:.2f}" for value in reversed(values))
