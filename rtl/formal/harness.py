"""What harnesses are made of: free inputs, unknown constants, sight of inner signals, and checks outside reset."""

from __future__ import annotations

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.hdl import Assert, Assume, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["CUT", "PROBE", "after_reset", "assume", "check", "constant", "cut", "drive_freely", "free", "past", "probe"]

PROBE = "bitwright_probe"
"""Cell type that stands for an inner signal until the runner has flattened the design."""


CUT = "bitwright_cut"
"""Cell type that stands for an inner signal that is cut off from its driver."""


def after_reset() -> Module:
    """A module whose first cycle, and no other, is one of reset; all registers power up with unknown values."""
    m = Module()
    m.d.comb += Assume(ResetSignal() == Initial())
    return m


def free(m: Module, shape: object, name: str) -> Signal:
    """A signal that may have any value in any cycle."""
    signal = Signal(shape, name=name)
    m.d.comb += Value.cast(signal).eq(AnySeq(len(Value.cast(signal))))
    return signal


def constant(m: Module, shape: object, name: str) -> Signal:
    """A signal that may have any value, the same one in all cycles."""
    signal = Signal(shape, name=name)
    m.d.comb += Value.cast(signal).eq(AnyConst(len(Value.cast(signal))))
    return signal


def drive_freely(m: Module, component: wiring.Component, *driven: str) -> None:
    """Let every input of `component` but those `driven` by the harness have any value in any cycle."""
    for name, member in component.signature.members.items():
        if member.flow is not In or name in driven:
            continue
        ports = [getattr(component, name)]
        for dimension in member.dimensions:
            ports = [port[i] for port in ports for i in range(dimension)]
        for i, port in enumerate(ports):
            m.d.comb += Value.cast(port).eq(free(m, member.shape, f"{name}_{i}" if member.dimensions else name))


def probe(m: Module, path: str, shape: object) -> Signal:
    """An inner signal of the design by its path below the harness: `dut.partial` is `partial` of submodule `dut`."""
    signal = Signal(shape, name=f"probe_{path.replace('.', '_')}")
    m.submodules += Instance(PROBE, p_PATH=path, o_value=Value.cast(signal))
    return signal


def cut(m: Module, path: str, shape: object) -> Signal:
    """An inner signal as `probe`, but cut off from what drives it: it may have any value in any cycle."""
    signal = Signal(shape, name=f"cut_{path.replace('.', '_')}")
    m.submodules += Instance(CUT, p_PATH=path, o_value=Value.cast(signal))
    return signal


def past(m: Module, value: Value, *, cleared: bool = False) -> Signal:
    """`value` of the cycle before; in the first cycle after reset that of the reset cycle, or 0 if `cleared`."""
    register = Signal.like(value, name="past", reset_less=not cleared)
    m.d.sync += register.eq(value)
    return register


def assume(m: Module, condition: Value) -> None:
    """Only cycles with `condition` are looked at."""
    m.d.comb += Assume(condition)


def check(m: Module, condition: Value, claim: str) -> None:
    """Claim `condition` for every cycle that is not one of reset."""
    m.d.comb += Assert(ResetSignal() | condition, claim)
