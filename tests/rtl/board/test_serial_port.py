"""The host's end of a serial line, against a board of a few lines of Python."""

from __future__ import annotations

import asyncio

import pytest

from rtl.board.messages import MOST_BEATS, Answer, Message, Parser
from rtl.board.serial_port import SerialPort
from sim.errors import EngineError

BEAT_BYTES = 2


class PlainBoard:
    """A line to registers that keep what is written, refuse odd offsets, and to a stream that echoes its packets.

    It answers a command when the host reads, and gives `most` bytes at once.
    """

    def __init__(self, most: int) -> None:
        self.most, self.registers = most, {}
        self.commands, self.answers, self.sizes = [], b"", []

    def write(self, content: bytes) -> None:
        """Keep a command."""
        self.commands.append(content)

    async def read(self) -> bytes:
        """Return the next bytes of all answers."""
        while self.commands:
            self.answers += self.answer(self.commands.pop(0))
        assert self.answers, "the host waits for ever"
        found, self.answers = self.answers[:self.most], self.answers[self.most:]
        return found

    def answer(self, command: bytes) -> bytes:
        """Return what a board says to a command."""
        offset = int.from_bytes(command[1:3], "little")
        match chr(command[0]):
            case "R":
                return b"r" + bytes([2 * (offset % 2)]) + self.registers.get(offset, bytes(4))
            case "W":
                self.registers[offset] = command[3:]
                return b"w" + bytes([2 * (offset % 2)])
        beats = [command[start:start + BEAT_BYTES] for start in range(3, len(command), BEAT_BYTES)]
        self.sizes.append(len(beats))
        assert len(beats) == command[1] + 1
        ends = [0] * (len(beats) - 1) + [command[2]]
        return b"s" + b"".join(b"m" + bytes([end]) + beat for end, beat in zip(ends, beats, strict=True)) + b"i\1"


@pytest.mark.parametrize("most", [1, 3, 4096])
def test_registers_and_packets_pass(most: int) -> None:
    """However answers are cut; a long packet goes out in pieces that the board can hold, one after another."""
    async def use() -> None:
        board = PlainBoard(most)
        port = SerialPort(board, BEAT_BYTES)
        await port.write(8, 0x01020304)
        assert await port.read(8) == 0x01020304
        long, short = bytes(index % 251 for index in range(BEAT_BYTES * (2 * MOST_BEATS + 5))), b"last"
        await port.send(long)
        await port.send(short)
        await port.settle()
        assert board.sizes == [MOST_BEATS, MOST_BEATS, 5, 2]
        await port.interrupt()
        await port.send(short)
        assert await port.receive(99) is None
        await port.settle()

    asyncio.run(use())


def test_a_packet_that_has_come_is_received_before_irq_counts() -> None:
    """What was sent back whole is returned, one packet at a time; after that irq ends the waiting."""
    async def use() -> None:
        port = SerialPort(PlainBoard(4096), BEAT_BYTES)
        await port.send(b"ab")
        await port.send(b"cdef")
        await port.interrupt()
        await port.read(0)
        assert [await port.receive(4) for _ in range(3)] == [b"ab", b"cdef", None]

    asyncio.run(use())


def test_what_the_bus_refuses_is_an_error() -> None:
    """One sentence names the register."""
    port = SerialPort(PlainBoard(4096), BEAT_BYTES)
    with pytest.raises(EngineError, match=r"^register 0x9 cannot be read$"):
        asyncio.run(port.read(9))
    with pytest.raises(EngineError, match=r"^register 0xb cannot be written$"):
        asyncio.run(port.write(11, 1))


def test_bytes_that_begin_no_message_are_dropped() -> None:
    """As after a reset of the board; what follows is understood."""
    assert list(Parser(BEAT_BYTES).feed(b"\0\xfes")) == [Message(Answer.SENT, b"")]
