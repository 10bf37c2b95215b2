"""Operations cut to what is read of them still compute what Amaranth says."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl.verilog.emit import verilog_text
from rtl.verilog.trim_widths import exact_widths

VECTORS = 200
DECIDED = 18
"""Comparisons that no value of three bits changes: 2 with 0, 4 with 7, all 6 with 8 and with 12."""
INPUTS = {"a": signed(5), "b": 3, "c": 8, "d": signed(9)}


def expressions(a: Value, b: Value, c: Value, d: Value) -> list[tuple[int, Value]]:
    """Widths, mostly too small or too large, and what they are to hold."""
    carry = (a + d) + c
    return [
        (4, a + b), (12, a + b), (3, a * d), (20, a * d), (6, c - d), (14, -d), (2, ~d), (9, ~c),
        (3, c >> b), (12, d >> b), (4, d >> b), (6, c << b), (20, d << b), (4, c.word_select(b[:1], 4)),
        (3, c.bit_select(b, 3)), (5, Mux(b[0], a, c)), (12, Mux(b[1], d, c)), (1, a < c), (1, d >= b), (1, c == 300),
        (1, a != b), (4, (a & d) | c), (12, a ^ d), (3, carry + b), (1, carry.bool()), (2, Cat(a + b, c)),
        (7, (a + b) << 2), (5, ((a - b) + 1) * 3),
        *((1, comparison) for k in (0, 3, 7, 8, 12) for comparison in (b < k, b <= k, b > k, b >= k, k < b, k >= b)),
    ]


WIDTHS = [width for width, _ in expressions(Const(0, 5), Const(0, 3), Const(0, 8), Const(0, 9))]


class Mixed(wiring.Component):
    """All expressions side by side."""

    def __init__(self) -> None:
        super().__init__({name: In(shape) for name, shape in INPUTS.items()}
                         | {f"o{i}": Out(width) for i, width in enumerate(WIDTHS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for i, (_, expression) in enumerate(expressions(self.a, self.b, self.c, self.d)):
            m.d.comb += getattr(self, f"o{i}").eq(expression)
        return m


@pytest.fixture(scope="module")
def vectors() -> list[tuple[int, ...]]:
    rng = random.Random(1)
    return [tuple(rng.getrandbits(bits) for bits in (5, 3, 8, 9)) for _ in range(VECTORS)]


def by_amaranth(vectors: list[tuple[int, ...]]) -> list[list[str]]:
    """Outputs of each vector, binary."""
    mixed, found = Mixed(), []

    async def bench(ctx):
        for vector in vectors:
            for name, value in zip(INPUTS, vector, strict=True):
                ctx.set(getattr(mixed, name).as_unsigned(), value)
            await ctx.delay(1e-6)
            found.append([f"{ctx.get(getattr(mixed, f'o{i}')):0{width}b}" for i, width in enumerate(WIDTHS)])

    simulator = Simulator(mixed)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def by_icarus(text: str, vectors: list[tuple[int, ...]], folder: Path) -> list[list[str]]:
    """The same from the Verilog."""
    outputs = range(len(WIDTHS))
    lines = [f"reg [{bits - 1}:0] {name};" for name, bits in zip(INPUTS, (5, 3, 8, 9), strict=True)]
    lines += [f"wire [{width - 1}:0] o{i};" for i, width in enumerate(WIDTHS)]
    ports = ", ".join(f".{name}({name})" for name in (*INPUTS, *(f"o{i}" for i in outputs)))
    shown = f'$display("{" ".join(["%b"] * len(WIDTHS))}", {", ".join(f"o{i}" for i in outputs)});'
    steps = ["".join(f"{name} = {value}; " for name, value in zip(INPUTS, vector, strict=True)) + f"#1 {shown}"
             for vector in vectors]
    bench = "module bench;", *lines, f"unit dut({ports});", "initial begin", *steps, "end", "endmodule", ""
    (folder / "bench.sv").write_text(text + "\n".join(bench))
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", "bench.sv"], cwd=folder, check=True)
    out = subprocess.run(["vvp", "bench.vvp"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return [line.split() for line in out.splitlines()]


def test_widths_change_no_value(vectors, tmp_path):
    """Sums, products, shifts, selections and comparisons of mixed signs and widths, by two simulators."""
    assert by_icarus(verilog_text(Mixed(), "unit"), vectors, tmp_path) == by_amaranth(vectors)


def test_operations_are_as_wide_as_what_is_read():
    """A sum of which three bits are read has three bits, and so have its operands."""
    text = exact_widths(rtlil.convert(Mixed(), name="unit", emit_src=False))
    for body in re.findall(r"cell \$(?:add|sub|mul|xor) .*?\n(.*?)  end\n", text, re.S):
        assert len(set(re.findall(r"_WIDTH (\d+)", body))) == 1, body
    three = re.search(r"cell \$mul .*?Y_WIDTH 3\n", text, re.S)
    assert three is not None


def test_comparisons_that_are_decided_vanish():
    """A signal of three bits is always at least 0 and at most 7: linters ask why one should compare."""
    text = exact_widths(rtlil.convert(Mixed(), name="unit", emit_src=False))
    assert not re.search(r"cell \$(?:ge|lt) .*\n(?:    .*\n)*?    connect \\B (\d+'0+|\{ +\d+'0+ +\})\n", text)
    assert not re.search(r"cell \$(?:le|gt) .*\n(?:    .*\n)*?    connect \\B 3'111\n", text)
    assert len(re.findall(r"^  connect (?:\$\d+|\\o\d+) 1'[01]$", text, re.M)) == DECIDED


def test_what_nobody_reads_is_dropped():
    """An operation whose result only feeds another one that is not read vanishes with it, and its wire too."""
    text = """\
module \\m
  wire width 4 input 0 \\a
  wire width 5 $1
  wire width 6 $2
  cell $add $3
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 4
    parameter \\B_WIDTH 4
    parameter \\Y_WIDTH 5
    connect \\A \\a [3:0]
    connect \\B \\a [3:0]
    connect \\Y $1
  end
  cell $neg $4
    parameter \\A_SIGNED 0
    parameter \\A_WIDTH 5
    parameter \\Y_WIDTH 6
    connect \\A $1 [4:0]
    connect \\Y $2
  end
end
"""
    assert exact_widths(text) == "module \\m\n  wire width 4 input 0 \\a\nend\n"
