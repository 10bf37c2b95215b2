"""Training in float and with quantizers."""
