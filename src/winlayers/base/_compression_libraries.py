"""Which compression libraries there are: the only place that names isal, zlib-ng and zstd.

All three for gzip have the functions of zlib; see docs/decisions/0001-compression-libraries.md.
"""

from __future__ import annotations

import functools
import importlib
import sys
import zlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from winlayers.errors import MissingExtra

# Module -> package; what is not here comes with Python.
_PACKAGES = {
    "isal.isal_zlib": "isal",
    "zlib_ng.zlib_ng": "zlib-ng",
    "backports.zstd": "backports.zstd",
}


@dataclass(frozen=True, slots=True)
class Library:
    """A library that does some of the work.

    Attributes:
        name: of the package, or of the module where it comes with Python.
        version: of the package, "" where nothing tells; of what is built in where it comes with Python.
        is_standard: whether it comes with Python.
    """

    name: str
    version: str
    is_standard: bool

    def __str__(self) -> str:
        whence = "(standard library)" if self.is_standard else ""
        return " ".join(filter(None, (self.name, self.version, whence)))


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


def library_of(module: str) -> Library:
    """What there is to tell of a library that was imported.

    Args:
        module: its name.
    """
    package = _PACKAGES.get(module)
    if package is None:
        version = zlib.ZLIB_RUNTIME_VERSION if module == "zlib" else import_zstd().zstd_version
        return Library(module, version, is_standard=True)
    from importlib import metadata  # takes 20 ms, and is rarely asked for

    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = ""
    return Library(package, version, is_standard=False)


def _import_optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
