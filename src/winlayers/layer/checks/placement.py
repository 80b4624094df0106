"""What the path and the size of an entry tell, apart from what an import checks itself.

Source: "Maximum Path Length Limitation" of the Win32 documentation; microsoft/hcsshim
internal/wclayer/legacy.go (names with a meaning); microsoft/Windows-Containers issue 43 (sizes).
"""

from __future__ import annotations

from collections.abc import Iterator

from winlayers.formats.text16 import utf16_unit_count
from winlayers.layer.checks.subject import Subject, volume_of
from winlayers.layer.entry import EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.names import fold
from winlayers.layer.view import Node

#: Units of a path with ``C:\\`` before it and a NUL behind it that most programs can open.
MAX_PATH = 260
MAX_DEPTH = 128
#: The first size that eleven octal digits do not hold, in bytes.
LARGE_SIZE = 8 << 30
#: What the folders' metadata is called while a layer is imported or exported.
WCIDIRS_SUFFIX = ".$wcidirs$"

_RECYCLE_BIN = fold("Files/$Recycle.Bin")
_ARTEFACTS = frozenset(map(fold, ("Files/WcSandboxState", "Files/System Volume Information")))


def check_placement(subject: Subject, node: Node) -> Iterator[Finding]:
    """Look at the path and the size of an entry below one of the tops."""
    path = node.path
    if node.folded.endswith(_WCIDIRS):
        yield subject.finding("name-wcidirs", path, f"ends in {WCIDIRS_SUFFIX}")
    if node.size >= LARGE_SIZE:
        yield subject.finding("size-8gib", path, f"has {node.size:,} bytes")
    if path.count("/") == MAX_DEPTH:
        yield subject.finding("tree-deep", path, f"stands {MAX_DEPTH} folders deep")
    # A character has at most two units, so most paths need no closer look.
    if len(path) * 2 >= MAX_PATH and (volume := volume_of(fold(path))) is not None:
        size = utf16_unit_count(path) - len(volume) + len("C:")
        if size + 1 > MAX_PATH:
            yield subject.finding("path-long", path, f"has {size} characters as C:\\…")
    if node.kind is EntryKind.DIRECTORY and path.count("/") == 1:
        folded = fold(path)
        if folded == _RECYCLE_BIN:
            yield subject.finding("recycle-bin", path, "is left out of exports")
        elif folded in _ARTEFACTS:
            yield subject.finding("artefact", path, "belongs to a mounted disk")


_WCIDIRS = fold(WCIDIRS_SUFFIX)
