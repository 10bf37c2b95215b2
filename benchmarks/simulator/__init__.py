"""Compare the simulator with ONNX Runtime and torch: ratios of times that processes measure in turns."""
