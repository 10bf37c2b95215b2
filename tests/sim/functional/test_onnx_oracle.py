"""ONNX Runtime as an outside oracle: it shares no code with the simulator."""

import numpy as np
import onnxruntime
import pytest

from benchmarks.onnx_peer import onnx_model
from sim.functional.reference import simulate
from sim.testing import TRAITS, corner_inputs, random_machine, random_program


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_onnx_runtime_gives_the_same_codes(first: int) -> None:
    """Random Programs that neither wrap nor concatenate nor move tensors give ONNX Runtime's outputs."""
    compared = 0
    for seed in range(first, first + 10):
        rng = np.random.default_rng(seed)
        program = random_program(rng, random_machine(rng), traits=set(TRAITS) - {"spill"})
        if program.arithmetic.wrap or any(len(tensor.parts) > 1 for tensor in program.tensors):
            continue
        inputs = corner_inputs(rng, program, 3)
        session = onnxruntime.InferenceSession(onnx_model(program).SerializeToString(),
                                               providers=["CPUExecutionProvider"])
        outputs = session.run(None, {name: codes.astype(np.int32) for name, codes in inputs.items()})
        expected = simulate(program, inputs)
        for tensor, codes in zip(program.outputs, outputs, strict=True):
            np.testing.assert_array_equal(codes, expected[tensor.name])
            compared += 1
    assert compared
