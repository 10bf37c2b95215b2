"""What the commands do. Torch and Amaranth are imported only by those that need them: `estimate` never waits."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from bitwright.cli.output_guard import check_apart
from bitwright.cli.parse_inputs import load_codes, random_codes
from bitwright.codesign.costs import estimate, plan
from bitwright.console import Report, message, show, steps
from sim.arch.machine import load_machine
from sim.cost.estimate import Estimate
from sim.functional.engine.bit_statistics import BitStatistics
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import chosen
from sim.functional.kernels.kernel_cache import kernel_ids, library
from sim.ir.program import Program
from sim.ir.serialize import load_program, save_vectors

__all__ = ["run_allocate", "run_demo", "run_doctor", "run_estimate", "run_generate", "run_simulate", "run_verify",
           "run_verify_random", "run_warmup"]


def run_simulate(path: Path, input_file: Path | None, images: int, seed: int, threads: int, trace: bool,
                 out: Path | None, as_json: bool) -> None:
    """`bitwright simulate`."""
    check_apart([out], [path, input_file])
    program = load_program(path)
    inputs = _inputs(program, input_file, images, seed)
    simulator = Simulator(program, capture=[tensor.name for tensor in program.tensors], threads=threads)
    started = perf_counter()
    codes = simulator.run(inputs)
    seconds = perf_counter() - started
    if out is not None:
        save_vectors(out, codes)
        message(f"wrote the codes of {len(codes)} tensors to {out}")
    rows = []
    for tensor in program.tensors:
        values = codes[tensor.name]
        row: dict[str, Any] = {
            "tensor": tensor.name, "shape": list(tensor.shape), "format": str(tensor.format),
            "min": int(values.min()), "max": int(values.max()), "mean": float(values.mean())}
        if trace:
            bits = BitStatistics(tensor.format)
            bits.add(values)
            row |= {"ones": bits.density.tolist(), "toggles": bits.toggle_rate.tolist()}
        rows.append(row)
    count = len(next(iter(inputs.values())))
    report = Report({"images": count, "seconds": seconds, "tensors": rows})
    report.table(f"{path} on {count} image{'s' * (count > 1)}", list(rows[0]),
                 [[_listed(value) if isinstance(value, list) else value for value in row.values()] for row in rows])
    show(report, as_json)


def _listed(values: list[int] | list[float]) -> str:
    """A shape, or shares of bits, the highest bit first."""
    if all(isinstance(value, int) for value in values):
        return " x ".join(map(str, values))
    return " ".join(f"{value:.2f}" for value in reversed(values))


def run_warmup(as_json: bool) -> None:
    """`bitwright warmup`."""
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


def run_estimate(path: Path, machine: str, technology: str | None, as_json: bool) -> None:
    """`bitwright estimate`."""
    target = load_machine(machine)
    cost = estimate(load_program(path), target, technology=technology)
    report = Report({"machine": target.name, "clock_mhz": target.clock_mhz, **vars(cost)})
    add_estimate(report, cost, target.name)
    show(report, as_json)


def add_estimate(report: Report, cost: Estimate, machine: str) -> None:
    """The table of an estimate."""
    report.table(
        f"cost of one image on machine '{machine}'",
        ["layer", "kind", "W/A bits", "MACs", "cycles", "utilisation %", "energy nJ", "low", "high", "weight bytes"],
        [[layer.name, layer.kind, f"{layer.bits[0]}/{layer.bits[1]}", layer.macs, layer.latency_cycles,
          100 * layer.utilisation, layer.energy.nominal_pj / 1e3, layer.energy.low_pj / 1e3,
          layer.energy.high_pj / 1e3, layer.weight_bytes] for layer in cost.layers])
    total = cost.energy
    report.lines.append(
        f"latency {cost.latency_cycles:,} cycles = {cost.latency_us:,.1f} us; energy {total.nominal_pj / 1e3:,.1f} nJ "
        f"(band {total.low_pj / 1e3:,.1f} to {total.high_pj / 1e3:,.1f}); weights {cost.weight_bytes:,} bytes")


def run_verify(path: Path, machine: str, input_file: Path | None, images: int, seed: int, simulator: str, jobs: int,
               waves: Path | None, coverage: bool, as_json: bool) -> bool:
    """`bitwright verify`; True when everything is equal."""
    from bitwright.codesign.rtl_run import RtlOptions
    from bitwright.codesign.verify import verify_plan
    from bitwright.codesign.verify_report import verify_report

    check_apart([waves], [path, input_file, machine])
    program = load_program(path)
    planned = plan(program, load_machine(machine))
    inputs = _inputs(program, input_file, images, seed)
    count = len(next(iter(inputs.values())))
    with steps("verify", 3) as progress:
        result = verify_plan(path.name, planned, inputs, count, RtlOptions(simulator, jobs, waves), progress)
    if waves is not None and result.failure is None:
        message(f"wrote the waveforms to {waves}")
    show(verify_report(result, coverage), as_json)
    return result.ok


def run_verify_random(machine: str, count: int, seed: int, simulator: str, coverage: bool, keep: Path,
                      as_json: bool) -> bool:
    """`bitwright verify --random`; True when everything is equal."""
    from bitwright.codesign.rtl_run import AUTO
    from bitwright.codesign.verify_random import verify_random
    from rtl.cosim.simulators import ICARUS, engine_named

    target, engine = load_machine(machine), ICARUS if simulator == AUTO else engine_named(simulator)
    with steps("verify", count) as progress:
        result = verify_random(target, count, seed, engine, keep, progress)
    met, ok = result.coverage, not result.failure
    missing = [met.text(bin) for bin in met.missing]
    report = Report({"ok": ok, "machine": target.name, "programs": result.programs, "ops": result.ops,
                     "cycles": result.cycles, "failure": result.failure, "kept": str(result.kept or ""),
                     "coverage_percent": met.percent, "coverage": [
                         {"group": group, "bins": bins, "met": covered, "times": times}
                         for group, bins, covered, times in met.table()], "missing": missing})
    report.table(f"situations that random Programs met on machine '{target.name}'", ["group", "bins", "met", "times"],
                 met.table())
    report.lines += [f"missing {text}" for text in missing] if coverage else []
    report.lines.append(f"{result.programs} Programs of {result.ops} ops, {result.cycles:,} cycles: "
                        f"{met.covered} of {met.declared} bins, {met.percent:.1f} %")
    report.lines += [f"the case kept in {result.kept} differs: {what}" for what in result.failure]
    report.lines.append("equal bits, equal cycles" if ok else "NOT EQUAL")
    show(report, as_json)
    return ok


def run_generate(out: Path, machine: str, as_json: bool) -> None:
    """`bitwright generate`."""
    from rtl.verilog.export import generate, size_warning

    target = load_machine(machine)
    warning = size_warning(target)
    if warning is not None:
        message(warning)
    written = generate(target, out)
    report = Report({"machine": target.name, "files": [str(path) for path in written]})
    report.table(f"Verilog of machine '{target.name}'", ["file", "bytes"],
                 [[str(path), path.stat().st_size] for path in written])
    show(report, as_json)


def run_doctor(as_json: bool) -> bool:
    """`bitwright doctor`; True when nothing that is needed is missing."""
    from bitwright.cli.doctor import examine

    findings = examine()
    ok = all(finding.ok for finding in findings)
    report = Report({"ok": ok, "findings": findings})
    report.table("what is installed", ["tool", "version", "purpose"],
                 [[x.tool, x.version or "missing", x.purpose] for x in findings])
    report.lines += [x.advice for x in findings if x.advice]
    show(report, as_json)
    return ok


def run_allocate(path: Path, sensitivities: Path, budgets: list[str], machine: str, technology: str | None,
                 method: Literal["lp", "milp", "convex", "greedy"], as_json: bool) -> None:
    """`bitwright allocate`."""
    from bitwright.cli.parse_budgets import parse_budgets
    from bitwright.codesign.allocation import allocate

    program, target, limits = load_program(path), load_machine(machine), parse_budgets(budgets)
    found = allocate(program, target, sensitivities, limits, technology=technology, method=method)
    report = Report({"machine": target.name, "method": method, **vars(found), "gap": found.gap, "limits": limits})
    report.table(f"bits on machine '{target.name}'", ["layer", "W bits", "A bits"],
                 [[conv.name, "unit" if conv.weight_format.kind == "unit" else found.bits[conv.name][0],
                   found.bits[conv.name][1]] for conv in program.convs])
    report.table("budgets", ["budget", "limit", "used", "slack %"],
                 [[name, limit, found.used[name], 100 * (1 - found.used[name] / limit)]
                  for name, limit in limits.items()])
    report.lines.append(f"expected loss {found.objective:.4g}; no allocation within the budgets loses less than "
                        f"{found.lower_bound:.4g}: a gap of {found.gap:.4g}")
    show(report, as_json)


def run_demo(out: Path, machine: str, images: int, seed: int, as_json: bool) -> bool:
    """`bitwright demo`; True when everything is equal and every budget holds."""
    import torch

    from bitwright.codesign.demo import demo, demo_report

    torch.set_num_threads(1)
    summary = demo(out, load_machine(machine), images, seed)
    show(demo_report(summary, out), as_json)
    return summary.ok


def _inputs(program: Program, path: Path | None, images: int, seed: int) -> dict[str, np.ndarray]:
    return load_codes(path, program) if path else random_codes(program, images, seed)
