"""Models whose graph would compute something else, or that compute something else each time, are refused."""

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.frontends.read_model import read_model
from sim.errors import InputError

IMAGES = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))

UNDECIDED = ("forward must not decide by types, modes or a state (isinstance, torch.is_tensor, torch.is_grad_enabled, "
             "torch.autocast, counters)")

Choice = Callable[["Choosing", Tensor], object]


class Choosing(nn.Module):
    """Calls one convolution or the other."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 3)
        self.choice, self.calls = choice, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.last(torch.relu(self.one(x) if self.choice(self, x) else self.other(x)))


DECISIONS: dict[str, Choice] = {
    "isinstance": lambda model, x: isinstance(x, Tensor),
    "is_tensor": lambda model, x: torch.is_tensor(x),
    "type": lambda model, x: type(x) is not torch.fx.Proxy,
    "is None": lambda model, x: not isinstance(x, torch.fx.Proxy),
}


@pytest.mark.parametrize("choice", DECISIONS.values(), ids=DECISIONS.keys())
def test_decisions_that_tracing_takes_otherwise_come_out_right(choice: Choice) -> None:
    """What the model computes is then read from what torch.export lists, with the names of the model's layers."""
    model = Choosing(choice)
    graph = read_model(model, IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(graph(IMAGES), model(IMAGES))
    assert [name for name, module in graph.named_modules() if isinstance(module, nn.Conv2d)] == ["one", "last"]


MODES: dict[str, tuple[Choice, str]] = {
    "gradients": (lambda model, x: not torch.is_grad_enabled(), ""),
    "inference mode": (lambda model, x: torch.is_inference_mode_enabled(), " in inference mode"),
}


@pytest.mark.parametrize(("choice", "way"), MODES.values(), ids=MODES.keys())
def test_decisions_by_modes_are_refused(choice: Choice, way: str) -> None:
    """No fixed network computes both; the message names the layers that the model and its graph call."""
    text = (rf"the traced graph does not compute what the model does{way}( with gradients on)?: where the model calls "
            f"'(one|other)', the graph calls '(one|other)'; {re.escape(UNDECIDED)}")
    with pytest.raises(InputError, match=f"^{text}$"):
        read_model(Choosing(choice), IMAGES)


class Scaling(Choosing):
    """Does something with a value, or does not."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        return self.last(self.other(y if self.choice(self, x) else torch.relu(y)))


def test_functions_that_modes_leave_out_are_found_too() -> None:
    """Where the same layers are called, the first that gets something else is named."""
    text = ("the traced graph does not compute what the model does in inference mode: they differ in what 'other' puts "
            f"out; {UNDECIDED}")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        read_model(Scaling(lambda model, x: torch.is_inference_mode_enabled()), IMAGES)


def test_a_graph_that_cannot_run_is_left_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    """A branch that only tracing takes may fail: none of torch's tracebacks is on the terminal."""
    class Failing(Choosing):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(x if isinstance(x, Tensor) else torch.flatten(x, 1))

    model = Failing(lambda model, x: True)
    with torch.no_grad():
        torch.testing.assert_close(read_model(model, IMAGES)(IMAGES), model(IMAGES))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("choice", [
    lambda model, x: random.random() < 2, lambda model, x: np.random.rand() < 2,
    lambda model, x: torch.rand(()) < 2, lambda model, x: functional.dropout(torch.ones(1), 0.5) is not None])
def test_models_that_draw_random_numbers_are_refused_and_disturb_none(choice: Choice) -> None:
    """Even where both runs agree by chance; the caller's own random numbers stay what they would have been."""
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = float(torch.rand(())), float(np.random.rand()), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    model = Choosing(choice)
    torch.manual_seed(5)
    text = "^the model draws random numbers in eval mode, so that no fixed network computes what it does$"
    with pytest.raises(InputError, match=text):
        read_model(model, IMAGES)
    assert (float(torch.rand(())), float(np.random.rand()), random.random()) == expected


@pytest.mark.parametrize("period", [2, 3, 4, 5])
def test_models_with_a_state_are_refused(period: int) -> None:
    """What a counter decides comes out, in one way or the other, as soon as it decides otherwise."""
    with pytest.raises(InputError, match=(
            r"^(the model gives something else when it runs again on the same data|the traced graph does not compute "
            r"what the model does)[^:]*: .*state")):
        read_model(Choosing(lambda model, x: model.calls % period == 0), IMAGES)


def test_a_second_run_that_differs_is_said_with_its_layer() -> None:
    """A model that alternates gives something else at once."""
    text = ("the model gives something else when it runs again on the same data: where the first run calls "
            "'(one|other)', the second calls '(one|other)'; a network whose state changes while it runs cannot be "
            "quantized")
    with pytest.raises(InputError, match=f"^{text}$"):
        read_model(Choosing(lambda model, x: model.calls % 2), IMAGES)


@pytest.mark.parametrize("choice", [
    lambda model, x: not model.training, lambda model, x: hasattr(model, "one"),
    lambda model, x: len(list(model.children())) == 3])
def test_decisions_that_come_out_the_same_are_fine(choice: Choice) -> None:
    """A branch for training is no part of the network: that is what the model computes in eval mode."""
    model = Choosing(choice).train()
    graph = read_model(model, IMAGES)
    assert model.training
    with torch.no_grad():
        assert torch.equal(graph(IMAGES), model.eval()(IMAGES))


def test_what_tracing_leaves_behind_is_not_in_the_way() -> None:
    """It works on a copy of its own: nothing of it stays in what the model is compared by."""
    class Cached(Choosing):
        cache: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.cache is not None:
                float(self.cache)
            self.cache = x.mean()
            return self.last(self.one(x))

    model = Cached(lambda model, x: True)
    graph = read_model(model, IMAGES)
    assert model.cache is None
    assert torch.equal(graph(IMAGES), model(IMAGES))
