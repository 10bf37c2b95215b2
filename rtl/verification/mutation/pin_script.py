"""Scripts for the player: the host's side of the whole machine, at its pins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.scoreboard import expected_registers
from rtl.encoding.program_image import beat_bits, program_image
from rtl.shell.axi_lite import SLVERR
from rtl.shell.csr_map import counter_offset, register
from sim.arch.limits import LIMITS, HardwareLimits
from sim.functional.reference import simulate
from sim.ir.ops import Queue, Store
from sim.mapping.activation_layout import Bits, bank_contents
from sim.mapping.transfer_schedule import TransferSchedule
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import Plan

__all__ = ["Script", "program_script"]

BUS_LIMIT = 8
"""Cycles in which the bus must answer."""
START_CYCLES = 3
"""Between the answer to the start command and cycle 0."""
READ_END = ("step 1", "set s_axil_rready 0")
QUEUES = tuple(queue.plural for queue in Queue)
QUIET = ("s_axil_bvalid", "s_axil_rvalid", "s_axis_tready", "m_axis_tvalid", "irq", "trace_busy")
"""Outputs that are low after a reset."""
WAITS = ("wait_accumulator", "wait_weights", "wait_transfers", "starved", "blocked")


class Script:
    """Lines for the player that drive the pins of `rtl.shell.top.Top`, built with some limits."""

    def __init__(self, limits: HardwareLimits = LIMITS) -> None:
        self.limits = limits
        self.lines = [
            "set rst 1", "step 2", "set rst 0", "source s_axis_tvalid s_axis_tready s_axis_tdata s_axis_tlast",
            "sink m_axis_tvalid m_axis_tready m_axis_tdata m_axis_tlast", "clock trace_busy trace_cycle",
            *(f"watch trace_{queue}" for queue in QUEUES), *(f"expect {pin} 0 1" for pin in QUIET)]
        self.taken = 0
        self.ended = dict.fromkeys(QUEUES, 0)
        self.address_first = True

    def write(self, name: str, value: int, strobe: int = 15) -> None:
        """Write the strobed bytes of a register."""
        self._write(register(name).offset, value, strobe, 0)

    def write_refused(self, offset: int) -> None:
        """Write, and expect SLVERR."""
        self._write(offset, 0xFFFFFFFF, 15, SLVERR)

    def _write(self, offset: int, value: int, strobe: int, response: int) -> None:
        """Address and data take turns in coming first."""
        self.lines += [f"set s_axil_awaddr {offset:x}", f"set s_axil_wdata {value:x}", f"set s_axil_wstrb {strobe:x}",
                       "set s_axil_bready 1"]
        offers = ["offer s_axil_awvalid s_axil_awready", "offer s_axil_wvalid s_axil_wready"]
        if not self.address_first:
            offers.reverse()
        self.address_first = not self.address_first
        self.lines += [offers[0], "step 1", offers[1], f"wait s_axil_bvalid 1 {BUS_LIMIT}",
                       f"expect s_axil_bresp {response:x} 3",
                       "step 1", "set s_axil_bready 0"]

    def read(self, offset: int, value: int) -> None:
        """Read a register and compare."""
        self._read(offset)
        self.lines += [f"expect s_axil_rdata {value:x} ffffffff", "expect s_axil_rresp 0 3", *READ_END]

    def read_refused(self, offset: int) -> None:
        """Read, and expect SLVERR."""
        self._read(offset)
        self.lines += [f"expect s_axil_rresp {SLVERR:x} 3", *READ_END]

    def _read(self, offset: int) -> None:
        self.lines += [f"set s_axil_araddr {offset:x}", "set s_axil_rready 1", "offer s_axil_arvalid s_axil_arready",
                       f"wait s_axil_rvalid 1 {BUS_LIMIT}"]

    def beats(self, bits: Bits, width: int, last: bool, after: int = 0) -> None:
        """Queue the beats of an item, given as bits in order; `after` beats must have been taken before."""
        words = _beats(bits, width)
        self.lines += [f"beat {word:x} {int(last and i == len(words) - 1)} {after}" for i, word in enumerate(words)]

    def command(self, *names: str) -> None:
        """Write CONTROL."""
        self.write("CONTROL", sum(register("CONTROL").field(name).mask for name in names))

    def status(self, *names: str) -> None:
        """STATUS has these bits and no others."""
        self.read(register("STATUS").offset, sum(register("STATUS").field(name).mask for name in names))

    def image(self, image: bytes, width: int) -> None:
        """Queue the beats of a program image, of `width` bytes each, after the command to load it."""
        pieces = [image[i : i + width] for i in range(0, len(image), width)]
        self.command("load")
        self.lines += [f"beat {int.from_bytes(piece, 'little'):x} {int(i == len(pieces) - 1)} 0"
                       for i, piece in enumerate(pieces)]
        self.lines += [f"step {len(pieces) + 4}", "quiet"]

    def load(self, plan: Plan) -> None:
        """Load the Program."""
        self.image(program_image(plan, self.limits), beat_bits(plan.machine) // 8)
        self.status("program")

    def run(self, plan: Plan, inputs: Mapping[str, NDArray[np.int32]], exact: bool = True) -> None:
        """Start, feed and check the run of an image; without `exact`, only codes and counts of events are known."""
        times = plan.timeline
        self.start(plan, inputs, exact)
        limit = 4 * times.total + 400 if exact else 40 * times.total + 1000
        self.lines += [f"step {START_CYCLES - 1}", "expect trace_busy 0 1", "step 1", "expect trace_busy 1 1",
                       f"wait trace_busy 0 {limit}", "step 2", "quiet",
                       "expect trace_busy 0 1"]
        self.status("program")
        for queue in QUEUES:
            self.read(register(queue.upper()).offset, self.ended[queue])
        for name, value in expected_registers(plan, stalled=not exact).items():
            self.read(counter_offset(name), value & 0xFFFFFFFF)
            self.read(counter_offset(name) + 4, value >> 32)

    def start(self, plan: Plan, inputs: Mapping[str, NDArray[np.int32]], exact: bool = True) -> None:
        """Queue what comes and goes in a run of an image, and start it."""
        codes = {name: array[0] for name, array in simulate(plan.program, inputs).items()}
        self._inward(plan, codes)
        self._outward(plan, codes)
        self._ends(plan, plan.timeline.ends if exact else None)
        self.command("start")

    def forget(self) -> None:
        """Expect nothing more after a fault: the machine counts from 0 again."""
        self.lines.append("forget")
        self.taken, self.ended = 0, dict.fromkeys(QUEUES, 0)

    def _inward(self, plan: Plan, codes: Mapping[str, NDArray[np.int32]]) -> None:
        items, width = list(plan.inward()), plan.machine.stream_bits
        beats_of_stores = [schedule.beats for schedule in plan.schedules
                           if isinstance(schedule, TransferSchedule) and isinstance(schedule.op, Store)]
        for index, item in enumerate(items):
            match item:
                case RowTileItem() | TableItem():
                    bits, after = item.words, 0
                case TensorItem():
                    bits = _image(item, codes, plan)
                    after = self.taken + sum(beats_of_stores[: item.written]) if item.written else 0
            self.beats(bits.reshape(-1), width, index == len(items) - 1, after)

    def _outward(self, plan: Plan, codes: Mapping[str, NDArray[np.int32]]) -> None:
        for item in plan.outward():
            words = _beats(_image(item, codes, plan).reshape(-1), plan.machine.stream_bits)
            masks = _beats(_used(item, plan).reshape(-1), plan.machine.stream_bits, fill=1)
            self.lines += [f"take {word:x} {mask:x} {int(i == len(words) - 1)}"
                           for i, (word, mask) in enumerate(zip(words, masks, strict=True))]
            self.taken += len(words)

    def _ends(self, plan: Plan, ends: Sequence[int] | None) -> None:
        count = dict.fromkeys(QUEUES, 0)
        for queue in QUEUES:
            if self.ended[queue]:
                self.lines.append(f"change trace_{queue} 0 -")
        for index, op in enumerate(plan.program.ops):
            queue = op.queue.plural
            count[queue] += 1
            self.lines.append(f"change trace_{queue} {count[queue]:x} {ends[index] if ends else '-'}")
        self.ended = count


def program_script(plan: Plan, images: Iterable[Mapping[str, NDArray[np.int32]]], gaps: int = 0,
                   limits: HardwareLimits = LIMITS) -> str:
    """Load a Program and run images, one after another, over a memory with `plan.machine.memory`'s slots.

    Parameters
    ----------
    plan : Plan
        Of a Program with all its Loads and Stores.
    images : iterable of mapping of name to int32 array, shape (1, channels, height, width)
    gaps : int
        Cycles in a thousand in which a stream pauses, at random; then times are not known.
    limits : HardwareLimits
        Of the hardware.
    """
    script, memory = Script(limits), plan.machine.memory
    script.load(plan)
    script.lines.append(f"slots {memory.latency_cycles} {memory.beats} {memory.period_cycles}")
    if gaps:
        script.lines.append(f"gaps {gaps} {gaps}")
    for inputs in images:
        script.run(plan, inputs, exact=not gaps)
    return "\n".join(script.lines) + "\n"


def _used(item: TensorItem, plan: Plan) -> Bits:
    """Return the bits of a tensor that carry codes, in the order of the stream."""
    return bank_contents(np.full(item.tensor.shape, -1), item.tensor, plan.machine).swapaxes(0, 1)


def _image(item: TensorItem, codes: Mapping[str, NDArray[np.int32]], plan: Plan) -> Bits:
    """Return what passes, in the order of the stream, with ones in lanes that carry nothing."""
    bits = bank_contents(item.view(codes[item.host]), item.tensor, plan.machine).swapaxes(0, 1)
    return bits | (1 - _used(item, plan))


def _beats(bits: Bits, width: int, fill: int = 0) -> list[int]:
    """Return bits as beats in their order, the last one filled up."""
    padded = np.full(-(-len(bits) // width) * width, fill, np.uint8)
    padded[: len(bits)] = bits
    return [int.from_bytes(beat.tobytes(), "little")
            for beat in np.packbits(padded.reshape(-1, width), axis=1, bitorder="little")]
