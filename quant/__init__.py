"""The PyTorch side: quantizers, bit allocation and the lowering to integer Programs."""
