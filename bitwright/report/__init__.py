"""Reports of what a command has found: one page that needs nothing else, or text, JSON, CSV and SVG."""
