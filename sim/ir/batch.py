"""Several images in one Program, which reads the weights of its last layers once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.io.bounds import check_range
from sim.ir.formats import Format
from sim.ir.lattice import Lattice
from sim.ir.ops import Conv, Layer, Pool, Tensor
from sim.ir.program import Program

__all__ = ["MAX_BATCH", "Batch", "batch"]

MAX_BATCH = 256
"""Images of a Program: as many as the hardware runs Convs."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A Program for several images, and where it has their codes.

    Parameters
    ----------
    program : Program
    images : int
    stacked : frozenset of str
        Tensors that hold the rows of all images, one image below the other, under the names of `source`. Of any other
        tensor of `source` each image has its own; that of image 0 is called `image 0/name`.
    source : Program
        The Program for one image.
    """

    program: Program
    images: int
    stacked: frozenset[str]
    source: Program

    def inputs(self, codes: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.integer]]:
        """Return the inputs of `program` for those of `source`, of shape (k * images, channels, height, width).

        Raises
        ------
        InputError, TypeError
            If they are not inputs of `source`, or their number is not a multiple of `images`.
        """
        tall = {tensor.name for tensor in self.program.inputs} & self.stacked
        found: dict[str, NDArray[np.integer]] = {}
        for name, array in self.source.check_inputs(codes).items():
            if len(array) % self.images:
                raise InputError(f"input '{name}' must have a multiple of {self.images} images, not {len(array)}")
            if name in tall:
                apart = array.reshape(-1, self.images, *array.shape[1:])
                found[name] = apart.swapaxes(1, 2).reshape(len(apart), *self.program.tensor(name).shape)
            else:
                found |= {_of_image(image, name): array[image :: self.images] for image in range(self.images)}
        return found

    def codes(self, name: str, found: Mapping[str, NDArray[np.integer]]) -> NDArray[np.integer]:
        """Return the codes of a tensor of `source` for image after image, from the tensors of `program`."""
        if name in self.stacked:
            tall, tensor = found[name], self.source.tensor(name)
            apart = tall.reshape(len(tall), tensor.channels, self.images, tensor.height, tensor.width).swapaxes(1, 2)
            return apart.reshape(-1, *tensor.shape)
        arrays = [found[_of_image(image, name)] for image in range(self.images)]
        return np.stack(arrays, axis=1).reshape(-1, *arrays[0].shape[1:])


def batch(program: Program, images: int) -> Batch:
    """Return a Program that computes several images and in its last layers needs their weights only once.

    A layer whose windows do not reach from one image into the next, such as a Linear layer, a convolution of 1 x 1 or
    the average of a whole map, runs once on a map of all images' rows, one image below the other; so the columns of a
    machine work on several images. All layers that read what it writes must be of that kind. The layers before run for
    one image after the other, and write their last maps to the rows of their image.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    images : int, 1..MAX_BATCH

    Raises
    ------
    InputError
        If one of these is not so, or a tensor of all images' rows breaks a bound of `Tensor`.

    Examples
    --------
    A layer of 1 x 1 runs on a map of three rows for three images of one row:

    >>> one = np.ones((1, 1), np.int8)
    >>> layer = Conv(name="double", input="x", output="y", weights=np.full((1, 1, 1, 1), 2, np.int8),
    ...              weight_format=Format(3, "signed"), multiplier=one, shift=np.zeros(1, np.int64),
    ...              offset=np.zeros(1, np.int64), low=0, high=255)
    >>> byte = Format(8, "unsigned")
    >>> three = batch(Program((Tensor("x", 1, 1, (1,), byte), Tensor("y", 1, 1, (1,), byte)), (layer,)), 3)
    >>> three.program.tensor("y").shape
    (1, 3, 1)
    """
    check_range(images, 1, MAX_BATCH, "images")
    layers = _layers(program)
    together = _together(program, layers)
    stacked = frozenset(name for layer in layers if layer.name in together for name in layer.chip_tensors)
    maker = _Maker(program, layers, together, stacked, images)
    return Batch(Program(tuple(maker.tensors()), tuple(maker.ops()), program.arithmetic), images, stacked, program)


def _layers(program: Program) -> tuple[Layer, ...]:
    """Return the ops of a Program, all of which compute."""
    for op in program.ops:
        if not isinstance(op, Layer):
            raise InputError(f"only a Program without Loads and Stores can be batched, and '{op.name}' is a {op.kind}")
    return tuple(op for op in program.ops if isinstance(op, Layer))


def _together(program: Program, layers: Sequence[Layer]) -> frozenset[str]:
    """Return the names of the layers that run once for all images."""
    names = {layer.name for layer in layers if _stays_inside(layer, program.tensor(layer.input))}
    while True:
        apart = {name for layer in layers if layer.name not in names for name in (*layer.reads, layer.output)}
        kept = {layer.name for layer in layers if layer.name in names and layer.output not in apart}
        if kept == names:
            return frozenset(names)
        names = kept


def _stays_inside(layer: Layer, source: Tensor) -> bool:
    """Tell whether no window of a layer reaches over the rows of its image, wherever an image begins."""
    top, _, bottom, _ = layer.pads
    if top or bottom or (isinstance(layer, Conv) and (layer.lattice or layer.residual_broadcast == "map")):
        return False
    stride = _stride(layer, source)
    return layer.dilation[0] * (layer.kernel[0] - 1) < stride and source.height % stride == 0


def _stride(layer: Layer, source: Tensor) -> int:
    """Return the vertical stride of a layer on all images' rows; that of a single window leads to the next image."""
    return source.height if layer.map_size(source)[0] == 1 else layer.stride[0]


