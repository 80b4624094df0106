"""Paths that the kernel takes for different files, and that are one.

The kernel keeps what it was told of a file by path, as libfuse's calls are by path. Two hard links are two
files to it, and so are two spellings of one name, as Windows knows no case. Who changes one has to tell the
kernel that what it knows of the others is out of date. Nearly all files have one path, so only those that
were seen to have more are kept here, with the paths by which they were asked for.

This module refuses to know how the kernel is told. Source: libfuse's lib/fuse.c (a node is a parent and a
name); ``fuse_invalidate_path`` in its fuse.h.
"""

from __future__ import annotations

from threading import Lock

from winlayers.layer.names import fold

#: Paths that are kept; past it all are forgotten, and the kernel learns of changes when its time is over.
MAX_PATHS = 20_000


class Twins:
    """Paths by file. Any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: dict[str, int] = {}
        self._paths: dict[int, set[str]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._files)

    def note(self, file_id: int, *paths: str) -> None:
        """Keep that these paths lead to one file."""
        with self._lock:
            if len(self._files) + len(paths) > MAX_PATHS:
                self._files.clear()
                self._paths.clear()
            for path in paths:
                self._drop(path)
                self._files[path] = file_id
                self._paths.setdefault(file_id, set()).add(path)

    def others(self, path: str) -> set[str]:
        """The other paths of the file at a path."""
        with self._lock:
            file_id = self._files.get(path)
            return set() if file_id is None else self._paths[file_id] - {path}

    def below(self, path: str) -> set[str]:
        """The paths of what lies below a folder, however that is spelled, and the other spellings of it."""
        above = fold(path) + "/"
        with self._lock:
            return {one for one in self._files if (fold(one) + "/").startswith(above)} - {path}

    def remove(self, path: str) -> None:
        """Forget a path, whose name is gone."""
        with self._lock:
            self._drop(path)

    def move(self, old: str, new: str) -> None:
        """Have paths follow a rename, as the kernel's do: those that are spelled as it was."""
        with self._lock:
            moved = [one for one in self._files if one == old or one.startswith(old + "/")]
            for path in moved:
                file_id = self._files[path]
                self._drop(path)
                self._files[new + path[len(old) :]] = file_id
                self._paths.setdefault(file_id, set()).add(new + path[len(old) :])

    def _drop(self, path: str) -> None:
        file_id = self._files.pop(path, None)
        if file_id is not None:
            paths = self._paths[file_id]
            paths.discard(path)
            if not paths:
                del self._paths[file_id]
