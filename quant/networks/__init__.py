"""Networks to quantize; those that torchvision has too have its parameter names and shapes."""

from quant.networks.alexnet import AlexNet
from quant.networks.digits import DigitsNet
from quant.networks.efficientnet import EfficientNetLite0
from quant.networks.mobilenet import MobileNetV2
from quant.networks.mobilenet_v3 import MobileNetV3Small
from quant.networks.realistic import make_realistic
from quant.networks.resnet import ResNet, resnet18, resnet34
from quant.networks.small import SmallResNet, resnet20, resnet20_a, small_mobilenet

__all__ = ["AlexNet", "DigitsNet", "EfficientNetLite0", "MobileNetV2", "MobileNetV3Small", "ResNet", "SmallResNet",
           "make_realistic", "resnet18", "resnet20", "resnet20_a", "resnet34", "small_mobilenet"]
