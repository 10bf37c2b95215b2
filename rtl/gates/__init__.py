"""Gates: standard cells, the netlist that Yosys makes of them, its activity, energy, area and delay."""
