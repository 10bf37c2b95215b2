"""Networks in files of other tools: ONNX models, and what torch.export has saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import fx

from quant.emit.emit import emit
from quant.frontends.aten.pt2 import load_pt2
from quant.frontends.onnx.convert import read_onnx
from quant.graph.graph import Graph
from quant.graph.passes.channels_first_inputs import channels_first_inputs
from quant.graph.passes.normalise import normalise
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["Sizes", "is_model_file", "load_model", "read_graph"]

ONNX, EXPORTED = ".onnx", ".pt2"

Sizes = Mapping[str, Sequence[int]] | Sequence[int]
"""Shapes of one image, by input or of the only one."""


def is_model_file(text: str) -> bool:
    """Return whether a name is that of an ONNX file or of one that torch.export has saved.

    >>> is_model_file("nets/mine.onnx"), is_model_file("mine.pt2"), is_model_file("mine.py:make")
    (True, True, False)
    """
    return Path(text).suffix.lower() in (ONNX, EXPORTED)


def load_model(path: str | Path, sizes: Sizes | None = None) -> fx.GraphModule:
    """Read a float network from an ONNX file, *.onnx, or one that `torch.export.save` has written, *.pt2.

    Parameters
    ----------
    path : str or Path
    sizes : mapping of str to sequence of int, or sequence of int, optional
        Shape of one image, channels first, such as (3, 224, 224), by input where there are several. An ONNX model may
        leave it open; where the file says it, it must be the same.

    Returns
    -------
    fx.GraphModule
        In eval mode; of the layers that `quantize` takes, with what the file spells otherwise simplified and BatchNorms
        folded where they can be. It reads images with their channels first, also where the file has them last.

    Raises
    ------
    InputError
        If the file cannot be read, images of these sizes do not fit, or operators have no counterpart on the machine:
        with every reason, each with its place.
    """
    graph = read_graph(path, sizes)
    normalise(graph)
    return emit(graph)


def read_graph(path: str | Path, sizes: Sizes | None = None) -> Graph:
    """Return the typed graph of a model's file, float or quantized; parameters as for `load_model`.

    Its inputs have their channels first, also where the file has them last and transposes them.

    Raises
    ------
    InputError
        If the file is of another kind or cannot be read, or images of these sizes do not fit.
    """
    try:
        graph = _read(path, sizes)
    except InputError:
        turned = _read_channels_last(path, sizes)
        if turned is None:
            raise
        return turned
    channels_first_inputs(graph)
    return graph


def _read(path: str | Path, sizes: Sizes | None) -> Graph:
    """Return the typed graph of a file with the inputs that it has itself."""
    kind = Path(path).suffix.lower()
    if kind not in (ONNX, EXPORTED):
        raise InputError(f"a model's file must be *{ONNX} or *{EXPORTED}, not '{shown_path(path)}'")
    if kind == ONNX:
        return read_onnx(path, sizes)
    graph = load_pt2(path)
    _check_sizes(graph, sizes)
    return graph


def _read_channels_last(path: str | Path, sizes: Sizes | None) -> Graph | None:
    """Return the typed graph of a file that has the channels of images of these sizes last, None if it has not."""
    if sizes is None or isinstance(sizes, Mapping) or len(sizes) < 2:
        return None
    try:
        graph = _read(path, (*sizes[1:], sizes[0]))
    except InputError:
        return None
    channels_first_inputs(graph)
    return graph if graph.inputs[0].shape == tuple(sizes) else None


def _check_sizes(graph: Graph, sizes: Sizes | None) -> None:
    """Refuse images of other shapes than those that the model was exported for."""
    if sizes is None:
        return
    given = sizes if isinstance(sizes, Mapping) else {one.name: sizes for one in graph.inputs}
    for one in graph.inputs:
        if one.name in given and tuple(given[one.name]) != one.shape:
            raise InputError(f"input '{shown(one.name)}' was exported for images of shape {one.shape}, not "
                             f"{tuple(given[one.name])}")
