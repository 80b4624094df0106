"""Pages for who watches the daemon: ``/healthz``, ``/readyz`` and ``/metrics``, on loopback alone.

Source: Kubernetes' conventions for the first two (200 or 503, a word as text).
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from winlayers.daemon.metrics import CONTENT_TYPE, Metrics
from winlayers.errors import InUse, InvalidArgument

_SECONDS = 10.0
_log = logging.getLogger("winlayers.daemon")


def parse_address(text: str) -> tuple[str, int]:
    """Host and port to listen on, as ``127.0.0.1:9469`` or ``[::1]:9469``.

    Raises:
        InvalidArgument: it is no such thing, or not of loopback: anybody could read there what is done here.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidArgument(
            f"metrics are told on loopback only, as on 127.0.0.1:9469, not on {text[:100]!r}"
        )
    return host, int(port)


@contextmanager
def told_health(
    address: tuple[str, int], metrics: Metrics, is_ready: Callable[[], bool]
) -> Iterator[int]:
    """Answer on a port; which one it is.

    Args:
        address: host and port, 0 for any that is free.
        metrics: what ``/metrics`` shows.
        is_ready: what ``/readyz`` tells.
    Raises:
        InUse: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, metrics.render(), CONTENT_TYPE)
            elif self.path == "/healthz":
                self._answer(200, "ok\n")
            elif self.path == "/readyz":
                ready = is_ready()
                self._answer(200 if ready else 503, "ready\n" if ready else "not ready\n")
            else:
                self._answer(404, "there is /healthz, /readyz and /metrics\n")

        def _answer(self, status: int, text: str, content_type: str = "text/plain") -> None:
            raw = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            _log.debug(format, *args)

    try:
        server = ThreadingHTTPServer(address, Handler)
    except OSError as error:
        raise InUse(
            f"cannot listen on {address[0]}:{address[1]} for metrics: {error.strerror}"
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="winlayers-health", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
