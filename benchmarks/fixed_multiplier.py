"""What a bit-serial element is held against: a multiplier of fixed width with its accumulator, as plain Amaranth."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FixedMultiplier"]

BITS, ACC_BITS = 8, 32


class FixedMultiplier(wiring.Component):
    """Multiply a signed weight by an unsigned activation and add to an accumulator, in every cycle with `valid`.

    Two stages, as an element has them: the product, then the sum.

    Members
    -------
    w : weight
    a : activation
    valid : they are multiplied
    first : the sum begins anew with their product
    acc : the sum, two cycles later
    """

    def __init__(self) -> None:
        super().__init__({"w": In(signed(BITS)), "a": In(BITS), "valid": In(1), "first": In(1),
                          "acc": Out(signed(ACC_BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = Signal(signed(2 * BITS + 1), reset_less=True)
        acc = Signal(signed(ACC_BITS), reset_less=True)
        add, first = Signal(), Signal(reset_less=True)
        with m.If(self.valid):
            m.d.sync += [
                product.eq(self.w * self.a),
                first.eq(self.first),
            ]
        m.d.sync += add.eq(self.valid)
        with m.If(add):
            m.d.sync += acc.eq(Mux(first, 0, acc) + product)
        m.d.comb += self.acc.eq(acc)
        return m
