"""A traced model as stages, each of which is one op of the machine."""
