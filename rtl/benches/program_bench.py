"""Run a whole Program on the accelerator: the host's side of it, inside the simulator.

The job is read from the folder BITWRIGHT_JOB and the result written there. Data go through the streams, only tensors
on chip are looked at in the memories themselves: their regions are reused, and the machine is not to be paused. The
bench acts at falling edges, where the outputs of a cycle have settled and inputs can be changed without a race with
the rising one.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, SimTimeoutError, ValueChange, with_timeout

from rtl.benches.host_memory import HostMemory
from sim.memory import Memory

JOB = Path(os.environ["BITWRIGHT_JOB"])
PERIOD_NS = 10
START_LIMIT = 20
"""Cycles in which the machine must have prefetched its first record."""
INPUTS = ("start_valid", "stream_valid", "stream_data", "out_ready", "counter_number",
          *(f"{table}_{port}" for table in ("compute", "inward", "outward") for port in ("write", "index", "data")))


class Bench:
    """Drive the ports of `dut` for the job in JOB."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.job: dict[str, Any] = json.loads((JOB / "job.json").read_text())
        self.arrays = dict(np.load(JOB / "job.npz"))
        self.memory = Memory(**self.job["memory"])
        self.host = HostMemory(self.job, self.arrays)
        self.random = random.Random(self.job["seed"])
        self.image = 0
        self.store_ends: list[int] = []
        self.ends: list[list[int]] = []
        self.words = {name: np.zeros((self.job["images"], self.job["columns"], words, self.job["lanes"]), np.uint8)
                      for name, _, words in self.job["chip"]}

    async def reset(self) -> None:
        """All inputs low, two cycles of reset."""
        dut = self.dut
        for name in INPUTS:
            getattr(dut, name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns").start()
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def write_table(self, name: str) -> None:
        """Fill a table."""
        dut = self.dut
        getattr(dut, f"{name}_write").value = 1
        for index, word in enumerate(self.job[name]):
            getattr(dut, f"{name}_index").value = index
            getattr(dut, f"{name}_data").value = int(word, 16)
            await FallingEdge(dut.clk)
        getattr(dut, f"{name}_write").value = 0

    async def start(self) -> None:
        """Start; returns in cycle 0."""
        dut = self.dut
        dut.start_valid.value = 1
        for _ in range(START_LIMIT):
            await FallingEdge(dut.clk)
            if dut.start_ready.value:
                await FallingEdge(dut.clk)
                dut.start_valid.value = 0
                return
        raise AssertionError(f"not started within {START_LIMIT} cycles")

    def passes(self, cycle: int, since: int = 0) -> bool:
        """Whether the host's memory gives or takes a beat in this cycle; nothing comes before cycle `since`."""
        stall = self.job["stall"]
        return cycle >= since and self.memory.passes(cycle) and not (stall and self.random.random() < stall)

    def inward(self) -> Iterator[tuple[dict[str, Any], np.ndarray | None]]:
        """Items of the inward stream; None stands for the beats of a Load, which are not known yet."""
        for item in self.job["inward_items"]:
            yield item, None if "load" in item else self.arrays["tiles"][item["first"] : item["end"]]

    async def feed(self) -> None:
        """Give every item of the inward stream, from cycle 0 on."""
        dut, cycle = self.dut, 0
        for item, beats in self.inward():
            since = 0
            if beats is None:
                while len(self.store_ends) < item["written"]:
                    await FallingEdge(dut.clk)
                    cycle += 1
                since = self.store_ends[item["written"] - 1] + self.memory.latency_cycles if item["written"] else 0
                beats = self.host.load(item["load"], self.image)
            for beat in beats:
                dut.stream_data.value = int.from_bytes(beat.tobytes(), "little")
                if not dut.stream_ready.value:
                    dut.stream_valid.value = 0
                    await RisingEdge(dut.stream_ready)
                    await FallingEdge(dut.clk)
                    cycle = int(dut.cycle.value)
                while not self.passes(cycle, since):
                    dut.stream_valid.value = 0
                    await FallingEdge(dut.clk)
                    cycle += 1
                dut.stream_valid.value = 1
                await FallingEdge(dut.clk)
                cycle += 1
            dut.stream_valid.value = 0

    async def take(self) -> None:
        """Take every Store from the outward stream."""
        dut, always = self.dut, self.memory == Memory() and not self.job["stall"]
        for number, beats in enumerate(self.job["store_beats"]):
            taken = []
            for index in range(beats):
                dut.out_ready.value = int(always)
                if not dut.out_valid.value:
                    await RisingEdge(dut.out_valid)
                    await FallingEdge(dut.clk)
                cycle = int(dut.cycle.value)
                while not (always or self.passes(cycle)):
                    await FallingEdge(dut.clk)
                    cycle += 1
                dut.out_ready.value = 1
                taken.append(str(dut.out_data.value))
                assert dut.out_last.value == (index == beats - 1), f"beat {index} of Store {number}: last"
                if index == beats - 1:
                    self.host.store(number, self.image, taken)
                    self.store_ends.append(cycle + 1)
                await FallingEdge(dut.clk)
        dut.out_ready.value = 0

    async def watch(self, queue: str) -> None:
        """Note the cycle in which each record of a queue has ended, and the words of what is complete on chip then."""
        count = getattr(self.dut, queue)
        while True:
            await ValueChange(count)
            await ReadOnly()
            ended = int(count.value)
            if ended:
                record = self.job["records"][queue][ended - 1]
                self.ends[self.image][record] = int(self.dut.cycle.value)
                for name, writer, _ in self.job["chip"]:
                    if writer == record:
                        self.snapshot(name)

    def snapshot(self, name: str) -> None:
        """Words of a tensor as characters 0, 1, x, most significant lane first."""
        store, base = self.words[name], self.job["bases"][name]
        for bank in range(self.job["columns"]):
            for offset in range(store.shape[2]):
                text = str(self.cell(bank, base + offset).value)
                store[self.image, bank, offset] = np.frombuffer(text.encode(), np.uint8)

    def cell(self, bank: int, address: int) -> Any:
        """A word of an activation bank."""
        region, word = divmod(address, self.job["region_words"])
        return getattr(getattr(self.dut, f"bank_{bank}"), f"region_{region}").macro.mem[word]

    async def run(self) -> None:
        """All images, one after another."""
        job = self.job
        await self.reset()
        for table in ("compute", "inward", "outward"):
            await self.write_table(table)
        for queue in ("computes", "loads", "stores"):
            cocotb.start_soon(self.watch(queue))
        counters = []
        for self.image in range(job["images"]):
            self.ends.append([0] * sum(map(len, job["records"].values())))
            self.store_ends = []
            for name, words in self.host.resident(self.image):
                for bank, offset in np.ndindex(*words.shape[:2]):
                    value = int.from_bytes(words[bank, offset].tobytes(), "little")
                    self.cell(bank, job["bases"][name] + offset).value = value
            await self.start()
            for name, writer, _ in job["chip"]:
                if writer is None:
                    self.snapshot(name)
            tasks = [cocotb.start_soon(self.feed()), cocotb.start_soon(self.take())]
            await self.finished()
            for task in tasks:
                assert task.done(), "the machine ended before its streams"
            counters.append(await self.counters())
        result = {"ends": self.ends, "counters": counters}
        np.savez(JOB / "result.npz", allow_pickle=False, **self.words, **self.host.results())
        (JOB / "result.json").write_text(json.dumps(result))

    async def finished(self) -> None:
        """Wait until the machine is not busy, at most as long as the job allows."""
        dut, limit = self.dut, self.job["cycle_limit"]
        faults = {name: getattr(dut, name) for name in ("violation", "illegal")}
        try:
            await with_timeout(First(FallingEdge(dut.busy), *map(RisingEdge, faults.values())), limit * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"busy after {limit} cycles with {int(dut.computes.value)} layers done") from None
        for name, raised in faults.items():
            await FallingEdge(dut.clk)
            if raised.value:
                raise AssertionError(f"{name} in record {int(getattr(dut, f'{name}_record').value)}")

    async def counters(self) -> dict[str, int]:
        """All counters by name."""
        values = {}
        for number, name in enumerate(self.job["counters"]):
            self.dut.counter_number.value = number
            await FallingEdge(self.dut.clk)
            values[name] = int(self.dut.counter_value.value)
        return values


@cocotb.test()
async def program(dut: Any) -> None:
    """Run the job."""
    await Bench(dut).run()
