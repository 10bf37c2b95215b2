"""Reading and writing files: bounds on what they may say, atomic writes, caches, plain YAML."""
