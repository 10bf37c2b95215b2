"""What runs a Program fast: where its tensors lie, which kernel computes a record, and the call that does it."""
