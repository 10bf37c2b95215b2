"""`python -m bitwright`, which torchrun needs: the same as the command `bitwright`."""

import sys

from bitwright.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
