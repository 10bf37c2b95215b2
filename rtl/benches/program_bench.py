"""Run a whole Program on the accelerator: the host's side of it, inside the simulator.

The job is read from the folder BITWRIGHT_JOB and the result written there. Everything goes through the ports, only
tensors that the Program reads again are looked at in the memories themselves: their regions are reused, and the
machine is not to be paused. The bench acts at falling edges, where the outputs of a cycle have settled and inputs
can be changed without a race with the rising one.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, SimTimeoutError, ValueChange, with_timeout

JOB = Path(os.environ["BITWRIGHT_JOB"])
PERIOD_NS = 10
START_LIMIT = 20
"""Cycles in which the machine must have prefetched its first record."""


class Bench:
    """Drive the ports of `dut` for the job in JOB."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.job: dict[str, Any] = json.loads((JOB / "job.json").read_text())
        self.arrays = np.load(JOB / "job.npz")
        self.random = random.Random(self.job["seed"])
        self.image = 0
        self.ends: list[list[int]] = []
        self.words: dict[str, np.ndarray] = {}

    async def reset(self) -> None:
        """All inputs low, two cycles of reset."""
        dut = self.dut
        for name in ("host_write", "host_read", "host_bank", "host_address", "host_data", "descriptor_write",
                     "descriptor_index", "descriptor_data", "fill_write", "fill_index", "fill_data", "start_valid",
                     "stream_valid", "stream_data", "counter_number"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns").start()
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def write_table(self, name: str) -> None:
        """Fill the descriptor or the fill table."""
        dut = self.dut
        getattr(dut, f"{name}_write").value = 1
        for index, word in enumerate(self.job[name]):
            getattr(dut, f"{name}_index").value = index
            getattr(dut, f"{name}_data").value = int(word, 16)
            await FallingEdge(dut.clk)
        getattr(dut, f"{name}_write").value = 0

    async def load(self, tensor: dict[str, Any]) -> None:
        """Write an input through the host port."""
        dut = self.dut
        banks = self.arrays[f"input {tensor['name']}"][self.image]
        dut.host_write.value = 1
        for bank, words in enumerate(banks):
            dut.host_bank.value = bank
            for offset, word in enumerate(words):
                dut.host_address.value = tensor["base"] + offset
                dut.host_data.value = int.from_bytes(word.tobytes(), "little")
                await FallingEdge(dut.clk)
        dut.host_write.value = 0

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

    async def stream(self) -> None:
        """Feed the weight stream, with random gaps if the job wants them."""
        dut, stall = self.dut, self.job["stall"]
        for beat in self.arrays["stream"]:
            while stall and self.random.random() < stall:
                dut.stream_valid.value = 0
                await FallingEdge(dut.clk)
            dut.stream_data.value = int.from_bytes(beat.tobytes(), "little")
            dut.stream_valid.value = 1
            if not dut.stream_ready.value:
                await RisingEdge(dut.stream_ready)
                await FallingEdge(dut.clk)
            await FallingEdge(dut.clk)
        dut.stream_valid.value = 0

    async def watch(self) -> None:
        """Note the cycle in which each record has ended, and the words of the tensors that are complete then."""
        dut = self.dut
        while True:
            await ValueChange(dut.record)
            await ReadOnly()
            record = int(dut.record.value)
            if record:
                self.ends[self.image].append(int(dut.cycle.value))
                for tensor in self.job["tensors"]:
                    if tensor["complete_after"] == record - 1 and not tensor["output"]:
                        self.snapshot(tensor)

    def snapshot(self, tensor: dict[str, Any]) -> None:
        """Words of a tensor as characters 0, 1, x, most significant lane first."""
        region_words = self.job["region_words"]
        store = self.words[tensor["name"]]
        for bank in range(self.job["columns"]):
            handle = getattr(self.dut, f"bank_{bank}")
            for offset in range(tensor["words"]):
                region, word = divmod(tensor["base"] + offset, region_words)
                text = str(getattr(handle, f"region_{region}").macro.mem[word].value)
                store[self.image, bank, offset] = np.frombuffer(text.encode(), np.uint8)

    async def fetch(self, tensor: dict[str, Any]) -> None:
        """Read a tensor through the host port, as `snapshot` does."""
        dut = self.dut
        dut.host_read.value = 1
        for bank in range(self.job["columns"]):
            dut.host_bank.value = bank
            for offset in range(tensor["words"]):
                dut.host_address.value = tensor["base"] + offset
                await FallingEdge(dut.clk)
                text = str(dut.host_word.value)
                self.words[tensor["name"]][self.image, bank, offset] = np.frombuffer(text.encode(), np.uint8)
        dut.host_read.value = 0

    async def run(self) -> None:
        """All images, one after another."""
        job = self.job
        for tensor in job["tensors"]:
            shape = (job["images"], job["columns"], tensor["words"], job["lanes"])
            self.words[tensor["name"]] = np.zeros(shape, np.uint8)
        await self.reset()
        await self.write_table("descriptor")
        await self.write_table("fill")
        cocotb.start_soon(self.watch())
        counters = []
        for self.image in range(job["images"]):
            self.ends.append([])
            for tensor in job["tensors"]:
                if tensor["complete_after"] < 0:
                    await self.load(tensor)
            await self.start()
            for tensor in job["tensors"]:
                if tensor["complete_after"] < 0:
                    self.snapshot(tensor)
            stream = cocotb.start_soon(self.stream())
            await self.finished()
            stream.cancel()
            counters.append(await self.counters())
            for tensor in job["tensors"]:
                if tensor["output"]:
                    await self.fetch(tensor)
        result = {"ends": self.ends, "counters": counters}
        np.savez(JOB / "result.npz", allow_pickle=False, **self.words)
        (JOB / "result.json").write_text(json.dumps(result))

    async def finished(self) -> None:
        """Wait until the machine is not busy, at most as long as the job allows."""
        limit = self.job["cycle_limit"]
        try:
            await with_timeout(FallingEdge(self.dut.busy), limit * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"busy with record {int(self.dut.record.value)} after {limit} cycles") from None
        await FallingEdge(self.dut.clk)

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
