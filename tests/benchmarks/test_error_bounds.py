"""Programs lie within the bounds that follow from their steps, and wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import lowered_conformance
from benchmarks.error_bounds import error_bounds
from benchmarks.lowered_conformance import codes_of, value_of
from benchmarks.onnx_conformance import BEYOND, WITHIN, Case, cases_of, outcome
from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from sim.ir.formats import Format
from sim.ir.ops import Conv, Op
from sim.ir.table import Table


class Mixed(nn.Module):
    """Most kinds of ops: a gate, a residual, a concatenation, tables, pools, a pad, and a linear layer on a map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6())
        self.deep = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.mixed = nn.Conv2d(7, 7, 2)
        self.side, self.last = nn.Conv2d(4, 3, 1), nn.Linear(7 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = nn.functional.silu(self.deep(x) + x)
        y = y * self.squeeze(y)
        y = nn.functional.max_pool2d(torch.cat([y, self.side(x)], 1), 2)
        return self.last(self.mixed(nn.functional.pad(y, (1, 0, 0, 1))).flatten(1))


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two"])
def test_every_tensor_of_a_network_lies_within_its_bound(scheme: str) -> None:
    """No stored tensor is beyond its bound, and each has an error that is no negligible part of it."""
    torch.manual_seed(5)
    model, data = Mixed().eval(), torch.rand(3, 2, 8, 8)
    quantized = quantize(model, data, scheme=scheme, weight_bits=8, activation_bits=8,
                         input_format=Format(8, "unsigned"), input_exponent=-8)
    lowered = lower_with_report(quantized, data)
    near, codes = error_bounds(quantized, model, data, lowered), codes_of(quantized, lowered, [data])
    assert {tensor.name for tensor in lowered.program.tensors if ".copy" not in tensor.name} >= {*near}
    for name, of in near.items():
        if name in codes:
            share = (value_of(lowered, name, codes[name]).reshape(of.value.shape) - of.value).abs() / of.error
            assert 0.001 < float(share.max()) <= 1, name


def _with_first(change: Callable[[Conv], Conv]) -> Callable[..., Lowered]:
    """Return a lowering that changes the first Conv that it is for."""
    def lower(*given: Any) -> Lowered:
        lowered = lower_with_report(*given)
        ops: list[Op] = list(lowered.program.ops)
        place = next(place for place, op in enumerate(ops) if isinstance(op, Conv) and change(op) is not op)
        ops[place] = change(ops[place])  # type: ignore[arg-type]
        return replace(lowered, program=replace(lowered.program, ops=tuple(ops)))
    return lower


def _shifted(conv: Conv) -> Conv:
    return replace(conv, shift=conv.shift + 1)


def _moved(conv: Conv) -> Conv:
    return replace(conv, offset=conv.offset + (_sixteenth(conv) << conv.shift))


def _flipped(conv: Conv) -> Conv:
    return conv if conv.kernel == (1, 1) else replace(conv, weights=conv.weights[:, :, ::-1].copy())


def _unpadded(conv: Conv) -> Conv:
    top, left, bottom, right = conv.pads
    return replace(conv, pads=(bottom + top, left, 0, right)) if top else conv


def _turned(conv: Conv) -> Conv:
    if conv.table is None:
        return conv
    return replace(conv, table=Table(conv.table.index, conv.table.codes[::-1].copy()))


def _later(conv: Conv) -> Conv:
    return replace(conv, low=conv.low + _sixteenth(conv))


def _sixteenth(conv: Conv) -> int:
    return (conv.high - conv.low) // 16


@pytest.mark.parametrize(("name", "change"), [
    ("test_basic_conv_with_padding", _shifted), ("test_basic_conv_with_padding", _unpadded),
    ("test_convtranspose_pads", _flipped), ("test_elu", _turned),
    ("test_relu", _moved), ("test_globalaveragepool", _shifted), ("test_relu", _later)])
def test_a_wrong_program_is_beyond_its_bound(monkeypatch: pytest.MonkeyPatch, name: str,
                                             change: Callable[[Conv], Conv]) -> None:
    """A requantizer, weights, pads, a table or a clamp that are off by little are noticed."""
    case = _case(name)
    assert outcome(case).lowered == WITHIN
    monkeypatch.setattr(lowered_conformance, "lower_with_report", _with_first(change))
    assert outcome(case).lowered == BEYOND


def _case(name: str) -> Case:
    module = name.split("_")[1] if "conv" not in name else "convtranspose" if "transpose" in name else "conv"
    return next(case for case in cases_of([module]) if case.name == name)
