"""The processing element: steps of each stage, sums of plane pairs by induction, and products at small sizes."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, Value, signed

from rtl.core.datapath.pe import ProcessingElement
from rtl.core.datapath.plane_sequencer import PlaneSequencer
from rtl.encoding.geometry import Geometry
from rtl.verification.formal.harness import (
    Harness,
    after_reset,
    assume,
    check,
    constant,
    drive_freely,
    past,
    probe,
    reach,
)
from sim.arch.machine import Machine

__all__ = ["products", "stages", "weighted_sum"]


def stages(machine: Machine) -> Harness:
    """One step of each stage: population count, partial sum, accumulator, as the contract of `ProcessingElement` says.

    Inputs, registers and words read from the accumulator banks are arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    m.submodules.dut = dut = ProcessingElement(geometry)
    drive_freely(m, dut)
    ones = probe(m, "dut.ones", range(geometry.lanes + 1))
    partial = probe(m, "dut.partial", signed(geometry.partial_bits))
    expected = Signal(range(geometry.lanes + 1), name="ones_expected")
    m.d.comb += expected.eq(Mux(past(m, dut.count), sum(past(m, dut.w & dut.a)), past(m, ones)))
    check(m, ones == expected, "the count is that of the ones of w & a, or stays")
    base = Mux(past(m, dut.first), 0, past(m, partial).as_signed() << past(m, dut.double))
    after = Signal.like(partial, name="partial_expected")
    m.d.comb += after.eq(Mux(past(m, dut.negative), base - past(m, ones), base + past(m, ones)))
    check(m, partial == Mux(past(m, dut.add), after, past(m, partial)), "the partial sum takes the count, or stays")
    for bank in range(2):
        written, word, address = (probe(m, f"dut.bank_{bank}.{name}", shape) for name, shape in (
            ("wen", 1), ("wdata", machine.acc_bits), ("waddr", len(dut.address))))
        old = probe(m, f"dut.bank_{bank}.rdata", signed(machine.acc_bits))
        total = Signal(machine.acc_bits, name=f"total_{bank}")
        addend = Mux(dut.direct, dut.sum, partial) if geometry.depthwise_lanes else partial
        m.d.comb += total.eq(Mux(dut.fresh, 0, old).as_signed() + addend)
        check(m, written == (dut.accumulate & (dut.bank == bank)), f"bank {bank} is written when it is accumulated in")
        check(m, ~written | ((word == total) & (address == dut.address)), f"bank {bank} takes its word plus the sum")
    return m


def weighted_sum(machine: Machine) -> Harness:
    """Every pair of planes is added once, and with the weight 2**(i + j) of its planes i and j.

    With s the significance of the pair added last, `partial * 2**s` is the sum of all counts so far times +-2**(i + j).
    The sum is kept in a register wide enough for it; the equality is one of integers modulo 2**(partial_bits + s), so
    that it holds for any number of lanes. After the last pair s = 0. Descriptor, launches and planes are arbitrary.
    """
    m, geometry = after_reset(), Geometry(machine)
    pairs = _pairs(m, geometry)
    _check_order(m, pairs)
    m.submodules.dut = dut = ProcessingElement(geometry)
    drive_freely(m, dut, "add", "first", "double", "negative")
    m.d.comb += [dut.add.eq(pairs.add.valid), dut.first.eq(pairs.add.first), dut.double.eq(pairs.add.double),
                 dut.negative.eq(pairs.add.negative)]
    ones = probe(m, "dut.ones", range(geometry.lanes + 1))
    partial = probe(m, "dut.partial", signed(geometry.partial_bits))
    significance = past(m, past(m, pairs.w_plane + pairs.a_plane))
    total = Signal(geometry.partial_bits + 14, reset_less=True)
    change, scaled, beyond = Signal.like(total), Signal.like(total), Signal.like(total)
    m.d.comb += [change.eq(ones << significance), scaled.eq(partial.as_unsigned() << past(m, significance)),
                 beyond.eq(((1 << 14) - 1) << (geometry.partial_bits + past(m, significance)))]
    with m.If(pairs.add.valid):
        before = Mux(pairs.add.first, 0, total)
        m.d.sync += total.eq(Mux(pairs.add.negative, before - change, before + change))
    added = past(m, pairs.add.valid, cleared=True)
    d, most = pairs.descriptor, (machine.max_bits_w - 1, machine.max_bits_a - 1)
    reach(m, {"PlaneSequencer.w_plane": (pairs.w_plane, most[0]), "PlaneSequencer.a_plane": (pairs.a_plane, most[1]),
              "compute.bits_w": (d.bits_w, most[0])})
    check(m, ~added | ((total | beyond) == (scaled | beyond)), "the partial sum is that of the pairs so far")
    return m


