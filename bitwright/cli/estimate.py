"""`bitwright estimate`: what a Program costs on a machine."""

from __future__ import annotations

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, MachineName, ProgramFile, TechnologyName

__all__ = ["estimate"]


def estimate(
    program: ProgramFile,
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Report cycles, utilisation, energy and bytes of every layer of a Program on a machine."""
    from bitwright.codesign import costs
    from sim.arch.machine import load_machine
    from sim.ir.serialize import load_program

    target = load_machine(machine)
    cost = costs.estimate(load_program(program), target, technology=technology)
    report = Report({"machine": target.name, "clock_mhz": target.clock_mhz, **vars(cost)})
    report.table(
        f"cost of one image on machine '{target.name}'",
        ["layer", "kind", "W/A bits", "MACs", "cycles", "utilisation %", "energy nJ", "low", "high", "weight bytes"],
        [[layer.name, layer.kind, f"{layer.bits[0]}/{layer.bits[1]}", layer.macs, layer.latency_cycles,
          100 * layer.utilisation, layer.energy.nominal_pj / 1e3, layer.energy.low_pj / 1e3,
          layer.energy.high_pj / 1e3, layer.weight_bytes] for layer in cost.layers])
    total = cost.energy
    report.lines.append(
        f"latency {cost.latency_cycles:,} cycles = {cost.latency_us:,.1f} us; energy {total.nominal_pj / 1e3:,.1f} nJ "
        f"(band {total.low_pj / 1e3:,.1f} to {total.high_pj / 1e3:,.1f}); weights {cost.weight_bytes:,} bytes")
    show(report, as_json)
