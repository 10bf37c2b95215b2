"""A counterexample as a table: the signals of the harness, cycle by cycle."""

from __future__ import annotations

from pathlib import Path

from vcd.reader import TokenKind, tokenize

__all__ = ["show_trace"]

MOST_CYCLES = 16
"""Cycles of a trace that are shown: its last ones."""
MOST_BITS = 48
"""Bits of a value that are shown: its lowest ones."""


def show_trace(path: Path, scope: str) -> str:
    """Values of the signals in `scope`, without those of modules inside it, in hexadecimal.

    Parameters
    ----------
    path : Path
        A value change dump with a timestamp of 10 for every cycle, as smtbmc writes it.
    scope : str
        Name of the top module.
    """
    names, changes, cycles = _read(path, scope)
    shown = range(max(0, cycles - MOST_CYCLES), cycles)
    lines = [["cycle", *map(str, shown)]]
    for identifier, name in names.items():
        values, value = [], 0
        for cycle in range(cycles):
            value = changes.get((cycle, identifier), value)
            values.append(f"{value:x}" if value < 1 << MOST_BITS else f"…{value % (1 << MOST_BITS):x}")
        lines.append([name, *(values[cycle] for cycle in shown)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def _read(path: Path, scope: str) -> tuple[dict[str, str], dict[tuple[int, str], int], int]:
    """Name by identifier; values by cycle and identifier; number of cycles."""
    names: dict[str, str] = {}
    changes: dict[tuple[int, str], int] = {}
    scopes: list[str] = []
    cycle = 0
    with path.open("rb") as file:
        for token in tokenize(file):
            match token.kind:
                case TokenKind.SCOPE:
                    scopes.append(token.scope.ident)
                case TokenKind.UPSCOPE:
                    scopes.pop()
                case TokenKind.VAR if scopes == [scope] and _is_of_harness(token.var.reference):
                    names[token.var.id_code] = token.var.reference
                case TokenKind.CHANGE_TIME:
                    cycle = token.time_change // 10
                case TokenKind.CHANGE_SCALAR:
                    changes[cycle, token.scalar_change.id_code] = int(token.scalar_change.value, 2)
                case TokenKind.CHANGE_VECTOR:
                    changes[cycle, token.vector_change.id_code] = int(token.vector_change.value)
    return names, changes, cycle


def _is_of_harness(name: str) -> bool:
    """Not the clock, and not the copy of a signal that Yosys keeps for a port of a submodule."""
    return name not in ("clk", "rst") and not any(character in name for character in "$\\")
