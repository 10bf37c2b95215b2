"""A user's model comes in as it computes, or is refused by all that is in the way."""

import re
from collections.abc import Callable
from copy import deepcopy
from threading import Lock

import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao.nn import qat
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, weight_norm

from quant.convert import quantize
from quant.frontends.read_model import read_model
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.trace.host import host_part
from sim.errors import InputError
from sim.ir.formats import Format

Change = Callable[[Tensor], Tensor]

IMAGES = torch.randint(0, 256, (32, 3, 6, 6), generator=torch.Generator().manual_seed(0)) * 2.0**-8


def net(*layers: nn.Module) -> nn.Sequential:
    """Layers behind a convolution, and a linear layer behind them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *layers, nn.Conv2d(4, 4, 1), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def quantized(model: nn.Module, data: Tensor = IMAGES, scheme: str = "power_of_two", bits: int = 8) -> fx.GraphModule:
    return quantize(model, data, scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(8, "unsigned"), input_exponent=-8)


class Faulty(nn.Module):
    """Has much that the machine has not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 4, 3, padding="same", stride=1, dilation=(1, 2)), nn.Softmax(1)
        self.norm, self.pool = nn.BatchNorm2d(4, track_running_stats=False), nn.MaxPool2d(4, ceil_mode=True)
        self.shared, self.last = nn.Conv2d(4, 4, 1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.shared(torch.relu(self.shared(self.act(x))))
        x = torch.add(x, x.mean(3, keepdim=True), alpha=2)
        x = functional.avg_pool2d(self.pool(x), x.size(2) // x.size(2))
        return self.last(x.view(x.size(0), -1))


REASONS = [
    "unsupported operator batch_norm at 'norm': it stays in training mode, where it has no fixed gain",
    "Softmax at 'act' is computed by the host, and so only at the end",
    ("add at the top of the model (node 'add') joins shapes (4, 6, 6) and (4, 6, 1) per image; the machine adds and "
     "multiplies tensors of one shape, or one of them with a value per channel or with one channel"),
]


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_all_reasons_come_at_once(scheme: str) -> None:
    """One line for each thing that is wrong, in the order of the model, none for what only follows from another."""
    with pytest.raises(InputError) as error:
        quantized(Faulty().eval(), scheme=scheme)
    assert str(error.value).split("\n  ") == [f"the model cannot be taken, for {len(REASONS)} reasons:", *REASONS]


def test_norms_that_stay_in_training_mode_are_refused() -> None:
    """They have no fixed gain, though two runs give the same."""
    class Training(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def train(self, mode: bool = True) -> "Training":
            super().train(mode)
            self.norm.train()
            return self

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.conv(x))

    text = "^unsupported operator batch_norm at 'norm': it stays in training mode, where it has no fixed gain$"
    with pytest.raises(InputError, match=text):
        quantized(Training())


class Adding(nn.Module):
    """Adds a value to another of its shape or of one that torch widens."""

    def __init__(self, other: Change) -> None:
        super().__init__()
        self.conv, self.last, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), other

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        return self.last(y + self.other(y))


@pytest.mark.parametrize(("other", "shape"), [
    (lambda y: functional.max_pool2d(y, (1, 4)), (4, 4, 1)), (lambda y: functional.max_pool2d(y, (4, 1)), (4, 1, 4)),
    (lambda y: functional.adaptive_avg_pool2d(y, (1, None)), (4, 1, 4))])
def test_adds_that_widen_an_operand_are_refused_as_such(other: Change, shape: tuple[int, ...]) -> None:
    """The message gives both shapes."""
    text = (f"add at the top of the model (node 'add') joins shapes (4, 4, 4) and {shape} per image; the machine adds "
            "and multiplies tensors of one shape, or one of them with a value per channel or with one channel")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        quantized(Adding(other).eval())


class Viewed(Adding):
    """Looks at what it makes in another shape."""

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.conv(x))


@pytest.mark.parametrize("view", [
    lambda y: y.view(y.size(0), -1), lambda y: y.reshape(y.shape[0], 64), lambda y: y.view(-1, 64),
    lambda y: torch.reshape(y, (y.size(0), -1)), lambda y: y.view(y.size(0), 2, 2, 4, 4),
    lambda y: y.reshape(y.size(0), 4, -1), lambda y: y.permute(0, 2, 3, 1).flatten(1)])
def test_outputs_may_have_any_shape(view: Change) -> None:
    """However the model writes it; the machine puts out the same map."""
    model = Viewed(view).eval()
    near = quantized(model)
    host = host_part(near) or (lambda returned: returned)
    with torch.no_grad():
        assert host(near(IMAGES)).shape == model(IMAGES).shape
    assert [tensor.shape for tensor in lower(near, IMAGES[:1]).outputs] in ([(4, 4, 4)], [(64, 1, 1)])


