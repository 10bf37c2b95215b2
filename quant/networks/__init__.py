"""Networks to quantize, with the parameter names and shapes that checkpoints of torchvision have."""

from quant.networks.alexnet import AlexNet
from quant.networks.digits import DigitsNet
from quant.networks.mobilenet import MobileNetV2
from quant.networks.realistic import make_realistic
from quant.networks.resnet import ResNet, resnet18, resnet34
from quant.networks.small import SmallResNet, resnet20, small_mobilenet

__all__ = ["AlexNet", "DigitsNet", "MobileNetV2", "ResNet", "SmallResNet",
           "make_realistic", "resnet18", "resnet20", "resnet34", "small_mobilenet"]
