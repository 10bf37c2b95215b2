"""Sections of estimates: figures, layers, energy, roofline, area; of several choices of bits also side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bitwright.report.figure_names import FIGURE_NAMES
from bitwright.report.layer_figures import bits_figure, cycles_figure, energy_figure
from bitwright.report.page import Axis, Bar, Bars, Cell, Page, Point, Scatter, Section, Series, Table
from bitwright.report.roofline import roofline
from bitwright.report.runs import EstimateRun, Prices
from sim.arch.machine import Machine
from sim.cost.estimate import Estimate, LayerEstimate
from sim.energy.band import Band

__all__ = ["area_section", "bound_text", "estimate_page", "estimate_sections", "highlights", "layer_table",
           "trade_figure"]


def estimate_page(run: EstimateRun) -> Page:
    """Return the page of estimates."""
    first = next(iter(run.choices.values()))
    title = f"{run.name} on machine '{run.machine_name}'"
    bits = next(iter(run.choices))
    sections = [] if len(run.choices) == 1 else [_choices(run)]
    for name, cost in run.choices.items():
        sections += estimate_sections(cost, run.machine, name if len(run.choices) > 1 else "")
    sections += area_section(first)
    sections.append(_prices(run.prices))
    if len(run.choices) == 1:
        return Page(f"{title}, {bits} bits" if bits else title, "estimate", highlights(first), tuple(sections))
    return Page(title, "estimate", (), tuple(sections))


def highlights(cost: Estimate) -> tuple[tuple[str, Cell], ...]:
    """Return the figures of an estimate that come first."""
    area = (("area [mm2]", cost.area.total_mm2),) if cost.area else ()
    return (("latency [ms]", cost.latency_ms), ("cycles", cost.latency_cycles), ("energy [mJ]", cost.energy_mj),
            ("power [mW]", cost.power_mw), ("TOPS/W", cost.tops_per_w), *area)


def estimate_sections(cost: Estimate, machine: Machine | None, name: str) -> list[Section]:
    """Return the sections of one estimate; `name` tells it from others, or is empty."""
    of = f" of {name}" if name else ""
    figures = Table(f"figures{of}", ("", "value"),
                    tuple((FIGURE_NAMES[key], value) for key, value in cost.figures.items()))
    layers = cost.layers
    found = [
        Section(f"Figures{of}", (_weights(cost),), (figures,)),
        Section(f"Bits{of}", (), (bits_figure({layer.name: layer.bits for layer in layers if layer.macs}, name),)),
        Section(f"Latency{of}", (
            f"{cost.latency_cycles:,} cycles at {cost.clock_mhz:g} MHz, exact; each layer by what they are spent on.",),
            (cycles_figure(layers, name), _causes(cost, name))),
        Section(f"Energy{of}", (
            "Bars are nominal values; whiskers are the band of the whole layer, in which the true value lies.",),
            (energy_figure(layers, name), _components(cost, name))),
        Section(f"Layers{of}", (), (layer_table(layers, name),))]
    over = roofline(layers, machine, name)
    if over is not None:
        found.append(Section(f"Roofline{of}", (
            "One-bit products of a layer in a cycle over those for each byte of its weights.",
            "The level line is the array, the slope is the stream of weights.",
            "A layer may lie above the slope, if its weights came while the layer before computed."), (over,)))
    return found


def area_section(cost: Estimate) -> list[Section]:
    """Return the section of area and leakage, if the technology has them."""
    if cost.area is None:
        return []
    areas, leaks = cost.area.by_part, cost.leakage_mw
    table = Table("parts of the machine", ("", "area [mm2]", "leakage [mW]"),
                  tuple((part, band, leaks.get(part)) for part, band in areas.items()))
    bars = Bars("area by block", f"Area of every block and memory; {cost.area.total_mm2.nominal:.4g} mm2 in all.",
                "area [mm2]", ("area",), tuple(Bar(part, (band.nominal,), band) for part, band in areas.items()))
    return [Section("Area", ("Cells and macros, neither placed nor routed.",), (bars, table))]


def layer_table(layers: Sequence[LayerEstimate], name: str) -> Table:
    """Return what every layer takes."""
    return Table(
        f"layers{f' of {name}' if name else ''}",
        ("layer", "kind", "W bits", "A bits", "MACs", "cycles", "bound by", "utilisation [%]", "energy [nJ]", "low",
         "high", "weight bytes"),
        tuple((layer.name, layer.kind, layer.bits[0], layer.bits[1], layer.macs, layer.latency_cycles,
               bound_text(layer), 100 * layer.utilisation, layer.energy.nominal_pj / 1e3, layer.energy.low_pj / 1e3,
               layer.energy.high_pj / 1e3, layer.weight_bytes) for layer in layers))


def bound_text(layer: LayerEstimate) -> str:
    """Return what bounds a layer; transfers that other ops hide take no cycles."""
    return layer.bound if layer.latency_cycles else "hidden"


def trade_figure(title: str, costs: Mapping[str, Estimate]) -> Scatter:
    """Draw energy over latency of several estimates."""
    points = tuple(Point(name, cost.latency_ms, cost.energy_mj.nominal, None, cost.energy_mj,
                         (("power [mW]", cost.power_mw), ("TOPS/W", cost.tops_per_w))) for name, cost in costs.items())
    return Scatter(title, "Energy over latency; to the lower left is better. Whiskers are the bands.",
                   Axis("latency [ms]"), Axis("energy [mJ]"), (Series("estimates", points),))


def _weights(cost: Estimate) -> str:
    low, high = cost.over_data.low_pj / 1e3, cost.over_data.high_pj / 1e3
    data = "" if low == high else (f" Over all data the nominal energy is {low:,.1f} nJ, if no bit changes, to "
                                   f"{high:,.1f} nJ, if every bit does in every cycle.")
    return f"One image: {cost.macs:,} multiply-accumulates, {cost.weight_bytes:,} bytes of weights.{data}"


def _choices(run: EstimateRun) -> Section:
    table = Table("choices of bits", (
        "bits", "cycles", "latency [ms]", "energy [mJ]", "power [mW]", "TOPS/W", "weight bytes"), tuple(
        (name, cost.latency_cycles, cost.latency_ms, cost.energy_mj, cost.power_mw, cost.tops_per_w, cost.weight_bytes)
        for name, cost in run.choices.items()))
    open_pairs = ", ".join(f"{less} and {more}" for less, more in run.uncertain)
    order = (f"Prices inside the bands can turn around the order of energy of {open_pairs}." if open_pairs else
             "No prices inside the bands turn the order of their energies around.")
    return Section("Choices of bits", (order,), (trade_figure("energy and latency of every choice", run.choices),
                                                 table))


def _causes(cost: Estimate, name: str) -> Table:
    return Table(f"cycles by what they are spent on{f', {name}' if name else ''}", ("", "cycles", "share [%]"), tuple(
        (cause, count, 100 * count / max(1, cost.latency_cycles))
        for cause, count in cost.cycles_by_cause.items() if count))


def _components(cost: Estimate, name: str) -> Table:
    total = cost.energy.nominal_pj
    return Table(f"energy by component{f', {name}' if name else ''}", ("", "energy [nJ]", "share [%]"), tuple(
        (component, Band(part.low_pj / 1e3, part.nominal_pj / 1e3, part.high_pj / 1e3),
         100 * part.nominal_pj / total if total else 0.0)
        for component, part in cost.energy.by_component.items() if part.high_pj))


def _prices(prices: Prices) -> Section:
    return Section("Prices", tuple(_price_sentences(prices)))


def _price_sentences(prices: Prices) -> Iterator[str]:
    bases = ", ".join(f"{count} {basis}" for basis, count in prices.bases.items())
    yield (f"Technology '{prices.technology}', {prices.node_nm:g} nm, {prices.voltage_v:g} V. Basis of its numbers: "
           f"{bases}.")
    if prices.highest_clock_mhz is not None:
        yield f"Its longest path allows {prices.highest_clock_mhz:.4g} MHz."
