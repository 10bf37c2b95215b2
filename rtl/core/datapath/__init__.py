"""From operands to codes: the array of processing elements, requantizers, pooling, packing."""
