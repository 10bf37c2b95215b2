"""What runs a Program fast: where its tensors lie, which kernel computes an op, and the call that does it."""
