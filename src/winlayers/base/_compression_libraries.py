"""Which compression libraries there are: the only place that names isal, zlib-ng and zstd.

All three for gzip have the functions of zlib; see docs/decisions/0001-compression-libraries.md.
"""

from __future__ import annotations

import functools
import importlib
import sys
import zlib
from types import ModuleType
from typing import Any

from winlayers.errors import MissingExtra


@functools.cache
def inflating_libraries() -> tuple[ModuleType, ...]:
    """The libraries that can read gzip here, the fastest first; the standard library's is the last."""
    found = (_import_optional("isal.isal_zlib"), _import_optional("zlib_ng.zlib_ng"), zlib)
    return tuple(library for library in found if library is not None)


@functools.cache
def deflating_library(level: int) -> ModuleType:
    """The best library here to write gzip of a level.

    Args:
        level: 1 to 9; isal is far ahead of the others at 1 and does not know those above 3.
    Returns:
        A module with the functions of zlib.
    """
    fast = _import_optional("isal.isal_zlib") if level == 1 else None
    return fast or _import_optional("zlib_ng.zlib_ng") or zlib


def import_zstd() -> Any:
    """The standard library's module for zstd, or its backport.

    Raises:
        MissingExtra: there is neither.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise MissingExtra("zstd needs a library; install the package backports.zstd") from error
    return zstd


def _import_optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
