"""Proofs about the hardware: harnesses that assume and assert around its components, and a runner for open tools."""
