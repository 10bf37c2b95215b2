"""Draw docs/timing.svg: one small convolution on the RTL, cycle by cycle, from the waveform of a real run.

    python scripts/draw_timing.py [--check]

Every arrow spans what the waveform shows; it is drawn only if that is what `sim.mapping.conv_schedule` says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pywellen

from rtl.core.interfaces import pair_layout
from rtl.cosim.run import run
from rtl.encoding.geometry import Geometry
from sim.arch.machine import load_machine
from sim.io.atomic_write import atomic_write_text
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.mapping.conv_schedule import DRAIN
from sim.plan.plan import Plan, plan

FIGURE = Path(__file__).parents[1] / "docs" / "timing.svg"
PERIOD = 10_000
"""Clock period [ps], the unit of time in the waveform."""
LEAD = 3
"""Cycles shown before the first step issues."""
LABEL, CYCLE, ROW, BOX = 120, 30, 26, 16
"""Width of the names, of a cycle, height of a row and of a box in it [px]."""
PAIR = "plane pair W·A"
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="15">
<title>A convolution on the RTL, cycle by cycle</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" \
orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#b3261e"/></marker></defs>
<style>rect{{fill:#dce9f7;stroke:#335}}.grid{{stroke:#ddd}}.idle{{stroke:#999}}.words{{fill:#222}}
.span{{fill:none;stroke:#b3261e;marker-start:url(#tip);marker-end:url(#tip)}}.span-name{{fill:#b3261e;stroke:#fff;stroke-width:4;paint-order:stroke}}</style>
<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>"""


def example() -> Plan:
    """A 1x1 convolution of 2-bit weights on 2-bit activations, three pixels per column, on `tiny`."""
    weights = np.tile(np.array([1, -2, 0, 1], np.int8), 4).reshape(2, 8, 1, 1)
    conv = Conv("conv", "x", "y", weights, Format(2, "signed"), np.array([[2], [1]], np.int8), np.array([1, 0]),
                np.array([3, -2]), 0, 3)
    tensors = Tensor("x", 3, 3, (8,), Format(2, "unsigned")), Tensor("y", 3, 3, (2,), Format(2, "unsigned"))
    return plan(Program(tensors, (conv,), Arithmetic(acc_bits=24, window=10, terms=3)), load_machine("tiny"))


