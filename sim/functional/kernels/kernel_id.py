"""Names of kernels, as the engine chooses them and the cache keeps them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KernelId", "requantizer_id"]


@dataclass(frozen=True)
class KernelId:
    """One kernel of `sim.functional.kernels`; reports and caches show it as `gemm_conv.avx512_4`.

    Attributes
    ----------
    family : str
        Module whose table KERNELS has it.
    variant : str
        The way it computes: instructions, or the order in which it passes over the operands.
    size : int or None
        What its code is made for, if the family has several sizes: vectors of channels of a tile (`gemm_conv`), bits of
        the input (`bitplane_conv`), outputs of a tile (`winograd`), the stride along rows (`depthwise`), channels at a
        time (`max_pool`), bits of a code (`copy`).
    """

    family: str
    variant: str
    size: int | None = None

    def __str__(self) -> str:
        return f"{self.family}.{self.variant}" + ("" if self.size is None else f"_{self.size}")


def requantizer_id(arithmetic: str, *, residual: str, interleaved: bool, gated: bool = False, rounding: str = "",
                   wide_result: bool = False) -> KernelId:
    """Return the requantizer that does what is said.

    Parameters
    ----------
    arithmetic : {"narrow", "wide"}
        In 32 bits or in 64.
    residual : {"", "residual", "pixel"}
        What it adds: nothing, a code for each channel, or one for all channels of a pixel.
    interleaved : bool
        Whether it takes the sums of whole groups of channels interleaved.
    gated : bool
        Whether it adds the product of sum and residual.
    rounding : {"", "even", "free"}
        Narrow ones alone: `even` rounds ties to even, `free` need not clamp the sums first.
    wide_result : bool
        Wide ones alone: results of 32 bits instead of 8.
    """
    parts = ((arithmetic, True), (residual, bool(residual)), ("gated", gated), (rounding, bool(rounding)),
             ("32", wide_result), ("grouped", interleaved))
    return KernelId("requantizer", "_".join(part for part, present in parts if present))
