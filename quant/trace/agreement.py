"""Whether a traced graph computes what its model does: Python's own decisions are taken once, while it is traced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from quant.trace.checks import running_on
from quant.trace.host import host_part
from quant.trace.inputs import Read, each
from quant.trace.taps import Tap
from quant.trace.tracer import is_leaf
from sim.errors import InputError

__all__ = ["UNDECIDED", "check_agreement", "check_repeatable", "keeping_random_states"]

TOLERANCE = 2.0**-12
"""Largest relative difference of outputs: more than the order of sums makes, less than another layer does."""

UNDECIDED = ("forward must not decide by types, modes or a state (isinstance, torch.is_tensor, "
             "torch.is_grad_enabled, torch.autocast, counters)")
"""What such a model has to be told."""

WAYS: dict[str, type[AbstractContextManager[Any]]] = {
    "": torch.no_grad, " with gradients on": torch.enable_grad, " in inference mode": torch.inference_mode}


class _Call(NamedTuple):
    """What a layer put out."""

    path: str
    value: Tensor


def check_repeatable(model: nn.Module, data: Read) -> None:
    """Refuse a model that is random or has a state: no fixed network computes what it does.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    data : float Tensor, shape (n, C, H, W)

    Raises
    ------
    InputError
        If running it draws random numbers, or a second run on the same data gives something else.
    """
    before = _random_states()
    with running_on(data):
        same = _alike(model.forward(*each(data.clone())), model.forward(*each(data.clone())))
    if _random_states() != before:
        raise InputError("the model draws random numbers in eval mode, so that no fixed network computes what it does")
    if not same:
        with running_on(data):
            place = _parting(_calls(model, data), _calls(model, data), "first run", "second")
        raise InputError(f"the model gives something else when it runs again on the same data: {place}; a network "
                         "whose state changes while it runs cannot be quantized")


def check_agreement(model: nn.Module, graph: fx.GraphModule, data: Read) -> None:
    """Refuse a graph that does not compute what the model does, with gradients and without.

    Raises
    ------
    InputError
        With the first layer where they part.
    """
    for way, context in WAYS.items():
        with running_on(data), context():
            found = graph.forward(*each(data.clone()))
            part = host_part(graph)
            if _alike(found if part is None else part(found), model.forward(*each(data.clone()))):
                continue
            place = _parting(_calls(model, data), _calls(graph, data), "model", "graph")
        raise InputError(
            f"the traced graph does not compute what the model does{way}: {place}; {UNDECIDED}")


@contextmanager
def keeping_random_states() -> Iterator[None]:
    """Leave the generators of torch, NumPy and Python as they were found: forward is run, and may draw."""
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def _random_states() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return torch.get_rng_state().numpy().tobytes(), (name, np.asarray(keys).tobytes(), *rest), random.getstate()


def _calls(model: nn.Module, data: Read) -> list[_Call]:
    """Return what every layer put out, in the order of their calls."""
    calls: list[_Call] = []

    def note(path: str, output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append(_Call(path, output.detach().clone()))

    hooks = [module.register_forward_hook(lambda module, args, output, path=path: note(path, output))
             for path, module in model.named_modules() if path and is_leaf(module) and not isinstance(module, Tap)]
    try:
        model.forward(*each(data.clone()))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _parting(one: list[_Call], other: list[_Call], name: str, other_name: str) -> str:
    """Return where two runs part."""
    for a, b in zip_longest(one, other):
        if a is None or b is None or a.path != b.path:
            return f"where the {name} calls {_quoted(a)}, the {other_name} calls {_quoted(b)}"
        if not _alike(a.value, b.value):
            return f"they differ in what {_quoted(a)} puts out"
    return "they differ in the output"


def _quoted(call: _Call | None) -> str:
    return f"'{call.path}'" if call is not None else "nothing"


def _alike(a: Any, b: Any) -> bool:
    """Return whether two models returned the same tensors but for the order of sums."""
    ours, others = ([value for value in tree_leaves(returned) if value is not None] for returned in (a, b))
    return len(ours) == len(others) and all(map(_equal, ours, others))


def _equal(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)):
        return False
    x, y = a.detach()[finite], b.detach()[finite]
    return not len(x) or float((x - y).abs().max()) <= TOLERANCE * float(y.abs().max())
