"""Measure the accuracy of integer Programs on rendered glyphs."""
