"""What ``winlayers cp`` is given: a place in a layer or of the system, and what goes where.

    LAYER:PATH                  a layer or scratch of the store, PATH in its C:
    tar:FILE:PATH               a bare layer tar, to copy from
    windowsfilter:ROOT:ID:PATH  a layer of another store, to copy from
    PATH                        of the system; one with a colon in its first name has to begin with ./ or /
    -                           a tar on standard input or output

Where a copy lands is decided as ``docker cp`` decides it. This module looks at no file but to tell where the
name of one ends.

Source: docker/cli docs/reference/commandline/container_cp.md (rules of SRC_PATH and DEST_PATH).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from winlayers.errors import InvalidArgument, IsADirectory, NotADirectory, PathNotFound

_LAYER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SEPARATORS = "/\\"

STANDARD = "-"


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """A path in a layer.

    Attributes:
        target: what names the layer, for ``target.open_target``.
        path: as it was typed, to be read by ``names.split_user_path``.
    """

    target: str
    path: str

    @property
    def name(self) -> str:
        """The last component; ``""`` for the root and for a path that ends in dots."""
        return _last_name(self.path, _SEPARATORS)

    @property
    def parent(self) -> str:
        """The path without its last component."""
        trimmed = self.path.rstrip(_SEPARATORS)
        return trimmed[: len(trimmed) - len(self.name)]

    @property
    def asks_for_directory(self) -> bool:
        """Whether it ends as only the path of a directory does: in a separator or a dot."""
        return not self.name or self.path[-1:] in _SEPARATORS

    def __str__(self) -> str:
        return f"{self.target}:{self.path}"


@dataclass(frozen=True, slots=True)
class HostPlace:
    """A path of the system, or ``-``.

    Attributes:
        path: as it was typed.
    """

    path: str

    @property
    def is_tar(self) -> bool:
        """Whether it stands for a tar on standard input or output."""
        return self.path == STANDARD

    @property
    def name(self) -> str:
        """The last component; ``""`` for a root and for a path that ends in dots."""
        return _last_name(self.path, _host_separators())

    @property
    def asks_for_directory(self) -> bool:
        """Whether it ends as only the path of a directory does."""
        return not self.name or self.path[-1:] in _host_separators()

    def __str__(self) -> str:
        return self.path


def parse_place(text: str) -> LayerPlace | HostPlace:
    """What an argument of ``cp`` names.

    Args:
        text: as it was typed.
    Raises:
        InvalidArgument: it is empty, or a bare tar or other store without a path.
    """
    if not text:
        raise InvalidArgument(
            "an empty name is no place to copy from or to; '.' is the present folder"
        )
    if os.name == "nt" and _DRIVE.match(text):
        return HostPlace(text)
    layer, colon, path = text.partition(":")
    if not colon or not _LAYER.fullmatch(layer):
        return HostPlace(text)
    if layer == "tar":
        return _split_after_file(text, len("tar:"))
    if layer == "windowsfilter":
        return _split_after_id(text, len("windowsfilter:"))
    return LayerPlace(layer, path)


def lands_inside(
    destination: LayerPlace | HostPlace,
    present: bool | None,
    source: LayerPlace | HostPlace,
    *,
    is_directory: bool,
) -> bool:
    """Whether a copy keeps its name below the destination; otherwise it gets the destination's.

    Args:
        destination: where it goes.
        present: whether a directory is there; None where nothing is.
        source: what is copied; a name that is a dot stands for what is in the directory.
        is_directory: whether the source is a directory.
    Raises:
        PathNotFound: a file would go into a directory that is not there.
        NotADirectory: a directory would go over a file, or the destination shall be one and is not.
    """
    if present is None:
        if destination.asks_for_directory and not is_directory:
            raise PathNotFound(f"{destination}: there is no such directory")
        return False
    if not present:
        if is_directory or destination.asks_for_directory:
            raise NotADirectory(f"{destination} is no directory, so nothing can be copied into it")
        return False
    if not is_directory and not source.name:
        raise IsADirectory(f"{source} names a directory and is none")
    return not is_directory or bool(source.name)


def _last_name(path: str, separators: str) -> str:
    name = re.split(f"[{re.escape(separators)}]", path.rstrip(separators))[-1]
    if separators == _SEPARATORS and re.fullmatch("[A-Za-z]:", name):
        return ""
    # A dot after a separator means what is in the directory before it, as a dot alone does.
    return "" if name in (".", "..") else name


def _host_separators() -> str:
    return _SEPARATORS if os.name == "nt" else "/"


def _split_after_file(text: str, start: int) -> LayerPlace:
    """``tar:FILE:PATH``: the name of a file may hold colons, so the first one that is there is taken."""
    colons = [at for at in range(start, len(text)) if text[at] == ":"]
    for at in colons:
        if os.path.isfile(text[start:at]):
            return LayerPlace(text[:at], text[at + 1 :])
    if not colons:
        raise InvalidArgument(f"{text} names no path in the tar; say {text}:PATH")
    return LayerPlace(text[: colons[0]], text[colons[0] + 1 :])


def _split_after_id(text: str, start: int) -> LayerPlace:
    """``windowsfilter:ROOT:ID:PATH``: likewise for the folder that is a store."""
    colons = [at for at in range(start, len(text)) if text[at] == ":"]
    roots = [at for at in colons if os.path.isdir(text[start:at])] or colons
    end = text.find(":", roots[0] + 1) if roots else -1
    if end < 0:
        raise InvalidArgument(f"{text} names no path in the layer; say windowsfilter:ROOT:ID:PATH")
    return LayerPlace(text[:end], text[end + 1 :])
