"""The technology file that a calibration makes: rows that were measured, and those that another technology gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtl.gates.calibration import Calibration
from rtl.gates.macros import KIB, WIDTH, Law, Macro, fit_law
from sim.energy.band import Band
from sim.energy.events import PRICED
from sim.energy.parts import ANY_MEMORY, BLOCKS
from sim.energy.technology import Technology

__all__ = ["MemoryLaws", "technology_of"]

FILLED = (1.0, 1.25, 1.7)
"""Area of a placed block in areas of its cells: side by side, usual, and loosely placed."""
GUESSED = 2.0
"""Factor up and down to which energies of memories are known that were carried over from another library."""
LEAKAGE_GUESSED = 10.0
SECOND_PORT = 2.0
LIKE_ALL = "activations"
"""The memories of another technology whose row stands for all of them."""
READS = ("act_reads", "weight_reads", "acc_reads", "table_reads")
WRITES = ("act_writes", "weight_writes", "acc_writes", "table_writes")
BANK_EVENTS = ("act_reads", "act_writes")
MOVING_EXPONENT = 0.5
DIGITS = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class MemoryLaws:
    """Laws through memory macros: energies of a read and a write [fJ], area [um2] and leakage [nW]."""

    read: Law
    write: Law
    area: Law
    leakage: Law
    source: str

    @classmethod
    def through(cls, macros: Sequence[Macro]) -> MemoryLaws:
        """Fit them.

        Raises
        ------
        InputError
            If there are too few macros.
        """
        read, write, area, leakage = (fit_law(macros, [getattr(macro, name) for macro in macros])
                                      for name in ("read_fj", "write_fj", "area", "leakage_nw"))
        sizes = f"{min(macro.kib for macro in macros):g} to {max(macro.kib for macro in macros):g} KiB"
        names = ", ".join(macro.name for macro in macros)
        source = f"Law through {len(macros)} single-port macros of {sizes}, whole words: {names}."
        return cls(read, write, area, leakage, source)


def technology_of(found: Calibration, laws: MemoryLaws | None, base: Technology, name: str,
                  node_nm: float) -> Technology:
    """Return the technology; energies in fJ, areas in um2, powers in nW.

    Parameters
    ----------
    found : Calibration
    laws : MemoryLaws or None
        None: energies of memories are those of `base`, scaled as the energy of a bit clocked into a register is.
    base : Technology
        For the host's memory, and for all else that was not measured.
    name : str
    node_nm : float
        Which no Liberty file says.
    """
    rows = {event: _event_row(event, found, laws, base) for event in PRICED}
    tables = [{"name": table.name, "actions": [rows[action.name] for action in table.actions]}
              for table in base.ERT.tables]
    data: dict[str, Any] = {
        "name": name, "node_nm": float(node_nm), "voltage_v": found.library.voltage_v, "energy_unit": "fJ",
        "area_unit": "um2", "power_unit": "nW", "note": _note(found, laws, base),
        "gate": {"area": _rounded(found.library.gate_area), "source": f"{found.library.smallest_nand} of the library."},
        "longest_path": _longest_path(found),
        "ERT": {"version": "0.4", "tables": tables}}
    parts = _parts(found, laws, base)
    if parts is not None:
        data |= parts
    if base.host_memory is not None:
        data["host_memory"] = _in_units(base)
    return Technology.model_validate(data, strict=False)


def _longest_path(found: Calibration) -> Row:
    name, block = max(found.blocks.items(), key=lambda item: item[1].longest_ps)
    return {"delay_ns": _rounded(block.longest_ps / 1e3), "block": name,
            "source": f"{block.path}, by static timing with setup; cells are sized. {found.provenance}"}


def _note(found: Calibration, laws: MemoryLaws | None, base: Technology) -> str:
    memories = laws.source if laws else (f"Memories are not measured: {base.name}, scaled by the energy of a "
                                         f"register's bit, within a factor of {GUESSED:g}.")
    return (f"{found.provenance} {memories} The host's memory is that of {base.name}. Reading operand registers is in "
            f"pair_lanes, for an array of {found.machine.rows} x {found.machine.columns}. Bands: data of the layers "
            "that were run, wires of none to twice the load of a NAND's input for each pin, clock trees of none to "
            "60 % of what the clock's pins take.")


def _event_row(event: str, found: Calibration, laws: MemoryLaws | None, base: Technology) -> Row:
    energies, machine = found.energies, found.slice
    if event == "cycles":
        return _cycles_row(found)
    if event == "pair_lanes":
        shown = energies.operand_read.times((1 / found.machine.rows + 1 / found.machine.columns) / machine.lanes)
        return _row(event, _sum(energies.events[event], shown), {}, found.provenance + " With its share of the planes "
                    "that operand registers show.")
    if event in energies.events:
        width = PRICED[event].width.of(machine)
        return _row(event, energies.events[event], {"width": float(width)} if width > 1 else {}, found.provenance)
    if event in (*READS, *WRITES):
        return _memory_row(event, found, laws, base)
    return _carried(event, base, 1.0, 1.0, base.prices[event].basis, base.prices[event].source)


def _cycles_row(found: Calibration) -> Row:
    energies, machine = found.energies, found.slice
    at = {"width": float(PRICED["cycles"].width.of(machine)), "width_exponent": MOVING_EXPONENT}
    band = _sum(energies.control, energies.moving)
    return _row("cycles", band, at, f"{found.provenance} Fixed: control, and clocks that no gate stops; the rest moves "
                "weights, parameters and outputs, and is taken to grow with the square root of the array.",
                min(energies.control.low, band.low))


def _memory_row(event: str, found: Calibration, laws: MemoryLaws | None, base: Technology) -> Row:
    around = found.energies.bank_access.times(WIDTH / found.slice.lanes) if event in BANK_EVENTS else Band(0, 0, 0)
    if laws is None:
        factor = found.energies.events["operand_bits"].nominal / (1e3 * base.prices["operand_bits"].energy)
        source = (f"{base.name}, times {factor:.3g}, which is the ratio of operand_bits, within a factor of "
                  f"{GUESSED:g}. There: {base.prices[event].source}")
        row = _carried(event, base, factor, GUESSED, "inferred", source)
        return row | {end: _rounded(row[end] + extra) for end, extra in zip(
            ("energy_lo", "energy", "energy_hi"), (around.low, around.nominal, around.high), strict=True)}
    law = laws.read if event in READS else laws.write
    band = _sum(Band(law.at_point * law.low, law.at_point, law.at_point * law.high), around)
    logic = f" With the logic around a bank: {found.provenance}" if event in BANK_EVENTS else ""
    return _row(event, band, _point(law), laws.source + logic, min(law.fixed, band.low))


def _carried(event: str, base: Technology, factor: float, width: float, basis: str, source: str) -> Row:
    """Return a row of another technology, its energies times a factor and its band wider by another."""
    price, fj = base.prices[event], 1e3 * factor
    at = price.at.model_dump(exclude_none=True, exclude_defaults=True)
    row: Row = {"name": event, "arguments": {}, "energy": _rounded(price.energy * fj),
           "energy_lo": _rounded(min(price.energy, price.energy_lo) * fj / width),
           "energy_hi": _rounded(price.energy_hi * fj * width)}
    fixed = {"fixed": _rounded(min(price.fixed * fj, row["energy_lo"]))} if price.fixed else {}
    return row | fixed | ({"at": at} if at else {}) | {"basis": basis, "source": source[:9000]}


def _row(event: str, band: Band, at: dict[str, float], source: str, fixed: float = 0.0) -> Row:
    row: Row = {"name": event, "arguments": {}, "energy": _rounded(band.nominal), "energy_lo": _rounded(band.low),
                "energy_hi": _rounded(band.high)}
    if fixed:
        row["fixed"] = min(_rounded(fixed), row["energy_lo"])
    return row | ({"at": at} if at else {}) | {"basis": "measured", "source": source}


def _parts(found: Calibration, laws: MemoryLaws | None, base: Technology) -> dict[str, Any] | None:
    """Return areas and leakage, if all blocks were measured and there are macros or another technology's memories."""
    if set(found.blocks) != set(BLOCKS) or (laws is None and (base.ART is None or not base.gate_um2)):
        return None
    areas, powers = [], []
    for name, block in found.blocks.items():
        instances, width = BLOCKS[name].instances.of(found.slice), BLOCKS[name].width.of(found.slice)
        at = {} if name == "control" else {"at": {"width": float(width)}}
        area = block.area_um2 / instances
        row: Row = {"name": name, **dict(zip(("area_lo", "area", "area_hi"),
                                             (_rounded(area * fill) for fill in FILLED), strict=True)), **at}
        if name == "elements":
            row["fixed"] = min(_rounded(found.fixed_element_um2), row["area_lo"])
        areas.append(row | {"basis": "measured", "source": found.provenance + " Cells fill 60 to 100 % of the area."})
        power = block.leakage_nw / instances
        powers.append({"name": name, "power": _rounded(power), "power_lo": _rounded(power / 2),
                       "power_hi": _rounded(power * 2), **at, "basis": "measured", "source": found.provenance})
    if laws is None:
        areas.append(_carried_area(found, base))
        powers += _carried_leakage(found, base)
    else:
        areas.append(_law_row("area", laws.area, laws.source) | {"second_port": SECOND_PORT})
        powers.append(_law_row("power", laws.leakage, laws.source))
    return {"ART": {"version": "0.4", "tables": areas}, "leakage": powers}


