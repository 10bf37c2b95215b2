"""Inputs as the model reads them, which the host arranges and pads, from files to the simulator."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.cli.app import main
from bitwright.cli.parse_inputs import load_codes
from bitwright.codesign.host_inputs import host_inputs_beside
from bitwright.codesign.networks import write_network
from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.lowering.lower import Lowered, lower_with_report
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.formats import Format
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
    (None, "cannot read input codes '{images}': input 'input_1' must have shape (N, 3, 7, 8), not (3, 3, 5, 6)"),
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
    assert str(caught.value) == text.format(folder=program.parent, images=images)


class Viewed(nn.Module):
    """Layers after a view of the input."""

    def __init__(self, view: Callable[[Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.view, self.layers = view, nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.view(x))


VIEWS: dict[str, tuple[Callable[[Tensor], Tensor], nn.Module, tuple[int, ...]]] = {
    "channels last": (lambda x: x.permute(0, 3, 1, 2), nn.Conv2d(3, 4, 3), (4, 5, 3)),
    "grey": (lambda x: x.unsqueeze(1), nn.Conv2d(1, 4, 3), (5, 6)),
    "rows as maps": (lambda x: x.view(-1, 2, 4, 3), nn.Conv2d(2, 4, 3), (24,)),
    "tokens": (lambda x: x, nn.Linear(5, 4), (3, 5)),
    "patches": (lambda x: x.view(-1, 1, 2, 2, 2, 3).permute(0, 1, 3, 5, 2, 4).reshape(-1, 6, 2, 2), nn.Conv2d(6, 4, 2),
                (1, 4, 6)),
    "sequences": (lambda x: x, nn.Conv1d(3, 4, 3), (3, 7)), "rows": (lambda x: x, nn.Linear(6, 4), (6,)),
}


def written(folder: Path, view: str) -> tuple[Lowered, Path, Any]:
    """Write the Program of a network that views its input, and return codes of that input, too."""
    change, layer, shape = VIEWS[view]
    torch.manual_seed(0)
    codes = torch.randint(-128, 128, (3, *shape))
    model = quantize(Viewed(change, layer, nn.ReLU()).eval(), codes / 32, scheme="power_of_two",
                     input_format=Format(8, "signed"), input_exponent=-5)
    lowered = lower_with_report(model, codes[:1] / 32)
    return lowered, write_network(folder, model, lowered, {})[1], codes.numpy()


@pytest.mark.parametrize("view", VIEWS)
def test_inputs_arrive_as_the_model_reads_them(tmp_path: Path, view: str) -> None:
    """A file in the model's own order, whatever its axes, and one in the Program's give what `prepare` gives."""
    lowered, path, codes = written(tmp_path, view)
    wanted = lowered.prepare(codes)
    for given in (codes, wanted):
        np.save(tmp_path / "x.npy", given)
        (found,) = load_codes(tmp_path / "x.npy", load_program(path), path).values()
        assert np.array_equal(found, wanted)
    assert json.loads((tmp_path / "summary.json").read_text())["inputs"][0]["scale"] == 2.0**-5


def test_an_order_that_is_not_told_by_the_shape_is_refused(tmp_path: Path) -> None:
    """Images of as many rows and columns as channels may be in the model's order or in the Program's."""
    model = quantize(Viewed(lambda x: x.permute(0, 3, 1, 2), nn.Conv2d(3, 4, 1)).eval(), torch.rand(2, 3, 3, 3),
                     scheme="power_of_two", input_format=Format(8, "unsigned"), input_exponent=-8)
    lowered = lower_with_report(model, torch.rand(1, 3, 3, 3))
    _, path, summary = write_network(tmp_path, model, lowered, {})
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 3, 3), np.uint8))
    with pytest.raises(InputError, match=r"images of shape \(3, 3, 3\) may be in the order of the model or in that of "
                                         r"'x', which differ; without the summary beside the Program they are in the "
                                         r"second$"):
        load_codes(tmp_path / "x.npy", load_program(path), path)
    summary.unlink()
    assert load_codes(tmp_path / "x.npy", load_program(path), path)["x"].shape == (1, 3, 3, 3)


NOT_THOSE = "inputs are not those of the Program beside it"
UNREADABLE = "inputs must have a name each, an image of sizes, and an order of counts and steps"


@pytest.mark.parametrize(("inputs", "text"), [
    ([{"name": "z"}], NOT_THOSE), ([{"name": "x", "image": [5, 4, 3], "order": [[3, 1], [20, 2]]}], NOT_THOSE),
    ([{"name": "x", "image": [5, 4, 3], "order": [[3, 1], [21, 3]]}], NOT_THOSE),
    ([{"name": "x", "image": [5, 4, 4], "order": [[3, 1], [20, 3]]}], NOT_THOSE),
    ([{"name": "x", "order": [[3, 1], [20, 3]]}], NOT_THOSE), ([{"name": "x", "order": [[3, 2**70]]}], UNREADABLE),
    ({"x": 1}, UNREADABLE), ([{"name": "x", "image": [5, 0, 3]}], UNREADABLE), (7, UNREADABLE)])
def test_orders_of_other_programs_are_refused(tmp_path: Path, inputs: object, text: str) -> None:
    """Names, sizes and places must be those of the Program, each place once."""
    _, path, _ = written(tmp_path, "channels last")
    (tmp_path / "summary.json").write_text(json.dumps({"inputs": inputs}))
    with pytest.raises(InputError) as caught:
        host_inputs_beside(path, load_program(path))
    assert str(caught.value) == f"summary '{tmp_path}/summary.json': {text}"
