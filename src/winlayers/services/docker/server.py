"""A graph driver plugin on a socket: HTTP/1.1 as Docker speaks it with its plugins.

    POST /Plugin.Activate                {"Implements": ["GraphDriver"]}
    POST /GraphDriver.NAME               an object of JSON in, one out; {"Err": "…"} where it went wrong
    POST /GraphDriver.Diff               an object in, the layer's tar out, in chunks
    POST /GraphDriver.ApplyDiff?id=&parent=   the layer's tar in, perhaps in chunks; {"Size": …} out

An error is an answer of status 200 with ``Err``: Docker reads that and nothing else. Where a tar breaks off, the
connection is closed before its last chunk, so that nobody takes it for whole.

This module knows nothing of layers.

Source: moby/moby pkg/plugins client.go, daemon/graphdriver/proxy.go; RFC 9112 section 7.1 (chunks).
"""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from socketserver import BaseServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

from winlayers.base.fileobj import RawReader, read_into
from winlayers.errors import Corrupt, InvalidArgument, Malformed, TooLarge, WinlayersError
from winlayers.services.docker.graphdriver import GraphDriver

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_REQUEST_SIZE = 1 << 20
"""Bytes of an object of JSON that is taken."""

_CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"
_BLOCK_SIZE = 1 << 18
_MAX_LINE = 256
_MAX_FIELDS = 100
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_PREFIX = "/GraphDriver."
# How often a server that was told to stop looks whether it was.
_POLL_SECONDS = 0.1
_log = logging.getLogger("winlayers.services")

Observer = Callable[[str, float, str], None]
"""Told of each call when it has ended: its name, the seconds that it took, and the kind of its error or ``""``."""