def _of_image(image: int, name: str) -> str:
    return f"image {image}/{name}"


@dataclass(frozen=True)
class _Maker:
    """Makes the tensors and ops of a batch."""

    program: Program
    layers: Sequence[Layer]
    together: frozenset[str]
    stacked: frozenset[str]
    images: int

    @cached_property
    def copied(self) -> frozenset[str]:
        """Tensors of each image that are copied to those of all: a Pool writes them, or other layers read them too."""
        apart = [layer for layer in self.layers if layer.name not in self.together]
        needed = {name for layer in apart for name in layer.reads}
        return self.stacked & (needed | {layer.output for layer in apart if isinstance(layer, Pool)})

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors of all images, and those of each."""
        for tensor in self.program.tensors:
            if tensor.name in self.stacked:
                yield replace(tensor, height=self.images * tensor.height)
            if tensor.name not in self.stacked or tensor.name in self.copied:
                yield from (replace(tensor, name=_of_image(image, tensor.name)) for image in range(self.images))

    def ops(self) -> Iterator[Layer]:
        """Yield what each image needs for itself, image after image, and then what runs for all of them."""
        for image in range(self.images):
            for layer in self.layers:
                if layer.name not in self.together:
                    yield self._alone(layer, image)
            for tensor in self.program.tensors:
                if tensor.name in self.copied:
                    yield from _copies(tensor, image)
        for layer in self.layers:
            if layer.name in self.together:
                yield replace(layer, stride=(_stride(layer, self.program.tensor(layer.input)), layer.stride[1]))

    def _alone(self, layer: Layer, image: int) -> Layer:
        """Return a layer for one image; what it writes may be some of all images' rows."""
        name, reads = _of_image(image, layer.name), [_of_image(image, name) for name in layer.reads]
        own = layer.output not in self.stacked or layer.output in self.copied
        output = _of_image(image, layer.output) if own else layer.output
        moved = layer.on_operands(name, reads, output, layer.pads)
        if isinstance(moved, Pool) or isinstance(layer, Pool):
            return moved
        if own:
            return replace(moved, output_part=layer.output_part)
        lattice = layer.lattice or Lattice()
        first = lattice.offset[0] + image * self.program.tensor(output).height
        return replace(moved, lattice=replace(lattice, offset=(first, lattice.offset[1])))


def _copies(tensor: Tensor, image: int) -> Iterator[Conv]:
    """Yield ops that copy the parts of one image's tensor to its rows."""
    for part, channels in enumerate(tensor.parts):
        zeros = np.zeros(channels, np.int64)
        yield Conv(f"image {image}/copy of {tensor.name}, part {part}", _of_image(image, tensor.name), tensor.name,
                   np.ones((channels, 1, 1, 1), np.int8), Format(1, "unit"), np.ones((channels, 1), np.int8),
                   shift=zeros, offset=zeros - tensor.format.zero_point, low=tensor.format.low,
                   high=tensor.format.high, groups=channels, output_part=part,
                   lattice=Lattice(offset=(image * tensor.height, 0)), input_parts=(part, part + 1))
