"""The command: ``python -m tests.fuzz [TARGET…] [--seconds N] [--seed S]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import FOUND, Campaign
from tests.fuzz.targets import TARGETS

_MEMORY_LIMIT = 1 << 30


def main(arguments: list[str] | None = None, *, folder: Path = FOUND) -> int:
    """Run campaigns one after another.

    Returns:
        0, or 1 when something was found; it is in ``folder`` then.
    """
    options = _parse(arguments)
    _limit_memory()
    exit_code = 0
    for name in options.targets or TARGETS:
        campaign = Campaign(TARGETS[name], seed=options.seed)
        found = campaign.run(options.seconds)
        print(
            f"{name}: {campaign.case_count} cases, {len(campaign.inputs)} inputs, "
            f"{campaign.reach.line_count} lines reached",
            flush=True,
        )
        if found is not None:
            exit_code = 1
            folder.mkdir(exist_ok=True)
            place = folder / found.file_name
            place.write_bytes(found.data)
            print(f"{found.report}\nfound by {name}, {len(found.data)} bytes: {place}", flush=True)
    return exit_code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feed decoders.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    options = parser.parse_args(arguments)
    for name in options.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name}; choose of {', '.join(TARGETS)}")
    return options


def _limit_memory() -> None:
    """Have the system refuse what no small input should need, where it can."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(_MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    sys.exit(main())
