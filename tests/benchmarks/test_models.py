"""Real networks: how faces, notes and words are judged, layers on the RTL, and the page."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.models.cascade import find_faces, matched, overlaps
from benchmarks.models.case import Case, onnx_session
from benchmarks.models.maps import STRIDES, _decoded, _targets
from benchmarks.models.measure import measure, sqnr_db
from benchmarks.models.networks import EfficientNet, ResNeXt, UNet, Yolo
from benchmarks.models.rtl import corner, sampled_on_rtl
from benchmarks.models.table import markdown
from benchmarks.models.text import lines, pages
from quant.data.pixels import Pixels
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.cut import cut
from sim.ir.serialize import load_program

ROOT = Path(__file__).parents[2]
HALF = Pixels((0.5,) * 3, (0.5,) * 3)


class Small(nn.Module):
    """A convolution with a function, and probabilities of what it makes of a whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.act(self.conv(x))
        return self.last(y), self.last(y.mean((2, 3), keepdim=True)).flatten(1).softmax(1)


def case(model: nn.Module) -> Case:
    """A network with a judge that shows what it is given."""
    images = lines(6, 12, 10, seed=0)
    session, nodes = onnx_session(model, HALF.values(images[:1]))
    place = 1, 0, 2, 3
    return Case("small", "here", model, session, nodes, images[:4], images[4:], pixels=HALF, small=images[:1, :, :4],
                judge=lambda wanted, found: {"first output": (float(wanted[0][place]), float(found[0][place]))})


def test_a_row_tells_what_a_program_loses_and_that_engines_agree(tmp_path):
    """Outputs come in the model's order, after the host's softmax, near to ONNX Runtime's; Programs lie there."""
    torch.manual_seed(0)
    model, edge = Small().eval(), load_machine("edge")
    row = measure(case(model), edge, tmp_path)
    assert (row.refused, row.images, row.calibration) == ([], 2, 4)
    assert len(row.sqnr_db) == 2
    assert min(row.sqnr_db) > 25
    with torch.inference_mode():
        real = float(model(HALF.values(lines(6, 12, 10, seed=0)[5:]))[0][0, 0, 2, 3])
    assert row.task["first output"] == (pytest.approx(real, abs=1e-5), pytest.approx(real, abs=0.1))
    assert {engine: differing for engine, (_, differing) in row.compared.items()} == {
        "fast simulator": 0, "torch": 0, "ONNX Runtime": 0}
    program, small = (load_program(tmp_path / name) for name in ("small.safetensors", "small.tiny.safetensors"))
    assert (program.inputs[0].shape, small.inputs[0].shape) == ((3, 12, 10), (3, 4, 10))
    assert row.ops == len(program.ops)
    with np.load(tmp_path / "small.tiny.npz") as arrays:
        ran = sampled_on_rtl(small, dict(arrays), load_machine("tiny"), 3000)
    assert (ran.exact, ran.differing, ran.of) == (True, 0, len(small.ops))
    assert 2 <= len(ran.ops) <= ran.of
    assert "| small |" in markdown([asdict(row) | {"rtl": {"sampled": asdict(ran)}}])


def test_a_refused_network_has_its_reasons(tmp_path):
    """They stand where its measures would."""
    class Odd(Small):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.act(self.conv(x))
            return self.last(y.sort(1).values), y

    row = measure(case(Odd().eval()), load_machine("edge"), tmp_path)
    assert row.refused
    assert row.cycles is None
    assert f"refused: {row.refused[0]}" in markdown([asdict(row)])


def test_a_layer_on_a_corner_gives_the_corner(tmp_path):
    """But for the edges at which the image now ends; where the kernel reaches over more there is none."""
    torch.manual_seed(0)
    measure(case(Small().eval()), load_machine("edge"), tmp_path)
    program = load_program(tmp_path / "small.safetensors")
    with np.load(tmp_path / "small.npz") as arrays:
        whole = simulate(program, dict(arrays))
    first = program.ops[0]
    part = corner(cut(program, first.name, first.name), 5, 7)
    found = simulate(part, {first.input: whole[first.input][:, :, :5, :7]})[first.output]
    assert found.shape[2:] == (5, 7)
    np.testing.assert_array_equal(found[:, :, :4, :6], whole[first.output][:, :, :4, :6])
    average = next(op for op in program.ops if op.kernel == (12, 10))
    with pytest.raises(InputError, match=r"height must be in 1\.\."):
        corner(cut(program, average.name, average.name), 6, 10)


