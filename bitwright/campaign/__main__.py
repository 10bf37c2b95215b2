"""`python -m bitwright.campaign`: see `bitwright.campaign.campaign`."""

import sys

from bitwright.campaign.campaign import main

if __name__ == "__main__":
    sys.exit(main())
