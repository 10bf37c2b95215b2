"""The peer that the simulator's speed is compared with computes the same network."""

import numpy as np
import onnxruntime

from benchmarks.qlinear_peer import codes_of, qlinear_model, stored
from sim.functional.engine.simulator import Simulator
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, no_digits

SIGNED, UNSIGNED, FOUR, UNIT = Format(8, "signed", 3), Format(8, "unsigned"), Format(4, "unsigned"), Format(1, "unit")


def _conv(name: str, read: Tensor, written: Tensor, size: int, shift: int, residual: Tensor | None = None, *,
          depthwise: bool = False, unit: bool = False, stride: int = 1) -> Conv:
    rng = np.random.default_rng(len(name))
    channels, fan_in = written.channels, 1 if depthwise else read.channels
    weights = np.ones((channels, 1, size, size)) if unit else rng.integers(-128, 128, (channels, fan_in, size, size))
    low, high = written.format.low, written.format.high
    pad = 0 if unit else size // 2
    middle = 0 if unit else (low + high) // 2 - written.format.zero_point
    sums = weights.reshape(channels, -1).sum(axis=1).astype(np.int64)
    return Conv(name, read.name, written.name, weights.astype(np.int8), UNIT if unit else Format(8, "signed"),
                digits_of([[3, 1]] * channels), np.full(channels, shift),
                (middle << shift) - read.format.zero_point * 5 * sums, low, high,
                groups=channels if depthwise else 1, stride=(stride, stride),
                pads=(pad, pad, pad, pad), residual=residual and residual.name,
                residual_multiplier=no_digits(0) if residual is None else digits_of([[shift]] * channels))


def test_onnx_runtime_comes_within_a_code() -> None:
    """Dense, depthwise and pooling layers, a residual, an average, a Linear layer; 8 and 4 bits, a zero point."""
    x, wide = Tensor("x", 12, 12, (3,), SIGNED), Tensor("wide", 12, 12, (16,), UNSIGNED)
    small, pooled, added = (Tensor(name, 6, 6, (16,), UNSIGNED) for name in ("small", "pooled", "added"))
    four, mean = Tensor("four", 6, 6, (16,), FOUR), Tensor("mean", 1, 1, (16,), UNSIGNED)
    linear = Tensor("linear", 1, 1, (10,), Format(16, "signed"))
    ops = (
        _conv("first", x, wide, 3, 11), Pool("pool", "wide", "pooled", (3, 3), (2, 2), (1, 1, 1, 1)),
        _conv("depthwise", wide, four, 3, 15, depthwise=True, stride=2), _conv("second", wide, small, 1, 11, stride=2),
        _conv("third", small, added, 1, 11, pooled),
        _conv("average", pooled, mean, 6, 8, depthwise=True, unit=True), _conv("linear", mean, linear, 1, 9))
    program = Program((x, wide, four, small, pooled, added, mean, linear), ops)
    codes = np.random.default_rng(0).integers(-128, 128, (4, *x.shape))
    session = onnxruntime.InferenceSession(qlinear_model(program).SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in program.outputs]
    assert names == ["four", "added", "linear"]
    found = dict(zip(names, session.run(names, {"x": stored(x, codes)}), strict=True))
    right = Simulator(program).run({"x": codes})
    for name in names:
        near = np.abs(codes_of(program.tensor(name), found[name]) - right[name]) <= 1
        assert found[name].shape == right[name].shape
        assert near.mean() >= 0.95, name
        assert len(np.unique(right[name])) >= 16
