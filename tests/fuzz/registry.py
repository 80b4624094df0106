"""What a target is, and the list of all.

A target may raise errors of ``winlayers.errors``, which are the right answer to broken input. Anything else
is a finding: another exception, an assertion about what was decoded, or no end in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from winlayers.errors import WinlayersError

Decode = Callable[[bytes], None]
Repair = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Target:
    """One decoder, and what it is fed with.

    Attributes:
        decode: takes the bytes; see above.
        make_seeds: gives sound inputs, the same in every run.
        repair: makes right in a changed input what would hide all behind it, such as checksums.
    """

    decode: Decode
    make_seeds: Callable[[], Iterable[bytes]]
    repair: Repair | None

    @property
    def name(self) -> str:
        """Name of the target: that of its function."""
        return self.decode.__name__

    def __call__(self, data: bytes) -> None:
        """Decode once. Raises whatever is a finding."""
        try:
            self.decode(data)
        except WinlayersError:
            pass  # said what is wrong with the input


TARGETS: dict[str, Target] = {}


def target(
    seeds: Callable[[], Iterable[bytes]], *, repair: Repair | None = None
) -> Callable[[Decode], Decode]:
    """Enter a function in the list of targets."""

    def enter(decode: Decode) -> Decode:
        assert decode.__name__ not in TARGETS, f"two targets are called {decode.__name__}"
        TARGETS[decode.__name__] = Target(decode, seeds, repair)
        return decode

    return enter
