"""Statistics of BatchNorms."""

import torch
from torch import nn

from quant.training.norms import reestimate_norms


def test_reestimated_norms_are_averages_over_images() -> None:
    """Statistics become the batches' own averaged by their images, the last batch too; the momentum is what it was."""
    images = torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    model = nn.Sequential(nn.BatchNorm2d(2, momentum=0.3))
    reestimate_norms(model, images, batch=3)
    norm = model[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.momentum == 0.3
    assert not norm.training
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    parts = [len(part) * part.transpose(0, 1).flatten(1).var(1) for part in images.split(3)]
    torch.testing.assert_close(norm.running_var, torch.stack(parts).sum(0) / len(images))
