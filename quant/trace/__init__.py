"""A model as a graph of layers, or all the reasons why it has none."""
