"""Models that torchao's PT2E quantizers make of float networks, as torch.export saves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as inductor
from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

from benchmarks.others.networks import Source

__all__ = ["QUANTIZERS", "write_pt2"]

BATCH = 64
SHAPES = ({0: torch.export.Dim("n", min=2, max=4096)},)

QUANTIZERS: Mapping[str, Callable[[], Any]] = {
    "x86": lambda: inductor.X86InductorQuantizer().set_global(inductor.get_default_x86_inductor_quantization_config()),
    "xnnpack": lambda: xnnpack.XNNPACKQuantizer().set_global(xnnpack.get_symmetric_quantization_config(
        is_per_channel=True)),
}


def write_pt2(source: Source, quantizer: str, path: Path) -> None:
    """Quantize a float network and save it."""
    example = (source.images[:4],)
    prepared = prepare_pt2e(torch.export.export(source.model, example, dynamic_shapes=SHAPES).module(),
                            QUANTIZERS[quantizer]())
    with torch.inference_mode():
        for batch in source.calibration.split(BATCH):
            prepared(batch)
    torch.export.save(torch.export.export(convert_pt2e(prepared), example, dynamic_shapes=SHAPES), path)
