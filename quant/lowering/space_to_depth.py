"""Folding: a first layer with few channels and a stride reads its image as more channels and fewer pixels.

A machine works on words of many channels; an image of three leaves most of a word empty. With stride s every output
reads the padded image at multiples of s, so cells of s x s pixels become s * s * C channels (space to depth) and the
layer a convolution with a kernel of ceil(k / s), stride 1 and no padding. Zero weights fill up the last cell. All sums
stay what they were. The folded image is the input of the Program: the host folds each image before it sends it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quant.lowering.host_image import check_images
from sim.errors import InputError
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program

__all__ = ["Folding", "fold", "fold_image"]

Codes = TypeVar("Codes", np.int8, np.int32)


@dataclass(frozen=True)
class Folding:
    """How the host turns an image into the input of a folded Program.

    Attributes
    ----------
    image : Tensor
        The image as it was.
    stride : int
        Height and width of the cells that become channels [pixels].
    top, left : int
        Padding before the image [pixels]; the padding after it follows from the folded size.
    height, width : int
        Of the folded image [cells].
    """

    image: Tensor
    stride: int
    top: int
    left: int
    height: int
    width: int

    @property
    def folded(self) -> Tensor:
        """The folded image: its channel (dy * stride + dx) * C + c holds pixel (dy, dx) of each cell."""
        return Tensor(self.image.name, self.height, self.width, (self.stride**2 * self.image.channels,),
                      self.image.format)


def fold_image(codes: NDArray[np.integer], folding: Folding) -> NDArray[np.int32]:
    """Pad images by the code that means 0, and gather cells of pixels into channels.

    Parameters
    ----------
    codes : integer array, shape (N, C, H, W)
        Of `folding.image`.
    folding : Folding

    Returns
    -------
    int32 array, shape (N, stride**2 * C, height, width)

    Raises
    ------
    InputError, TypeError
        If the images are none of `folding.image`, as `check_images` says.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> image = Tensor("image", 3, 3, (1,), Format(4, "unsigned"))
    >>> codes = np.arange(1, 10).reshape(1, 1, 3, 3)
    >>> folded = fold_image(codes, Folding(image, 2, top=1, left=1, height=2, width=2))
    >>> folded[0, :, 0, 1], folded[0, 0]
    (array([0, 0, 2, 3], dtype=int32), array([[0, 0],
           [0, 5]], dtype=int32))
    """
    image, step = folding.image, folding.stride
    check_images(codes, image)
    height, width = step * folding.height, step * folding.width
    after = max(height - image.height - folding.top, 0), max(width - image.width - folding.left, 0)
    padded = np.pad(codes.astype(np.int32), ((0, 0), (0, 0), (folding.top, after[0]), (folding.left, after[1])),
                    constant_values=image.format.zero_point)
    return _cells(padded[:, :, :height, :width], step)


def fold(program: Program) -> tuple[Program, Folding]:
    """Return `program` with its first layer folded, and what the host has to do to its images.

    Parameters
    ----------
    program : Program
        With one input, read by one dense Conv alone, whose stride is the same along both axes, at least 2.

    Raises
    ------
    InputError
        If the Program is not of this form.

    Notes
    -----
    Multipliers, shifts and offsets stay, since every sum stays; so do the codes of all other tensors.
    """
    conv = _first_layer(program)
    source, target, step = program.inputs[0], program.tensor(conv.output), conv.stride[0]
    kernel = [-(-extent // step) for extent in conv.kernel]
    folding = Folding(source, step, conv.pads[0], conv.pads[1], target.height + kernel[0] - 1,
                      target.width + kernel[1] - 1)
    more = [(0, extent * step - had) for extent, had in zip(kernel, conv.kernel, strict=True)]
    folded = replace(conv, weights=_cells(np.pad(conv.weights, ((0, 0), (0, 0), *more)), step), stride=(1, 1),
                     pads=(0, 0, 0, 0))
    return replace(program,
                   tensors=tuple(folding.folded if tensor is source else tensor for tensor in program.tensors),
                   ops=tuple(folded if op is conv else op for op in program.ops)), folding


def _first_layer(program: Program) -> Conv:
    names = [tensor.name for tensor in program.inputs]
    readers = [op for op in program.ops for name in op.reads if name in names]
    if len(names) != 1 or len(readers) != 1:
        raise InputError(f"folding needs one input with one reader, not {len(names)} with {len(readers)}")
    conv = readers[0]
    if not isinstance(conv, Conv) or conv.groups > 1 or conv.depthwise or conv.dilation != (1, 1) or (
            conv.stride[0] < 2 or conv.stride[0] != conv.stride[1]):
        raise InputError(f"folding needs a dense convolution with one stride of at least 2 along both axes and no "
                         f"dilation as the first layer; '{conv.name}' is none")
    if conv.weight_format.kind == "bipolar":
        raise InputError(f"bipolar weights have no zero to fold '{conv.name}' with")
    if len(program.inputs[0].parts) != 1:
        raise InputError(f"folding needs an image of one part, not {program.inputs[0].parts}")
    return conv


def _cells(maps: NDArray[Codes], step: int) -> NDArray[Codes]:
    """Return (N, C, H * step, W * step) as (N, step * step * C, H, W)."""
    count, channels, height, width = maps.shape
    cells = maps.reshape(count, channels, height // step, step, width // step, step).transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(cells).reshape(count, step**2 * channels, height // step, width // step)
