"""Check hardware that is not ours: pieces of a cocotb bench, and a reference for one op with any machine's widths.

Each name is imported from its own module when it is first used: a pytest that only loads the plugin pays for nothing.

Inside a simulation
    start : start a clock and hold a reset
    Stream, StreamSource, StreamSink, Monitor : drive and watch valid/ready streams
    Joined : several signals as the data of one stream
    AxiSource, AxiSink : the same for AXI4-Stream, by cocotbext-axi
    Lanes, join, UNDEFINED : how codes lie in a word; words of unlike fields; what stands for a code with undefined bits
    MemoryModel, Port : memories of any latency and number of ports
    gaps, PATTERNS, random_gaps, bursts, slots, start_late : in which cycles to pause
    Scoreboard, Verdict : compare, locate, tell a wrong sum from a wrong requantizer
    seed : the seed of the run

The reference
    Format : width, sign and zero point of codes
    accumulate, operands, requantize, Requantizer : one op on NumPy arrays

Stimuli and coverage
    LayerLimits, RandomLayer, random_layer, random_layers : layers that meet ties, clamps and the ends of all ranges
    ProgramCoverage : what Programs and their data exercise

Examples
--------
>>> import numpy as np
>>> from bitwright.testbench import accumulate, requantize
>>> sums = accumulate(np.array([[[[1, -2], [3, 4]]]]), np.array([[[[5]]]]), acc_bits=8)
>>> requantize(sums, multiplier=3, shift=4, offset=0, low=-8, high=7)[0, 0]
array([[ 1, -2],
       [ 3,  4]], dtype=int32)
"""

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "AxiSink": "rtl.testbench.axi",
    "AxiSource": "rtl.testbench.axi",
    "Format": "sim.ir.formats",
    "Joined": "rtl.testbench.streams",
    "Lanes": "rtl.testbench.lanes",
    "LayerLimits": "sim.testing.stimulus.single_layers",
    "MemoryModel": "rtl.testbench.memories",
    "Monitor": "rtl.testbench.streams",
    "PATTERNS": "rtl.testbench.gaps",
    "Port": "rtl.testbench.memories",
    "ProgramCoverage": "sim.testing.coverage.program_coverage",
    "RandomLayer": "sim.testing.stimulus.single_layers",
    "Requantizer": "sim.functional.one_op",
    "Scoreboard": "rtl.testbench.scoreboard",
    "Stream": "rtl.testbench.streams",
    "StreamSink": "rtl.testbench.streams",
    "StreamSource": "rtl.testbench.streams",
    "UNDEFINED": "rtl.testbench.lanes",
    "Verdict": "rtl.testbench.scoreboard",
    "accumulate": "sim.functional.one_op",
    "bursts": "rtl.testbench.gaps",
    "gaps": "rtl.testbench.gaps",
    "join": "rtl.testbench.lanes",
    "operands": "sim.functional.one_op",
    "random_gaps": "rtl.testbench.gaps",
    "random_layer": "sim.testing.stimulus.single_layers",
    "random_layers": "sim.testing.stimulus.single_layers",
    "requantize": "sim.functional.one_op",
    "seed": "rtl.testbench.clocking",
    "slots": "rtl.testbench.gaps",
    "start": "rtl.testbench.clocking",
    "start_late": "rtl.testbench.gaps",
}

__all__ = [
    "PATTERNS", "UNDEFINED", "AxiSink", "AxiSource", "Format", "Joined", "Lanes", "LayerLimits", "MemoryModel",
    "Monitor", "Port", "ProgramCoverage", "RandomLayer", "Requantizer", "Scoreboard", "Stream", "StreamSink",
    "StreamSource", "Verdict", "accumulate", "bursts", "gaps", "join", "operands", "random_gaps", "random_layer",
    "random_layers", "requantize", "seed", "slots", "start", "start_late"]

if TYPE_CHECKING:
    from rtl.testbench.axi import AxiSink, AxiSource
    from rtl.testbench.clocking import seed, start
    from rtl.testbench.gaps import PATTERNS, bursts, gaps, random_gaps, slots, start_late
    from rtl.testbench.lanes import UNDEFINED, Lanes, join
    from rtl.testbench.memories import MemoryModel, Port
    from rtl.testbench.scoreboard import Scoreboard, Verdict
    from rtl.testbench.streams import Joined, Monitor, Stream, StreamSink, StreamSource
    from sim.functional.one_op import Requantizer, accumulate, operands, requantize
    from sim.ir.formats import Format
    from sim.testing.coverage.program_coverage import ProgramCoverage
    from sim.testing.stimulus.single_layers import LayerLimits, RandomLayer, random_layer, random_layers
else:  # type checkers know the names above, and find that any other is a mistake

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'bitwright.testbench' has no attribute '{name}'")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
