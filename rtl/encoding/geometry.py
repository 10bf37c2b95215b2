"""Geometry: the dimensions of a machine's hardware and the layouts of everything it packs into words."""

from __future__ import annotations

from functools import cached_property

from amaranth.hdl import Const, Shape, Value, signed
from amaranth.lib import data

from sim.hardware.dimensions import Dimensions
from sim.hardware.fields import Fields, compute_fields, inward_fields, outward_fields
from sim.mapping.parameter_packet import packet_fields

__all__ = ["Geometry", "exceeds"]


class Geometry(Dimensions):
    """Dimensions of a machine, and the layouts that follow from them: all that a component asks about the machine."""

    @cached_property
    def packet_layout(self) -> data.StructLayout:
        """Layout of a channel's parameters, as `sim.mapping.parameter_packet` packs them."""
        widths = packet_fields(self.machine)
        digits = {operand: data.ArrayLayout(_digit(widths, operand), self.machine.terms)
                  for operand in ("multiplier", "residual")}
        return data.StructLayout({"offset": signed(widths["offset"]), "shift": widths["shift"], **digits})

    @cached_property
    def inward(self) -> data.StructLayout:
        """Layout of an entry of the inward table."""
        return _layout(inward_fields(self))

    @cached_property
    def outward(self) -> data.StructLayout:
        """Layout of an entry of the outward table."""
        return _layout(outward_fields(self))

    @cached_property
    def descriptor(self) -> data.StructLayout:
        """Layout of an entry of the compute table."""
        return _layout(compute_fields(self))


def exceeds(value: Value, most: int) -> Value:
    """Return whether an unsigned value is above a limit, without a comparator where its width keeps the limit."""
    return value > most if most < (1 << len(value)) - 1 else Const(0, 1)


def _layout(fields: Fields) -> data.StructLayout:
    shapes = {name: Shape(field.bits, field.signed) for name, field in fields.items()}
    return data.StructLayout({name: data.ArrayLayout(shapes[name], field.length) if field.length else shapes[name]
                              for name, field in fields.items()})


def _digit(widths: dict[str, int], operand: str) -> data.StructLayout:
    """Return the layout of an operand's digits, which are all alike."""
    parts = ("present", "negative", "exponent")
    return data.StructLayout({part: widths[f"{operand}.0.{part}"] for part in parts})
