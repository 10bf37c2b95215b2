"""From stages in real numbers to ops in integers."""
