"""How one op runs on a machine: its schedule, and where its bits lie."""
