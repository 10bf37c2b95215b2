"""Names of kernels: structured inside, text for people and for the cache."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sim.functional.kernels.isa import LADDER
from sim.functional.kernels.kernel_cache import FAMILIES, kernel_ids
from sim.functional.kernels.kernel_id import KernelId, requantizer_id


def test_every_kernel_has_a_file_of_the_cache_to_itself() -> None:
    """No two kernels of any rung are shown under one name, under which the cache keeps their machine code."""
    kernels = kernel_ids(LADDER[-1])
    assert len({str(kernel) for kernel in kernels}) == len(set(kernels)) == len(kernels)
    assert {kernel.family for kernel in kernels} == set(FAMILIES)


@pytest.mark.parametrize(("kernel", "name"), [
    (KernelId("gemm_conv", "avx512", 4), "gemm_conv.avx512_4"), (KernelId("amx_conv", "direct"), "amx_conv.direct"),
    (requantizer_id("narrow", residual="residual", interleaved=True, rounding="even"),
     "requantizer.narrow_residual_even_grouped"),
    (requantizer_id("narrow", residual="pixel", gated=True, interleaved=False, rounding="free"),
     "requantizer.narrow_pixel_gated_free"),
    (requantizer_id("wide", residual="", interleaved=False, wide_result=True), "requantizer.wide_32")], ids=str)
def test_names_are_family_variant_and_size(kernel: KernelId, name: str) -> None:
    """Reports show the family, then the variant, then the size if there is one."""
    assert str(kernel) == name


def test_a_rung_has_the_kernels_of_those_below() -> None:
    """Each rung of the ladder adds kernels and takes none away."""
    for lower, higher in pairwise(LADDER):
        assert set(kernel_ids(lower)) < set(kernel_ids(higher))
