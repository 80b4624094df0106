"""gRPC on a socket: snapshots and diffs of a store, for one containerd.

Errors become codes that containerd knows: by them it tells what is there already from what is missing, what it may try
again from what it may not, and asks another differ where something is not implemented.

Source: containerd/containerd errdefs/grpc.go; grpc doc statuscodes.md.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from winlayers import errors
from winlayers.errors import MissingExtra, WinlayersError
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.diff import DiffService
from winlayers.services.containerd.messages import DIFF, INSTALL, SNAPSHOTS, Message, methods
from winlayers.services.containerd.snapshots import SnapshotService

Observer = Callable[[str, float, str], None]
"""Told of each call when it has ended: its name, the seconds that it took, and the kind of its error or ``""``."""

_THREADS = 32
MESSAGE_SIZE = 16 << 20
"""Bytes of a message that is taken or sent."""
# Characters, each of which may become twelve on its way.
_DETAILS_SIZE = 500
_log = logging.getLogger("winlayers.services")

#: Calls that ask containerd for something, and would wait with it.
_CANCELLED = frozenset({"Apply", "Diff", "Commit"})
# What the system says of the disk and of who may use it; all else that it says is a fault of the host.
_OF_THE_SYSTEM = {
    errno.ENOSPC: errors.NoSpace,
    errno.EDQUOT: errors.NoSpace,
    errno.EMFILE: errors.LimitExceeded,
    errno.ENFILE: errors.LimitExceeded,
    errno.ENOMEM: errors.LimitExceeded,
    errno.EACCES: errors.Denied,
    errno.EPERM: errors.Denied,
    errno.EROFS: errors.Denied,
}
_INTERNAL = 13


def code_of(error: BaseException) -> int:
    """The number of the code that an error is told by.

    Args:
        error: one of ours has that of its kind (``errors.KINDS``).
    """
    if isinstance(error, WinlayersError):
        return errors.codes_of(error).grpc
    if isinstance(error, MemoryError):
        return errors.KINDS[errors.LimitExceeded].grpc
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        return errors.codes_of(_OF_THE_SYSTEM[error.errno]()).grpc
    return _INTERNAL


class ContainerdServer:
    """Serves one store to one containerd.

    Args:
        snapshots: answers the calls of a snapshotter.
        diff: answers those of a differ.
        address: path of the socket, absolute; whoever made it removes it.
        observe: see ``Observer``.
    Raises:
        MissingExtra: grpcio is not installed.
        InUse: the socket cannot be listened on.
    """

    def __init__(
        self,
        snapshots: SnapshotService,
        diff: DiffService,
        address: str,
        observe: Observer = lambda name, seconds, error: None,
    ) -> None:
        try:
            import grpc
        except ImportError as error:
            raise MissingExtra(f"{INSTALL} ({error})") from error
        self._grpc = grpc
        self._observe = observe
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="winlayers-call"),
            options=[
                ("grpc.max_receive_message_length", MESSAGE_SIZE),
                ("grpc.max_send_message_length", MESSAGE_SIZE),
            ],
        )
        self.differ = self._handler(DIFF, diff)
        """Handles the calls of a differ, for who listens elsewhere too."""
        self._server.add_generic_rpc_handlers((self._handler(SNAPSHOTS, snapshots), self.differ))
        try:
            self._server.add_insecure_port(f"unix://{address}")
        except RuntimeError as error:
            raise errors.InUse(f"cannot listen on {address}: {error}") from error

    def run(self) -> None:
        """Serve until ``stop`` is called, by another thread."""
        self._server.start()
        self._server.wait_for_termination()

    def stop(self, seconds: float) -> bool:
        """Take no more calls, and let those in flight end; whether all have in that time."""
        started = time.monotonic()
        self._server.stop(seconds).wait(seconds + 1)
        return time.monotonic() - started < seconds or not seconds

    # -- inside --------------------------------------------------------------------------------------

    def _handler(self, service: str, answers: SnapshotService | DiffService) -> Any:
        handlers = {}
        for method in methods(service):
            answer = getattr(answers, method.name.lower())
            kind = "unary_stream" if method.is_answer_stream else "unary_unary"
            wrapped = self._streaming if method.is_answer_stream else self._answering
            handlers[method.name] = getattr(self._grpc, f"{kind}_rpc_method_handler")(
                wrapped(method.name, answer),
                request_deserializer=method.request.FromString,
                response_serializer=method.answer.SerializeToString,
            )
        return self._grpc.method_handlers_generic_handler(service, handlers)

    def _answering(
        self, name: str, answer: Callable[..., Message]
    ) -> Callable[[Message, Any], Message]:
        takes_cancel = name in _CANCELLED

        def call(request: Message, context: Any) -> Message:
            with _Call(self, name, context):
                if not takes_cancel:
                    return answer(request)
                cancel = CallCancel()
                if not context.add_callback(cancel.set):  # also when nobody waits any more
                    cancel.set()
                return answer(request, cancel)
            raise AssertionError  # an error ends the call

        return call

    def _streaming(
        self, name: str, answer: Callable[[Message], Iterator[Message]]
    ) -> Callable[[Message, Any], Iterator[Message]]:
        def call(request: Message, context: Any) -> Iterator[Message]:
            with _Call(self, name, context):
                yield from answer(request)

        return call

    def told(self, name: str, seconds: float, error: BaseException | None) -> None:
        """Note that a call has ended."""
        if error is not None:
            expected = isinstance(error, WinlayersError | OSError)
            _log.log(
                logging.INFO if expected else logging.ERROR,
                "%s failed: %s",
                name,
                _details(error),
                exc_info=None if expected else error,
                extra={"call": name},
            )
        self._observe(name, seconds, type(error).__name__ if error is not None else "")

    def abort(self, context: Any, error: BaseException) -> None:
        """End a call by the code of an error."""
        number = code_of(error)
        code = next(one for one in self._grpc.StatusCode if one.value[0] == number)
        context.abort(code, _details(error))


def _details(error: BaseException) -> str:
    """What is told of an error: a client takes no more than some KiB of it, or it takes neither text nor code."""
    text = str(error) or type(error).__name__
    if len(text) > _DETAILS_SIZE:
        half = _DETAILS_SIZE // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text.encode(errors="backslashreplace").decode()


class _Call:
    """One call, from its beginning to its end."""

    def __init__(self, server: ContainerdServer, name: str, context: Any) -> None:
        self._server = server
        self._name = name
        self._context = context
        self._started = time.monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._server.told(self._name, time.monotonic() - self._started, error)
        if isinstance(error, Exception):
            self._server.abort(self._context, error)
