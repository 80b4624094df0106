"""``python -m winlayers``: the command line."""

from winlayers.cli.main import main

if __name__ == "__main__":
    main()
