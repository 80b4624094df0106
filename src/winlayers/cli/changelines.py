"""Changes as lines ``A|C|D path`` and as JSON rows, for all commands that print them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from winlayers.cli.paths import shown_path
from winlayers.cli.session import Session
from winlayers.layer.changes import Change

_STYLES = {"A": "green", "C": "yellow", "D": "red"}
# The letters by the numbers of ChangeKind: this runs once for each of hundreds of thousands.
_LETTERS = ("C", "A", "D")


def print_changes(session: Session, changes: Iterable[Change], *, raw: bool) -> int:
    """Print changes as they come.

    Args:
        session: where to, and whether as JSON.
        changes: with paths of the tar.
        raw: whether paths are shown so.
    Returns:
        How many there were.
    """
    counted = _Counted(changes)
    if session.is_json:
        session.out.rows(_rows(counted, raw=raw))
    elif session.out.has_color:
        session.out.raw_lines(_coloured(session, counted, raw=raw))
    else:
        session.out.lines(_lines(counted, raw=raw))
    return counted.count


class _Counted:
    """Changes, counted as they go by."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = changes
        self.count = 0

    def __iter__(self) -> Iterator[Change]:
        for self.count, change in enumerate(self._changes, 1):  # noqa: B020 - the count is the point
            yield change


def _lines(changes: Iterable[Change], *, raw: bool) -> Iterator[str]:
    for change in changes:
        path = change.path
        if not raw:
            path = path[5:] if path.startswith("Files/") else shown_path(path, raw=False)
        yield f"{_LETTERS[change.kind]} {path}"


def _coloured(session: Session, changes: Iterable[Change], *, raw: bool) -> Iterator[str]:
    for change in changes:
        letter = change.kind.letter
        path = session.out.clean(shown_path(change.path, raw=raw))
        yield f"{session.out.styled(letter, _STYLES[letter])} {path}"


def _rows(changes: Iterable[Change], *, raw: bool) -> Iterator[dict[str, Any]]:
    for change in changes:
        yield {
            "kind": _LETTERS[change.kind],
            "path": shown_path(change.path, raw=raw),
            "metadata_only": change.metadata_only,
            "is_directory": change.is_directory,
            "size": change.size,
        }
