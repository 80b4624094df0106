"""Reads extended attributes with room for all of any of them (Linux).

``os.getxattr`` asks with a room of 128 bytes first, and again with more where the file system says ERANGE.
ntfs-3g does not say it, so that whatever is longer there ends in EIO. Here the first question has all the
room that a value can need, and is the only one.

Source: xattr(7) for the limit; Modules/posixmodule.c of CPython for what ``os.getxattr`` asks.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable

from winlayers.errors import WrongPlatform

#: Bytes of a value at most.
MAX_SIZE = 65536

# (path, name, buffer, size of the buffer) -> bytes of the value, below 0 for an error.
_Getter = Callable[[bytes, bytes, ctypes.Array[ctypes.c_char], int], int]


def read_xattr(path: bytes | str, name: str, *, follow_symlinks: bool = False) -> bytes:
    """The value of an extended attribute.

    Args:
        path: of the file.
        name: of the attribute.
        follow_symlinks: whether a symbolic link stands for what it leads to.
    Raises:
        WrongPlatform: this system is not Linux.
        OSError: ENODATA, there is none of this name; ENOTSUP, no file here has one.
    """
    get = _getter("getxattr" if follow_symlinks else "lgetxattr")
    value = ctypes.create_string_buffer(MAX_SIZE)
    size = get(os.fsencode(path), name.encode(), value, MAX_SIZE)
    if size < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return value.raw[:size]


@functools.cache
def _getter(function: str) -> _Getter:
    if sys.platform != "linux":
        raise WrongPlatform("extended attributes are read on Linux only")
    library = ctypes.CDLL(None, use_errno=True)
    getter = getattr(library, function)
    getter.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    getter.restype = ctypes.c_ssize_t
    found: _Getter = getter
    return found
