"""Address generators: which word of which bank an engine reads or writes next."""
