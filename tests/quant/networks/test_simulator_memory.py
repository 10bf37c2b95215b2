"""What the fast simulator takes of a process that has nothing else in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower_with_report
from quant.lowering.space_to_depth import fold_image
from quant.networks import make_realistic, resnet18
from sim.ir.serialize import save_program

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from sim.functional.engine.simulator import Simulator
from sim.ir.serialize import load_program

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

imported = resident_mb()
program, codes = load_program(sys.argv[1]), np.load(sys.argv[2])
simulator = Simulator(program)
simulator.run({"x": codes})
first = resident_mb()
taken = [len(result["fc"]) for result in simulator.stream({"x": codes} for _ in range(1000))]
print(json.dumps({"first": first - imported, "thousand": resident_mb() - imported, "images": sum(taken),
                  "heavy": [name for name in ("torch", "numba") if name in sys.modules]}))
"""


@pytest.mark.nightly
def test_resnet18_at_224_runs_in_300_mb(tmp_path: Path) -> None:
    """One image, and a thousand in a stream, beyond what importing took; with kernels in the cache, without Numba."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    codes = noise_codes(2, 224, seed=0)
    images, model = codes * 2.0**IMAGE_EXPONENT, resnet18()
    make_realistic(model, images, seed=0)
    model = quantize(model, images, scheme="qil", weight_bits=8, activation_bits=8, first_last_bits=8,
                     input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    lowered = lower_with_report(model, images[:1], fold=True)
    assert lowered.folding is not None
    save_program(lowered.program, tmp_path / "program.safetensors")
    np.save(tmp_path / "codes.npy", fold_image(codes[:1].numpy(), lowered.folding))
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / "program.safetensors", tmp_path / "codes.npy"],
                             capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["images"] == 1000
    assert found["first"] < 300
    assert found["thousand"] < found["first"] + 5
    assert found["heavy"] == []
