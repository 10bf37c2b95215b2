"""How a layer is cut over its output rows: bands, what each of them reads, and how many are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import ceil

from sim.arch.limits import LIMITS
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Layer, Pads, Tensor
from sim.plan.allocator import regions_of

__all__ = ["Band", "band_choices", "band_tensors", "fewest_bands", "written_part"]


@dataclass(frozen=True)
class Band:
    """Output rows `first` ... `first + rows - 1` of an op, and what they read.

    Attributes
    ----------
    in_first, in_rows : int
        Rows of the input, halo included.
    pads : Pads
        Of the band: those of the op, at top and bottom only where the map ends.
    """

    first: int
    rows: int
    in_first: int
    in_rows: int
    pads: Pads

    def operand_rows(self, layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first row and the number of rows of what `layer` reads: input and residual."""
        return (self.in_first, self.in_rows), layer.residual_rows(self.first, self.rows)


def fewest_bands(tensors: Mapping[str, Tensor], layer: Layer, machine: Machine) -> list[Band]:
    """Return the fewest bands of equal rows whose tensors fit on chip together.

    Raises
    ------
    InputError
        If even bands of a single row do not fit, more bands are needed than the hardware runs, or the layer writes a
        lattice and does not fit whole.
    """
    for bands in band_choices(tensors, layer, machine):
        need = _need(tensors, layer, bands, machine)
        if need <= machine.act_regions:
            return bands
    rows = max(band.rows for band in bands)
    if layer.writes_lattice:
        raise InputError(
            f"op '{layer.name}' needs {need} activation regions of {machine.region_words} words, and ops that write "
            f"lattices are not cut into bands; machine '{machine.name}' has {machine.act_regions}")
    most = f", one of {len(bands)}, and no more run" if tensors[layer.output].height > LIMITS.max_ops else ""
    raise InputError(
        f"op '{layer.name}' needs {need} activation regions of {machine.region_words} words for a band of {rows} "
        f"output row{'s' * (rows > 1)}{most}; machine '{machine.name}' has {machine.act_regions}")


def band_choices(tensors: Mapping[str, Tensor], layer: Layer, machine: Machine) -> Iterator[list[Band]]:
    """Yield ways to cut a layer, in the order in which they are tried, up to the first that fits on `machine`.

    Without one that fits, they are all of at most LIMITS.max_ops bands.

    Narrower tensors of the same shapes end at the same one or before. A layer that writes a lattice is not cut.
    """
    height, columns = layer.map_size(tensors[layer.input])[0], machine.columns
    for count in range(1, 2 if layer.writes_lattice else min(height, LIMITS.max_ops) + 1):
        rows = ceil(height / count)
        for size in dict.fromkeys((ceil(rows / columns) * columns, rows)):
            bands = list(_split(tensors[layer.input], layer, height, size))
            yield bands
            if _need(tensors, layer, bands, machine) <= machine.act_regions:
                return


def _need(tensors: Mapping[str, Tensor], layer: Layer, bands: list[Band], machine: Machine) -> int:
    """Count the regions that the tensors of the largest band take together."""
    different = {(band.in_rows, band.rows): band for band in bands}.values()
    return max(sum(regions_of(tensor, machine) for tensor in band_tensors(tensors, layer, band)) for band in different)


def band_tensors(tensors: Mapping[str, Tensor], layer: Layer, band: Band) -> list[Tensor]:
    """Return what a band reads and writes, with the names of the whole tensors: input, residual if any, and output.

    The output has no parts but the one that the layer writes.
    """
    operands = [_of_rows(tensors[name], height)
                for name, (_, height) in zip(layer.reads, band.operand_rows(layer), strict=False)]
    target = tensors[layer.output]
    return [*operands, target if layer.writes_lattice else _of_rows(written_part(layer, target), band.rows)]


@lru_cache(maxsize=4096)
def _of_rows(tensor: Tensor, height: int) -> Tensor:
    """Return so many rows of a tensor."""
    return replace(tensor, height=height)


def written_part(layer: Layer, target: Tensor) -> Tensor:
    """Return what of `target` an op writes, as a tensor of its own."""
    parts = tuple(target.parts[part] for part in layer.written_parts(target))
    return target if parts == target.parts else replace(target, parts=parts)


def _split(source: Tensor, layer: Layer, height: int, rows: int) -> Iterator[Band]:
    """Yield bands of `rows` of `height` output rows, the last one shorter; none that reads nothing but padding."""
    edges = [0]
    for end in range(rows, height, rows):
        if _input_rows(source, layer, edges[-1], end) and _input_rows(source, layer, end, height):
            edges.append(end)
    if len(edges) == 1:
        yield Band(0, height, 0, source.height, layer.pads)
        return
    for first, end in pairwise((*edges, height)):
        inside, (start, stop) = _input_rows(source, layer, first, end), _footprint(layer, first, end)
        pads = inside.start - start, layer.pads[1], stop - inside.stop, layer.pads[3]
        yield Band(first, end - first, inside.start, len(inside), pads)


def _footprint(layer: Layer, first: int, end: int) -> tuple[int, int]:
    """Return the first input row that output rows `first` ... `end - 1` read, and the row after the last."""
    start = first * layer.stride[0] - layer.pads[0]
    return start, start + (end - 1 - first) * layer.stride[0] + layer.dilation[0] * (layer.kernel[0] - 1) + 1


def _input_rows(source: Tensor, layer: Layer, first: int, end: int) -> range:
    """Return the rows of the map that output rows `first` ... `end - 1` read."""
    start, stop = _footprint(layer, first, end)
    return range(max(0, start), min(source.height, stop))
