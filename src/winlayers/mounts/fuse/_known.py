"""What the kernel was told, and has to be told again when something changes.

The kernel keeps what it hears of a path, and knows what its own calls change there. It does not know that
another path leads to the same file (``_twins``), and it takes a file that becomes a link, by the setting of an
attribute, for damage. What is here has it forget the one and look again for the other; and keeps listings,
which need not be made twice while nothing changes.

This module refuses to know the tree. Source: Linux, fs/fuse/dir.c (when attributes and names are asked for
again; ESTALE has it look a name up anew) and fs/fuse/inode.c (files of another type).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from winlayers.layer.tree import Stat
from winlayers.mounts.fuse._handles import Listed
from winlayers.mounts.fuse._twins import Twins

# Names whose listings are kept, at about 500 bytes each.
_MAX_LISTED = 50_000


class Known:
    """What the kernel knows of one mount. Any thread may call."""

    def __init__(self) -> None:
        self._twins = Twins()
        self._listings: dict[str, list[Listed]] = {}
        self._listed_count = 0
        self._retyped: set[str] = set()
        self.on_stale: Callable[[set[str], bool], None] = _nobody
        """Called with paths of which the kernel shall forget what it knows, and whether to wait for that."""

    def note(self, path: str, told: Stat) -> None:
        """Remember a path, as the kernel has it, that is not the only one of its file."""
        if told.link_count > 1 or path[1:] != told.path:
            self._twins.note(told.file_id, path, "/" + told.path)

    def note_link(self, file_id: int, *paths: str) -> None:
        """Remember that a file has these paths."""
        self._twins.note(file_id, *paths)

    def has_others(self, path: str) -> bool:
        """Whether the kernel knows the file at a path by others too."""
        return bool(self._twins) and bool(self._twins.others(path))

    def changed(self, *paths: str, wait: bool = True) -> None:
        """Something happened to what is at these paths, and the kernel knows that of these alone.

        Args:
            paths: as the kernel has them.
            wait: have it forget what it knows by other paths before this returns.
        """
        self._listings = {}
        if self._twins:
            stale = set[str]().union(*map(self._twins.others, paths))
            if stale:
                self.on_stale(stale, wait)

    def removed(self, path: str) -> None:
        """A name is gone."""
        self.changed(path, above(path))
        self._twins.remove(path)

    def moved(self, *moves: tuple[str, str]) -> None:
        """Names were changed, one after the other."""
        self._listings = {}
        if not self._twins:
            return
        stale = set[str]()
        for old, new in moves:
            for path in (old, above(old), above(new)):
                stale |= self._twins.others(path)
            self._twins.move(old, new)
            # What lies below under other spellings is where it was only as far as the kernel knows.
            stale |= self._twins.below(old)
        if stale:
            self.on_stale(stale, True)

    def retyped(self, path: str) -> None:
        """A file is of another type than before."""
        self._retyped.add(path)

    def check_type(self, path: str) -> None:
        """Have the kernel look again, once, where it knows a file of another type.

        Raises:
            OSError: ESTALE, upon which it does.
        """
        if self._retyped and path in self._retyped:
            self._retyped.discard(path)
            raise OSError(errno.ESTALE, "the file is of another type now")

    def listed(self) -> set[str]:
        """The folders that were listed since something changed, as far as they are kept."""
        return set(self._listings)

    def listing(self, path: str, make: Callable[[], list[Listed]]) -> list[Listed]:
        """What a folder has, made only if something changed since it was made last."""
        # If something changes meanwhile, the table is another one then, and this is not kept.
        listings = self._listings
        found = listings.get(path)
        if found is None:
            found = make()
            if self._listed_count > _MAX_LISTED:
                self._listed_count = 0
                listings.clear()
            self._listed_count += len(found)
            listings[path] = found
        return found


def above(path: str) -> str:
    """The folder of a path, as the kernel has it."""
    return path.rpartition("/")[0] or "/"


def _nobody(paths: set[str], wait: bool) -> None:
    """Tells no kernel."""