def test_boxes_are_matched_once_each():
    """Two boxes on one face are one match and one too many."""
    one, moved, far = [0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]
    boxes = np.array([one, moved, far], float)
    np.testing.assert_allclose(overlaps(boxes, boxes)[0], [1, 0.9, 0])
    np.testing.assert_allclose(overlaps(boxes, boxes, of_smaller=True)[1], [1, 1, 0])
    assert matched(np.array([one], float), boxes[:2]) == 1
    assert matched(boxes, boxes[:1]) == 1
    assert matched(boxes, np.zeros((0, 4))) == 0


def test_the_cascade_finds_what_its_networks_are_sure_of():
    """Networks that are only sure of bright places find the bright square of a dark photo in unlike boxes."""
    def sure_of_light(pixels):
        light = torch.nn.functional.avg_pool2d(pixels[:, :1].float() / 255, 12, 2)
        probabilities = torch.cat([1 - light, light], 1)
        return [np.zeros((len(pixels), 4, *light.shape[2:]), np.float32), probabilities.numpy()]

    def sure(pixels):
        light = (pixels.float().mean((1, 2, 3)) / 255).numpy()
        return [np.zeros((len(pixels), 4), np.float32), np.stack([1 - light, light], 1)]

    photo = torch.zeros(3, 120, 120, dtype=torch.uint8)
    photo[:, 40:90, 50:100] = 255
    found = find_faces(photo, {"pnet": sure_of_light, "rnet": sure, "onet": sure})
    assert overlaps(found.boxes, np.array([[50, 40, 100, 90]], float), of_smaller=True).min() > 0.5
    assert np.triu(overlaps(found.boxes, found.boxes, of_smaller=True), 1).max() <= 0.7
    assert find_faces(photo * 0, {"pnet": sure_of_light, "rnet": sure, "onet": sure}).boxes.shape == (0, 5)
    assert found.crops["onet"].shape[1:] == (3, 48, 48)


def test_words_are_found_where_they_were_drawn():
    """What the network should put out is decoded to the words; words that share a cell are told as one."""
    for page in pages(3, 96, seed=0):
        outputs = [_targets(page, level, 96 // stride) for level, stride in enumerate(STRIDES)]
        for output in outputs:
            output[0] = 20 * output[0] - 10
        (boxes,) = _decoded([output[None] for output in outputs])
        assert len(boxes) <= len(page.words)
        assert matched(boxes, page.words, 0.95) == len(boxes)
        assert matched(page.words, boxes, 0.95) >= 0.7 * len(page.words)
        assert page.ink.shape == (96, 96)
        assert 0.01 < page.ink.mean() < 0.5


def test_networks_have_the_outputs_that_are_judged():
    """Classes of an image, a map as large as the image, and two maps of cells."""
    image = torch.zeros(1, 3, 32, 32)
    for model, shapes in ((EfficientNet(7, 3), [(1, 7)]), (ResNeXt(7, 3), [(1, 7)]), (UNet(3), [(1, 1, 32, 32)]),
                          (Yolo(3), [(1, 5, 4, 4), (1, 5, 2, 2)])):
        made = model.eval()(image)
        assert [tuple(one.shape) for one in (made if isinstance(made, tuple) else [made])] == shapes


def test_noise_is_measured_against_the_signal():
    """A hundredth of the signal's amplitude is 40 dB below it."""
    real = np.linspace(1, 2, 50, dtype=np.float32)
    assert sqnr_db(real, real * np.float32(1.01)) == pytest.approx(40, abs=0.01)


def test_the_page_shows_what_was_measured():
    """The table of docs/models.md is that of the committed results, in all of which engines agree."""
    found = json.loads((ROOT / "benchmarks/results/models.json").read_text())
    shown = (ROOT / "docs/models.md").read_text().partition("<!-- python -m benchmarks.models table -->\n")[2]
    assert shown.split("<!-- end of the table -->")[0] == markdown(found["models"])
    for row in found["models"]:
        assert all(differing == 0 for _, differing in row["compared"].values())
        assert all(run["exact"] for run in row["rtl"].values())
