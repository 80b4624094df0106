"""containerd for tests: its store of blobs on a socket, and a client of what we serve."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.oci import mediatypes
from winlayers.services.containerd.content import UNCOMPRESSED, Content
from winlayers.services.containerd.diff import DiffService
from winlayers.services.containerd.messages import (
    CONTENT,
    DIFF,
    LEASES,
    SNAPSHOTS,
    Message,
    message,
    methods,
)
from winlayers.services.containerd.mounts import MountTeller
from winlayers.services.containerd.server import ContainerdServer
from winlayers.services.containerd.snapshots import SnapshotService
from winlayers.store.store import Store

SECONDS = 20
_WRITE, _COMMIT = 1, 2
_CHUNK_SIZE = 1000
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def digest_of(content: bytes) -> str:
    """As containerd writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def serve(address: Path, handlers: Sequence[Any]) -> Any:
    """A server of gRPC that runs."""
    server = grpc.server(ThreadPoolExecutor(16), options=_OPTIONS)
    server.add_generic_rpc_handlers(tuple(handlers))
    server.add_insecure_port(f"unix://{address}")
    server.start()
    return server


@dataclass
class FakeContent:
    """A store of blobs, which can be told to fail.

    Attributes:
        blobs: by namespace and digest.
        labels: by namespace and digest.
        partial: by namespace and name, what is written.
        reads: digests that were asked for.
        leases: by namespace and name, until when.
        leased: of each blob that was written, the lease.
        cut_at: reads end after so many bytes.
        fail_at: reads fail after so many bytes.
        shifted: what is added to offsets that are told.
        wait_at: reads wait after so many bytes until ``go`` is set, and writes at once; ``is_waiting`` is set then.
        refuse_at: writes are refused after so many bytes.
    """

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    labels: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    partial: dict[tuple[str, str], bytearray] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    leases: dict[tuple[str, str], str] = field(default_factory=dict)
    leased: dict[tuple[str, str], str] = field(default_factory=dict)
    cut_at: int | None = None
    fail_at: int | None = None
    shifted: int = 0
    wait_at: int | None = None
    refuse_at: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    is_waiting: threading.Event = field(default_factory=threading.Event)
    is_left: threading.Event = field(default_factory=threading.Event)

    def put(
        self, content: bytes, *, namespace: str = "default", labels: Mapping[str, str] | None = None
    ) -> str:
        """Have a blob; its digest."""
        digest = digest_of(content)
        self.blobs[namespace, digest] = content
        self.labels[namespace, digest] = dict(labels or {})
        return digest

    def put_layer(self, tar: bytes, *, namespace: str = "default") -> bytes:
        """Have the blob of a layer, compressed and labelled as containerd does."""
        content = gzip.compress(tar, mtime=0)
        self.put(content, namespace=namespace, labels={UNCOMPRESSED: digest_of(tar)})
        return content

    def handlers(self) -> list[Any]:
        """For a server."""
        return [self._handler(CONTENT), self._handler(LEASES)]

    def _handler(self, service: str) -> Any:
        handlers = {}
        for method in methods(service):
            call = getattr(self, f"_{method.name.lower()}", None)
            if call is None:
                continue
            kind = f"{_arity(method.is_request_stream)}_{_arity(method.is_answer_stream)}"
            handlers[method.name] = getattr(grpc, f"{kind}_rpc_method_handler")(
                call,
                request_deserializer=method.request.FromString,
                response_serializer=method.answer.SerializeToString,
            )
        return grpc.method_handlers_generic_handler(service, handlers)

    def _create(self, request: Message, context: Any) -> Message:
        expires = request.labels["containerd.io/gc.expire"]
        self.leases[_namespace(context), request.id] = expires
        return message("containerd.services.leases.v1.CreateResponse")()

    def _read(self, request: Message, context: Any) -> Iterator[Message]:
        namespace = _namespace(context)
        self.reads.append(request.digest)
        content = self.blobs.get((namespace, request.digest))
        if content is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"content {request.digest}: not found")
            raise AssertionError  # that raised
        made = message("containerd.services.content.v1.ReadContentResponse")
        yield made()  # one without bytes says nothing
        for start in range(0, len(content), _CHUNK_SIZE):
            if self.cut_at is not None and start >= self.cut_at:
                return
            if self.fail_at is not None and start >= self.fail_at:
                context.abort(grpc.StatusCode.INTERNAL, "the disk fails")
            if self.wait_at is not None and start >= self.wait_at:
                context.add_callback(self.is_left.set)
                self.is_waiting.set()
                self.go.wait(SECONDS)
            offset = start + (self.shifted if start else 0)
            yield made(offset=offset, data=content[start : start + _CHUNK_SIZE])

    def _list(self, request: Message, context: Any) -> Iterator[Message]:
        namespace = _namespace(context)
        answer = message("containerd.services.content.v1.ListContentResponse")()
        for (whose, digest), labels in self.labels.items():
            if whose == namespace:
                size = len(self.blobs[whose, digest])
                answer.info.add(digest=digest, size=size, labels=labels)
        yield answer

    def _write(self, requests: Iterator[Message], context: Any) -> Iterator[Message]:
        namespace = _namespace(context)
        made = message("containerd.services.content.v1.WriteContentResponse")
        for request in requests:
            held = self.partial.setdefault((namespace, request.ref), bytearray())
            if request.offset != len(held):
                context.abort(grpc.StatusCode.OUT_OF_RANGE, "offset")
            held += request.data
            if self.wait_at is not None:
                self.is_waiting.set()
                self.go.wait(SECONDS)
            if self.refuse_at is not None and len(held) >= self.refuse_at:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no space left")
            if request.action == _COMMIT:
                del self.partial[namespace, request.ref]
                if (namespace, request.expected) in self.blobs:
                    context.abort(grpc.StatusCode.ALREADY_EXISTS, "content: already exists")
                if digest_of(bytes(held)) != request.expected or len(held) != request.total:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another digest or size")
                self.put(bytes(held), namespace=namespace, labels=dict(request.labels))
                lease = _metadata(context, "containerd-lease")
                self.leased[namespace, request.expected] = self.leases[namespace, lease]
            yield made(action=request.action, offset=len(held))

    def _update(self, request: Message, context: Any) -> Message:
        labels = self.labels[_namespace(context), request.info.digest]
        for path in request.update_mask.paths:
            name = path.removeprefix("labels.")
            labels[name] = request.info.labels[name]
        return message("containerd.services.content.v1.UpdateResponse")(info=request.info)

    def _abort(self, request: Message, context: Any) -> Message:
        if self.partial.pop((_namespace(context), request.ref), None) is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "ref: not found")
        return message("google.protobuf.Empty")()