def products(machine: Machine, used: int) -> Harness:
    """A step's partial sum is the dot product of its codes, for all codes of all widths and kinds of the machine.

    The step is launched in the first cycle after reset. Lanes from `used` on carry zeros.
    """
    m, geometry = after_reset(), Geometry(machine)
    pairs = _pairs(m, geometry, "launch")
    launched = Signal()
    m.d.sync += launched.eq(1)
    m.d.comb += pairs.launch.eq(~launched)
    m.submodules.dut = dut = ProcessingElement(geometry)
    drive_freely(m, dut, "w", "a", "count", "add", "first", "double", "negative")
    d = pairs.descriptor
    product = Signal(signed(geometry.partial_bits + 8))
    weights, activations = ([constant(m, 8, f"{name}_{lane}") for lane in range(used)] for name in "wa")
    m.d.comb += product.eq(sum(
        _code(m, w, d.bits_w, d.signed_w) * _code(m, a, d.bits_a, d.signed_a)
        for w, a in zip(weights, activations, strict=True)))
    m.d.sync += [dut.w.eq(Cat(w.bit_select(pairs.w_plane, 1) for w in weights)),
                 dut.a.eq(Cat(a.bit_select(pairs.a_plane, 1) for a in activations))]
    m.d.comb += [dut.count.eq(pairs.count.valid), dut.add.eq(pairs.add.valid), dut.first.eq(pairs.add.first),
                 dut.double.eq(pairs.add.double), dut.negative.eq(pairs.add.negative)]
    partial = probe(m, "dut.partial", signed(geometry.partial_bits))
    done = pairs.accumulate.valid & pairs.accumulate.last
    check(m, ~done | (partial == product), "the partial sum is the dot product")
    return m


def _code(m: Harness, planes: Value, top: Value, is_signed: Value) -> Signal:
    """Return the number that planes 0..`top` stand for; planes above are ignored."""
    code = Signal(signed(9), name=f"{planes.name}_code")
    with m.Switch(top):
        for bits in range(1, 9):
            with m.Case(bits - 1):
                m.d.comb += code.eq(Mux(is_signed, planes[:bits].as_signed(), planes[:bits]))
    return code


def _pairs(m: Harness, geometry: Geometry, *driven: str) -> PlaneSequencer:
    """Place a plane sequencer under any descriptor; no launch reaches it before the last pair of the step before."""
    machine = geometry.machine
    m.submodules.pairs = pairs = PlaneSequencer(geometry)
    drive_freely(m, pairs, "descriptor", *driven)
    for name, width in (("bits_w", 3), ("bits_a", 3), ("signed_w", 1), ("signed_a", 1)):
        m.d.comb += pairs.descriptor[name].eq(constant(m, width, name))
    d, select = pairs.descriptor, pairs.select
    assume(m, (d.bits_w < machine.max_bits_w) & (d.bits_a < machine.max_bits_a))
    assume(m, ~probe(m, "pairs.launch_2", 1) | ~select.valid | select.last)
    return pairs


def _check_order(m: Harness, pairs: PlaneSequencer) -> None:
    """Before pair (i, j) come exactly those of a higher sum of planes, and those of the same sum and a higher i."""
    d, select, i, j = pairs.descriptor, pairs.select, pairs.w_plane, pairs.a_plane
    taken = Signal(64, reset_less=True)
    earlier, this, every = Signal(64), Signal(64), Signal(64)
    m.d.comb += this.eq(1 << Cat(j, i))
    for w in range(8):
        for a in range(8):
            exists = (w <= d.bits_w) & (a <= d.bits_a)
            m.d.comb += [every[8 * w + a].eq(exists),
                         earlier[8 * w + a].eq(exists & ((w + a > i + j) | ((w + a == i + j) & (w > i))))]
    with m.If(select.valid):
        m.d.sync += taken.eq(Mux(select.first, 0, taken) | this)
    continues = past(m, select.valid & ~select.last, cleared=True)
    check(m, ~select.valid | ((i <= d.bits_w) & (j <= d.bits_a)), "planes exist")
    check(m, ~select.valid | (Mux(select.first, 0, taken) == earlier), "pairs come in order, each once")
    check(m, ~select.valid | (select.last == ((earlier | this) == every)), "the last pair is the last one missing")
    check(m, ~select.valid | (select.last == (i + j == 0)), "the last pair has significance 0")
    check(m, continues == (select.valid & ~select.first), "pairs follow one another")
    check(m, ~continues | (i + j + select.double == past(m, i + j)), "`double` tells a drop of the significance by one")
    check(m, select.negative == ((d.signed_w & (i == d.bits_w)) ^ (d.signed_a & (j == d.bits_a))),
          "a pair is subtracted when exactly one of its planes is a sign plane")
