"""Random machines with random Programs, on the RTL and in the simulator: `python -m bitwright.campaign`."""
