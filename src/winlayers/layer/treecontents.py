"""Contents that a tree hands out: of a sealed view to read, of a scratch so that the tree learns of the end.

See ``layer.view.Content`` for what the methods do. This module refuses to know names.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import BinaryIO

from winlayers.base.fileobj import SizedReader
from winlayers.errors import IllegalState
from winlayers.layer.view import Content, Node


class SealedContent:
    """The bytes of a node of a view.

    Args:
        node: the node.
        file: its bytes, from here on this one's to close.
    """

    def __init__(self, node: Node, file: BinaryIO) -> None:
        self._node = node
        self._file = file
        self._lock = Lock()
        # Several may read at once where reading has no position.
        self._positional = file if isinstance(file, SizedReader) else None
        self._size = file.seek(0, 2)

    @property
    def size(self) -> int:
        return self._size

    def node(self) -> Node:
        return self._node

    def read_at(self, offset: int, size: int) -> bytes:
        wanted = min(size, self._size - offset)
        if wanted <= 0:
            return b""
        if self._positional is not None:
            return self._positional.read_at(offset, wanted)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(wanted)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        raise IllegalState(f"{len(data)} bytes at {offset}: the content was not opened for writing")

    def truncate(self, size: int) -> None:
        raise IllegalState(f"{size} bytes: the content was not opened for writing")

    def flush(self) -> None:
        """Nothing was written."""

    def sync(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        self._file.close()


class WatchedContent:
    """A content of a scratch, open for writing.

    Args:
        content: it.
        closed: called once when it is closed.
    """

    def __init__(self, content: Content, closed: Callable[[], None]) -> None:
        self._content = content
        self._closed: Callable[[], None] | None = closed

    @property
    def size(self) -> int:
        return self._content.size

    def node(self) -> Node:
        return self._content.node()

    def read_at(self, offset: int, size: int) -> bytes:
        return self._content.read_at(offset, size)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._content.write_at(offset, data)

    def truncate(self, size: int) -> None:
        self._content.truncate(size)

    def flush(self) -> None:
        self._content.flush()

    def sync(self) -> None:
        self._content.sync()

    def close(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            try:
                self._content.close()
            finally:
                closed()
