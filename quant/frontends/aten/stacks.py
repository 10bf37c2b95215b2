"""Stacks before the batch that are reduced at once, such as torch.stack(outputs).mean(0), mix no images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from quant.frontends.aten.call import Call, Ref

__all__ = ["after_the_batch"]

REDUCTIONS = ("aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.amin.default")


def after_the_batch(calls: Sequence[Call], outputs: Sequence[str]) -> list[Call]:
    """Return calls that stack and reduce along axis 1 what these stack and reduce along axis 0."""
    found: dict[str, Call] = {}
    for call in calls:
        if call.target == "aten.stack.default" and call.given["dim"] == 0:
            (name,) = call.outputs
            readers = [reader for reader in calls if Ref(name) in _leaves(reader.given.values())]
            if name not in outputs and readers and all(map(_reduces_first, readers)):
                found[name] = replace(call, given={**call.given, "dim": 1})
                found |= {reader.outputs[0]: replace(reader, given={**reader.given, "dim": [1]}) for reader in readers}
    return [found.get(call.outputs[0], call) if call.outputs else call for call in calls]


def _reduces_first(call: Call) -> bool:
    return call.target in REDUCTIONS and call.given["dim"] in ([0], 0) and not call.given["keepdim"]


def _leaves(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value
