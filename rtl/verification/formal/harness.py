"""What harnesses are made of: free inputs, unknown constants, sight of inner signals, and checks outside reset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.hdl import Assert, Assume, Const, Elaboratable, Instance, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["CUT", "PROBE", "Harness", "after_reset", "assume", "check", "constant", "cut", "drive_freely", "follows",
           "free", "largest", "odometer", "past", "place", "probe", "reach"]

PROBE = "bitwright_probe"
"""Cell type that stands for an inner signal until the runner has flattened the design."""


CUT = "bitwright_cut"
"""Cell type that stands for an inner signal that is cut off from its driver."""


class Harness(Elaboratable):
    """A module of components, and of what is assumed and claimed of them.

    Attributes
    ----------
    upper_ends : dict of str to (Value, int)
        Quantities that the proof is to see at their largest legal values, all of them in one cycle.
    later : Signal
        Low in the first cycle after reset, in which nothing has followed anything yet.
    """

    def __init__(self) -> None:
        m = Module()
        self.d, self.submodules = m.d, m.submodules
        self.If, self.Elif, self.Else, self.Switch, self.Case = m.If, m.Elif, m.Else, m.Switch, m.Case
        self.upper_ends: dict[str, tuple[Value, int]] = {}
        self.later = Signal(name="later")
        self.d.sync += self.later.eq(1)
        self._module = m

    def elaborate(self, platform: object) -> Module:
        return self._module


def after_reset() -> Harness:
    """Return a harness whose first cycle is one of reset, and no other; all registers power up with unknown values."""
    m = Harness()
    m.d.comb += Assume(ResetSignal() == Initial())
    return m


def free(m: Harness, shape: object, name: str) -> Signal:
    """Return a signal that may have any value in any cycle."""
    signal = Signal(shape, name=name)
    m.d.comb += Value.cast(signal).eq(AnySeq(len(Value.cast(signal))))
    return signal


def constant(m: Harness, shape: object, name: str) -> Signal:
    """Return a signal that may have any value, the same one in all cycles."""
    signal = Signal(shape, name=name)
    m.d.comb += Value.cast(signal).eq(AnyConst(len(Value.cast(signal))))
    return signal


def drive_freely(m: Harness, component: wiring.Component, *driven: str) -> None:
    """Let every input of `component` but those `driven` by the harness have any value in any cycle.

    Parameters
    ----------
    m : Harness
    component : Component
    *driven : str
        Ports, or members of an interface as `bank.data`.
    """
    for path, member, port in component.signature.flatten(component):
        if member.flow is In and ".".join(part for part in path if isinstance(part, str)) not in driven:
            m.d.comb += Value.cast(port).eq(free(m, member.shape, "_".join(map(str, path))))


def place(m: Harness, dut: wiring.Component, *driven: str) -> None:
    """Put the component `dut` into the harness; all inputs but those that the harness drives are free."""
    m.submodules.dut = dut
    drive_freely(m, dut, *driven)


def probe(m: Harness, path: str, shape: object) -> Signal:
    """Return an inner signal of the design by its path: `dut.partial` is `partial` of submodule `dut`."""
    signal = Signal(shape, name=f"probe_{path.replace('.', '_')}")
    m.submodules += Instance(PROBE, p_PATH=path, o_value=Value.cast(signal))
    return signal


def cut(m: Harness, path: str, shape: object) -> Signal:
    """Return an inner signal as `probe` does, cut off from what drives it: it may have any value in any cycle."""
    signal = Signal(shape, name=f"cut_{path.replace('.', '_')}")
    m.submodules += Instance(CUT, p_PATH=path, o_value=Value.cast(signal))
    return signal


def past(m: Harness, value: Value, *, cleared: bool = False) -> Signal:
    """`value` of the cycle before; in the first cycle after reset that of the reset cycle, or 0 if `cleared`."""
    register = Signal.like(value, name="past", reset_less=not cleared)
    m.d.sync += register.eq(value)
    return register


def assume(m: Harness, condition: Value) -> None:
    """Consider only cycles with `condition`."""
    m.d.comb += Assume(condition)


def check(m: Harness, condition: Value, claim: str) -> None:
    """Claim `condition` for every cycle that is not one of reset."""
    m.d.comb += Assert(ResetSignal() | condition, claim)


def largest(bits: int) -> int:
    """Return the largest number of so many bits."""
    return (1 << bits) - 1


def reach(m: Harness, ends: Mapping[str, tuple[Value, int]]) -> None:
    """Name quantities and their largest legal values: the proof is about these, too."""
    m.upper_ends |= ends


def follows(m: Harness, register: Value, expected: Value, claim: str) -> None:
    """Claim that `register` holds, modulo its width, what `expected` was in the cycle before."""
    held = Signal(len(register), name="expected")
    m.d.sync += held.eq(expected)
    check(m, ~m.later | (register == held), claim)


def odometer(m: Harness, carry: Value, loops: Iterable[tuple[str, Value, Value | None]], cleared: Value) -> Value:
    """Claim that counters run like nested loops, innermost first, from any state on; what the outermost one carries.

    Each is (name, counter, its last value); without a last value it runs on until `cleared`.
    """
    for name, index, last in loops:
        ends = Const(0, 1) if last is None else index == last
        follows(m, index, Mux(cleared, 0, Mux(carry, Mux(ends, 0, index + 1), index)), f"{name} counts")
        carry = carry & ends
    return carry
