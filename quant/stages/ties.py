"""Which of three steps follows from the other two where a network multiplies two tensors.

The machine shifts the product of two codes, and has no multiplier for it (`quant.quantizers.tied`). The step that
follows is that of the operand made last, if only the product reads it: between its best step and twice that it hardly
loses anything, while a product's own step would lose as much where more depends on it. Otherwise it is that of the
product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import fx

from quant.layers.function import QuantFunction
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.tied import TiedActivation
from quant.stages.stage import Stage
from quant.trace.taps import is_output
from sim.errors import InputError

__all__ = ["Tie", "check_operands", "first_quantizer", "maker_of", "tie_all", "ties"]


@dataclass(frozen=True)
class Tie:
    """A product whose steps belong together.

    Attributes
    ----------
    product : Stage
    operands : (Stage, Stage)
        Whose quantizers made the codes that it multiplies.
    operand : Stage or None
        That of which the step follows; None: that of the product.
    """

    product: Stage
    operands: tuple[Stage, Stage]
    operand: Stage | None

    @property
    def other(self) -> Stage:
        """The operand whose step is free, of two."""
        return self.operands[1] if self.operands[0] is self.operand else self.operands[0]


def ties(found: Sequence[Stage]) -> list[Tie]:
    """Return the products of a network that are stored or looked up, each with the step that follows."""
    by_end = {stage.end: stage for stage in found}
    order = {stage.end: place for place, stage in enumerate(found)}
    made: list[Tie] = []
    for product in found:
        if not product.is_product or (is_output(product.end) and product.function is None):
            continue
        one, other = (maker_of(by_end[cast(fx.Node, node)], by_end) for node in (product.source, product.residual))
        last = max((one, other), key=lambda stage: order[stage.end])
        free = (one is not other and last.kind not in ("input", "cat") and not last.is_product
                and [stage for stage in found if last.end in stage.reads] == [product] and not is_output(last.end))
        made.append(Tie(product, (one, other), last if free else None))
    return made


def maker_of(stage: Stage, by_end: Mapping[fx.Node, Stage]) -> Stage:
    """Return the stage whose quantizer made the codes that a stage stores: max pools and selections keep them."""
    return maker_of(by_end[cast(fx.Node, stage.source)], by_end) if stage.keeps_codes else stage


def first_quantizer(graph: fx.GraphModule, stage: Stage) -> ActivationQuantizer:
    """Return the quantizer of what a stage computes before a function, if there is one, and else of what it stores."""
    if stage.function is not None:
        return cast(QuantFunction, graph.get_submodule(stage.function)).index_quantizer
    return cast(ActivationQuantizer, graph.get_submodule(str(stage.quantizer)))


def tie_all(graph: fx.GraphModule, found: Sequence[Stage]) -> None:
    """Let every `TiedActivation` of a quantized graph follow the quantizers that it must."""
    for tie in ties(found):
        first = first_quantizer(graph, tie.product)
        one, other = (cast(ActivationQuantizer, graph.get_submodule(str(stage.quantizer))) for stage in tie.operands)
        if isinstance(first, TiedActivation):
            first.tie((one, other), ())
        elif tie.operand is not None:
            operand, rest = (one, other) if tie.operands[0] is tie.operand else (other, one)
            if isinstance(operand, TiedActivation):
                operand.tie((first,), (rest,))


def check_operands(graph: fx.GraphModule, found: Sequence[Stage]) -> None:
    """Refuse products of tensors without a code for 0 in a quantized graph.

    Raises
    ------
    InputError
        If an operand is a tensor of 1 signed bit.
    """
    by_end = {stage.end: stage for stage in found}
    for product in found:
        for node in (product.source, product.residual) if product.is_product else ():
            operand = maker_of(by_end[cast(fx.Node, node)], by_end)
            if not cast(ActivationQuantizer, graph.get_submodule(str(operand.quantizer))).has_zero:
                raise InputError(f"'{product.name}' multiplies '{operand.name}', a tensor of 1 signed bit, which has "
                                 "no code for 0; it needs 2 bits or more")
