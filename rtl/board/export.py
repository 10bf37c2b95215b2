"""Files that make a bitstream of a machine for a board by open tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtl.board.serial_shell import SerialShell
from rtl.verilog.emit import verilog_text
from sim.arch.machine import Machine
from sim.io.atomic_write import atomic_write_text, ensure_folder

__all__ = ["BOARDS", "Board", "write_board"]

SHELL = "bitwright_board"


@dataclass(frozen=True)
class Board:
    """A board with a serial line to the host.

    Attributes
    ----------
    name : str
        Of the folder here that holds its top module, pins and script.
    clock_hz, baud : int
        Of its oscillator, at which all runs, and of the line [bit/s].
    """

    name: str
    clock_hz: int
    baud: int

    @property
    def bit_cycles(self) -> int:
        """Cycles of a bit on the line."""
        return self.clock_hz // self.baud


BOARDS = {board.name: board for board in (Board("ulx3s", clock_hz=25_000_000, baud=1_000_000),)}


def write_board(machine: Machine, board: Board, directory: str | Path) -> tuple[Path, ...]:
    """Write what a board needs beside the Verilog of a machine, into the same directory.

    Returns
    -------
    tuple of Path
        `bitwright_board.sv`, the machine behind a serial line; the board's top module and pins; and `<board>.sh`, which
        makes the bitstream.

    Raises
    ------
    InputError
        If the directory cannot be written.
    """
    place = ensure_folder(directory)
    texts = {f"{SHELL}.sv": verilog_text(SerialShell(machine, board.bit_cycles), SHELL)}
    texts |= {path.name: path.read_text() for path in sorted((Path(__file__).parent / board.name).iterdir())}
    for name, text in texts.items():
        atomic_write_text(place / name, text)
    return tuple(place / name for name in texts)
