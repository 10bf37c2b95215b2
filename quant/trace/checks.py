"""What `quantize` and `lower` refuse before they touch a model, each in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from os import PathLike
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import Quantizer
from quant.trace.fixed_weights import computes_weights
from quant.trace.inputs import Read, each
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = [
    "check_data",
    "check_finite",
    "check_float",
    "check_input_format",
    "check_inputs",
    "check_kind",
    "check_magnitude",
    "check_on_cpu",
    "check_runs",
    "lost_by_copying",
    "running_on",
]

LARGEST = 2.0**100
"""Largest magnitude of weights and values, and the inverse of the smallest: what a step of 8 bits of them times such a
step of another layer's is, single precision holds."""


def check_data(data: Any, what: str = "data") -> None:
    """Refuse calibration data, or what the sentence shall call it, that are no finite maps, sequences or rows."""
    if not isinstance(data, Tensor) or not data.is_floating_point():
        came = data.dtype if isinstance(data, Tensor) else type(data).__name__
        raise InputError(f"{what} must be a tensor of floats, not {came}")
    if data.ndim not in (2, 3, 4) or not data.numel():
        raise InputError(f"{what} must have shape (n, C, H, W), (n, C, L) or (n, C) without a 0, not "
                         f"{tuple(data.shape)}")
    if data.is_meta:
        raise InputError(f"{what} must have values, not be on the meta device")
    wrong = ~torch.isfinite(data).flatten(1).all(1)
    if bool(wrong.any()):
        raise InputError(f"{what} must be finite, but image {int(wrong.nonzero()[0])} is not")


def check_input_format(fmt: Any, exponent: Any) -> None:
    """Refuse an input whose value is not code * 2**exponent."""
    if not isinstance(fmt, Format):
        raise InputError(f"input_format must be a Format, not {fmt!r}")
    if fmt.zero_point or fmt.kind not in ("signed", "unsigned"):
        raise InputError(f"input_format must be signed or unsigned with zero point 0, not {fmt}")
    if fmt == Format(1, "signed"):
        raise InputError("input_format of 1 bit must be unsigned")
    if not isinstance(exponent, int) or isinstance(exponent, bool):
        raise InputError(f"input_exponent must be an int, not {exponent!r}")


def check_kind(model: Any) -> None:
    """Refuse what is no plain module: something that another tool has made of one, whose layers cannot be read."""
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, not the class {model.__name__}; call it to make one")
    if isinstance(model, Mapping):
        raise InputError(f"the model must be a torch.nn.Module, not {type(model).__name__}; load weights into a module "
                         "by its load_state_dict")
    if isinstance(model, ExportedProgram):
        raise InputError("the model must be a torch.nn.Module, not ExportedProgram; save it by torch.export.save, and "
                         "bitwright.load_model reads the file")
    if isinstance(model, str | PathLike):
        raise InputError(f"the model must be a torch.nn.Module, not {type(model).__name__}; bitwright.load_model reads "
                         "a file")
    if not isinstance(model, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    for name, module in model.named_modules():
        at = _at(name, module)
        if hasattr(module, "_orig_mod") and type(module).__module__.startswith("torch._dynamo"):
            raise InputError(f"{at} is compiled by torch.compile; give the model that was compiled (_orig_mod)")
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{at} is made by torch.jit; give the model that was scripted or traced")
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise InputError(f"{at} is a {type(module).__name__} around a model; give the model inside (module)")
        if isinstance(module, fx.GraphModule) and any(
                isinstance(node.target, torch._ops.OpOverload) for node in module.graph.nodes):
            raise InputError(f"{at} is made by torch.export, which leaves no layers; give the model that was exported")


def check_float(model: nn.Module) -> None:
    """Refuse a model that is quantized already."""
    for name, module in model.named_modules():
        fake = type(module).__module__.startswith("torch.ao.quantization.fake_quantize")
        if fake or isinstance(module, Quantizer | QuantConv2d | QuantLinear):
            raise InputError(f"the model is quantized already: {_at(name, module)}; give the float model")


def lost_by_copying(model: nn.Module) -> dict[str, str]:
    """Return, by layer path, why a quantized copy would compute something else: hooks, parametrizations, no weights."""
    found = {}
    for name, module in model.named_modules():
        reason = _not_plain(module)
        if module is model and not isinstance(model, fx.GraphModule) and type(model).__call__ is not nn.Module.__call__:
            reason = "has a __call__ of its own, which a quantized model would lose; write its forward instead"
        if reason is not None:
            found[name] = f"{_at(name, module)} {reason}"
    return found


def _not_plain(module: nn.Module) -> str | None:
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        return "is lazy and has no weights yet; run the model once on an image first"
    if any(tensor.is_meta for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))):
        return "is on the meta device and has no values; load its weights first"
    if module._forward_hooks or not all(map(computes_weights, module._forward_pre_hooks.values())):
        return "has forward hooks, which a quantized model would lose; remove them first"
    own = [name for name, value in vars(module).items()
           if callable(value) and hasattr(type(module), name) and name != "_compiled_call_impl"]  # copies lose that
    return f"has a {own[0]} of its own in place of its class's; write a class that has it" if own else None


