"""A block whose delays, activity, energy and area are computed by hand, to the last digit.

    d --> NAND(A) --> y = !(d & q1), q1 = DFF(d), q2 = DFF(y); q1 reads d a cycle late
"""

from __future__ import annotations

import numpy as np
import pytest

from rtl.gates.circuit import Circuit
from rtl.gates.delays import Delays
from rtl.gates.energy import Costs
from rtl.gates.netlist import flatten
from rtl.gates.simulation import GateSimulation
from rtl.gates.stages import stages
from sim.errors import InputError

WIRE = 0.5


def cell(kind: str, **pins: int | str) -> dict[str, object]:
    """Return a cell as Yosys writes it."""
    return {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}, "parameters": {}}


def design(cells: dict[str, object], inputs: dict[str, int], outputs: dict[str, int],
           names: dict[str, int]) -> dict[str, object]:
    """Return a design of one module."""
    ports = {name: {"direction": "input", "bits": [bit]} for name, bit in inputs.items()}
    ports |= {name: {"direction": "output", "bits": [bit]} for name, bit in outputs.items()}
    return {"top": {"ports": ports, "cells": cells,
                    "netnames": {name: {"hide_name": 0, "bits": [bit]} for name, bit in names.items()}}}


PLAIN = design({"g": cell("NAND", A=3, B=4, Y=5), "one": cell("DFF", CK=2, D=3, Q=4),
                "two": cell("DFF", CK=2, D=5, Q=6)},
               {"clk": 2, "d": 3}, {"q": 6}, {"first": 4, "second": 6})
GATED = design({"i": cell("ICG", CK=2, E=7, G=8), "one": cell("DFF", CK=8, D=3, Q=4)},
               {"clk": 2, "d": 3, "en": 7}, {"q": 4}, {"first": 4})


def circuit(modules: dict[str, object], library) -> Circuit:
    """Return the circuit of a design."""
    return Circuit(flatten(modules, "top", library.cells), library, WIRE)


def play(found: Circuit, **pins: list[int]) -> GateSimulation:
    """Run a cycle for each value of the pins."""
    simulation = GateSimulation(found, Delays(found))
    for values in zip(*pins.values(), strict=True):
        simulation.drive(**dict(zip(pins, values, strict=True)))
        simulation.step()
    return simulation


def test_delays_and_setup_by_hand(library):
    """From the clock: flip-flop 40 + its load of 5.5, NAND from B 30 + its load of 2.5, setup 7."""
    found = circuit(PLAIN, library)
    delays = Delays(found)
    by_name = dict(zip(("y", "q1", "q2"), delays.ps.tolist(), strict=False))
    assert by_name["q1"] == [45.5, 45.5]
    assert by_name["q2"] == [40.5, 40.5]
    assert by_name["y"] == [27.5, 27.5]  # mean of 22.5 from A and 32.5 from B
    assert max(delays.arrival_ps) == pytest.approx(45.5 + 32.5)


def test_energy_by_hand(library):
    """Every change costs half its load times 1 V squared and what the cell itself takes."""
    found = circuit(PLAIN, library)
    simulation = play(found, d=[1, 1, 1, 0])
    # d rises in cycle 1; q1 follows in cycle 2, y falls with it, q2 in cycle 3; d falls in cycle 4, y rises.
    # y is 1 from the start, so that q2 takes it in cycle 1.
    activity = simulation.activity
    y, q1, q2 = found.out[:3]
    assert activity.toggles[[y, q1, q2]].tolist() == [2, 1, 2]
    parts = Costs(found, Delays(found)).of(activity)
    nand, one, two = range(3)
    assert parts.switching[nand] == 0.5 * 2 * 2
    assert parts.wires[nand] == 0.5 * WIRE * 2
    assert parts.internal[nand] == 5.0 * 2
    assert parts.switching[one] == 0.5 * 5
    assert parts.internal[one] == 10 * 1 + 1.0 * 2  # its output, and two changes of its input d
    assert parts.internal[two] == 10 * 2 + 1.0 * 2
    assert parts.clock[one] == pytest.approx(4 * (1 + WIRE + 5) - 1 * 2)  # a change of Q holds the rising edge's 2 fJ
    assert parts.tree[one] == pytest.approx(4 * 0.3 * (1 + WIRE))


