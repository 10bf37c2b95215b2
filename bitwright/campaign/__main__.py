"""`python -m bitwright.campaign`: see `bitwright.campaign.command`."""

import sys

from bitwright.campaign.command import main

if __name__ == "__main__":
    sys.exit(main())
