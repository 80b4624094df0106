"""A temporary folder for the targets that need one, removed when the process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def workplace(name: str) -> Path:
    """The folder of a target, the same in each call of one process."""
    return Path(_root().name) / name


def empty(folder: Path) -> Path:
    """The folder, with nothing in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def contents(folder: Path) -> dict[str, int]:
    """Every name below a folder, with its size; -1 for folders."""
    found: dict[str, int] = {}
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found[entry.path] = -1
                    pending.append(entry.path)
                else:
                    found[entry.path] = entry.stat(follow_symlinks=False).st_size
    return found


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="winlayers-fuzz-", ignore_cleanup_errors=True)