def test_area_and_leakage_by_hand(library):
    """They are those of the cells."""
    costs = Costs(circuit(PLAIN, library), Delays(circuit(PLAIN, library)))
    assert costs.area.sum() == 2 + 8 + 8
    assert costs.leakage_nw.sum() == 7 + 9 + 9


def test_a_gated_clock_passes_while_it_is_enabled(library):
    """The register keeps its value, and its clock takes nothing, in cycles whose enable was low before the edge."""
    found = circuit(GATED, library)
    simulation = play(found, d=[1, 1, 1, 0, 0], en=[0, 1, 0, 0, 0])
    assert simulation.read("q") == 1
    assert simulation.activity.clocks.tolist() == [5, 1]
    parts = Costs(found, Delays(found)).of(simulation.activity)
    gate, register = 0, 1
    assert parts.clock[gate] == pytest.approx(5 * (1 + WIRE) + 4 * 4 + 2 * 5)
    assert parts.clock[register] == pytest.approx(1 * (1 + WIRE + 5) - 1 * 2)


def test_pulses_shorter_than_a_gate_are_swallowed(library):
    """A NAND of a signal and its inverse answers the late inverse with a pulse; two more inverters make it longer."""
    def changes(inverters: int) -> int:
        cells = {f"i{k}": cell("INV", A=3 if k == 0 else 10 + k, Y=11 + k) for k in range(inverters)}
        cells |= {"g": cell("NAND", A=3, B=10 + inverters, Y=5), "r": cell("DFF", CK=2, D=5, Q=6)}
        found = circuit(design(cells, {"clk": 2, "d": 3}, {"q": 6}, {}), library)
        simulation = play(found, d=[0, 1, 0, 1])
        return int(simulation.activity.toggles[found.out[inverters]])

    assert changes(1) == 0
    assert changes(5) == 4


def test_stages_follow_the_registers(library):
    """A gate belongs to the first register that it computes; what computes none belongs to the last stage."""
    found = circuit(PLAIN, library)
    everything = np.ones(len(found.cells), np.bool_)
    assert stages(found, everything, ("second",)).tolist() == [0, 1, 0]
    assert stages(found, everything, ("first", "second")).tolist() == [1, 0, 1]


def test_wired_through_ports_are_one_net(library):
    """A module that wires an input to an output adds no gate, and the nets on both sides are one."""
    inner = {"ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [2]}},
             "cells": {}, "netnames": {}}
    outer = design({"m": {"type": "wire", "connections": {"a": [3], "y": [4]}, "parameters": {}},
                    "g": cell("INV", A=4, Y=5)}, {"clk": 2, "d": 3}, {"q": 5}, {})
    found = circuit(outer | {"wire": inner}, library)
    assert play(found, d=[1]).read("q") == 0


def test_unknown_cells_and_second_drivers_are_refused(library):
    """A netlist that the library cannot explain, or that shorts two outputs, is refused."""
    with pytest.raises(InputError, match=r"^the netlist has a cell XOR, which the library does not have$"):
        circuit(design({"g": cell("XOR", A=3, Y=4)}, {"clk": 2, "d": 3}, {}, {}), library)
    with pytest.raises(InputError, match=r"^a net of the netlist has two drivers, or a constant has one$"):
        circuit(design({"g": cell("INV", A=3, Y=4), "h": cell("INV", A=3, Y=4)}, {"clk": 2, "d": 3}, {}, {}), library)


def test_loops_of_gates_are_refused(library):
    """Gates that feed each other in a circle have no order and no longest path."""
    loop = design({"g": cell("INV", A=4, Y=3), "h": cell("INV", A=3, Y=4)}, {"clk": 2}, {}, {})
    with pytest.raises(InputError, match=r"^the netlist has a loop of gates: 2 gates have no order$"):
        GateSimulation(circuit(loop, library), Delays(circuit(loop, library)))
