"""How exported models are run in ONNX Runtime."""

import numpy as np
import pytest

from bitwright.interop import onnx_run
from bitwright.interop.onnx_model import onnx_model
from sim.errors import EngineError, InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Pool, Tensor
from sim.ir.program import Program

BYTE = Format(8, "unsigned")
PROGRAM = Program((Tensor("x", 4, 4, (2,), BYTE), Tensor("y", 2, 2, (2,), BYTE)),
                  (Pool("p", "x", "y", (2, 2), (2, 2)),))


@pytest.mark.parametrize("most", [1, 80, 100, 1 << 24])
def test_images_go_through_in_pieces(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """However many images run at once, all are there and in order."""
    monkeypatch.setattr(onnx_run, "MOST_CODES", most)
    codes = np.random.default_rng(0).integers(0, 256, (7, 2, 4, 4)).astype(np.int32)
    found, expected = onnx_run.run_onnx(onnx_model(PROGRAM), {"x": codes}), simulate(PROGRAM, {"x": codes})
    assert {name: array.dtype for name, array in found.items()} == {"x": np.int32, "y": np.int32}
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_failures_of_onnx_runtime_are_ours() -> None:
    """Whatever ONNX Runtime raises ends in one sentence with its version."""
    model = onnx_model(PROGRAM)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(EngineError, match=r"^ONNX Runtime [\d.]+ failed: .*NoSuchOperator"):
        onnx_run.run_onnx(model, {"x": np.zeros((1, 2, 4, 4), np.int32)})


def test_without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how to install it."""
    monkeypatch.setattr(onnx_run, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^ONNX Runtime is not installed; install it with 'pip install onnxruntime'$"):
        onnx_run.run_onnx(onnx_model(PROGRAM), {"x": np.zeros((1, 2, 4, 4), np.int32)})
