"""Tables of an estimate: layers, what their cycles are spent on, energy by component, figures."""

from __future__ import annotations

from collections.abc import Mapping

from bitwright.cli.console import Report
from bitwright.report.figure_names import FIGURE_NAMES
from sim.arch.machine import Machine
from sim.cost.estimate import Estimate, LayerEstimate
from sim.cost.robustness import EnergyOrder
from sim.energy.band import Band
from sim.energy.technology import Technology

__all__ = ["add_choices", "add_tables", "clock_lines", "prices_line"]


def add_tables(report: Report, cost: Estimate, machine: str) -> None:
    """Add the tables and the closing line of an estimate on a machine."""
    report.table(
        f"cost of one image on machine '{machine}'",
        ["layer", "kind", "W/A bits", "MACs", "cycles", "bound by", "utilisation %", "energy nJ", "low", "high",
         "weight bytes"],
        [[layer.name, layer.kind, f"{layer.bits[0]}/{layer.bits[1]}", layer.macs, layer.latency_cycles, _bound(layer),
          100 * layer.utilisation, layer.energy.nominal_pj / 1e3, layer.energy.low_pj / 1e3,
          layer.energy.high_pj / 1e3, layer.weight_bytes] for layer in cost.layers])
    report.table("cycles by what they are spent on", ["", "cycles", "%"],
                 [[cause, cycles, _percent(cycles, cost.latency_cycles)]
                  for cause, cycles in cost.cycles_by_cause.items() if cycles])
    total = cost.energy
    report.table("energy by component", ["", "energy nJ", "low", "high", "%"],
                 [[component, part.nominal_pj / 1e3, part.low_pj / 1e3, part.high_pj / 1e3,
                   _percent(part.nominal_pj, total.nominal_pj)]
                  for component, part in total.by_component.items() if part.high_pj])
    _add_statics(report, cost)
    report.table("figures", ["", "nominal", "low", "high"],
                 [[FIGURE_NAMES[name], *_cells(figure)] for name, figure in cost.figures.items()])
    report.lines.append(
        f"latency {cost.latency_cycles:,} cycles = {cost.latency_us:,.1f} us; energy {total.nominal_pj / 1e3:,.1f} nJ "
        f"(band {total.low_pj / 1e3:,.1f} to {total.high_pj / 1e3:,.1f}); weights {cost.weight_bytes:,} bytes")
    if cost.over_data.low_pj < cost.over_data.high_pj:
        report.lines.append(f"nominal energy over all data: {cost.over_data.low_pj / 1e3:,.1f} nJ if no bit changes, "
                            f"{cost.over_data.high_pj / 1e3:,.1f} nJ if every bit does in every cycle")


def _add_statics(report: Report, cost: Estimate) -> None:
    """Add what the parts leak and how large they are."""
    if not cost.leakage_mw:
        return
    areas = cost.area.by_part if cost.area else {}
    report.table("parts of the machine", ["", "leakage mW", "low", "high", "mm2", "low", "high"],
                 [[part, *_cells(power), *(_cells(areas[part]) if part in areas else ("", "", ""))]
                  for part, power in cost.leakage_mw.items() if power.high])


def add_choices(report: Report, found: Mapping[str, Estimate], order: EnergyOrder, machine: str) -> None:
    """Add a table of one network at several bits, and whether their order of energy is certain."""
    report.table(
        f"cost of one image on machine '{machine}'",
        ["W/A bits", "cycles", "ms", "images/s", "energy mJ", "low", "high", "mW", "TOPS/W", "weight bytes"],
        [[name, cost.latency_cycles, cost.latency_ms, cost.fps, *_cells(cost.energy_mj), cost.power_mw.nominal,
          cost.tops_per_w.nominal, cost.weight_bytes] for name, cost in found.items()])
    report.lines.append(f"order of energy: {' < '.join(order.names)}")
    report.lines.append(
        "prices inside the bands can turn around: " + ", ".join(f"{less} and {more}" for less, more in order.uncertain)
        if order.uncertain else "no prices inside the bands turn any of these around")


def prices_line(technology: Technology) -> str:
    """Return what prices hold for, and how many of them have which basis."""
    bases = ", ".join(f"{count} {basis}" for basis, count in technology.bases.items())
    return f"prices of '{technology.name}', {technology.node_nm:g} nm, {technology.voltage_v:g} V: {bases}"


def clock_lines(machine: Machine, technology: Technology) -> list[str]:
    """Return a warning if the technology is known not to reach the clock that a machine declares."""
    path, highest_mhz = technology.longest_path, technology.highest_clock_mhz
    if path is None or highest_mhz is None or highest_mhz >= machine.clock_mhz:
        return []
    declared = f"{machine.clock_mhz:g} MHz"
    longest = f"the longest path in '{technology.name}', {path.delay_ns:g} ns to {path.block}"
    return [(f"machine '{machine.name}' declares {declared}, but {longest}, allows {highest_mhz:.4g} MHz: "
             f"times, rates and powers are those at {declared}")]


def _bound(layer: LayerEstimate) -> str:
    """Return what bounds a layer and its share of the cycles; nothing for transfers that other ops hide."""
    if not layer.latency_cycles:
        return "hidden"
    return f"{layer.bound} {_percent(layer.cycles[layer.bound], layer.latency_cycles):.0f} %"


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _cells(figure: float | Band) -> list[float | str]:
    return [figure.nominal, figure.low, figure.high] if isinstance(figure, Band) else [figure, "", ""]
