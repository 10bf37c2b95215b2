"""Run planned Programs on the accelerator: a host at its pins, and a look at what they leave in its memories.

The jobs are read from the folder BITWRIGHT_JOB, the results written there. Tensors that stay on chip are looked at in
the memories themselves: their regions are reused, and the machine is not to be paused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, SimTimeoutError, ValueChange, with_timeout
from cocotb.types import LogicArray

from rtl.cosim.jobs import Job, completed_by, read_jobs
from rtl.cosim.pin_driver import PERIOD_NS, PinDriver
from rtl.cosim.requant_watch import watch_requantizers
from rtl.encoding.stream_bytes import tensor_codes
from rtl.host.driver import Host
from sim.ir.formats import Format
from sim.ir.ops import Queue, Tensor
from sim.mapping.activation_layout import tensor_words
from sim.plan.host_stream import TensorItem

JOBS = Path(os.environ["BITWRIGHT_JOB"])
REGISTER_CYCLES = 1000
"""More than the accesses to registers before and after a run take."""


class ProgramBench:
    """Run a job at `pins`."""

    def __init__(self, pins: PinDriver, job: Job) -> None:
        self.dut, self.pins, self.plan = pins.dut, pins, job.plan
        self.images, self.cycle_limit = job.facts["images"], job.facts["cycle_limit"]
        self.inputs, self.program_image = job.part("input"), bytes.fromhex(job.facts["image"])
        pins.configure(self.plan.machine.memory, job.facts["stall"], job.facts["seed"])
        self.host = Host(self.pins, self.plan, self.program_image, timeout_cycles=self.cycle_limit,
                         noise=np.random.default_rng(job.facts["seed"]))
        self.image = 0
        self.watched: int | None = job.facts["watched"]
        self.ends = np.zeros((self.images, len(self.plan.program.ops)), np.int64)
        self.found: dict[str, np.ndarray] = {}

    async def run(self, number: int) -> None:
        """Run all images, one after another; `number` names the results, which are kept also of a run that fails."""
        watches = [cocotb.start_soon(self.watch(queue)) for queue in Queue]
        counters: list[dict[str, int]] = []
        try:
            await self.within(self.host.load(), len(self.program_image) // self.pins.beat_bytes)
            for image in range(self.images):
                self.image = image
                counters.append(await self.run_image())
        finally:
            for watch in watches:
                watch.cancel()
            np.savez(JOBS / f"result{number}.npz", allow_pickle=False, ends=self.ends, **self.found)
            (JOBS / f"result{number}.json").write_text(json.dumps(counters))

    async def run_image(self) -> dict[str, int]:
        """Run the image at hand and return its counters."""
        self.pins.characters.clear()
        inputs = {name: codes[self.image] for name, codes in self.inputs.items()}
        watching = None
        if self.watched is not None:
            watching = cocotb.start_soon(watch_requantizers(self.dut, self.plan.machine, self.watched))
        result = await self.within(self.host.run(inputs), self.cycle_limit)
        for name, codes in result.maps.items():
            self.keep(f"map {name}", codes)
        for item, characters in zip(self.plan.outward(), self.pins.characters, strict=True):
            self.note_undefined(item, characters)
        if watching is not None:
            self.found |= {f"requantizer {name} {self.image}": rows for name, rows in (await watching).items()}
        counters: dict[str, int] = result.counters
        return counters

    def undefine_activations(self) -> None:
        """Make every activation word undefined, where the simulator knows undefined bits, so that none is left over."""
        machine = self.plan.machine
        for bank, region, word in np.ndindex(machine.columns, machine.act_regions, machine.region_words):
            self.region(bank, region)[word].value = LogicArray("X" * machine.lanes)

    def region(self, bank: int, number: int) -> Any:
        """Return the handle of the words of a region."""
        return getattr(getattr(self.dut.core.activation_memory, f"bank_{bank}"), f"region_{number}").macro.mem

    async def within(self, work: Any, cycles: int) -> Any:
        """Await `work`, which must end within so many cycles and some accesses to registers, and return its result."""
        try:
            return await with_timeout(work, (cycles + REGISTER_CYCLES) * PERIOD_NS, "ns")
        except SimTimeoutError:
            done = int(self.dut.trace_computes.value)
            raise AssertionError(f"still busy after {cycles} cycles with {done} layers done") from None

    def keep(self, name: str, array: np.ndarray) -> None:
        """Put what belongs to the image at hand into the results."""
        self.found.setdefault(name, np.zeros((self.images, *array.shape), array.dtype))[self.image] = array

    def note_undefined(self, item: TensorItem, characters: str) -> None:
        """Note the undefined planes of the codes that a received packet holds."""
        machine, tensor = self.plan.machine, item.tensor
        marks = np.frombuffer(characters.encode(), np.uint8)
        plain = Tensor("bits", tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
        undefined = np.packbits((marks != ord("0")) & (marks != ord("1")), bitorder="little").tobytes()
        name, shape = f"unknown {item.host}", self.plan.program.tensor(item.host).shape
        if name not in self.found:
            self.found[name] = np.zeros((self.images, *shape), np.int32)
        item.view(self.found[name][self.image])[:] = tensor_codes(undefined, plain, machine)
        used = machine.columns * tensor_words(tensor, machine) * machine.lanes
        if machine.stream_bits >= 8:
            assert set(characters[used:]) <= {"0"}, f"the last beat of '{tensor.name}' is not filled up with zeros"

    async def watch(self, queue: Queue) -> None:
        """Note the cycle in which each op of a queue has ended, and what is complete on chip then."""
        count = getattr(self.dut, f"trace_{queue.plural}")
        numbers = [i for i, op in enumerate(self.plan.program.ops) if op.queue == queue]
        while True:
            await ValueChange(count)
            await ReadOnly()
            if ended := int(count.value):
                op = numbers[ended - 1]
                self.ends[self.image, op] = int(self.dut.trace_cycle.value)
                for tensor in self.plan.program.tensors:
                    if completed_by(self.plan, tensor.name) == op:
                        self.snapshot(tensor)

    def snapshot(self, tensor: Tensor) -> None:
        """Keep the words of a tensor as characters 0, 1 and x, most significant lane first."""
        machine, base = self.plan.machine, self.plan.bases[tensor.name]
        words = np.zeros((machine.columns, tensor_words(tensor, machine), machine.lanes), np.uint8)
        for bank, offset in np.ndindex(*words.shape[:2]):
            region, word = divmod(base + offset, machine.region_words)
            words[bank, offset] = np.frombuffer(str(self.region(bank, region)[word].value).encode(), np.uint8)
        self.keep(tensor.name, words)


@cocotb.test()
async def programs(dut: Any) -> None:
    """Run the jobs, one after another without a reset in between."""
    pins = PinDriver(dut)
    await pins.reset()
    for number, job in enumerate(read_jobs(JOBS)):
        bench = ProgramBench(pins, job)
        if number:
            bench.undefine_activations()
        await bench.run(number)
