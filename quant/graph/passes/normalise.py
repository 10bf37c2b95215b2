"""All passes in their order."""

from __future__ import annotations

from collections.abc import Callable

from quant.graph.graph import Graph
from quant.graph.interpret import fold_constants
from quant.graph.passes.adaptive_into_linear import adaptive_into_linear
from quant.graph.passes.constants_to_affine import constants_to_affine
from quant.graph.passes.drop_identities import drop_identities
from quant.graph.passes.fold_affine import fold_affine, merge_affine, norms_to_affine
from quant.graph.passes.gates import recognise_gates, recognise_hard_sigmoids
from quant.graph.passes.matmul_to_linear import matmul_to_linear
from quant.graph.passes.merge import extremes_to_clips, merge_clips, merge_reductions, merge_views
from quant.graph.passes.pads_into_pools import pads_into_pools

__all__ = ["PASSES", "normalise"]

PASSES: tuple[Callable[[Graph], None], ...] = (
    fold_constants, drop_identities, constants_to_affine, extremes_to_clips, merge_clips, merge_affine,
    recognise_hard_sigmoids, recognise_gates, matmul_to_linear, norms_to_affine, merge_affine, fold_affine, fold_affine,
    merge_reductions, pads_into_pools, adaptive_into_linear, merge_views, drop_identities)
"""Each is right by itself; this order finds most."""


def normalise(graph: Graph) -> None:
    """Make a graph simpler, in place; its inputs and outputs stay, and what it computes of them."""
    for each in PASSES:
        each(graph)
        graph.drop_unread()
