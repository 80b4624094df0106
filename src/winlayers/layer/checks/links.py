"""Hard links: where their targets are, and how many names a file has.

Source: microsoft/hcsshim internal/wclayer/legacy.go (AddLink); "Hard Links and Junctions" of the Win32
documentation (1,023 links besides the first name).
"""

from __future__ import annotations

from collections.abc import Iterator

from winlayers.layer.checks.subject import Subject
from winlayers.layer.findings import Finding
from winlayers.layer.names import fold
from winlayers.layer.view import Node

#: Names that NTFS allows a file, the first one included.
MAX_NAMES = 1024


class LinkCheck:
    """Takes the hard links of a layer in one by one.

    Args:
        subject: the layer.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        # Of each target, by row or by folded path: its path, and how many links it has.
        self._targets: dict[int | str, tuple[str, int]] = {}

    def check(self, node: Node) -> Iterator[Finding]:
        """Look at a hard link."""
        row, target = self._subject.table.link_target(node.row)
        key = row or fold(target)
        path, count = self._targets.get(key, (target, 0))
        self._targets[key] = path, count + 1
        if not row:
            detail = f"its target {target!r} is not in the layer"
            yield self._subject.finding("link-across-layers", node.path, detail)

    def finish(self) -> Iterator[Finding]:
        """Tell which files have too many names."""
        for path, count in self._targets.values():
            if count >= MAX_NAMES:
                yield self._subject.finding("link-too-many", path, f"has {count + 1:,} names")
