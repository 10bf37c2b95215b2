"""A whole Program on a machine: allocation of memory, row bands, prefetch, and the streams of the host."""
