"""What passes on the serial line of a board, byte by byte.

Every message begins with a byte that tells its kind. The host sends the kinds of `Command`, the board those of
`Answer`. A host sends one register access at a time, and beats of one `Command.SEND` at a time: it waits for the answer
before the next. All numbers have their lowest byte first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["MOST_BEATS", "Answer", "Command", "Message", "Parser", "read_command", "send_commands", "write_command"]

MOST_BEATS = 256
"""Beats of one `Command.SEND`, which the board holds until the machine takes them."""
REGISTER_BYTES = 4


class Command(IntEnum):
    """Kinds of messages from the host, with what follows."""

    READ = ord("R")
    """Address of a register, 2 bytes; the board answers `Answer.READ`."""
    WRITE = ord("W")
    """Address, 2 bytes, and value, 4 bytes; the board answers `Answer.WRITTEN`."""
    SEND = ord("S")
    """Beats less one; 1 if the last of them ends a packet, else 0; the beats. The board answers `Answer.SENT`."""


class Answer(IntEnum):
    """Kinds of messages from the board, with what follows."""

    READ = ord("r")
    """Response of the bus, 1 byte, and the value, 4 bytes."""
    WRITTEN = ord("w")
    """Response of the bus, 1 byte."""
    SENT = ord("s")
    """Nothing; the machine has taken all beats of the command."""
    IRQ = ord("i")
    """Level of irq, 1 byte, whenever it has changed."""
    BEAT = ord("m")
    """1 if the beat ends a packet, else 0, 1 byte; the beat."""


@dataclass(frozen=True)
class Message:
    """What the board has sent."""

    kind: Answer
    content: bytes


def read_command(offset: int) -> bytes:
    """Return the command that reads a register.

    >>> read_command(0x104)
    b'R\\x04\\x01'
    """
    return bytes((Command.READ, *offset.to_bytes(2, "little")))


def write_command(offset: int, value: int) -> bytes:
    """Return the command that writes a register.

    >>> write_command(8, 3)
    b'W\\x08\\x00\\x03\\x00\\x00\\x00'
    """
    return bytes((Command.WRITE, *offset.to_bytes(2, "little"), *value.to_bytes(REGISTER_BYTES, "little")))


def send_commands(packet: bytes, beat_bytes: int) -> Iterator[bytes]:
    """Yield the commands that send a packet of whole beats.

    >>> list(send_commands(b"abcdef", beat_bytes=2))
    [b'S\\x02\\x01abcdef']
    """
    most = MOST_BEATS * beat_bytes
    for start in range(0, len(packet), most):
        beats = packet[start:start + most]
        ends = start + most >= len(packet)
        yield bytes((Command.SEND, len(beats) // beat_bytes - 1, ends)) + beats


class Parser:
    """Find messages in the bytes that a board sends, however they are cut.

    Parameters
    ----------
    beat_bytes : int
        Bytes of a beat.
    """

    def __init__(self, beat_bytes: int) -> None:
        self._lengths = {Answer.READ: 1 + REGISTER_BYTES, Answer.WRITTEN: 1, Answer.SENT: 0, Answer.IRQ: 1,
                         Answer.BEAT: 1 + beat_bytes}
        self._kinds = {int(kind): kind for kind in Answer}
        self._waiting = b""

    def feed(self, received: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with these bytes; what begins no message is dropped."""
        self._waiting += received
        while self._waiting:
            kind = self._kinds.get(self._waiting[0])
            length = 1 + (0 if kind is None else self._lengths[kind])
            if len(self._waiting) < length:
                return
            content, self._waiting = self._waiting[1:length], self._waiting[length:]
            if kind is not None:
                yield Message(kind, content)