def test_views_that_mix_images_are_refused() -> None:
    """A row of 16 of the 64 numbers of an image would make four images of one."""
    text = "^unsupported operator view at the top of the model \\(node 'view'\\): it mixes the images of a batch$"
    with pytest.raises(InputError, match=text):
        quantized(Viewed(lambda y: y.view(-1, 16)).eval())


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.AvgPool2d(4, ceil_mode=True),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True)])
def test_ceil_mode_is_no_obstacle(pool: nn.Module) -> None:
    """Windows may reach beyond a map of 4 x 4 or not; the Program's maps are as large as the model's."""
    model = net(pool)
    with torch.no_grad():
        shape = tuple(model[:4](IMAGES).shape[1:])
    assert shape in [tensor.shape for tensor in lower(quantized(model), IMAGES[:1]).tensors]


def with_layer(change: Callable[[nn.Sequential], None]) -> nn.Sequential:
    model = net()
    change(model)
    return model


def hooked(model: nn.Sequential) -> None:
    model[0].register_forward_hook(lambda module, args, output: 2 * output)


def shadowed(name: str) -> Callable[[nn.Sequential], None]:
    def change(model: nn.Sequential) -> None:
        setattr(model[0], name, getattr(model[0], name))
    return change


def replaced(index: int, make: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Sequential], None]:
    def change(model: nn.Sequential) -> None:
        model[index] = make(model[index])
    return change


LOST: dict[str, Callable[[], nn.Module]] = {
    "LazyConv2d at '0' is lazy and has no weights yet; run the model once on an image first":
        lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()),
    "Conv2d at '0' is on the meta device and has no values; load its weights first":
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), nn.ReLU()),
    "Conv2d at '0' has forward hooks, which a quantized model would lose; remove them first":
        lambda: with_layer(hooked),
    "Conv2d at '0' has a forward of its own in place of its class's; write a class that has it":
        lambda: with_layer(shadowed("forward")),
    "Conv2d at '0' has a _conv_forward of its own in place of its class's; write a class that has it":
        lambda: with_layer(shadowed("_conv_forward")),
    "the model is quantized already: FusedMovingAvgObsFakeQuantize at '0.weight_fake_quant'; give the float model":
        lambda: with_layer(replaced(0, lambda layer: qat.Conv2d(3, 4, 3, qconfig=get_default_qat_qconfig("x86")))),
    "the model mixes torch.float32 ('7.bias') and torch.float64 ('3.bias'); make it one by model.float()":
        lambda: with_layer(lambda model: model[3].double() and None),
    "'3.weight' must be finite, but holds inf":
        lambda: with_layer(lambda model: nn.init.constant_(model[3].weight, torch.inf)),
    "the model cannot be copied: TypeError: cannot pickle '_thread.lock' object":
        lambda: with_layer(lambda model: setattr(model, "lock", Lock())),
    "the model is quantized already: QuantConv2d at '0'; give the float model": lambda: quantized(net()),
}


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:.*torch.ao.quantization", "ignore:.*reduce_range")
@pytest.mark.parametrize(("text", "make"), LOST.items(), ids=LOST.keys())
def test_what_would_get_lost_is_refused_by_its_own_name(text: str, make: Callable[[], nn.Module]) -> None:
    """Whatever a quantized copy could not keep: hooks, masks, missing values, other computations, other precisions."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        quantized(make())


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_what_gets_lost_comes_in_one_list_with_the_rest() -> None:
    """Hooked layers, and two that the machine has not."""
    model = net(nn.SiLU(), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    hooked(model)
    model[5] = weight_norm(model[5])
    model[5].register_forward_pre_hook(lambda module, args: None)
    hook = "has forward hooks, which a quantized model would lose; remove them first"
    with pytest.raises(InputError) as error:
        quantized(model)
    assert str(error.value).split("\n  ")[1:] == [
        f"Conv2d at '0' {hook}", f"Conv2d at '5' {hook}", "unsupported module SiLU at '3'",
        "Conv2d at '4' pads by reflect; only zeros are supported"]


HARMLESS: dict[str, Callable[[nn.Sequential], object]] = {
    "backward hook": lambda model: model[0].register_full_backward_hook(lambda *args: None),
    "pruned for good": lambda model: prune.remove(prune.random_unstructured(model[0], "weight", 0.5), "weight"),
    "parametrized": lambda model: parametrizations.weight_norm(model[0]),
    "frozen": lambda model: model.requires_grad_(False),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    "no affine norm": replaced(1, lambda norm: nn.BatchNorm2d(4, affine=False).eval()),
    "expanded": lambda model: setattr(model[3], "weight", nn.Parameter(torch.ones(1, 4, 1, 1).expand(4, 4, 1, 1))),
    "transposed": lambda model: setattr(model[3], "weight", nn.Parameter(torch.rand(1, 1, 4, 4).permute(3, 2, 1, 0))),
    "compiled in place": lambda model: setattr(model, "_compiled_call_impl", model[0].forward),
}


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_changes_no_result_is_no_obstacle(change: Callable[[nn.Sequential], object], scheme: str) -> None:
    """At 8 bits the quantized model is near the model, and so is what a Program says of its shapes."""
    model = net()
    change(model)
    check_near(quantized(model, scheme=scheme), deepcopy(model), IMAGES)


def test_traced_models_are_models() -> None:
    """A graph of torch.fx over layers comes in as the model it was made of."""
    check_near(quantized(fx.symbolic_trace(net())), net(), IMAGES)


def check_near(near: fx.GraphModule, model: nn.Module, images: Tensor) -> None:
    """A quantized model is within a tenth of the model and can be lowered."""
    with torch.no_grad():
        wanted, found = model(images).double(), near(images.to(next(near.parameters()).dtype)).double()
    assert float((found - wanted).square().mean()) < 0.01 * float(wanted.square().mean())
    assert lower(near, images[:1]).outputs[0].shape == (3, 1, 1)


PRECISIONS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("of_data", PRECISIONS)
@pytest.mark.parametrize("of_model", PRECISIONS)
def test_precisions_may_differ(of_model: torch.dtype, of_data: torch.dtype, scheme: str) -> None:
    """Whatever the precision of model and images: halves become single, and images follow the model."""
    model, images = net().to(of_model), IMAGES[:8].to(of_data)
    near = quantized(model, images, scheme)
    assert {p.dtype for p in near.parameters()} == {torch.float64 if of_model is torch.float64 else torch.float32}
    check_near(near, deepcopy(model).double(), images.double())


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
def test_the_default_precision_is_of_no_consequence(scheme: str) -> None:
    """A single-precision model stays so where torch makes new tensors double, with the same codes."""
    model = net()
    expected = lower(quantized(model, scheme=scheme), IMAGES[:1])
    torch.set_default_dtype(torch.float64)
    try:
        found = lower(quantized(model, scheme=scheme), IMAGES[:1])
    finally:
        torch.set_default_dtype(torch.float32)
    assert [conv.weights.tolist() for conv in found.convs] == [conv.weights.tolist() for conv in expected.convs]


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_models_and_calls_in_inference_mode_can_be_trained(scheme: str) -> None:
    """Parameters of the quantized model are no inference tensors, wherever the model's come from."""
    with torch.inference_mode():
        near = quantized(net(), IMAGES.clone(), scheme)
    near(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in near.parameters() if parameter.requires_grad)


