"""Trains the networks whose weights lie in this folder: `python tests/quant/weights/train.py`.

Tests start from these files, so what they find does not hang on how a training went on their machine.
"""

from pathlib import Path

import torch

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.networks import DigitsNet
from quant.training.checkpoint import save_weights
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe

HERE = Path(__file__).parent


def main() -> None:
    """Float, then QIL at 4 bits."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, _ = digits()
    model = DigitsNet()
    train(model, data, Recipe(epochs=12))
    save_weights(model, HERE / "float.safetensors")
    quantized = quantize(model, data.images, scheme="qil", weight_bits=4, activation_bits=4,
                         input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    train(quantized, data, Recipe(epochs=8, rate=0.03))
    reestimate_norms(quantized, data.images)
    save_weights(quantized, HERE / "qil.safetensors")


if __name__ == "__main__":
    main()
