"""Float networks of every source as one typed graph: its operators, how it runs, and passes that simplify it."""
