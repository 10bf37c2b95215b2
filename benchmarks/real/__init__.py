"""Measure integer Programs of networks with public weights, on photographs and on JPEG copies of CIFAR-10."""
