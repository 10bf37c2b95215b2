"""The compiled harness as a process, and its pins as the Port of a `rtl.host.driver.Host`.

Simulated time passes only while the process works on an answer, so what the host computes in between costs none.
`harness.cpp` says what the commands are.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from rtl.cosim.simulators.engine import SimulationError
from rtl.cosim.simulators.environment import tool_environment
from sim.arch.host_memory import Memory
from sim.ir.ops import Queue

__all__ = ["Hang", "HarnessProcess", "Kept"]

QUEUES = (Queue.COMPUTE, Queue.LOAD, Queue.STORE)
"""In the harness's order."""


class Hang(SimulationError):
    """The machine was still busy when the cycles that it was given had passed."""


@dataclass(frozen=True)
class Kept:
    """A tensor to keep when an op has ended.

    Attributes
    ----------
    queue : Queue
    ended : int
        How many ops of the queue have ended then.
    base, words : int
        Where the tensor lies in every bank.
    """

    queue: Queue
    ended: int
    base: int
    words: int


class HarnessProcess:
    """Run the harness.

    Parameters
    ----------
    program : Path
    on_end : callable
        Gets a queue, how many of its ops have ended, and the cycle of the run.
    on_tensor : callable
        Gets the index of a `Kept` and its bytes, every word's by themselves, bank by bank.
    on_cycles : callable
        Gets the cycles simulated since it was called last, now and then.
    """

    def __init__(self, program: Path, on_end: Callable[[Queue, int, int], None],
                 on_tensor: Callable[[int, bytes], None], on_cycles: Callable[[int], None]) -> None:
        self._on_end, self._on_tensor, self._on_cycles = on_end, on_tensor, on_cycles
        self._process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, env=tool_environment())

    def __enter__(self) -> HarnessProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                self._pipe(stream).close()
        self._process.wait()

    def configure(self, memory: Memory, stall: float, seed: int) -> None:
        """Put a memory behind the streams, with gaps of probability `stall`."""
        self._send("m", struct.pack("<QQQdQ", memory.latency_cycles, memory.beats, memory.period_cycles, stall, seed))

    def scramble(self, seed: int) -> None:
        """Fill the activation memories with random bits."""
        self._send("x", struct.pack("<Q", seed))

    def keep(self, tensors: Sequence[Kept]) -> None:
        """Watch for these tensors, and for no others."""
        parts = [struct.pack("<BIIII", QUEUES.index(one.queue), one.ended, index, one.base, one.words)
                 for index, one in enumerate(tensors)]
        self._send("k", struct.pack("<I", len(parts)) + b"".join(parts))

    def limit(self, cycles: int) -> None:
        """Let so many cycles pass from now on, and no more."""
        self._send("l", struct.pack("<Q", cycles))

    async def read(self, offset: int) -> int:
        """Read a register."""
        return self._access("r", struct.pack("<I", offset), f"register {offset:#x} cannot be read")

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self._access("w", struct.pack("<II", offset, value), f"register {offset:#x} cannot be written")

    async def send(self, packet: bytes) -> None:
        """Queue a packet for the inward stream."""
        self._send("s", struct.pack("<I", len(packet)) + packet)

    async def receive(self, length: int) -> bytes | None:
        """Return the next outward packet, or None if irq is high and none is left."""
        self._send("g")
        return self._exact(self._number("<I")) if self._answer("pi") == "p" else None

    async def interrupt(self) -> None:
        """Wait until irq is high."""
        self._send("q")
        self._answer("i")

    async def settle(self) -> None:
        """Wait until everything is sent, then forget what was received."""
        self._send("t")
        self._answer("i")

    def _access(self, command: str, arguments: bytes, refusal: str) -> int:
        self._send(command, arguments)
        self._answer("v")
        value, response = struct.unpack("<IB", self._exact(5))
        if response:
            raise SimulationError(refusal)
        return int(value)

    def _send(self, command: str, arguments: bytes = b"") -> None:
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).write(command.encode() + arguments)

    def _answer(self, expected: str) -> str:
        """Report what comes before the answer, and return the answer's letter."""
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).flush()
        while (letter := self._exact(1).decode()) not in expected:
            match letter:
                case "e":
                    queue, ended, cycle = struct.unpack("<BIQ", self._exact(13))
                    self._on_end(QUEUES[queue], ended, cycle)
                case "k":
                    self._on_tensor(self._number("<I"), self._exact(self._number("<I")))
                case "c":
                    self._on_cycles(self._number("<Q"))
                case "h":
                    raise Hang("the cycles have passed")
                case _:
                    raise SimulationError(f"the harness answered {letter!r}")
        return letter

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._exact(struct.calcsize(form)))[0])

    def _exact(self, count: int) -> bytes:
        found = self._pipe(self._process.stdout).read(count)
        if len(found) < count:
            raise self._died()
        return found

    def _died(self) -> SimulationError:
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        errors = self._pipe(self._process.stderr).read()
        self._process.wait()
        reason = errors.decode(errors="replace").strip() or f"status {self._process.returncode}"
        return SimulationError(f"the compiled RTL ended early: {reason}")

    @staticmethod
    def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream
