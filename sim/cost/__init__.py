"""Costs of a Program on a machine: the estimate of a plan, and tables for the allocator of bits."""
