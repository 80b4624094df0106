"""Paths between people and layers: what was typed as an argument, and what is shown of a node.

In a view, a path is that of the tar (``Files/Windows/win.ini``); people say ``C:\\\\Windows\\\\win.ini`` and read
``/Windows/win.ini``. With ``--raw`` both are the path of the tar. This module refuses to know where layers
are.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from winlayers.errors import InvalidName, PathNotFound
from winlayers.layer.names import FILES, ROOT_NAMES, fold, split_user_path
from winlayers.layer.resolving import resolve_path
from winlayers.layer.view import Node, View

_PREFIX = FILES + "/"
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]")
_DRIVE = re.compile(r"(?:[\\/]{2}[?.][\\/])?[A-Za-z]:")


def path_argument(text: str) -> str:
    """An argument as a path of a layer; bytes of a lone surrogate become that surrogate again.

    Args:
        text: as Python gives it: bytes that are not UTF-8 as U+DC80 to U+DCFF, but on Windows.
    Raises:
        InvalidName: the bytes are neither UTF-8 nor WTF-8.
    """
    if os.name == "nt" or not _ESCAPED_BYTES.search(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogatepass")
    except UnicodeError as error:
        raise InvalidName(f"{text!a} is not UTF-8") from error


class StreamPath(NamedTuple):
    """A path, and the alternate stream meant (``""`` for the data)."""

    path: str
    stream: str


def split_stream(text: str) -> StreamPath:
    """``PATH:stream`` taken apart; the colon of a drive is none of a stream.

    Args:
        text: for example ``C:\\\\a.txt``, ``/a.txt:Zone.Identifier``, ``a.txt:Zone.Identifier:$DATA``.
    """
    drive = _DRIVE.match(text)
    start = drive.end() if drive else 0
    last = max(text.rfind("/"), text.rfind("\\"), start - 1) + 1
    name, _, stream = text[last:].partition(":")
    if stream.upper().endswith(":$DATA"):
        stream = stream[: -len(":$DATA")]
    return StreamPath(text[:last] + name, stream)


def shown_path(path: str, *, raw: bool) -> str:
    """A path of a view as it is shown.

    Args:
        path: of the view, that is of the tar.
        raw: as it is; otherwise ``Files/x`` is ``/x``, and what is not in the container's C: stays.
    """
    if raw:
        return path
    if path.startswith(_PREFIX):
        return path[5:]
    head, _, rest = path.partition("/")
    return f"/{rest}" if fold(head) == fold(FILES) else path


def find_node(view: View, text: str, *, raw: bool, follow_last: bool = True) -> Node:
    """The node at a path that was typed.

    Args:
        view: where to look.
        text: the path; ``""`` is the root of the container's C:, or of the tar.
        raw: it is a path of the tar.
        follow_last: whether a link at the end is followed.
    Raises:
        PathNotFound: nothing is there.
    """
    start = "" if raw else FILES
    try:
        return resolve_path(view, text, start=start, follow_last=follow_last)
    except PathNotFound as error:
        components = split_user_path(text)
        if not raw and components and fold(components[0]) in map(fold, ROOT_NAMES):
            error.add_note("To give a path as it is in the tar, use --raw.")
        raise
