"""What `quantize` and `lower` refuse before they touch a model, each in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from sim.errors import InputError
from sim.formats import Format

__all__ = ["check_data", "check_finite", "check_input_format", "check_plain", "check_runs", "check_single_input",
           "running_on"]


def check_data(data: Any) -> None:
    """Refuse calibration data that is not a batch of finite images."""
    if not isinstance(data, Tensor) or not data.is_floating_point():
        came = data.dtype if isinstance(data, Tensor) else type(data).__name__
        raise InputError(f"data must be a tensor of floats, not {came}")
    if data.ndim != 4 or not data.numel():
        raise InputError(f"data must have shape (n, C, H, W) without a 0, not {tuple(data.shape)}")
    wrong = ~torch.isfinite(data).flatten(1).all(1)
    if bool(wrong.any()):
        raise InputError(f"data must be finite, but image {int(wrong.nonzero()[0])} is not")


def check_input_format(fmt: Format, exponent: Any) -> None:
    """Refuse an input whose value is not code * 2**exponent."""
    if fmt.zero_point or fmt.kind not in ("signed", "unsigned"):
        raise InputError(f"input_format must be signed or unsigned with zero point 0, not {fmt}")
    if not isinstance(exponent, int) or isinstance(exponent, bool):
        raise InputError(f"input_exponent must be an int, not {exponent!r}")


def check_plain(model: nn.Module) -> None:
    """Refuse hooks and parametrizations, which a quantized layer would lose."""
    for name, module in model.named_modules():
        at = f"{type(module).__name__} at '{name}'" if name else "the model"
        if parametrize.is_parametrized(module):
            raise InputError(f"{at} has parametrized weights; remove the parametrization first")
        if module._forward_hooks or module._forward_pre_hooks:
            raise InputError(f"{at} has forward hooks (weight_norm is one), which a quantized model would lose; "
                             "remove them first")


def check_finite(model: nn.Module) -> None:
    """Refuse NaN and infinity among parameters and statistics."""
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        if not bool(torch.isfinite(values).all()):
            raise InputError(f"'{name}' must be finite, but holds {float(values[~torch.isfinite(values)].detach()[0])}")


def check_single_input(graph: fx.GraphModule) -> None:
    """Refuse models that read several tensors."""
    names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    if len(names) != 1:
        raise InputError(f"the model must read one tensor, not {len(names)} ({', '.join(names)})")


@contextmanager
def running_on(data: Tensor) -> Iterator[None]:
    """Turn what torch raises when a model cannot read `data` into one sentence with torch's own reason."""
    try:
        with torch.no_grad():
            yield
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the model does not run on data of shape {tuple(data.shape)}: {reason}") from error


def check_runs(model: nn.Module, data: Tensor) -> None:
    """Refuse data that the model cannot read, with torch's own reason."""
    with running_on(data):
        model(data[:1].clone())
