"""The benchmark of real networks: paired statistics, records that are not made twice, the table, and refusals."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmarks.real import __main__ as command
from benchmarks.real import measure as measuring
from benchmarks.real.efficientnet import Photographs
from benchmarks.real.measure import measure
from benchmarks.real.paired import Paired, pooled
from benchmarks.real.pictures import PIXELS, Pictures, load_pictures
from benchmarks.real.post_training import PostTraining, quantizers_of
from benchmarks.real.published import lite0_name, resnet20
from benchmarks.real.record import done, name_of, read_all
from benchmarks.real.resnet20 import Cifar, fine_tune
from benchmarks.real.summary import markdown
from benchmarks.real.training import Training, run_budget, run_training
from quant.data.split import Split
from quant.networks import EfficientNetLite0
from quant.networks.small import resnet20_a
from quant.quantizers.uniform import UniformWeight
from quant.training.norms import reestimate_norms
from sim.errors import EngineError, InputError
from sim.ir.formats import Format

SETTINGS = {"network": "resnet20", "method": "post-training", "scheme": "uniform", "bits": "4/4", "preset": "none",
            "half": "first"}

ENGINES = {"uniform": "integer reference", "power_of_two": "fake-quantized model"}


def tiny():
    """A network of two layers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)).eval()


def noise(count=12):
    """Images of random codes, with random labels."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 256, (count, 1, 6, 6), generator=generator, dtype=torch.int32)
    return Split(codes, torch.randint(0, 3, (count,), generator=generator), Format(8, "unsigned"), -8)


def measured(out, scheme="uniform", after=lambda clock: None):
    """Measure the tiny network on noise; `after` is called once it is quantized."""
    net, images, calls = tiny(), noise(), []

    def make(files, clock):
        calls.append(files)
        with clock.stage("quantize"):
            model = quantizers_of(net, images, PostTraining("4/4", scheme, "none"))
            after(clock)
        return model

    return measure(out, SETTINGS | {"scheme": scheme}, net, images, make), len(calls)


def some_pictures(count):
    """Return pictures of random pixels, 32 x 32, with all ten labels in turn."""
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    return Pictures(pixels, torch.arange(count) % 10)


def jpeg_file(path, **changes):
    """Write a file of three pictures of 8 x 8."""
    encoded = []
    for shade in (0, 100, 255):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(stream, "jpeg")
        encoded.append(stream.getvalue())
    arrays = {"jpeg": np.frombuffer(b"".join(encoded), np.uint8), "label": np.array([5, 6, 7]),
              "offset": np.cumsum([0, *map(len, encoded)])}
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def test_the_standard_error_is_that_of_differences_image_by_image():
    """Two images that only float has right and one that only the Program has: as the binomial of three signs says."""
    labels, real, program = np.zeros(100, int), np.zeros(100, int), np.zeros(100, int)
    program[:2], real[2] = 1, 1
    found = Paired.of(labels, real, program)
    assert (found.float_accuracy, found.accuracy, found.agreement) == (99.0, 98.0, 97.0)
    assert found.drop == pytest.approx(1.0)
    assert found.standard_error == pytest.approx(100 * np.sqrt((3 / 100 - 0.01**2) / 100))
    both = pooled([found, Paired.of(labels, labels, labels)])
    assert (both.drop, both.standard_error) == (pytest.approx(0.5), pytest.approx(found.standard_error / 2, rel=0.01))


def test_answers_survive_json():
    """Image by image, also where their number is no multiple of 8."""
    labels, real, program = (np.random.default_rng(seed).integers(0, 3, 13) for seed in range(3))
    found = Paired.of(labels, real, program)
    again = Paired.from_json(json.loads(json.dumps(found.to_json())))
    for name in ("float_right", "right", "agree"):
        assert np.array_equal(getattr(again, name), getattr(found, name))


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two"])
def test_a_record_holds_the_programs_answers_and_is_made_once(tmp_path, scheme):
    """Of powers of two, the model itself confirms every logit; elsewhere the integer reference does."""
    record, calls = measured(tmp_path, scheme)
    assert (calls, record["settings"]["scheme"]) == (1, scheme)
    assert record["exact"]["against"] == ENGINES[scheme]
    assert (record["exact"]["images"], record["answers"]["images"]) == (12, 12)
    assert set(record["stages"]) == {"quantize", "lower", "float", "simulate", "compare"}
    assert measured(tmp_path, scheme) == (record, 0)


def test_a_program_that_differs_from_another_engine_is_not_reported(tmp_path, monkeypatch):
    """Not even if only one logit of one picture does."""
    def wrong(lowered, images):
        logits = right(lowered, images)
        logits[7, 2] += lowered.scales[lowered.program.outputs[0].name]
        return logits

    right = measuring.logits_of
    monkeypatch.setattr(measuring, "logits_of", wrong)
    for scheme, engine in (("power_of_two", "the model"), ("uniform", "the integer reference")):
        with pytest.raises(EngineError, match=f"^the Program and {engine} give other logits for pictures from number "):
            measured(tmp_path, scheme)
    assert list(tmp_path.glob("*.json")) == []


def test_seconds_of_an_interrupted_run_count(tmp_path):
    """They are kept from the last checkpoint on, and added to those of the run that ends."""
    def stop(clock):
        clock.tick()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, after=stop)
    (kept,) = (tmp_path / "unfinished").glob("*.clock")
    kept.write_text(json.dumps({"quantize": {"wall_s": 1000.0, "cpu_s": 500.0}}))
    record, _ = measured(tmp_path)
    assert 1000 < record["stages"]["quantize"]["wall_s"] < 1100
    assert not kept.exists()


def test_a_file_of_other_settings_is_no_record_of_these(tmp_path):
    """Whatever it is called."""
    record, _ = measured(tmp_path)
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps(record | {"settings": {"bits": "8/8"}}))
    with pytest.raises(InputError, match=rf"^'{re.escape(str(path))}' is of other settings, {{'bits': '8/8'}}; give "
                                         r"another folder or remove it$"):
        done(tmp_path, SETTINGS)
    path.write_text("{}")
    with pytest.raises(InputError, match=rf"^'{re.escape(str(path))}' is no result of this benchmark: it must have "
                                         r"settings and answers$"):
        read_all(tmp_path)


def test_the_table_pools_the_halves(tmp_path, capsys):
    """A row says what the network lost on all images, with its standard error, and the hours of both runs."""
    labels, program = np.zeros(50, int), np.repeat([1, 0], [3, 47])
    records = [{"settings": SETTINGS | {"half": half}, "answers": Paired.of(labels, labels, given).to_json(),
                "stages": {"quantize": {"cpu_s": 1800.0}}, "cost": {"cycles": 1e6, "energy_pj": 2e6}}
               for half, given in (("first", labels), ("second", program))]
    (row,) = markdown(records).splitlines()[2:]
    assert row == ("| ResNet-20 | real steps | 4/4 | no reconstruction | 100 | 100.00 | 97.00 | +3.00 | 1.71 | 97.00 | "
                   "1,000,000 | 2 | 1.00 |")
    assert "no reconstruction, first half alone | 50 |" in markdown(records[:1])
    wide = [records[0] | {"settings": records[0]["settings"] | {"signed_bits": 8}}]
    assert "no reconstruction, tensors of both signs 8 bits, first half alone | 50 |" in markdown(wide)
    for number, record in enumerate(records):
        (tmp_path / f"{number}.json").write_text(json.dumps(record))
    assert command.main(["summary", "--json", "--out", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["network"], found["drop"], found["images"], found["cycles"]) == ("ResNet-20", 3.0, 100, 1e6)


@pytest.mark.trains
def test_a_trained_record_tells_each_epoch(tmp_path, capsys):
    """Of fine-tuning in float and of training with quantizers; the seconds of both stages are kept."""
    torch.manual_seed(1)
    weights, data = tmp_path / "float.safetensors", Cifar(some_pictures(128), some_pictures(4))
    save_file(resnet20_a().state_dict(), weights)
    net = fine_tune(weights, data, tmp_path, 1)
    record = run_training(net, data, tmp_path, Training("lsq", "2/2", 1))
    told = re.findall(r"^epoch 1: loss \d+\.\d{4}, \d+\.\d\d % of the training pictures right, \d+ s$",
                      capsys.readouterr().err, re.MULTILINE)
    assert len(told) == 2
    assert record["settings"] == {"network": "resnet20", "method": "training", "scheme": "lsq", "bits": "2/2",
                                  "epochs": 1}
    assert record["stages"]["train"]["cpu_s"] > 0
    assert not (tmp_path / "unfinished" / f"{name_of(record['settings'])}.safetensors").exists()


@pytest.mark.trains
def test_qbitopt_keeps_the_cycles_of_fixed_bits(tmp_path):
    """Bits of all layers are its choice, within what a network of the fixed bits takes; the seed is in the record."""
    torch.manual_seed(1)
    data = Cifar(some_pictures(128), some_pictures(4))
    net = resnet20_a()
    reestimate_norms(net, data.drawn)
    fixed, chosen = (run(net, data, tmp_path, Training("lsq", "2/2", 1, budget=run is run_budget, seed=3))
                     for run in (run_training, run_budget))
    assert chosen["settings"] == {"network": "resnet20", "method": "budget", "scheme": "lsq", "bits": "2/2",
                                  "epochs": 1, "seed": 3}
    assert 0 < chosen["cost"]["cycles"] <= 1.01 * fixed["cost"]["cycles"]
    assert "trained, QBitOpt within these bits' cycles, 1 epoch, 1 seed |" in markdown([chosen])


def test_pictures_are_mirrored_and_shifted_each_by_itself():
    """Every drawn picture is one of the shifts of the picture or of its mirror image, and they differ."""
    nought = torch.zeros(64, dtype=torch.int64)
    pictures = Pictures(torch.arange(1, 49, dtype=torch.uint8).reshape(1, 3, 4, 4), nought[:1], shift=1)
    drawn = pictures.drawn(nought, torch.Generator().manual_seed(0))
    padded = [nn.functional.pad(each, (1, 1, 1, 1)) for each in (pictures.stored, pictures.stored.flip(3))]
    possible = {each[0, :, down:down + 4, right:right + 4].numpy().tobytes()
                for each in padded for down in range(3) for right in range(3)}
    found = {picture.numpy().tobytes() for picture in PIXELS.codes(drawn)}
    assert found <= possible
    assert len(found) > 12


def test_pictures_are_decoded(tmp_path):
    """From bytes end to end."""
    pictures = load_pictures(jpeg_file(tmp_path / "three.npz"))
    assert (pictures.stored.shape, pictures.labels.tolist()) == ((3, 3, 8, 8), [5, 6, 7])
    assert pictures.stored[:, 0, 0, 0].tolist() == [0, 100, 255]
    assert torch.equal(pictures.values(slice(1, 2)), PIXELS.values(pictures.stored[1:2]))


def test_halves_have_no_picture_in_common():
    """What calibrates for one judges for the other."""
    pictures = Pictures(torch.zeros(10, 3, 1, 1, dtype=torch.uint8), torch.arange(10))
    first, second = (Photographs(half, 5, 5).split(pictures) for half in ("first", "second"))
    assert [part.labels.tolist() for part in first] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert [part.labels.tolist() for part in second] == [[1, 3, 5, 7, 9], [0, 2, 4, 6, 8]]
    with pytest.raises(InputError, match=r"^halves of 6 need 12 pictures, not 10$"):
        Photographs("first", 6, 6).split(pictures)
    assert Photographs("second", 5, 2).split(pictures)[0].labels.tolist() == [1, 5]
    with pytest.raises(InputError, match=r"^pictures to calibrate with must be in 1..5, not 6$"):
        Photographs("first", 5, 6).split(pictures)


def test_wrong_files_are_refused_in_one_sentence(tmp_path, capsys):
    """Pictures that are none, and weights of another network."""
    missing, other = tmp_path / "none.npz", jpeg_file(tmp_path / "other.npz", label=None)
    with pytest.raises(InputError, match=rf"^no pictures at '{re.escape(str(missing))}'$"):
        load_pictures(missing)
    with pytest.raises(InputError, match=rf"^pictures '{re.escape(str(other))}' must hold the arrays jpeg, label, "
                                         r"offset, not jpeg, offset$"):
        load_pictures(other)
    few = jpeg_file(tmp_path / "few.npz", label=np.array([1, 2]))
    with pytest.raises(InputError, match=rf"^pictures '{re.escape(str(few))}' must be of one size and have one label "
                                         r"each, not 1 sizes, 3 pictures and 2 labels$"):
        load_pictures(few)
    weights = tmp_path / "w.safetensors"
    save_file({"linear.weight": torch.zeros(10, 64)}, weights)
    with pytest.raises(InputError, match=rf"^weights '{re.escape(str(weights))}' misses bn1.bias, bn1.run"):
        resnet20(weights)
    assert command.main(["summary", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: no results in '{tmp_path}'\n"


def test_names_of_public_weights_are_those_of_the_network():
    """Every tensor of a published checkpoint of EfficientNet-Lite0 has its place, and no place is left."""
    with torch.device("meta"):
        ours = EfficientNetLite0().state_dict()
    kinds = {"conv": ["weight"], "bn": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]}
    public = [f"_{layer}.{kind}" for layer in ("conv_stem", "conv_head") for kind in kinds["conv"]]
    public += [f"_bn{index}.{kind}" for index in (0, 1) for kind in kinds["bn"]] + ["_fc.weight", "_fc.bias"]
    for block in range(16):
        parts = ("expand", "depthwise", "project")[block == 0:]
        public += [f"_blocks.{block}._{part}_conv.weight" for part in parts]
        public += [f"_blocks.{block}._bn{index}.{kind}" for index in range(block == 0, 3) for kind in kinds["bn"]]
    assert sorted(map(lite0_name, public)) == sorted(ours)


def test_public_weights_of_resnet20_need_no_counters(tmp_path):
    """Files of old versions of PyTorch have none of BatchNorms' batches, and their last layer is called linear."""
    torch.manual_seed(1)
    net, path = resnet20_a().eval(), tmp_path / "public.safetensors"
    save_file({re.sub(r"^fc\.", "linear.", name): tensor for name, tensor in net.state_dict().items()
               if not name.endswith("num_batches_tracked")}, path)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(resnet20(path)(image), net(image))


def test_channels_choose_no_sign_where_that_is_asked_for():
    """Of the comparison with and without mirrored channels, each has what it is called."""
    net, images = tiny(), noise()
    least = {mirrored: min(float(module.scale.min()) for module in quantizers_of(
        net, images, PostTraining("2/4", "uniform", "none", mirrored)).modules() if isinstance(module, UniformWeight))
        for mirrored in (True, False)}
    assert least[True] < 0 < least[False]


def test_the_page_shows_the_table_of_the_records():
    """The one that the command prints."""
    results = Path(__file__).parents[2] / command.OUT
    page = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text()
    _, shown = page.split("<!-- python -m benchmarks.real summary -->\n")
    assert shown.split("<!-- end of the summary -->")[0] == markdown(read_all(results))
