"""ONNX files as typed graphs."""
