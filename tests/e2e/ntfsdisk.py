"""A disk of NTFS in a file, mounted by ntfs-3g for as long as a test needs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.places import run

SIZE = 64 << 20
#: As the documents say.
OPTIONS = "streams_interface=windows,noatime"


class Disk:
    """A disk that is empty at first.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.ntfs"
        self.path = folder / "disk"
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        run([_program("mkntfs"), "--quick", "--force", "--quiet", self.image])

    @contextmanager
    def mounted(self, options: str = OPTIONS) -> Iterator[Path]:
        """Mount it; where."""
        run([_program("ntfs-3g"), "-o", options, self.image, self.path])
        try:
            yield self.path
        finally:
            run(["umount", self.path])


def ntfs_program(name: str, *arguments: str) -> bytes:
    """What a program that reads an NTFS disk by itself says of it."""
    done = subprocess.run(
        [_program(name), *arguments], stdout=subprocess.PIPE, timeout=60, check=True
    )
    return done.stdout


def _program(name: str) -> Path | str:
    """Programs of an administrator are not on everybody's path."""
    places = [Path(folder, name) for folder in ("/usr/sbin", "/sbin")]
    return next((place for place in places if os.access(place, os.X_OK)), name)
