"""A network whose maps become smaller and larger again, from PyTorch to the RTL."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.convert import quantize
from quant.lowering.lower import lower_with_report
from rtl.cosim.run import run
from rtl.cosim.scoreboard import differences
from sim.arch.machine import load_machine
from sim.ir.formats import Format
from sim.plan.plan import plan


class Growing(nn.Module):
    """Strided and transposed convolutions with BatchNorm and SiLU, a shuffle, repeated pixels and such between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.up, self.norm = nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4)
        self.both, self.shuffled, self.last = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.first(x))
        grown = functional.silu(self.norm(self.up(functional.relu(self.down(first)))))
        small = functional.max_pool2d(functional.relu(self.both(torch.cat([first, grown], 1))), 2)
        shuffled = functional.pixel_shuffle(functional.relu(self.shuffled(small)), 2)
        between = functional.interpolate(small, scale_factor=2, mode="bilinear")
        return self.last(torch.cat([functional.interpolate(small, scale_factor=2), shuffled, between], 1))


def test_maps_that_grow_are_exact_on_the_hardware() -> None:
    """Codes, cycles and counters: 21 ops write lattices, four of them copies, nine of them bilinear."""
    torch.manual_seed(0)
    images, tiny = torch.randn(8, 2, 6, 6), load_machine("tiny")
    model = quantize(Growing().eval(), images, scheme="uniform", weight_bits=2, activation_bits=2,
                     input_format=Format(4, "signed"), input_exponent=-1)
    lowered = lower_with_report(model, images[:1], tiny.arithmetic)
    assert sum(conv.lattice is not None for conv in lowered.program.convs) == 21
    codes = lowered.prepare(np.clip(np.floor(images[:1].numpy() * 2 + 0.5), -8, 7).astype(np.int64))
    planned, inputs = plan(lowered.program, tiny), {lowered.program.inputs[0].name: codes}
    assert differences(planned, inputs, run(planned, inputs)) == []
