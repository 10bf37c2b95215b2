"""What one op computes: everything between one stored tensor and the next."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import Literal

from torch import fx

from sim.ir.ops import Pads

__all__ = ["Stage"]

Kind = Literal["input", "conv", "linear", "average", "bilinear", "max", "selection", "copy", "cat"]


@dataclass(frozen=True)
class Stage:
    """What one op computes, or the few that fill a map, the graph's input, or the tensor whose parts several ops write.

    Attributes
    ----------
    kind : {"input", "conv", "linear", "average", "bilinear", "max", "selection", "copy", "cat"}
        `copy` reads a stored tensor again, to add to it or to change its format; `cat` stores what others compute.
    name : str
        Path of the module that computes, or a free name like that of the function; names op and tensor, once.
    compute : fx.Node
        The node that computes.
    end : fx.Node
        The last node; its value is stored.
    source : fx.Node or None
        End of the stage whose tensor is read; None for an input and for `cat`.
    parts : tuple of fx.Node
        Of a `cat`: ends of the stages that write its parts, in order.
    is_part : bool
        Whether its value is stored as a part of a `cat`'s, and so has no quantizer of its own.
    norm : str or None
        Path of the BatchNorm that follows.
    residual : fx.Node or None
        End of the stage whose tensor is added, before the activation, or by which a `copy` is multiplied. It may have
        one value per channel, or one channel.
    residual_sign : int
        -1 if it is subtracted.
    is_product : bool
        Whether the residual multiplies.
    pads : (top, left, bottom, right)
        Zeros that a call by itself puts around what a convolution reads, beside its own [pixels].
    floor, ceiling : float
        Least and largest value that the activation lets through: 0 and 6 for ReLU6, infinite ones without any.
    function : str or None
        Path of the function that is applied to what the activation lets through, before it is stored.
    quantizer : str or None
        Path of the quantizer at the end; one that keeps its source's codes needs none.
    signed : bool
        Whether the stored values can be negative.
    host_factor : float
        What the host multiplies the values of an output by.
    """

    kind: Kind
    name: str
    compute: fx.Node
    end: fx.Node
    source: fx.Node | None = None
    parts: tuple[fx.Node, ...] = ()
    is_part: bool = False
    norm: str | None = None
    residual: fx.Node | None = None
    residual_sign: int = 1
    is_product: bool = False
    pads: Pads = (0, 0, 0, 0)
    floor: float = -inf
    ceiling: float = inf
    function: str | None = None
    quantizer: str | None = None
    signed: bool = True
    host_factor: float = 1.0

    @property
    def keeps_codes(self) -> bool:
        """Whether it stores codes of its source, so that it needs no quantizer."""
        return self.kind in ("max", "selection")

    @property
    def clamps(self) -> bool:
        """Whether an activation follows."""
        return not (isinf(self.floor) and isinf(self.ceiling))

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        """Ends of all stages whose tensors or parts it reads."""
        return tuple(node for node in (self.source, self.residual, *self.parts) if node is not None)