def _at(name: str, module: nn.Module) -> str:
    return f"{type(module).__name__} at '{name}'" if name else "the model"


def check_finite(model: nn.Module) -> None:
    """Refuse NaN and infinity among parameters and statistics, and variances that a BatchNorm makes such of."""
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        wrong = values.detach()[~torch.isfinite(values.detach())]
        if len(wrong):
            raise InputError(f"'{name}' must be finite, but holds {float(wrong[0])}")
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_var is not None:
            least = float(module.running_var.min()) + module.eps
            if least <= 0:
                raise InputError(f"'{name}.running_var' + eps must be above 0, but is {least:g}")


def check_magnitude(values: Tensor, what: str) -> None:
    """Refuse values to which no step of single precision can be fitted, or whose products would leave it."""
    largest = max(abs(float(end)) for end in torch.aminmax(values.detach()))  # both are NaN where one value is
    if not isfinite(largest):
        raise InputError(f"{what} must be finite, but is not")
    if largest and not 1 / LARGEST <= largest <= LARGEST:
        raise InputError(f"the largest magnitude of {what} must be 0 or in 2**-100..2**100, not {largest:g}")


def check_on_cpu(model: nn.Module) -> None:
    """Refuse a model whose values are elsewhere: lowering reads them."""
    for name, tensor in model.state_dict().items():
        if tensor.device.type != "cpu":
            raise InputError(f"only a model on the CPU can be lowered, and '{name}' is on {tensor.device}: call "
                             "model.cpu() first")


def check_inputs(graph: fx.GraphModule, data: Read) -> None:
    """Refuse a model that does not read as many tensors as there are."""
    names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    given = len(each(data))
    if len(names) != given:
        listed = f" ({', '.join(names)})" if names else ""
        tensors = "one tensor" if given == 1 else f"{given} tensors"
        raise InputError(f"the model must read {tensors}, not {len(names)}{listed}")


@contextmanager
def running_on(data: Read) -> Iterator[None]:
    """Turn what torch raises when a model cannot read `data` into one sentence with torch's own reason."""
    try:
        with torch.no_grad():
            yield
    except InputError:
        raise
    except Exception as error:  # forward may be the user's code, with errors of any kind
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        shape = " and ".join(str(tuple(tensor.shape)) for tensor in each(data))
        raise InputError(f"the model does not run on data of shape {shape}: {reason}") from error


def check_runs(model: nn.Module, data: Read) -> None:
    """Refuse data that the model cannot read, with torch's own reason."""
    with running_on(data):
        model.forward(*each(data[:1].clone()))  # a traced model that is called would print a traceback of its own