class Waveform:
    """Values of signals in the cycles of a run; cycle 0 is the first busy one."""

    def __init__(self, path: Path) -> None:
        self.signals = {var.full_name: var for var in pywellen.Waveform(str(path)).all_vars()}
        busy = next(name for name in self.signals if name.endswith("dispatcher.busy"))
        self.top = busy.removesuffix("dispatcher.busy")
        self.start = next(time for time, value in self.signals[busy].tv if value == 1)

    def values(self, name: str, cycles: range) -> list[int]:
        """Return the values of signal `name` of the core, in the middle of each cycle."""
        signal = self.signals[self.top + name].signal
        return [int(signal.value_at(self.start + cycle * PERIOD + PERIOD // 2)) for cycle in cycles]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the figure is current")
    if parser.parse_args().check:
        if FIGURE.read_text() != draw():
            sys.exit(f"{FIGURE.name} is not what the RTL does; run scripts/draw_timing.py")
    else:
        atomic_write_text(FIGURE, draw())


def draw() -> str:
    """The figure as SVG."""
    planned = example()
    codes = np.arange(72, dtype=np.int32).reshape(1, 8, 3, 3) % 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.fst"
        run(planned, {"x": codes}, waves=path)
        return render(planned, Waveform(path))


@dataclass(frozen=True)
class Arrow:
    """A constant of `sim.mapping.conv_schedule`: cycles from an event in one row to an event in another row."""

    name: str
    length: int
    begin: tuple[str, int]
    end: tuple[str, int]

    def check(self) -> None:
        """Stop unless the waveform has this length."""
        measured = self.end[1] - self.begin[1]
        if measured != self.length:
            sys.exit(f"{self.name} is {self.length} cycles in the schedule and {measured} in the waveform")


def render(planned: Plan, wave: Waveform) -> str:
    """The cycles from shortly before the first step to the end of the run."""
    line = planned.timeline
    whole = range(line.total)
    layout = pair_layout(Geometry(planned.machine))

    def busy(*names: str) -> list[int]:
        """Cycles in which none of the signals is 0."""
        values = zip(*(wave.values(name, whole) for name in names), strict=True)
        return [cycle for cycle, found in enumerate(values) if all(found)]

    def pairs(stage: str, *flags: str) -> list[int]:
        """Cycles in which a stage of the array has a pair with all these flags."""
        bits = [layout[flag].offset for flag in ("valid", *flags)]
        values = enumerate(wave.values(f"plane_sequencer.{stage}", whole))
        return [cycle for cycle, value in values if all(value >> bit & 1 for bit in bits)]

    rows = {
        "beat in": busy("i_valid", "i_ready"), "operand read": busy("operand_fetch.bank_read"),
        "weight read": busy("weight_memory.read_rows"), PAIR: pairs("select"),
        "popcount": pairs("count"), "partial sum": pairs("add"),
        "accumulate": pairs("accumulate", "last"), "read sums": busy("drain"),
        "requantize": busy("requant_sequencer.execute"), "write a plane": busy("output_packer.write_write"),
        "beat out": busy("o_valid"),
    }
    planes = zip(*(wave.values(f"plane_sequencer.{operand}_plane", whole) for operand in "wa"), strict=True)
    labels = {cycle: f"{w}·{a}" for cycle, (w, a) in enumerate(planes)}
    spans = arrows(planned, rows)
    for arrow in spans:
        arrow.check()
    return picture(rows, labels, range(rows["operand read"][0] - LEAD, line.total), spans)


def arrows(planned: Plan, rows: Mapping[str, list[int]]) -> list[Arrow]:
    """The constants of the pipeline that the example shows."""
    (_, schedule), = planned.convs()
    read, pairs, drains = rows["operand read"][0], rows[PAIR], rows["read sums"]
    second = rows["operand read"][schedule.read_cycles]
    end = rows["write a plane"][-1] + 1
    return [
        Arrow("F", schedule.first_pair, ("operand read", read), (PAIR, pairs[0])),
        Arrow("S", schedule.step_cycles, ("operand read", read), ("operand read", second)),
        Arrow("D", DRAIN, (PAIR, pairs[-1] + 1), ("read sums", drains[0])),
        Arrow("ρ", schedule.requant_cycles, ("read sums", drains[0]),
              ("read sums", drains[schedule.requant_cycles])),
        Arrow("V", schedule.write_back, ("write a plane", end - schedule.write_back), ("write a plane", end)),
    ]


def picture(rows: Mapping[str, list[int]], labels: Mapping[int, str], shown: range, spans: list[Arrow]) -> str:
    """SVG: a row of boxes for each part, a column for each cycle, and the arrows over them."""
    places = {name: index for index, name in enumerate(rows, start=1)}
    width, height = LABEL + CYCLE * len(shown), ROW * (len(rows) + 1)

    def x(cycle: int) -> int:
        return LABEL + CYCLE * (cycle - shown.start)

    def y(name: str) -> int:
        return ROW * places[name] + ROW // 2

    parts = [HEAD.format(width=width, height=height)]
    for cycle in shown:
        parts.append(f'<path class="grid" d="M{x(cycle)} {ROW}V{height}"/>')
        parts.append(text(x(cycle) + CYCLE // 2, ROW // 2, str(cycle), "middle"))
    for name, cycles in rows.items():
        parts.append(text(LABEL - 8, y(name), name, "end"))
        parts.append(f'<path class="idle" d="M{LABEL} {y(name) + BOX // 2}H{width}"/>')
        for cycle in cycles:
            if cycle in shown:
                parts.append(f'<rect x="{x(cycle) + 1}" y="{y(name) - BOX // 2}" width="{CYCLE - 2}" height="{BOX}"/>')
                if name == PAIR:
                    parts.append(text(x(cycle) + CYCLE // 2, y(name), labels[cycle], "middle"))
    for arrow in spans:
        (tail, begin), (head, end) = arrow.begin, arrow.end
        points = x(begin), y(tail), x(end), y(head)
        parts.append('<path class="span" d="M{} {}L{} {}"/>'.format(*points))
        parts.append(text((points[0] + points[2]) // 2, (points[1] + points[3]) // 2 - 7,
                          f"{arrow.name} = {arrow.length}", "middle", "span-name"))
    return "\n".join([*parts, "</svg>", ""])


def text(x: int, y: int, words: str, anchor: str, kind: str = "words") -> str:
    """A text whose middle is at height y."""
    return f'<text class="{kind}" x="{x}" y="{y + 4}" text-anchor="{anchor}">{words}</text>'


if __name__ == "__main__":
    main()
