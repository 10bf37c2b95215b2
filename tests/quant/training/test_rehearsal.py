"""What would end a training later is refused before its first step, or is right."""

import re
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.data.split import Split
from quant.training.evaluate import accuracy
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe
from sim.errors import InputError
from sim.ir.formats import Format

CODES = torch.randint(0, 16, (9, 2, 4, 4), generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(9) % 3


def split(labels: object = LABELS, codes: Tensor = CODES) -> Split:
    return Split(codes, labels, Format(4, "unsigned"), -4)  # type: ignore[arg-type]


def network(classes: int = 3) -> nn.Sequential:
    """With a BatchNorm on single pixels."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(),
                         nn.Linear(4, classes))


@pytest.mark.parametrize(("labels", "batch", "model", "message"), [
    (LABELS + 1, 4, network(), "labels must be in 0..2, the outputs of the model, not 3"),
    (LABELS - 1, 4, network(), "labels must be in 0..2, the outputs of the model, not -1"),
    (LABELS, 4, network(2), "labels must be in 0..1, the outputs of the model, not 2"),
    (LABELS.float(), 4, network(), "labels must be a tensor of whole numbers, not torch.float32"),
    (LABELS > 1, 4, network(), "labels must be a tensor of whole numbers, not torch.bool"),
    (LABELS[:, None], 4, network(), "labels must have shape (9,), one for each image, not (9, 1)"),
    (LABELS, 1, network(), "BatchNorm '2' sees one value per channel in a batch of one image: take at least 2"),
    (LABELS, 10, network(), "a batch of 10 needs as many images, not 9"),
    (LABELS, 4, network()[:3], "the model must give logits of shape (1, classes) for an image, not shape (1, 4, 1, 1)"),
    (LABELS, 4, nn.Flatten(), "the model has no parameters to train"),
    (LABELS, 4, network().bfloat16(),
     "parameters are trained in torch.float32 or torch.float64, not torch.bfloat16; call model.float()")])
def test_refused_before_the_first_step(labels: Tensor, batch: int, model: nn.Module, message: str) -> None:
    """One sentence; weights, statistics and modes are as they were."""
    before = deepcopy(model.train().state_dict())
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        train(model, split(labels), Recipe(epochs=1, batch=batch))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_images_and_teachers_that_do_not_fit_are_refused() -> None:
    """An image of other channels, no images, another number of classes taught."""
    with pytest.raises(InputError, match=r"^the model does not run on data of shape \(1, 3, 4, 4\): .+$"):
        train(network(), split(codes=torch.zeros(9, 3, 4, 4)), Recipe(epochs=1, batch=4))
    with pytest.raises(InputError, match=r"^a batch of 4 needs as many images, not 0$"):
        train(network(), split(LABELS[:0], CODES[:0]), Recipe(epochs=1, batch=4))
    with pytest.raises(InputError, match=r"^the teacher must give logits of shape \(1, 3\) for an image, not "
                                         r"\(1, 5\)$"):
        train(network(), split(), Recipe(epochs=1, batch=4, distillation=0.5), teacher=network(5).eval())


@pytest.mark.trains
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_whole_type_train_alike(dtype: torch.dtype) -> None:
    """The weights after an epoch are those of int64 labels."""
    ends = []
    for labels in (LABELS, LABELS.to(dtype)):
        model = network()
        train(model, split(labels), Recipe(epochs=1, batch=3))
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    assert torch.equal(*ends)


@pytest.mark.trains
def test_double_precision_trains() -> None:
    """A float64 model gets float64 images, and stays float64."""
    model = network().double()
    train(model, split(), Recipe(epochs=1, batch=3))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert 0 <= accuracy(model, split()) <= 1


@pytest.mark.trains
def test_weights_that_the_last_step_made_infinite_are_named() -> None:
    """The loss is that before a step: what the last step of all breaks is looked for too."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 3))
    with pytest.raises(InputError, match=r"^weights became infinite in epoch 1: lower the rate of 1e\+38$"):
        train(model, split(codes=CODES * 1000), Recipe(epochs=1, batch=9, rate=1e38, warmup=0.0))


@pytest.mark.parametrize("images", [2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("batch", [2, 4, 8, 64])
def test_statistics_of_single_pixels_need_no_full_batch(images: int, batch: int) -> None:
    """However many images are left over, means are those of all images and no image is left out."""
    model = network()
    values = split().images[:images]
    reestimate_norms(model, values, batch)
    seen = model[:2](values)
    torch.testing.assert_close(model[2].running_mean, seen.mean((0, 2, 3)))


@pytest.mark.parametrize(("images", "batch", "message"), [
    (split().images[:1], 64, "statistics of BatchNorms take at least 2 images together, not images = 1"),
    (split().images, 1, "statistics of BatchNorms take at least 2 images together, not batch = 1"),
    (split().images[:0], 64, "images must have shape (n, C, H, W), (n, C, L) or (n, C) without a 0, not (0, 2, 4, 4)")])
def test_statistics_of_too_little_are_refused(images: Tensor, batch: int, message: str) -> None:
    """One sentence, and the statistics stay."""
    model = network()
    before = deepcopy(model.state_dict())
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        reestimate_norms(model, images, batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_accuracy_of_nothing_is_refused() -> None:
    """No images: no share of them."""
    with pytest.raises(InputError, match=r"^accuracy takes at least 1 image, not 0$"):
        accuracy(network().eval(), split(LABELS[:0], CODES[:0]))


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["lsq", "qil"])
def test_quantizers_of_norms_without_statistics_are_refused(scheme: str) -> None:
    """Steps are fitted to what BatchNorms give with mean 0 and variance 1, which training replaces at once; with
    statistics the same network trains, and so does a float one without."""
    def quantized(net: nn.Module) -> nn.Module:
        return quantize(net.eval(), split().values(slice(None)), scheme=scheme, input_format=Format(4, "unsigned"),
                        input_exponent=-4)

    with pytest.raises(InputError, match=r"^quantizers were fitted to a network whose BatchNorms, such as '2', have no "
                                         r"statistics yet: train it in float before `quantize`, or call "
                                         r"`reestimate_norms` on it$"):
        train(quantized(network()), split(), Recipe(epochs=1, batch=4))
    net = network()
    train(deepcopy(net), split(), Recipe(epochs=1, batch=4))
    reestimate_norms(net, split().values(slice(None)))
    train(quantized(net), split(), Recipe(epochs=1, batch=4))
