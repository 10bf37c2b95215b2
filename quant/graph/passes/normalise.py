"""All passes in their order."""

from __future__ import annotations

from collections.abc import Callable

from quant.graph.graph import Graph
from quant.graph.interpret import fold_constants
from quant.graph.passes.adaptive_into_linear import adaptive_into_linear
from quant.graph.passes.choices import choices_to_clips
from quant.graph.passes.constants_to_affine import constants_to_affine
from quant.graph.passes.drop_identities import drop_identities
from quant.graph.passes.einsums import spell_einsums
from quant.graph.passes.fold_affine import fold_affine, merge_affine, norms_to_affine
from quant.graph.passes.functions import (
    divisions_to_products,
    extremes_to_sums,
    join_functions,
    join_functions_of_codes,
    spell_prelus,
)
from quant.graph.passes.gates import recognise_gates, recognise_hard_sigmoids
from quant.graph.passes.matmul_to_linear import matmul_to_linear
from quant.graph.passes.merge import extremes_to_clips, merge_clips, merge_reductions, merge_views
from quant.graph.passes.moved_codes import clips_into_codes, values_before_moves
from quant.graph.passes.pads_into_pools import pads_into_pools
from quant.graph.passes.quantized_constants import quantized_constants
from quant.graph.passes.resizes import spell_resizes
from quant.graph.passes.split_layers import split_layers
from quant.graph.passes.spreads import channelwise_before_spreads, spell_spreads
from quant.graph.passes.stored_codes import (
    affine_into_quantizers,
    drop_repeated_quantizers,
    join_codes,
    quantizers_before_moves,
)
from quant.graph.passes.sums_of_stacks import sums_of_stacks

__all__ = ["PASSES", "QUANTIZED_PASSES", "normalise", "normalise_quantized"]

PASSES: tuple[Callable[[Graph], None], ...] = (
    fold_constants, spell_einsums, spell_resizes, spell_spreads, choices_to_clips, drop_identities, sums_of_stacks,
    constants_to_affine, extremes_to_clips, merge_clips, merge_affine, recognise_hard_sigmoids, recognise_gates,
    spell_prelus, join_functions, divisions_to_products, extremes_to_sums, join_functions, matmul_to_linear,
    norms_to_affine, merge_affine, channelwise_before_spreads, fold_affine, fold_affine, split_layers, merge_reductions,
    pads_into_pools, adaptive_into_linear, merge_views, drop_identities)
"""Each is right by itself; this order finds most."""


QUANTIZED_PASSES: tuple[Callable[[Graph], None], ...] = (
    quantized_constants, fold_constants, spell_resizes, spell_spreads, choices_to_clips, drop_identities,
    extremes_to_clips, merge_clips, clips_into_codes, values_before_moves, join_codes, constants_to_affine,
    spell_prelus, divisions_to_products, join_functions_of_codes, matmul_to_linear, quantizers_before_moves,
    merge_affine, affine_into_quantizers, drop_repeated_quantizers, merge_reductions, pads_into_pools, merge_views,
    drop_identities)
"""For models that another tool has quantized: nothing is folded into weights, whose codes are chosen."""


def normalise(graph: Graph) -> None:
    """Make a graph simpler, in place; its inputs and outputs stay, and what it computes of them."""
    for each in PASSES:
        each(graph)
        graph.drop_unread()


def normalise_quantized(graph: Graph) -> None:
    """Make a graph of a quantized model simpler, in place; its quantizers stand where a machine stores codes."""
    for each in QUANTIZED_PASSES:
        each(graph)
        graph.drop_unread()
