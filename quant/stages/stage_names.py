"""Names of stages: each has one, and layers and quantized tensors keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quant.stages.stage import Stage
from quant.trace.naming import free_name, name_of_quantizer

__all__ = ["named"]


def named(found: Sequence[Stage]) -> tuple[Stage, ...]:
    """Name every stage: layers and quantized tensors keep their names, functions and inputs get a free one."""
    names: dict[int, str] = {}
    for place, stage in enumerate(found):
        if stage.quantizer is not None and (name := name_of_quantizer(stage.quantizer)) is not None:
            names[place] = name
        elif stage.compute.op == "call_module" and stage.name == str(stage.compute.target):
            names[place] = stage.name
    taken = set(names.values())
    for place, stage in enumerate(found):
        if place not in names:
            names[place] = free_name(stage.name, taken)
            taken.add(names[place])
    return tuple(replace(stage, name=names[place]) for place, stage in enumerate(found))
