"""Run planned Programs on the accelerator in the lean engine: the counterpart of `rtl.cosim.program_bench`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.cosim.jobs import Job, completed_by, read_jobs
from rtl.cosim.lean.harness_process import Hang, HarnessProcess, Kept
from rtl.cosim.simulators import SimulationError
from rtl.encoding.program_image import beat_bits
from rtl.host.driver import Host
from sim.ir.ops import Queue
from sim.mapping.activation_layout import tensor_words

__all__ = ["REGISTER_CYCLES", "run_jobs"]

REGISTER_CYCLES = 1000
"""More than the accesses to registers before and after a run take."""


class LeanBench:
    """Run a job.

    Parameters
    ----------
    process : HarnessProcess
    job : Job
    """

    def __init__(self, process: HarnessProcess, job: Job) -> None:
        self.process, self.plan, self.images = process, job.plan, job.facts["images"]
        self.cycle_limit, self.inputs = job.facts["cycle_limit"], job.part("input")
        self.program_image = bytes.fromhex(job.facts["image"])
        process.configure(self.plan.machine.memory, job.facts["stall"], job.facts["seed"])
        self.host = Host(process, self.plan, self.program_image, timeout_cycles=self.cycle_limit,
                         noise=np.random.default_rng(job.facts["seed"]))
        self.image = 0
        self.ends = np.zeros((self.images, len(self.plan.program.ops)), np.int64)
        self.found: dict[str, NDArray[Any]] = {}
        self.numbers = {queue: [i for i, op in enumerate(self.plan.program.ops) if op.queue is queue]
                        for queue in Queue}
        self.kept = [tensor.name for tensor in self.plan.program.tensors
                     if completed_by(self.plan, tensor.name) is not None]
        process.keep([self._kept(name) for name in self.kept])

    def run(self, folder: Path, number: int) -> None:
        """Run all images, one after another; `number` names the results, which are kept also of a run that fails."""
        counters: list[dict[str, int]] = []
        try:
            self._within(self.host.load(), 8 * len(self.program_image) // beat_bits(self.plan.machine))
            for image in range(self.images):
                self.image = image
                inputs = {name: codes[image] for name, codes in self.inputs.items()}
                result = self._within(self.host.run(inputs), self.cycle_limit)
                counters.append(result.counters)
                for name, codes in result.maps.items():
                    self._keep(f"map {name}", codes)
        finally:
            np.savez(folder / f"result{number}.npz", allow_pickle=False, ends=self.ends, **self.found)
            (folder / f"result{number}.json").write_text(json.dumps(counters))

    def note_end(self, queue: Queue, ended: int, cycle: int) -> None:
        """Note the cycle in which an op has ended."""
        self.ends[self.image, self.numbers[queue][ended - 1]] = cycle

    def note_tensor(self, index: int, contents: bytes) -> None:
        """Keep the words of a tensor as characters 0 and 1, most significant lane first."""
        machine = self.plan.machine
        words = np.frombuffer(contents, np.uint8).reshape(machine.columns, -1, -(-machine.lanes // 8))
        lanes = np.unpackbits(words, axis=2, count=machine.lanes, bitorder="little")
        self._keep(self.kept[index], lanes[..., ::-1] + np.uint8(ord("0")))

    def _kept(self, name: str) -> Kept:
        plan, op = self.plan, completed_by(self.plan, name)
        assert op is not None
        queue = plan.program.ops[op].queue
        words = tensor_words(plan.program.tensor(name), plan.machine)
        return Kept(queue, self.numbers[queue].index(op) + 1, plan.bases[name], words)

    def _within(self, work: Coroutine[Any, Any, Any], cycles: int) -> Any:
        """Do `work`, which must end within so many cycles and some accesses to registers, and return its result."""
        self.process.limit(cycles + REGISTER_CYCLES)
        try:
            return asyncio.run(work)
        except Hang:
            done = np.count_nonzero(self.ends[self.image, self.numbers[Queue.COMPUTE]])
            raise SimulationError(f"still busy after {cycles} cycles with {done} layers done") from None

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        self.found.setdefault(name, np.zeros((self.images, *array.shape), array.dtype))[self.image] = array


def run_jobs(program: Path, folder: Path, report: Callable[[int], None]) -> None:
    """Run the jobs in `folder`, one after another without a reset in between, and write their results there.

    Parameters
    ----------
    program : Path
        The harness.
    folder : Path
    report : callable
        Gets the cycles that have been simulated since it was called last, now and then.

    Raises
    ------
    SimulationError
        If a run fails or does not end.
    """
    benches: list[LeanBench] = []
    with HarnessProcess(program, lambda *end: benches[-1].note_end(*end),
                        lambda *tensor: benches[-1].note_tensor(*tensor), report) as process:
        for number, job in enumerate(read_jobs(folder)):
            if number:
                process.scramble(number)
            benches.append(LeanBench(process, job))
            benches[-1].run(folder, number)