def test_a_traced_model_that_cannot_run_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    """A called GraphModule would print a traceback of its own onto the terminal."""
    text = r"^the model does not run on data of shape \(2, 3, 6, 6\): The size of tensor"
    with pytest.raises(InputError, match=text):
        quantized(fx.symbolic_trace(Adding(lambda y: functional.max_pool2d(y, 2))))
    assert capfd.readouterr() == ("", "")


def tied(model: nn.Sequential, of: str) -> nn.Sequential:
    """A model whose second and third convolution share memory in one of several ways."""
    first, second = model[3], model[4]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    if of == "parameter":
        second.weight, second.bias = first.weight, first.bias
    elif of == "view":
        second.weight = nn.Parameter(first.weight.detach().transpose(0, 1))
    else:
        whole = torch.rand(20) - 0.5
        first.weight = nn.Parameter(whole[:16].view(4, 4, 1, 1))
        second.weight = nn.Parameter(whole[4:].view(4, 4, 1, 1))
    return model


@pytest.mark.trains
@pytest.mark.parametrize("of", ["parameter", "view", "overlap"])
def test_layers_that_share_memory_learn_by_themselves(of: str) -> None:
    """Reconstruction rounds the weights of both on their own grids; the model keeps its own."""
    model = tied(net(nn.Conv2d(4, 4, 1)), of)
    before = deepcopy(model.state_dict())
    near = quantized(model, bits=3)
    layers = [module for module in near.modules() if isinstance(module, QuantConv2d | QuantLinear)]
    memory = [layer.weight.untyped_storage().data_ptr() for layer in layers]
    assert len(set(memory)) == len(layers) == 4
    reconstruct(near, model, IMAGES, Reconstruction(iterations=3, batch=8))
    for layer in layers:
        assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_read_models_share_nothing_with_the_users() -> None:
    """Neither weights nor statistics nor the mode of the model are touched."""
    model = net().train()
    graph = read_model(model, IMAGES)
    assert model.training
    assert not any(module.training for module in graph.modules() if not list(module.children()))
    mine = {tensor.data_ptr() for tensor in (*graph.parameters(), *graph.buffers())}
    assert not mine & {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}


def test_values_of_dead_layers_do_not_matter() -> None:
    """A head that nobody reads, as networks have for training, may hold anything."""
    class Headed(Adding):
        def __init__(self) -> None:
            super().__init__(torch.relu)
            self.head = nn.Linear(64, 2)
            nn.init.constant_(self.head.weight, torch.nan)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            torch.sigmoid(self.head(y.flatten(1)))
            return torch.relu(y)

    near = quantized(Headed().eval())
    assert [op.name for op in lower(near, IMAGES[:1]).ops] == ["conv"]
