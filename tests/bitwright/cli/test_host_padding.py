"""Images that the host pads, from files to the simulator."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.cli.app import main
from bitwright.cli.parse_inputs import load_codes
from bitwright.codesign.networks import write_network
from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.lowering.lower import Lowered, lower_with_report
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.serialize import load_program

IMAGES = torch.randint(0, 256, (3, 3, 5, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Lowered, Path, Path]:
    """A lowering whose host pads by three codes, the Program's file beside its summary, and a file of images."""
    pixels = Pixels((0.2, 0.5, 0.6), (0.3, 0.2, 0.1))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    model = quantize(net, IMAGES, scheme="power_of_two", pixels=pixels)
    lowered = lower_with_report(model, pixels.values(IMAGES))
    _, program, _ = write_network(tmp_path, model, lowered, {})
    np.save(tmp_path / "images.npy", IMAGES.numpy())
    return lowered, program, tmp_path / "images.npy"


def test_images_are_padded_as_the_summary_beside_a_program_says(files: tuple[Lowered, Path, Path],
                                                                tmp_path: Path) -> None:
    """`simulate` on images as a data set has them gives the codes that the prepared images give, and so do these."""
    lowered, program, images = files
    prepared = lowered.prepare(IMAGES.numpy())
    wanted = Simulator(lowered.program).run({"input_1": prepared})
    np.save(tmp_path / "prepared.npy", prepared)
    for given in (images, tmp_path / "prepared.npy"):
        out = tmp_path / "codes.npz"
        assert main([str(word) for word in ("simulate", program, "-i", given, "-o", out)]) == 0
        with np.load(out) as found:
            assert np.array_equal(found["2"], wanted["2"])
            assert np.array_equal(found["input_1"], prepared)


SUMMARY = "summary '{folder}/summary.json': host_padding "
OTHER = SUMMARY + "is not that of the Program beside it"


@pytest.mark.parametrize(("padding", "text"), [
    (None, "input 'input_1' must have shape (N, 3, 7, 8), not (3, 3, 5, 6)"),
    ({"pads": [1, 1, 1, -1], "codes": [1, 2, 3]}, f"{SUMMARY}must have four pads of at least 0 and integer codes"),
    ({"pads": [9, 1, 1, 1], "codes": [1, 2, 3]}, OTHER), ({"pads": [1, 1, 1, 1], "codes": [1, 2]}, OTHER),
    ({"pads": [1, 1, 1, 1], "codes": [1, 2, 256]}, OTHER)])
def test_summaries_of_other_programs_are_refused(files: tuple[Lowered, Path, Path], padding: Any, text: str) -> None:
    """Without padding in the summary the shape is at fault; else pads and codes have to be possible."""
    _, program, images = files
    summary = program.parent / "summary.json"
    summary.write_text(json.dumps({} if padding is None else {"host_padding": padding}))
    with pytest.raises(InputError) as caught:
        load_codes(images, load_program(program), program)
    assert str(caught.value) == f"cannot read input codes '{images}': {text.format(folder=program.parent)}"
