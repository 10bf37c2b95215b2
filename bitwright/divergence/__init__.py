"""Where hardware first departs from the contract, which ops are wrong by themselves, and what of them is wrong."""
