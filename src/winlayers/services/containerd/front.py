"""A socket in front of containerd, for a release that takes no differs of others (1.6).

Clients connect here instead of to containerd. Calls of the differ are answered by ours; everything else goes on to
containerd and comes back as it is: bytes, metadata, codes and details are not looked into.

Source: containerd 1.6 (proxy plugins of type ``diff`` are not known); gRPC over HTTP2 (metadata that is reserved).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from winlayers import errors
from winlayers.errors import MissingExtra
from winlayers.services.containerd.messages import DIFF, INSTALL
from winlayers.services.containerd.server import MESSAGE_SIZE, ContainerdServer

# Each call that is open takes a thread, also those that wait for events.
_THREADS = 128
# No deadline is this far away; what has none is told of as one.
_ENDLESS_SECONDS = 10**8
_DETAILS = "grpc-status-details-bin"


class FrontServer:
    """Serves clients of one containerd.

    Args:
        server: whose differ answers.
        address: path of the socket, absolute; whoever made it removes it.
        containerd: path of containerd's own.
    Raises:
        MissingExtra: grpcio is not installed.
        InUse: the socket cannot be listened on.
    """

    def __init__(self, server: ContainerdServer, address: str, containerd: str) -> None:
        try:
            import grpc
        except ImportError as error:
            raise MissingExtra(f"{INSTALL} ({error})") from error
        self._grpc = grpc
        options = [
            ("grpc.max_receive_message_length", MESSAGE_SIZE),
            ("grpc.max_send_message_length", MESSAGE_SIZE),
        ]
        self._channel: Any = grpc.insecure_channel(f"unix://{containerd}", options=options)
        self._differ = server.differ
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="winlayers-front"), options=options
        )
        self._server.add_generic_rpc_handlers((self._handler(),))
        try:
            self._server.add_insecure_port(f"unix://{address}")
        except RuntimeError as error:
            raise errors.InUse(f"cannot listen on {address}: {error}") from error

    def start(self) -> None:
        """Begin to serve, in threads."""
        self._server.start()

    def stop(self, seconds: float) -> bool:
        """Take no more calls, and let those in flight end; whether all have in that time."""
        started = time.monotonic()
        self._server.stop(seconds).wait(seconds + 1)
        self._channel.close()
        return time.monotonic() - started < seconds or not seconds

    # -- inside --------------------------------------------------------------------------------------

    def _handler(self) -> Any:
        front = self

        class Handler(self._grpc.GenericRpcHandler):  # type: ignore[misc,name-defined]
            def service(self, details: Any) -> Any:
                if details.method.startswith(f"/{DIFF}/"):
                    return front._differ.service(details)
                return front._grpc.stream_stream_rpc_method_handler(
                    lambda requests, context: front._forward(details, requests, context)
                )

        return Handler()

    def _forward(self, details: Any, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        remaining = context.time_remaining()
        has_end = remaining is not None and 0 < remaining < _ENDLESS_SECONDS
        call = self._channel.stream_stream(details.method)(
            requests,
            timeout=remaining if has_end else None,
            metadata=_kept(details.invocation_metadata),
        )
        context.add_callback(call.cancel)
        try:
            context.send_initial_metadata(_kept(call.initial_metadata()))
            yield from call
        except self._grpc.RpcError:
            context.set_trailing_metadata(_kept(call.trailing_metadata()))
            context.abort(call.code(), call.details())
        context.set_trailing_metadata(_kept(call.trailing_metadata()))


def _kept(metadata: Sequence[tuple[str, str | bytes]] | None) -> list[tuple[str, str | bytes]]:
    """Metadata without what gRPC makes itself."""
    return [
        (key, value)
        for key, value in metadata or ()
        if key == _DETAILS or not key.startswith((":", "grpc-", "user-agent", "content-type"))
    ]
