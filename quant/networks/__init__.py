"""Networks to quantize, with the parameter names and shapes that checkpoints of torchvision have."""

from quant.networks.alexnet import AlexNet
from quant.networks.digits import DigitsNet
from quant.networks.mobilenet import MobileNetV2
from quant.networks.realistic import IMAGE_EXPONENT, IMAGE_FORMAT, make_realistic, noise_codes
from quant.networks.resnet import ResNet, resnet18, resnet34
from quant.networks.small import SmallResNet, resnet20, small_mobilenet

__all__ = ["IMAGE_EXPONENT", "IMAGE_FORMAT", "AlexNet", "DigitsNet", "MobileNetV2", "ResNet", "SmallResNet",
           "make_realistic", "noise_codes", "resnet18", "resnet20", "resnet34", "small_mobilenet"]
