"""What a key and a value have to tell to be merged or written, wherever they come from.

Those of the reader do, and so do those that a merge of several hives makes of them. Nothing here holds a
hive in memory: what is below a key, and the data of a value, is told when it is asked for. This module
refuses to know files and merging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from winlayers.errors import Malformed
from winlayers.formats.hive.cells import KeyFlags, Semantics

Fold = Callable[[str], str]


class SourceValue(Protocol):
    """A value; see ``reader.Value``."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> int: ...

    @property
    def is_tombstone(self) -> bool: ...

    @property
    def data(self) -> bytes: ...


class SourceKey(Protocol):
    """A key with all that is below it; see ``reader.Key``."""

    @property
    def name(self) -> str: ...

    @property
    def last_written_filetime(self) -> int: ...

    @property
    def flags(self) -> KeyFlags: ...

    @property
    def control_flags(self) -> int: ...

    @property
    def semantics(self) -> Semantics: ...

    @property
    def inherits_class(self) -> bool: ...

    @property
    def class_name(self) -> str: ...

    @property
    def security(self) -> bytes: ...

    def subkeys(self) -> Iterator[SourceKey]: ...

    def values(self) -> Iterator[SourceValue]: ...


def sort_key(folded: str) -> bytes:
    """What orders the names in a list of subkeys: one UTF-16 unit after the other.

    Args:
        folded: a name in Windows' upper case.
    """
    return folded.encode("utf-16-be", "surrogatepass")


def same_name(key: SourceKey, name: str) -> Malformed:
    """An error about two subkeys of one name, which no order of merging could tell apart."""
    return Malformed("registry hive", f"the key {key.name!r} has two subkeys {name!r}")
