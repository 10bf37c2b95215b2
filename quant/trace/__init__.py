"""A model as a graph of stages, or all the reasons why it has none."""
