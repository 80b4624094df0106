"""Text and JSON on standard output, in blocks, whatever a layer's names hold.

Lines are gathered and written 64 KiB at a time, or after a tenth of a second, so that a listing of a big
layer is quick and its first line comes at once. Names are not trusted: control characters are written as
``\\x1b``, so that no layer speaks to a terminal. A lone surrogate, which UTF-8 does not have, is written as
WTF-8 into a pipe or file, so that the name can be given back as an argument; on a terminal and in JSON as
``\\ud800``. This module refuses to know what is printed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

_BLOCK_SIZE = 1 << 16
_LONGEST_WAIT_SECONDS = 0.1

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
# Marks that turn the direction of what follows: on a terminal "exe.txt" could be "txt.exe".
_DIRECTIONS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ReaderGone(Exception):
    """Whoever read our standard output has closed it; there is nothing more to do."""


class Output:
    """Standard output.

    Args:
        stream: takes the bytes; without a buffer of its own, or with one that ``flush`` empties.
        is_terminal: a person reads it, at a terminal.
        has_color: whether styles are shown.
    """

    def __init__(
        self, stream: BinaryIO, *, is_terminal: bool = False, has_color: bool = False
    ) -> None:
        self.stream = stream
        self.is_terminal = is_terminal
        self.has_color = has_color
        self._errors = "backslashreplace" if is_terminal else "surrogatepass"
        self._lines: list[str] = []
        self._size = 0
        self._written_at = 0.0

    def line(self, text: str) -> None:
        """Print one line of text."""
        self.lines((text,))

    def lines(self, texts: Iterable[str]) -> None:
        """Print lines of text as they come."""
        clean = _clean_for_terminal if self.is_terminal else clean_text
        self._write_lines((text if text.isprintable() else clean(text)) for text in texts)

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print JSON objects as they come, one a line."""
        self._errors = "backslashreplace"
        self._write_lines(map(_encode_json, rows))

    def document(self, value: object) -> None:
        """Print one JSON document, for people to read as well."""
        self._errors = "backslashreplace"
        text = json.dumps(value, ensure_ascii=False, indent=2)
        self._write_lines(text.split("\n"))

    def styled(self, text: str, style: str) -> str:
        """A cleaned text in a style, where styles are shown; for ``raw_lines``."""
        text = text if text.isprintable() else clean_text(text)
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.has_color else text

    def raw_lines(self, texts: Iterable[str]) -> None:
        """Print lines that hold styles; names in them were cleaned by ``styled`` or ``clean``."""
        self._write_lines(texts)

    def clean(self, text: str) -> str:
        """A text without characters that steer a terminal."""
        return _clean_for_terminal(text) if self.is_terminal else clean_text(text)

    def write_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Print bytes as they are, at once.

        Raises:
            ReaderGone: the reader has closed it.
        """
        try:
            self.stream.write(data)
        except OSError as error:
            raise gone_or(error) from error

    def flush(self) -> None:
        """Print what was gathered.

        Raises:
            ReaderGone: the reader has closed it.
        """
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            lines.append("")
            self.write_bytes("\n".join(lines).encode("utf-8", self._errors))
        try:
            self.stream.flush()
        except OSError as error:
            raise gone_or(error) from error
        self._written_at = time.monotonic()

    def _write_lines(self, texts: Iterable[str]) -> None:
        monotonic = time.monotonic
        for text in texts:
            self._lines.append(text)
            self._size += len(text)
            if self._size > _BLOCK_SIZE or monotonic() - self._written_at > _LONGEST_WAIT_SECONDS:
                self.flush()


def gone_or(error: OSError) -> Exception:
    """What an error of writing to standard output means.

    Returns:
        ReaderGone where the other end of the pipe is closed, else the error, with its place named.
    """
    # Windows answers EINVAL where others answer EPIPE.
    if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
        return ReaderGone()
    if error.filename is None:
        error.filename = "standard output"
    return error


def clean_text(text: str) -> str:
    """A text with its control characters spelled out, ``\\x1b`` for an escape."""
    return _CONTROLS.sub(_spelled, text)


def _clean_for_terminal(text: str) -> str:
    return _DIRECTIONS.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def count_of(count: int, singular: str, plural: str) -> str:
    """A number with the form of a word that goes with it: ``1 layer``, ``2 layers``."""
    return f"{count} {singular if count == 1 else plural}"


def table(rows: Iterable[tuple[str, ...]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines of columns, each as wide as its widest cell.

    Args:
        rows: cells; the first row may be the heads.
        right: numbers of the columns that are set to the right, as numbers are.
    """
    cells = [tuple(map(clean_text, row)) for row in rows]
    if not cells:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
