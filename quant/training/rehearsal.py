"""One image through a model before it trains: what would end the training hours later is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from quant.data.images import Images
from quant.layers.affine import Affine
from quant.quantizers.base import Quantizer
from quant.trace.checks import running_on
from sim.errors import InputError

__all__ = ["checked_labels", "rehearse", "trained_dtype"]


def trained_dtype(model: nn.Module) -> torch.dtype:
    """Return the precision of the model's parameters, in which it is given images.

    Raises
    ------
    InputError
        If there are none, they are halves or of several kinds.
    """
    kinds = {parameter.dtype for parameter in model.parameters()}
    if not kinds:
        raise InputError("the model has no parameters to train")
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        found = " and ".join(sorted(str(kind) for kind in kinds))
        raise InputError(f"parameters are trained in torch.float32 or torch.float64, not {found}; call model.float()")
    return kinds.pop()


def rehearse(model: nn.Module, data: Images, batch: int, teacher: nn.Module | None) -> Tensor:
    """Run one image in eval mode and look whether batches can be trained on; gives the labels as int64.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    data : Images
        At least one image.
    batch : int
        Images that one process sees together.
    teacher : nn.Module or None

    Raises
    ------
    InputError
        If the model does not run, gives no logits, labels are not its classes, the teacher's logits are others, a
        BatchNorm would see a single value for each channel, or quantizers were fitted before any BatchNorm had
        statistics.
    """
    dtype = trained_dtype(model)
    _check_statistics(model)
    image = data.values(torch.arange(1)).to(next(model.parameters()).device, dtype)
    logits = _logits(model, image, batch)
    if teacher is not None:
        with torch.no_grad(), running_on(image):
            shape = tuple(teacher(image).shape)
        if shape != logits.shape:
            raise InputError(f"the teacher must give logits of shape {tuple(logits.shape)} for an image, not {shape}")
    return checked_labels(data.labels, len(data), logits.shape[1])


def _check_statistics(model: nn.Module) -> None:
    """Refuse quantizers that were fitted to what BatchNorms without statistics give, which training never gives."""
    if not any(isinstance(module, Quantizer) for module in model.modules()):
        return
    norms = {name: module for name, module in model.named_modules()
             if isinstance(module, _BatchNorm) and not isinstance(module, Affine)}
    if norms and not any(_has_statistics(norm) for norm in norms.values()):
        raise InputError(f"quantizers were fitted to a network whose BatchNorms, such as '{min(norms)}', have no "
                         "statistics yet: train it in float before `quantize`, or call `reestimate_norms` on it")


def _has_statistics(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    return mean is None or variance is None or bool(mean.any()) or bool((variance != 1).any())


def checked_labels(labels: Any, images: int, classes: int) -> Tensor:
    """Return the labels as int64: one for each image, in 0..classes - 1.

    Raises
    ------
    InputError
        If they are not.
    """
    if not isinstance(labels, Tensor):
        raise InputError(f"labels must be a tensor of whole numbers, not {type(labels).__name__}")
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise InputError(f"labels must be a tensor of whole numbers, not {labels.dtype}")
    if labels.shape != (images,):
        raise InputError(f"labels must have shape ({images},), one for each image, not {tuple(labels.shape)}")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise InputError(f"labels must be in 0..{classes - 1}, the outputs of the model, not {int(wrong[0])}")
    return labels.to(torch.int64)


def _logits(model: nn.Module, image: Tensor, batch: int) -> Tensor:
    """Return what the model gives for an image; BatchNorms are looked at on the way."""
    hooks = [module.register_forward_pre_hook(_single_value(name, batch)) for name, module in model.named_modules()
             if isinstance(module, _BatchNorm)]
    training = [module for module in model.modules() if module.training]
    try:
        with torch.no_grad(), running_on(image):
            logits = model.eval().forward(image)  # a traced model that is called would print a traceback
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"the model must give logits of shape (1, classes) for an image, not {found}")
    return logits


def _single_value(name: str, batch: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if batch * args[0][0, 0].numel() == 1:
            raise InputError(f"BatchNorm '{name}' sees one value per channel in a batch of one image: take at least 2")

    return look
