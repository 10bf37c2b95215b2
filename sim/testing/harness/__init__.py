"""Tools of the project's own tests and benchmarks; they are not installed."""