def _carried_area(found: Calibration, base: Technology) -> Row:
    """Return the area of memories as that of another technology, times the ratio of the areas of a NAND."""
    row, factor = base.areas[LIKE_ALL], found.library.gate_area / (base.gate_um2 or 1.0)
    source = (f"{base.name}, times {factor:.3g}, which is the ratio of the areas of a NAND, within a factor of "
              f"{GUESSED:g}. There: {row.source}")
    return _of_all(row.in_units(factor).model_dump(exclude_defaults=True), "area", GUESSED) | {"source": source[:9000]}


def _carried_leakage(found: Calibration, base: Technology) -> list[Row]:
    """Return the leakage of memories as that of another technology, times the ratio of that of control."""
    if not base.leakages:
        return []
    row, control = base.leakages[LIKE_ALL], base.leakages["control"].power
    factor = found.blocks["control"].leakage_nw / control if control else 1.0
    source = (f"{base.name}, times {factor / 1e3:.3g}, which is the ratio of what control leaks, within a factor of "
              f"{LEAKAGE_GUESSED:g}. There: {row.source}")
    return [_of_all(row.in_units(factor).model_dump(exclude_defaults=True), "power", LEAKAGE_GUESSED)
            | {"source": source[:9000]}]


def _of_all(row: Row, quantity: str, width: float) -> Row:
    """Return a row of one kind of memories as that of all, its band wider by a factor."""
    ends = {f"{quantity}_lo": _rounded(row[f"{quantity}_lo"] / width), quantity: _rounded(row[quantity]),
            f"{quantity}_hi": _rounded(row[f"{quantity}_hi"] * width)}
    fixed = {"fixed": min(_rounded(row["fixed"]), ends[f"{quantity}_lo"])} if "fixed" in row else {}
    return row | ends | fixed | {"name": ANY_MEMORY, "basis": "inferred"}


