"""The host's end of a serial line: a Port for `rtl.host.driver.Host`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from rtl.board.messages import Answer, Message, Parser, read_command, send_commands, write_command
from sim.errors import EngineError

__all__ = ["SerialLine", "SerialPort"]


class SerialLine(Protocol):
    """A serial line that is open, with 8 data bits, no parity and one stop bit."""

    async def read(self) -> bytes:
        """Return the bytes that have come, at least one."""

    def write(self, content: bytes) -> None:
        """Send bytes; they need not have left when this returns."""


class SerialPort:
    """Reach a machine through a serial line; one coroutine at a time may use it.

    Parameters
    ----------
    line : SerialLine
    beat_bytes : int
        Bytes of a beat of the machine's streams.
    """

    def __init__(self, line: SerialLine, beat_bytes: int) -> None:
        self._line, self._beat_bytes, self._parser = line, beat_bytes, Parser(beat_bytes)
        self._commands: deque[bytes] = deque()
        self._answers: deque[Message] = deque()
        self._packets: deque[bytes] = deque()
        self._packet = b""
        self._irq = False

    async def read(self, offset: int) -> int:
        """Read a register.

        Raises
        ------
        EngineError
            If there is no such register.
        """
        content = await self._access(read_command(offset), Answer.READ, f"register {offset:#x} cannot be read")
        return int.from_bytes(content[1:], "little")

    async def write(self, offset: int, value: int) -> None:
        """Write a register.

        Raises
        ------
        EngineError
            If there is no such register, or it cannot be written.
        """
        await self._access(write_command(offset, value), Answer.WRITTEN, f"register {offset:#x} cannot be written")

    async def send(self, packet: bytes) -> None:
        """Queue a packet for the inward stream."""
        idle = not self._commands
        self._commands.extend(send_commands(packet, self._beat_bytes))
        if idle:
            self._line.write(self._commands[0])

    async def receive(self, length: int) -> bytes | None:
        """Return the next outward packet, or None if irq is high and none has come."""
        await self._until(lambda: bool(self._packets) or self._irq)
        return self._packets.popleft() if self._packets else None

    async def interrupt(self) -> None:
        """Wait until irq is high."""
        await self._until(lambda: self._irq)

    async def settle(self) -> None:
        """Wait until all packets that were queued are taken, then forget those that were received meanwhile."""
        await self._until(lambda: not self._commands)
        self._packets.clear()

    async def _access(self, command: bytes, kind: Answer, failure: str) -> bytes:
        self._line.write(command)
        await self._until(lambda: bool(self._answers))
        answer = self._answers.popleft()
        if answer.kind != kind or answer.content[0]:
            raise EngineError(failure)
        return answer.content

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            for message in self._parser.feed(await self._line.read()):
                self._take(message)

    def _take(self, message: Message) -> None:
        match message.kind:
            case Answer.READ | Answer.WRITTEN:
                self._answers.append(message)
            case Answer.SENT:
                self._commands.popleft()
                if self._commands:
                    self._line.write(self._commands[0])
            case Answer.IRQ:
                self._irq = bool(message.content[0])
            case Answer.BEAT:
                self._packet += message.content[1:]
                if message.content[0]:
                    self._packets.append(self._packet)
                    self._packet = b""
