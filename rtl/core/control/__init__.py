"""Which op runs, which step comes next, and what is counted or refused on the way."""
