"""All proofs, in the order of the data's way through the machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rtl.formal import pe, requantizer
from rtl.formal.proof import Fault, Proof
from sim.formats import Rounding
from sim.machine import Machine, load_machine

__all__ = ["PROOFS"]

TINY, EDGE = load_machine("tiny"), load_machine("edge")


def narrow(bits_w: int, bits_a: int) -> Machine:
    """A single element of four lanes for codes of few bits."""
    return Machine(**TINY.model_dump() | {
        "name": "narrow", "rows": 1, "columns": 1, "lanes": 4, "requantizers": 1, "stream_bits": 4, "acc_depth": 1,
        "max_bits_w": bits_w, "max_bits_a": bits_a})


def requantizer_proofs(machine: Machine) -> Iterator[Proof]:
    """The requantizer of `machine`, in full width."""
    sizes = f"{machine.name}: {machine.acc_bits} + {machine.window} + 2 bits, {machine.terms} + {machine.terms} digits"
    nightly = machine is not TINY
    for name, harness, faults in (("terms", requantizer.terms, TERM_FAULTS),
                                  ("products", requantizer.products, PRODUCT_FAULTS),
                                  ("sums", requantizer.sums, SUM_FAULTS)):
        yield Proof(f"requantizer, {name}, {machine.name}", sizes, partial(harness, machine), 1, faults, induction=True,
                    nightly=nightly)
    for rounding in machine.roundings:
        yield Proof(f"requantizer, codes, {rounding}, {machine.name}", sizes,
                    partial(requantizer.codes, machine, rounding), 3, CODE_FAULTS[rounding], nightly=nightly)


ELEMENT_FAULTS = (
    Fault("pe", "m.d.comb += total.eq(level[i] + level[i + 1])", "m.d.comb += total.eq(level[i] | level[i + 1])"),
    Fault("pe", "Mux(self.negative, base - ones, base + ones)", "base + ones"),
    Fault("pe", "Mux(self.fresh, 0, old)", "old"),
)
PLANE_FAULTS = (
    Fault("pe", "Mux(self.double, partial << 1, partial)", "partial"),
    Fault("pairs", "(w == 0) & (a == 0)", "(w == 0) & (a <= 1)"),
    Fault("pairs", "(d.signed_w & (w == d.bits_w)) ^", "(d.signed_w & (w == d.bits_w)) |"),
    Fault("pairs", "with m.If((w == 0) | (a == d.bits_a))", "with m.If(w == 0)"),
)
WIDTH_FAULT = Fault("geometry", "return max(signed_bits, most.bit_length() + 1)", "return signed_bits")

SUM_FAULTS = (
    Fault("requantizer", "summed, complete = Signal(wide),", "summed, complete = Signal(signed(wide.width - 1)),"),
    Fault("requantizer", "Mux(term.negative, before - shifted, before + shifted)", "before + shifted"),
    Fault("requantizer", "Mux(term.first, term.start, total)", "total"),
)
PRODUCT_FAULTS = (
    Fault("requantizer", "(self.acc << 1) - self.reference", "self.acc << 1"),
    Fault("requantizer", "Mux(term.present, operand << term.exponent, 0)", "operand << term.exponent"),
    Fault("requantizer", "Mux(term.residual, self.residual, acc)", "acc"),
)
TERM_FAULTS = (
    Fault("requantizer", "(1 << packet.shift) >> 1", "1 << packet.shift"),
    Fault("requantizer", "term.negative.eq(digit.negative)", "term.negative.eq(digit.present)"),
)
CODE_FAULTS: dict[Rounding, tuple[Fault, ...]] = {
    "half_up": (Fault("requantizer", "Mux(moved < self.low, self.low, ", "Mux(0, self.low, "),
                Fault("requantizer", "moved.eq(rounded + self.zero_out)", "moved.eq(rounded)")),
    "half_even": (Fault("requantizer", "(dropped == (unit >> 1)) & floor[0]", "(dropped == (unit >> 1))"),
                  Fault("requantizer", "dropped > (unit >> 1)", "dropped >= (unit >> 1)"),
                  Fault("requantizer", "& (shift != 0)", "")),
    "floor": (Fault("requantizer", "(self.rounding == HALF_EVEN) & (shift != 0)", "(shift != 0)"),),
}

PROOFS = (
    Proof("element, each stage", "tiny: 8 lanes", lambda: pe.stages(TINY), 1, ELEMENT_FAULTS, induction=True),
    Proof("element, each stage, full size", "edge: 64 lanes", lambda: pe.stages(EDGE), 1, ELEMENT_FAULTS[:1],
          induction=True, nightly=True),
    Proof("element, planes", "tiny: 8 lanes, 8 x 8 bits", lambda: pe.weighted_sum(TINY), 4, PLANE_FAULTS,
          induction=True),
    Proof("element, planes, full size", "edge: 64 lanes, 8 x 8 bits", lambda: pe.weighted_sum(EDGE), 4,
          PLANE_FAULTS[:1], induction=True, nightly=True),
    Proof("element, products", "1 lane, 1..4 x 1..4 bits", lambda: pe.products(narrow(4, 4), 1), 23, PLANE_FAULTS[:2]),
    Proof("element, sums of products", "2 lanes, 1..2 x 1..2 bits", lambda: pe.products(narrow(2, 2), 2), 11,
          PLANE_FAULTS[:1]),
    Proof("element, sums of products, larger", "4 lanes, 1..2 x 1..2 bits", lambda: pe.products(narrow(2, 2), 4), 11,
          (WIDTH_FAULT,), nightly=True),
    Proof("element, wider sums of products", "2 lanes, 1..3 x 1..3 bits", lambda: pe.products(narrow(3, 3), 2), 16,
          PLANE_FAULTS[1:2], nightly=True),
    *(proof for machine in (TINY, EDGE) for proof in requantizer_proofs(machine)),
)