def _law_row(quantity: str, law: Law, source: str) -> Row:
    low, high = law.at_point * min(law.low, 1.0), law.at_point * max(law.high, 1.0)
    fixed = {"fixed": min(_rounded(law.fixed), _rounded(low))} if law.fixed else {}
    return {"name": ANY_MEMORY, quantity: _rounded(law.at_point), f"{quantity}_lo": _rounded(low),
            f"{quantity}_hi": _rounded(high), **fixed, "at": _point(law), "basis": "measured", "source": source}


def _point(law: Law) -> dict[str, float]:
    return {"width": WIDTH, "width_exponent": round(law.width_exponent, 2), "kib": KIB,
            "exponent": round(law.exponent, 2)}


def _in_units(base: Technology) -> dict[str, Any]:
    """Return the host's memory of a technology in fJ and nW."""
    if base.host_memory is None or base.row_activation is None or base.memory_idle is None:
        return {}
    return {"row_bits": base.host_memory.row_bits, "burst_bits": base.host_memory.burst_bits,
            "activation": base.row_activation.in_units(1e3).model_dump(),
            "idle": base.memory_idle.in_units(1e3).model_dump()}


def _sum(one: Band, other: Band) -> Band:
    return Band(one.low + other.low, one.nominal + other.nominal, one.high + other.high)


def _rounded(value: float) -> float:
    """Return a number with as many digits as it deserves."""
    return float(f"{value:.{DIGITS}g}")
