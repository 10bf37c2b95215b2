"""The contract: formats, arithmetic, programs, machines, and what they cost. Knows neither torch nor Amaranth."""
