"""`bitwright warmup`: the simulator's kernels, compiled ahead of time."""

from __future__ import annotations

from time import perf_counter

from bitwright.cli.console import Report, show, steps
from bitwright.cli.options import AsJson

__all__ = ["warmup"]


def warmup(as_json: AsJson = False) -> None:
    """Compile the kernels of the simulator that this CPU can run, so that no run waits for them."""
    from sim.functional.kernels.isa import chosen
    from sim.functional.kernels.kernel_cache import kernel_ids, library

    kernels, isa = library(), chosen()
    rows, started = [], perf_counter()
    wanted = kernel_ids(isa)
    with steps("kernels", len(wanted)) as progress:
        for kernel in wanted:
            before, name = perf_counter(), str(kernel)
            compiled, seconds = kernels.kernel(kernel).compiled, perf_counter() - before
            rows.append({"kernel": name, "compiled": compiled, "seconds": seconds})
            progress.done(f"{name}: {f'compiled in {seconds:.2f} s' if compiled else 'there'}")
    folder = str(kernels.folder) if kernels.folder else None
    report = Report({"isa": isa, "folder": folder, "seconds": perf_counter() - started, "kernels": rows})
    count = sum(bool(row["compiled"]) for row in rows)
    report.lines.append(f"{len(rows)} kernels for {isa}, {count} of them compiled now, in {folder or 'no folder'}")
    show(report, as_json)
