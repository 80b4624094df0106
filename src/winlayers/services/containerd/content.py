"""containerd's store of blobs, as a client of it.

A differ is told neither the namespace nor the lease of who asks. The namespace begins the keys of snapshots, and is given
here. What is written has a lease of its own for a while, so that it is not collected before somebody refers to it.

Source: containerd/containerd api/services/content/v1/content.proto, namespaces/grpc.go (``containerd-namespace``), leases/grpc.go (``containerd-lease``), docs/garbage-collection.md (``containerd.io/gc.expire``).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from winlayers.base.digest import Digest
from winlayers.base.fileobj import RawReader, read_into
from winlayers.errors import BlobNotFound, Cancelled, Corrupt, MissingExtra, RemoteFailure
from winlayers.oci.model import Descriptor
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.messages import (
    CONTENT,
    INSTALL,
    LEASES,
    Message,
    Method,
    message,
    methods,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

UNCOMPRESSED = "containerd.io/uncompressed"
"""Label of a compressed layer: its diff ID."""
UNCOMPRESSED_BY_BUILDKIT = f"buildkit.io/blob/annotation.{UNCOMPRESSED}"
"""The same of one that BuildKit fetched; its only one."""

_NAMESPACE = "containerd-namespace"
_LEASE = "containerd-lease"
_EXPIRES = "containerd.io/gc.expire"
# Whoever asked for a blob refers to it within some seconds.
_LEASE_SECONDS = 3600
# What containerd answers out of its database. Blobs have no such limit: disks may be slow.
_ANSWER_SECONDS = 30.0
_CHUNK_SIZE = 1 << 20
_WRITE, _COMMIT = 1, 2
_MESSAGE_SIZE = 16 << 20


class Content:
    """The blobs of a containerd.

    Args:
        address: of its socket.
    Raises:
        MissingExtra: grpcio is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            import grpc
        except ImportError as error:
            raise MissingExtra(f"{INSTALL} ({error})") from error
        self._grpc = grpc
        options = [("grpc.max_receive_message_length", _MESSAGE_SIZE)]
        self._channel = grpc.insecure_channel(f"unix://{address}", options=options)
        self._methods = {method.name: method for method in methods(CONTENT)}
        self._lease = next(method for method in methods(LEASES) if method.name == "Create")

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def open(self, namespace: str, blob: Descriptor, cancel: CallCancel | None = None) -> BinaryIO:
        """A blob as a file object; to be closed by the caller.

        Args:
            namespace: whose.
            blob: digest and size.
            cancel: ends a read that waits.
        Raises, when it is read:
            Cancelled: it was set.
            BlobNotFound: it is not there.
            RemoteFailure: containerd does not answer.
        """
        request = self._methods["Read"].request(digest=str(blob.digest))
        return _BlobReader(self, self._call("Read", namespace, request, cancel=cancel), blob)

    def blobs(
        self, namespace: str, cancel: CallCancel | None = None
    ) -> Iterator[tuple[str, int, Mapping[str, str]]]:
        """Digest, size and labels of each blob.

        Args:
            namespace: whose.
            cancel: ends it while it waits.
        Raises:
            RemoteFailure: containerd does not answer.
            Cancelled: it was set.
        """
        request = self._methods["List"].request()
        with self._told("looking for blobs"):
            for answer in self._call("List", namespace, request, cancel=cancel):
                for info in answer.info:
                    yield info.digest, info.size, dict(info.labels)

    def write(
        self,
        namespace: str,
        ref: str,
        source: BinaryIO,
        finish: Callable[[], tuple[Digest, int, Mapping[str, str]]],
        cancel: CallCancel | None = None,
    ) -> None:
        """Write a blob; one that is there already is as good.

        Args:
            namespace: whose.
            ref: what it is called until it is whole; ``""`` for one of our own.
            source: its bytes.
            finish: asked at the end for digest, size and labels, which a blob that is there gets too.
            cancel: ends it while it waits.
        Raises:
            Cancelled: it was set; nothing of it is left there.
            RemoteFailure: containerd does not take it; nothing of it is left there.
        """
        ref = ref or f"winlayers-{secrets.token_hex(8)}"
        made = self._methods["Write"].request

        def requests() -> Iterator[Message]:
            offset = 0
            while block := source.read(_CHUNK_SIZE):
                yield made(action=_WRITE, ref=ref, offset=offset, data=bytes(block))
                offset += len(block)
            digest, size, labels = finish()
            yield made(
                action=_COMMIT,
                ref=ref,
                offset=offset,
                total=size,
                expected=str(digest),
                labels=dict(labels),
            )

        errors: list[Exception] = []

        def guarded() -> Iterator[Message]:
            # What is raised in here is lost in a thread of gRPC.
            try:
                yield from requests()
            except Exception as error:
                errors.append(error)
                raise

        try:
            with self._told("writing a blob"):
                lease = self._make_lease(namespace)
                for _ in self._call("Write", namespace, guarded(), lease, cancel=cancel):
                    pass
        except _ExistsError:
            self._label(namespace, finish)
        except (RemoteFailure, Cancelled):
            self._abort(namespace, ref)
            if errors:
                raise errors[0] from None
            raise

    def _label(
        self, namespace: str, finish: Callable[[], tuple[Digest, int, Mapping[str, str]]]
    ) -> None:
        """Give a blob that was there the labels that it would have been made with; others stay."""
        digest, _, labels = finish()
        update = self._methods["Update"]
        info = message("containerd.services.content.v1.Info")(digest=str(digest), labels=labels)
        request = update.request(info=info)
        request.update_mask.paths.extend(f"labels.{name}" for name in labels)
        with self._told("labelling a blob"):
            self._send(update, ((_NAMESPACE, namespace),), request)

    def _abort(self, namespace: str, ref: str) -> None:
        try:
            with self._told("giving up a blob"):
                self._call("Abort", namespace, self._methods["Abort"].request(ref=ref))
        except (RemoteFailure, BlobNotFound):
            return  # nothing of it was there, or containerd collects it

    def _make_lease(self, namespace: str) -> str:
        """A lease that ends by itself; its name."""
        name = f"winlayers-{secrets.token_hex(8)}"
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + _LEASE_SECONDS))
        request = self._lease.request(id=name, labels={_EXPIRES: end})
        self._send(self._lease, ((_NAMESPACE, namespace),), request)
        return name

    def _call(
        self,
        name: str,
        namespace: str,
        request: Any,
        lease: str = "",
        cancel: CallCancel | None = None,
    ) -> Any:
        metadata = ((_NAMESPACE, namespace), *(((_LEASE, lease),) if lease else ()))
        call = self._send(self._methods[name], metadata, request)
        if cancel is not None:
            cancel.on_set(call.cancel)
        return call

    def _send(self, method: Method, metadata: tuple[tuple[str, str], ...], request: Any) -> Any:
        kind = f"{_arity(method.is_request_stream)}_{_arity(method.is_answer_stream)}"
        call = getattr(self._channel, kind)(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        is_stream = method.is_request_stream or method.is_answer_stream
        return call(request, metadata=metadata, timeout=None if is_stream else _ANSWER_SECONDS)

    def _told(self, what: str) -> _Told:
        return _Told(self._grpc, what)


class _ExistsError(Exception):
    """There is such a blob already."""


class _Told:
    """Tells errors of gRPC as ours."""

    def __init__(self, grpc: Any, what: str) -> None:
        self._grpc = grpc
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not isinstance(error, self._grpc.RpcError):
            return
        code = error.code()
        text = f"{self._what}: containerd said: {error.details()}"
        if code is self._grpc.StatusCode.NOT_FOUND:
            raise BlobNotFound(text) from None
        if code is self._grpc.StatusCode.ALREADY_EXISTS:
            raise _ExistsError(text) from None
        if code is self._grpc.StatusCode.CANCELLED:
            raise Cancelled(text) from None
        raise RemoteFailure(text) from None


class _BlobReader(RawReader):
    """The answers of a read, as a file object."""

    def __init__(self, content: Content, answers: Any, blob: Descriptor) -> None:
        self._answers = answers
        self._told = content._told(f"reading blob {blob.digest}")
        self._blob = blob
        self._position = 0
        self._block = memoryview(b"")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on."""
        if size is None or size < 0:
            return self.readall()
        if not self._block:
            with self._told:
                answer = next(self._answers, None)
                while answer is not None and not answer.data:
                    answer = next(self._answers, None)
            if answer is None:
                return b""
            if answer.offset != self._position:
                raise Corrupt(f"blob {self._blob.digest} came in pieces out of order")
            self._block = memoryview(answer.data)
            self._position += len(self._block)
        block, self._block = bytes(self._block[:size]), self._block[size:]
        return block

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def close(self) -> None:
        """End the call."""
        self._answers.cancel()
        super().close()


def _arity(is_stream: bool) -> str:
    return "stream" if is_stream else "unary"