class DockerServer(ThreadingMixIn, BaseServer):
    """Serves one graph driver.

    Args:
        graph_driver: answers.
        listener: a stream socket that listens; it stays the caller's.
        observe: see ``Observer``.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        graph_driver: GraphDriver,
        listener: socket.socket,
        observe: Observer = lambda name, seconds, error: None,
    ) -> None:
        super().__init__("", _Handler)
        self.graph_driver = graph_driver
        self.observe = observe
        self._listener = listener
        self._changed = threading.Condition()
        # Connections, and whether a call is in flight on each.
        self._connections: dict[socket.socket, bool] = {}

    def run(self) -> None:
        """Serve until ``stop`` is called, by another thread."""
        self.serve_forever(_POLL_SECONDS)

    def stop(self, seconds: float) -> bool:
        """Take no more calls, and let those in flight end.

        Args:
            seconds: how long to wait for them.
        Returns:
            Whether all have ended.
        """
        self.shutdown()
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for connection, is_busy in self._connections.items():
                    if not is_busy:
                        _end_reading(
                            connection
                        )  # whoever waits for the next call there sees an end
                if not any(self._connections.values()):
                    return True
                if not self._changed.wait(deadline - time.monotonic()):
                    return False

    def mark(self, connection: socket.socket, *, is_busy: bool) -> None:
        """Note that a call on a connection has begun or ended."""
        with self._changed:
            self._connections[connection] = is_busy
            self._changed.notify_all()

    def fileno(self) -> int:
        """Of the listening socket."""
        return self._listener.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection."""
        return self._listener.accept()

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._changed:
            self._connections.pop(request, None)
            self._changed.notify_all()
        with suppress(OSError):  # the other side may have been first
            request.shutdown(socket.SHUT_WR)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fault in a handler: it is logged, and the connection ends."""
        _log.exception("a connection of Docker ended")


def _end_reading(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: DockerServer

    def setup(self) -> None:
        self.connection = self.request
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)

    def address_string(self) -> str:
        return "docker"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        _log.debug(format, *args)

    def do_POST(self) -> None:
        self.server.mark(self.connection, is_busy=True)
        try:
            self._serve_call()
        finally:
            self.server.mark(self.connection, is_busy=False)

    def _serve_call(self) -> None:
        started = time.monotonic()
        address = urlsplit(self.path)
        name = address.path.removeprefix(_PREFIX)
        error = ""
        body = self._body()
        try:
            answer = self._answer(address.path, name, address.query, body)
        except (WinlayersError, OSError) as failure:
            error = type(failure).__name__
            _log.warning("%s failed: %s", name, failure)
            answer = {"Err": _told(failure)}
        self.server.observe(name, time.monotonic() - started, error)
        # Docker reads no answer before it has sent all, and what is left would be taken for the next request.
        with suppress(WinlayersError, OSError):
            body.skip()
        self.close_connection |= not body.is_finished
        try:
            if answer is not None:
                self._send(answer)
        except OSError as failure:
            _log.info("nobody hears the answer to %s: %s", name, failure)
            self.close_connection = True

    def _answer(self, path: str, name: str, query: str, body: _Body) -> Mapping[str, Any] | None:
        graph_driver = self.server.graph_driver
        if path == "/Plugin.Activate":
            return {"Implements": ["GraphDriver"]}
        if not path.startswith(_PREFIX):
            raise InvalidArgument(f"there is no call {path[:100]!r} of a plugin")
        if name == "ApplyDiff":
            asked = parse_qs(query)
            layer_id, parent = (asked.get(key, [""])[0] for key in ("id", "parent"))
            return {"Size": graph_driver.apply_diff(layer_id, parent, body)}
        request = _parse(body)
        if name == "Diff":
            with graph_driver.diff(
                str(request.get("ID", "")), str(request.get("Parent", ""))
            ) as tar:
                self._send_tar(tar)
            return None
        return graph_driver.call(name, request)

    def _body(self) -> _Body:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return _Body(self.rfile, None)
        length = self.headers.get("Content-Length", "0")
        return _Body(self.rfile, int(length) if length.isascii() and length.isdigit() else 0)

    def _send(self, answer: Mapping[str, Any]) -> None:
        raw = json.dumps({**answer, "Err": answer.get("Err", "")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _send_tar(self, tar: BinaryIO) -> None:
        """Send a tar; the first block is read before anything is said, so that most errors can still be told."""
        block = tar.read(_BLOCK_SIZE)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while block:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
                block = tar.read(_BLOCK_SIZE)
        except (WinlayersError, OSError):
            self.close_connection = True
            _log.exception("a tar for Docker broke off")
        else:
            self.wfile.write(b"0\r\n\r\n")


class _Body(RawReader):
    """The body of a request, of known length or in chunks."""

    def __init__(self, source: BufferedIOBase, size: int | None) -> None:
        self._source = source
        self._is_chunked = size is None
        self._left = size or 0
        self.is_finished = size == 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            Corrupt: the connection ended too early.
            Malformed: what should be a chunk is none.
        """
        if size is None or size < 0:
            return self.readall()
        if size and not self._left and not self.is_finished:
            self._begin_chunk()
        if self.is_finished or not size:
            return b""
        block = self._source.read(min(size, self._left, _BLOCK_SIZE))
        if not block:
            raise Corrupt("the connection of Docker ended in the middle of a request")
        self._left -= len(block)
        if not self._left:
            if self._is_chunked:
                self._line()
            else:
                self.is_finished = True
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def skip(self) -> None:
        """Read what is left."""
        while self.read(_BLOCK_SIZE):
            pass

    def _begin_chunk(self) -> None:
        head = self._line().partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(head):
            raise Malformed("request", f"{head[:20]!r} is no size of a chunk")
        self._left = int(head, 16)
        if not self._left:
            # Fields may come after the body, of which none is known.
            if all(self._line() for _ in range(_MAX_FIELDS)):
                raise TooLarge("a request of Docker does not end")
            self.is_finished = True

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise Corrupt("the connection of Docker ended in the middle of a request")
        return line.rstrip(b"\r\n")


def _parse(body: _Body) -> Mapping[str, Any]:
    raw = bytearray()
    while block := body.read(_BLOCK_SIZE):
        raw += block
        if len(raw) > MAX_REQUEST_SIZE:
            raise TooLarge(f"a request of Docker has more than {MAX_REQUEST_SIZE} bytes")
    try:
        request = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise Malformed("request", f"no JSON: {str(error)[:100]}") from None
    if not isinstance(request, dict):
        raise Malformed("request", "no object")
    return request


def _told(failure: Exception) -> str:
    """What Docker shows of an error: one line, never empty, as that would be none."""
    return " ".join(str(failure).split()) or type(failure).__name__