class Client:
    """Calls what is served on a socket."""

    def __init__(self, address: Path) -> None:
        self._channel: Any = grpc.insecure_channel(f"unix://{address}", options=_OPTIONS)
        self.methods = {
            method.name: method for service in (SNAPSHOTS, DIFF) for method in methods(service)
        }

    def close(self) -> None:
        self._channel.close()

    def begin(self, name: str, /, **fields: Any) -> Any:
        """A call that is on its way."""
        method = self.methods[name]
        return self.raw(method.path, method.answer.FromString).future(
            method.request(**fields).SerializeToString(), timeout=SECONDS, wait_for_ready=True
        )

    def raw(self, path: str, answer: Any = None) -> Any:
        """A call of bytes."""
        return self._channel.unary_unary(path, response_deserializer=answer)

    def call(self, name: str, /, **fields: Any) -> Any:
        """The answer of a call."""
        return self.begin(name, **fields).result()

    def refused(self, name: str, /, **fields: Any) -> tuple[str, str]:
        """Code and details of a call that fails."""
        error = self.begin(name, **fields).exception()
        assert error is not None, f"{name} was answered"
        return error.code().name, error.details()

    def list(self, *filters: str) -> list[Any]:
        """All that is listed."""
        method = self.methods["List"]
        answers = self._channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )(method.request(filters=filters), timeout=SECONDS, wait_for_ready=True)
        return [info for answer in answers for info in answer.info]

    def stat(self, key: str) -> Any:
        return self.call("Stat", key=key).info


class Stand:
    """A store that is served, a client of it, and the blobs that it is given."""

    content: FakeContent
    store: Store
    client: Client
    observed: list[tuple[str, str]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.address = folder / "w.sock"
        self.content_address = folder / "c.sock"
        self.content = FakeContent()
        self.observed = []
        self.begin_content()
        self._begin()

    def begin_content(self) -> None:
        """Have containerd answer."""
        self._content_server = serve(self.content_address, self.content.handlers())

    def end_content(self) -> None:
        """Have it be gone."""
        self._content_server.stop(None).wait()
        self.content_address.unlink(missing_ok=True)

    def _begin(self) -> None:
        self.store = Store(self.root, open_driver(Config(self.root, reexec=False)))
        self.snapshots = self.store.snapshots
        self._blobs = Content(str(self.content_address))
        teller = MountTeller(self.root, self.snapshots.shown_at)
        self.diff = DiffService(self.snapshots, teller, self._blobs)
        self.service_of_snapshots = SnapshotService(self.snapshots, teller, self.diff.heal)
        self.service = ContainerdServer(
            self.service_of_snapshots,
            self.diff,
            str(self.address),
            lambda name, seconds, error: self.observed.append((name, error)),
        )
        self._thread = threading.Thread(target=self.service.run)
        self._thread.start()
        self.client = Client(self.address)

    def restart(self) -> None:
        """End the service, and begin another."""
        self._end()
        self._begin()

    def end(self) -> None:
        self.content.go.set()
        self._end()
        self.end_content()

    def _end(self) -> None:
        self.client.close()
        assert self.service.stop(SECONDS)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self._blobs.close()
        self.address.unlink(missing_ok=True)

    # -- what clients do -----------------------------------------------------------------------------

    def descriptor(self, content: bytes, media_type: str = "") -> Any:
        return message("containerd.types.Descriptor")(
            media_type=media_type or f"{mediatypes.OCI_LAYER}+gzip",
            digest=digest_of(content),
            size=len(content),
        )

    def apply(self, tar: bytes, chain_id: str, parent: str = "") -> str:
        """What a client that unpacks does for one layer; its name."""
        name = f"default/2/{chain_id}"
        key = f"default/1/extract-{time.monotonic_ns()}-abcd {chain_id}"
        mounts = self.client.call("Prepare", key=key, parent=parent).mounts
        blob = self.content.put_layer(tar)
        applied = self.client.call("Apply", diff=self.descriptor(blob), mounts=mounts).applied
        assert (applied.digest, applied.size) == (digest_of(tar), len(tar))
        self.client.call("Commit", key=key, name=name)
        return name

    def check_nothing_left(self) -> None:
        """No layers, no files of them, and no row but those of snapshots."""
        deadline = time.monotonic() + SECONDS
        while self.store.driver.layers() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.store.driver.layers() == []
        assert self.store.disk_usage().layer_count == 0
        assert list((self.root / "tmp").iterdir()) == []
        assert list((self.root / "blobs" / "locks").iterdir()) == []


def _namespace(context: Any) -> str:
    namespace = _metadata(context, "containerd-namespace")
    if not namespace:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "namespace is required")
    return namespace


def _metadata(context: Any, name: str) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == name), "")


def _arity(is_stream: bool) -> str:
    return "stream" if is_stream else "unary"
