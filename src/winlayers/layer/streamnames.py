"""Names of alternate streams: bare in an entry, with colons and type in a backup stream.

A file ``a.txt`` with an alternate stream ``s`` is ``a.txt:s:$DATA`` to Windows; a backup stream calls the
part ``:s:$DATA``, a layer tar the entry ``a.txt:s``. Parts of entries have the bare name. Other types than
``$DATA`` are not saved in backup streams.

Source: [MS-FSCC] 2.1.5.3 (stream names); microsoft/go-winio backuptar/tar.go.
"""

from __future__ import annotations

import re

from winlayers.errors import InvalidName, Malformed
from winlayers.formats.text16 import utf16_unit_count

#: Type of all streams that hold content, with the colon before it.
TYPE_SUFFIX = ":$DATA"
MAX_STREAM_UNITS = 255

_FORBIDDEN = re.compile(r"[:/\\]")


def check_stream_name(name: str, path: str) -> None:
    """Refuse what an alternate stream cannot be called.

    Args:
        name: the bare name.
        path: of its owner, for the message.
    Raises:
        InvalidName: empty, too long, or with a NUL, a colon or a separator; carries the code of the
            finding. Other characters are all allowed in names of streams.
    """
    what = f"alternate stream {name!r} of {path!r}"
    if not name:
        raise InvalidName(f"{what} has no name", finding="name-character")
    if "\0" in name:
        raise InvalidName(f"{what} holds a NUL", finding="name-nul")
    if found := _FORBIDDEN.search(name):
        raise InvalidName(f"{what} holds {found[0]!r}", finding="name-character")
    if utf16_unit_count(name) > MAX_STREAM_UNITS:
        raise InvalidName(
            f"{what} is longer than {MAX_STREAM_UNITS} UTF-16 units", finding="name-too-long"
        )


def bare_name(full: str, path: str) -> str:
    """The name of an alternate stream out of a backup stream.

    Args:
        full: as there: ``:name:$DATA``.
        path: of its owner, for the message.
    Raises:
        Malformed: no colon before it.
        InvalidName: not a name that ``check_stream_name`` takes.
    """
    if not full.startswith(":"):
        raise Malformed("backup stream", f"stream called {full!r}, without a colon", entry=path)
    name = full[1:].removesuffix(TYPE_SUFFIX)
    check_stream_name(name, path)
    return name


def full_name(name: str) -> str:
    """The name of an alternate stream in a backup stream: ``:name:$DATA``."""
    return f":{name}{TYPE_SUFFIX}"
