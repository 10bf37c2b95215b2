"""Names of stages, tensors and quantizers: unique, and the same however often a model is traced."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from itertools import count
from keyword import iskeyword
from unicodedata import normalize

from torch import fx, nn

from quant.quantizers.base import ActivationQuantizer
from sim.io.bounds import name_fault, shown

__all__ = ["free_name", "free_path", "name_of_quantizer", "path_fault", "quantizer_of", "quantizer_path"]

SUFFIX = "_quantizer"

TAKEN = frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph()))) - frozenset(dir(nn.Module()))
"""What a traced model has as attributes of its own."""


def path_fault(path: str) -> str | None:
    """Return what keeps a module at `path` from being part of a traced model, None if nothing does.

    >>> path_fault("block.conv 1"), path_fault("block.class"), path_fault("graph")
    (None, "the name 'class' means something else in Python", "the name 'graph' means something else in torch.fx")
    """
    first, *_ = parts = path.split(".")
    if first in TAKEN:
        return f"the name '{first}' means something else in torch.fx"
    for part in parts:
        if iskeyword(part):
            return f"the name '{part}' means something else in Python"
        if '"' in part or (part.isidentifier() and normalize("NFKC", part) != part):
            return f"the name '{shown(part)}' cannot be written in torch.fx's code"
    fault = name_fault(path)
    return None if fault is None else f"the name '{shown(path)}' {fault}"


def free_name(name: str, taken: Container[str]) -> str:
    """Return `name`, or the first of name_1, name_2, ... that is not taken.

    >>> free_name("add", {"add", "add_1"})
    'add_2'
    """
    return next(found for found in _numbered(name) if found not in taken)


def quantizer_path(model: nn.Module, name: str) -> str:
    """Return a free path for the quantizer of tensor `name`: the model may have a layer where it usually is."""
    return free_path(model, name + SUFFIX)


def free_path(model: nn.Module, path: str) -> str:
    """Return `path`, or the first of path_1, path_2, ... where the model has nothing."""
    return next(found for found in _numbered(path) if _part(model, found) is None)


def name_of_quantizer(path: str) -> str | None:
    """Return the tensor whose quantizer is at `path`, if `quantizer_path` gave that."""
    found = re.fullmatch(rf"(.+){SUFFIX}(_\d+)?", path, re.DOTALL)
    return found.group(1) if found else None


def quantizer_of(model: nn.Module, name: str) -> ActivationQuantizer | None:
    """Return the quantizer of tensor `name`, None if it has none."""
    for path in _numbered(name + SUFFIX):
        part = _part(model, path)
        if part is None or isinstance(part, ActivationQuantizer):
            return part if isinstance(part, ActivationQuantizer) else None
    raise AssertionError("there are names without end")


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(1))


def _part(model: nn.Module, path: str) -> object | None:
    """Return what a model has at `path`, of whatever kind."""
    part: object = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return part
