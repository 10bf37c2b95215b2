"""FIT: traces against per-sample Fisher information, errors against what quantizers do."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from quant.bits.fit_sensitivity import Sensitivity, measured_errors, uniform_noise_errors
from quant.layers.quantized import QuantLinear
from quant.quantizers.base import Quantizer
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILWeight

CLASSES = 4


def quantized(layer: nn.Linear) -> QuantLinear:
    quantizer = PowerOfTwoWeight(8, channels=len(layer.weight))
    quantizer.initialise(layer.weight)
    return QuantLinear(layer, quantizer)


class Toy(nn.Module):
    """Two linear layers with 8-bit quantizers, small enough for every sample's own gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = quantized(nn.Linear(6, 5)), quantized(nn.Linear(5, CLASSES))
        self.act = PowerOfTwoActivation(8, signed=False, exponent=-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(torch.relu(self.first(x))))


@pytest.fixture
def toy() -> tuple[Toy, Tensor]:
    torch.manual_seed(0)
    return Toy(), torch.randn(32, 6)


def watched(model: Toy) -> dict[str, Quantizer]:
    return {"first.weight": model.first.weight_quantizer, "second.weight": model.second.weight_quantizer,
            "act": model.act}


def weight_traces(model: Toy, x: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean over samples of the squared norm of each sample's own gradient: the Fisher trace, derived by hand.

    A linear layer's gradient is the outer product of what comes back and what went in, so norms multiply.
    """
    with torch.no_grad():
        inner = model.first(x)
        hidden = model.act(torch.relu(inner))
        back = model.second(hidden).softmax(1) - functional.one_hot(labels, CLASSES)
        passed = (inner > 0) & (model.act.codes(inner) < model.act.format.high)
        deeper = back @ model.second.weight_quantizer(model.second.weight) * passed
        return {"first.weight": float((deeper.square().sum(1) * x.square().sum(1)).mean()),
                "second.weight": float((back.square().sum(1) * hidden.square().sum(1)).mean())}


def test_single_samples_give_the_per_sample_fisher(toy: tuple[Toy, Tensor]) -> None:
    """With batches of one sample the average over steps is the per-sample trace exactly, for weights too."""
    model, x = toy
    labels = torch.randint(CLASSES, (len(x),), generator=torch.Generator().manual_seed(1))
    with Sensitivity(model, watched(model), decay=1 - 1e-9) as sensitivity:
        for sample, label in zip(x.split(1), labels.split(1), strict=True):
            functional.cross_entropy(model(sample), label).backward()
    for name, trace in weight_traces(model, x, labels).items():
        assert sensitivity.traces[name] == pytest.approx(trace, rel=1e-4)


def per_sample_fisher(model: nn.Module, x: Tensor, labels: Tensor, weight: str) -> float:
    """The Fisher trace of a float weight by torch.func: the gradient of every sample's own loss, squared and summed."""
    fixed = {name: value.detach() for name, value in model.named_parameters()}

    def loss(value: Tensor, sample: Tensor, label: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(model, fixed | {weight: value}, sample[None]), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(fixed[weight], x, labels)
    return float(gradients.square().sum(tuple(range(1, gradients.ndim))).mean())


class Passing(Quantizer):
    """A quantizer that changes nothing, so that torch.func can differentiate the network that is watched."""

    @property
    def scale(self) -> Tensor:
        return torch.ones(())

    def initialise(self, x: Tensor) -> None:
        pass

    def error(self, x: Tensor, bits: int) -> float:
        return 0.0

    def _round(self, x: Tensor) -> Tensor:
        return x * 1.0


class Small(nn.Module):
    """A convolution with BatchNorm in eval mode and a linear layer; `extra` is added to what is stored between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, CLASSES)
        self.of_conv, self.of_head, self.act = (Passing(8, signed=True) for _ in range(3))
        self.extra = nn.Parameter(torch.zeros(4, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.of_conv(self.conv.weight), self.conv.bias)
        x = self.act(torch.relu(self.norm(x))) + self.extra
        return functional.linear(x.flatten(1), self.of_head(self.head.weight), self.head.bias)


def test_traces_are_the_per_sample_fisher_of_torch_func() -> None:
    """Weights with batches of one sample, a stored tensor with any batch: what vmap of grad gives, to rounding."""
    torch.manual_seed(0)
    model, x, labels = Small().eval(), torch.randn(24, 2, 4, 4), torch.randint(CLASSES, (24,))
    quantizers = {"conv.weight": model.of_conv, "head.weight": model.of_head, "act": model.act}
    traces = {}
    for batch in (1, 8):
        with Sensitivity(model, quantizers, decay=1 - 1e-9) as sensitivity:
            for part, label in zip(x.split(batch), labels.split(batch), strict=True):
                functional.cross_entropy(model(part), label).backward()
        traces[batch] = sensitivity.traces
    assert traces[8]["act"] == pytest.approx(traces[1]["act"], rel=1e-5)
    for name, weight in (("conv.weight", "conv.weight"), ("head.weight", "head.weight"), ("act", "extra")):
        assert traces[1][name] == pytest.approx(per_sample_fisher(model, x, labels, weight), rel=1e-5)


def test_activation_traces_are_exact_for_any_batch(toy: tuple[Toy, Tensor]) -> None:
    """For activations the batch's gradient contains each sample's own: any batch size gives the same trace."""
    model, x = toy
    labels = torch.randint(CLASSES, (len(x),), generator=torch.Generator().manual_seed(1))
    traces = []
    for batch in (1, 4, 32):
        with Sensitivity(model, watched(model), decay=1 - 1e-9) as sensitivity:
            for part, label in zip(x.split(batch), labels.split(batch), strict=True):
                functional.cross_entropy(model(part), label).backward()
        traces.append(sensitivity.traces["act"])
    assert traces[0] > 0
    assert traces == pytest.approx([traces[0]] * 3, rel=1e-4)


def test_weight_traces_of_batches_are_unbiased(toy: tuple[Toy, Tensor]) -> None:
    """With labels from the model's own predictions the batch estimate is right on average: over all labels that three
    samples can have, each as likely as the model finds it."""
    model, x = toy[0], toy[1][:3]
    with torch.no_grad():
        probabilities = model(x).softmax(1)
    found, wanted = ({"first.weight": 0.0, "second.weight": 0.0} for _ in range(2))
    for classes in product(range(CLASSES), repeat=len(x)):
        labels = torch.tensor(classes)
        likely = float(probabilities.gather(1, labels[:, None]).prod())
        with Sensitivity(model, watched(model)) as sensitivity:
            functional.cross_entropy(model(x), labels).backward()
        for name, trace in weight_traces(model, x, labels).items():
            found[name] += likely * sensitivity.traces[name]
            wanted[name] += likely * trace
    assert found == pytest.approx(wanted, rel=1e-4)


def test_averages_follow_training_without_a_bias_at_the_start(toy: tuple[Toy, Tensor]) -> None:
    """Equal steps give their own value from the first on; later steps count more than earlier ones."""
    model, x = toy
    labels = torch.zeros(len(x), dtype=torch.int64)
    with Sensitivity(model, watched(model), decay=0.9) as sensitivity:
        assert set(sensitivity.traces.values()) == {0.0}
        seen = []
        for _ in range(3):
            functional.cross_entropy(model(x), labels).backward()
            seen.append(sensitivity.traces["act"])
        assert seen == pytest.approx([seen[0]] * 3, rel=1e-6)
        (10 * functional.cross_entropy(model(x), labels)).backward()
        weights = np.array([0.9**3, 0.9**2, 0.9, 1.0])
        assert sensitivity.traces["act"] == pytest.approx(
            seen[0] * float(weights @ [1, 1, 1, 100] / weights.sum()), rel=1e-6)


def test_closing_stops_the_watch(toy: tuple[Toy, Tensor]) -> None:
    """After the `with` block training is not slowed and traces stay."""
    model, x = toy
    with Sensitivity(model, watched(model)) as sensitivity:
        functional.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.int64)).backward()
    before = dict(sensitivity.traces)
    functional.cross_entropy(model(x), torch.ones(len(x), dtype=torch.int64)).backward()
    assert sensitivity.traces == before
    assert not model.act._forward_hooks


def test_samples_are_what_quantizers_read(toy: tuple[Toy, Tensor]) -> None:
    """They come from the last batch, before quantizing, and are cut off from the graph."""
    model, x = toy
    with Sensitivity(model, watched(model)) as sensitivity:
        model(x)
    assert torch.equal(sensitivity.samples["act"], torch.relu(model.first(x)).detach().flatten())
    assert not sensitivity.samples["first.weight"].requires_grad


@pytest.mark.parametrize("quantizer", [QILWeight(4), PowerOfTwoWeight(4, channels=6)])
def test_errors_are_measured(quantizer: Quantizer) -> None:
    """Each entry is the error the quantizer makes after `set_bits` on that data, and none is above the one before."""
    x = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    errors = measured_errors(quantizer, x, range(2, 9))
    assert (np.diff(errors) <= 0).all()
    for bits in (2, 4, 8):
        quantizer.set_bits(bits, x)
        found = float((quantizer(x) - x).detach().square().mean())
        assert errors[bits - 2] == pytest.approx(found, rel=1e-5)


def test_scaled_losses_give_the_same_traces(toy: tuple[Toy, Tensor]) -> None:
    """The scale of a GradScaler is divided out; a pass that overflows does not count, without a scaler it shows."""
    model, x = toy
    labels, scaler = torch.zeros(len(x), dtype=torch.int64), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    with Sensitivity(model, watched(model)) as plain:
        functional.cross_entropy(model(x), labels).backward()
    with Sensitivity(model, watched(model), scaler=scaler) as scaled:
        scaler.scale(functional.cross_entropy(model(x), labels)).backward()
        before = scaled.traces
        (scaler.scale(functional.cross_entropy(model(x), labels)) * float("inf")).backward()
    assert before == plain.traces
    assert scaled.traces == before


def in_a_process(rank: int, folder: Path) -> None:
    """Two samples for each of two processes."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    model, x = Toy(), torch.randn(4, 6)[2 * rank : 2 * rank + 2]
    with Sensitivity(model, watched(model)) as sensitivity:
        functional.cross_entropy(model(x), torch.zeros(2, dtype=torch.int64)).backward()
    own = sensitivity.traces["act"]
    sensitivity.agree()
    lines = [own, sensitivity.traces["act"], float(sensitivity.samples["act"].double().sum())]
    (folder / str(rank)).write_text(" ".join(map(repr, lines)))
    distributed.destroy_process_group()


def test_processes_agree(tmp_path: Path) -> None:
    """After `agree` two processes that saw different samples have the mean of both traces, and the same samples."""
    multiprocessing.spawn(in_a_process, (tmp_path,), nprocs=2)
    (own, agreed, samples), (other, other_agreed, other_samples) = (
        [float(text) for text in (tmp_path / str(rank)).read_text().split()] for rank in range(2))
    assert own != other
    assert agreed == other_agreed == pytest.approx((own + other) / 2, rel=1e-12)
    assert samples == other_samples


def test_uniform_noise_is_the_error_of_uniform_data() -> None:
    """For data spread evenly over the range the model is right; it falls fourfold with each bit."""
    x = torch.linspace(0, 1, 20000)
    errors = uniform_noise_errors(x, (3, 8))
    rounded = torch.floor(x * 7 + 0.5) / 7
    assert errors[0] == pytest.approx(float((rounded - x).square().mean()), rel=1e-3)
    assert errors[0] / errors[1] == pytest.approx((255 / 7) ** 2)
