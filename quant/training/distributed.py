"""Training in several processes, as torchrun starts them: each takes its share of every batch.

Processes draw the same order of images and take every n-th image of a batch, so that together they see what one process
would see; gradients are averaged. Statistics of BatchNorms are those of the first process's share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sim.errors import InputError

__all__ = ["check_share", "count", "is_first", "processes", "same_on_all", "share", "spread"]


@contextmanager
def processes() -> Iterator[torch.device]:
    """Join the other processes if torchrun started several; gives the device of this one.

    Gloo connects processes on CPUs, NCCL those with a GPU each.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process reports and writes files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def check_share(batch: int) -> None:
    """Refuse batches that the processes cannot share evenly."""
    if batch % count():
        raise InputError(f"the batch must be a multiple of the {count()} processes, not {batch}")


def share(batch: Tensor) -> Tensor:
    """Return what this process takes of a batch."""
    return batch[distributed.get_rank() :: count()] if distributed.is_initialized() else batch


def spread(model: nn.Module) -> nn.Module:
    """Return `model`, its gradients averaged over the processes; all start from the first one's parameters."""
    if not distributed.is_initialized():
        return model
    return DistributedDataParallel(model)


def same_on_all(*tensors: Tensor) -> None:
    """Give all processes the first one's values, in place."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)
