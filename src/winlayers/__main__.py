"""``python -m winlayers``: the command line."""

import sys

from winlayers.cli.main import run_program

if __name__ == "__main__":
    sys.exit(run_program())
