"""Some layers of a Program as a Program of their own, to look at or to verify them apart from the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.errors import InputError
from sim.io.bounds import listed, shown
from sim.ir.ops import Conv, Layer, Tensor
from sim.ir.program import Program

__all__ = ["cut"]


def cut(program: Program, first: str | None = None, last: str | None = None) -> Program:
    """Return the layers from one op to another, both included, as a Program.

    Its inputs are the tensors that these layers read and that others write, whole, under their names. Of a tensor that
    they write in part and do not read, it has only these parts.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    first, last : str, optional
        Names of ops; the first and the last of the Program if None.

    Raises
    ------
    InputError
        If there is no such op, the last comes before the first, the Program has Loads or Stores, a layer reads a
        tensor of which the others have written a part, or other layers write pixels of the same part: then the message
        names the ops to begin or to end with.

    Examples
    --------
    >>> import numpy as np
    >>> from sim.ir.formats import Format
    >>> from sim.ir.ops import Pool
    >>> tensors = tuple(Tensor(name, 1, 1, (1,), Format(8, "unsigned")) for name in "abcd")
    >>> pools = tuple(Pool(f"pool {x}", x, y, kernel=(1, 1)) for x, y in ("ab", "bc", "cd"))
    >>> middle = cut(Program(tensors, pools), "pool b", "pool b")
    >>> [tensor.name for tensor in (*middle.inputs, *middle.outputs)]
    ['b', 'c']
    """
    layers = _between(program, first, last)
    written: dict[str, set[int]] = {}
    for layer in layers:
        parts = layer.written_parts(program.tensor(layer.output))
        _check_pixels(program, layers, layer, parts)
        written.setdefault(layer.output, set()).update(parts)
    for layer in layers:
        for name in layer.reads:
            _check_whole(program, layers, layer, name, written)
    used = {name for layer in layers for name in (*layer.reads, layer.output)}
    tensors = tuple(_of_parts(tensor, sorted(written.get(tensor.name, range(len(tensor.parts)))))
                    for tensor in program.tensors if tensor.name in used)
    return Program(tensors, tuple(_renumbered(layer, sorted(written[layer.output])) for layer in layers),
                   program.arithmetic)


def _between(program: Program, first: str | None, last: str | None) -> list[Layer]:
    """Return the ops from one to another, all of which compute."""
    names = [op.name for op in program.ops]
    for name in (first, last):
        if name is not None and name not in names:
            raise InputError(f"no op named '{shown(name)}'; there are {listed(names)}")
    start = 0 if first is None else names.index(first)
    stop = len(names) if last is None else names.index(last) + 1
    if stop <= start:
        raise InputError(f"the last op, '{last}', must not come before the first, '{first}'" if names else
                         "a Program without ops has no layers to cut out")
    for op in program.ops:
        if not isinstance(op, Layer):
            raise InputError(f"only a Program without Loads and Stores can be cut, and '{op.name}' is a {op.kind}")
    return [op for op in program.ops[start:stop] if isinstance(op, Layer)]


def _check_whole(program: Program, layers: Sequence[Layer], layer: Layer, name: str,
                 written: dict[str, set[int]]) -> None:
    """Refuse a tensor that a layer reads if only some of its parts are written between the cuts."""
    parts = len(program.tensor(name).parts)
    if name in written and len(written[name]) < parts:
        begin = next(op.name for op in program.ops if op.writes == name)
        raise InputError(f"op '{layer.name}' reads '{name}', of which the ops from '{layers[0].name}' on write "
                         f"{len(written[name])} of {parts} parts; begin with '{begin}'")


def _check_pixels(program: Program, layers: Sequence[Layer], layer: Layer, parts: Sequence[int]) -> None:
    """Refuse a layer that writes some pixels of a part if others write the rest of it."""
    target = program.tensor(layer.output)
    sharing = [op for op in program.ops if isinstance(op, Layer) and op.output == layer.output
               and {*op.written_parts(target)} & {*parts}]
    if any(op not in layers for op in sharing):
        raise InputError(f"{len(sharing)} ops write pixels of '{target.name}' between them; take all from "
                         f"'{sharing[0].name}' to '{sharing[-1].name}'")


def _of_parts(tensor: Tensor, parts: Sequence[int]) -> Tensor:
    return replace(tensor, parts=tuple(tensor.parts[part] for part in parts))


def _renumbered(layer: Layer, parts: Sequence[int]) -> Layer:
    """Return a layer that writes the same part where only some parts are left."""
    return replace(layer, output_part=parts.index(layer.output_part)) if isinstance(layer, Conv) else layer
