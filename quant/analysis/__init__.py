"""Where a quantized network loses what its float network computed."""
