"""Networks at bits that are given: their Programs, and what sensitivities expect them to lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from bitwright.codesign.sensitivities import Losses
from quant.bits.budgets import stored_input
from quant.bits.moves import has_fixed_weights, keeps_codes
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.ops import Conv
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes

__all__ = ["BitPlaces", "loss_of"]

UNIFORM = ChosenBits(weights=8, activations=8, digits=1)
"""Widths that are replaced."""


def loss_of(program: Program, losses: Losses) -> float:
    """Return the loss that is expected at the widths of a Program: of all weights, and of each tensor once [nats].

    Raises
    ------
    InputError
        If a layer, a tensor or a width has no loss.
    """
    inputs, found = {tensor.name for tensor in program.inputs}, list[float]()
    for conv in program.convs:
        if not has_fixed_weights(conv):
            found.append(_loss(losses.weight, losses.bits, conv.name, "weights of layer", conv.weight_format.bits))
    for name in sorted({stored_input(program, conv) for conv in program.convs} - inputs):
        found.append(_loss(losses.activation, losses.bits, name, "tensor", program.tensor(name).format.bits))
    return fsum(found)


def _loss(losses: Mapping[str, list[float]], widths: tuple[int, ...], name: str, what: str, bits: int) -> float:
    if name not in losses:
        raise InputError(f"sensitivities have no losses of the {what} '{name}'")
    if bits not in widths or len(losses[name]) != len(widths):
        raise InputError(f"sensitivities have no loss of the {what} '{name}' at {bits} bits, but at "
                         f"{', '.join(map(str, widths))}")
    return losses[name][widths.index(bits)]


@dataclass(frozen=True)
class BitPlaces:
    """Where the bits of layers stand in the shapes of a network.

    Attributes
    ----------
    reads : dict of str to str
        The stored tensor that each Conv reads.
    widths : dict of str to str
        For each tensor whose width is a choice, the stored tensor that it is the width of.
    """

    reads: dict[str, str]
    widths: dict[str, str]

    @classmethod
    def of(cls, shapes: Shapes) -> BitPlaces:
        """Find the places in a network."""
        program = shapes.program(UNIFORM)
        reads = {conv.name: stored_input(program, conv) for conv in program.convs}
        widths = {name: name for name in reads.values()}
        for op in program.ops:
            if isinstance(op, Conv) and op.input in widths and keeps_codes(program, op):
                widths.setdefault(op.output, widths[op.input])
        return cls(reads, widths)

    def program(self, shapes: Shapes, bits: Mapping[str, Sequence[int]], arithmetic: Arithmetic,
                digits: int) -> Program:
        """Return the Program of a network at the bits of every layer.

        Parameters
        ----------
        shapes : Shapes
            Of the same network.
        bits : mapping of Conv to (int, int), each 1..8
            Of its weights and of the tensor that it reads, as an allocation has them.
        arithmetic : Arithmetic
        digits : int, 1..8
            Of every multiplier.
        """
        chosen = {self.reads[name]: pair[1] for name, pair in bits.items()}
        layers = []
        for layer in shapes.layers:
            given: dict[str, int] = {}
            if not layer.pool:
                if layer.weights not in ("unit", "ones"):
                    given["weights"] = bits[layer.name][0]
                if (output := layer.output or layer.name) in self.widths:
                    given["bits"] = chosen[self.widths[output]]
            layers.append(layer.model_copy(update=given))
        uniform = UNIFORM.model_copy(update={"digits": digits})
        return shapes.model_copy(update={"layers": tuple(layers)}).program(uniform, arithmetic)
