"""Connections that are cut in each phase, and answers that never end."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import AUTHORITY, server_context
from tests.support.registry import (
    Action,
    Handler,
    Registry,
    describe_blob,
    digest_text,
    serve_registry,
)
from winlayers.distribution.client import RepositoryClient
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import DistributionError
from winlayers.oci import mediatypes

BLOB = bytes(range(256)) * 1024
MANIFEST = b'{"a":"%s"}' % (b"x" * 20_000)
SECRET = "s3cret-pass"


def fill(registry: Registry) -> None:
    registry.repository("a/b").add_manifest(MANIFEST, mediatypes.OCI_MANIFEST, "t")
    registry.repository("a/b").add_blob(BLOB)


def pull(client: RepositoryClient) -> tuple[bytes, bytes]:
    """A manifest and a blob."""
    blob = describe_blob(BLOB)
    manifest = client.fetch_manifest("t").raw
    with client.open_blob(blob.digest, blob.size) as file:
        return manifest, b"".join(iter(lambda: file.read(1 << 16), b""))


def push(client: RepositoryClient, raw: bytes) -> None:
    """A blob in several chunks."""
    blob = describe_blob(raw)
    upload = client.begin_upload(blob.digest)
    upload.chunk_size = 1 << 16
    upload.run(io.BytesIO(raw), blob.size, blob.digest)


# Under TLS, by somebody on the way


@contextmanager
def cutting(registry: Registry, sizes: list[int], *, resets: bool) -> Iterator[str]:
    """Something before a registry that cuts its first connections, after so many bytes from there each.

    Args:
        registry: where it leads.
        sizes: of each; -1 before the connection is made.
        resets: whether the client is told by a reset, not by an end.
    Yields:
        Its own host and port.
    """
    host, _, port = registry.host.partition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    left = iter(sizes)

    def serve() -> None:
        with contextlib.suppress(OSError):  # at the end of the test
            while True:
                client, _ = listener.accept()
                limit = next(left, None)
                threading.Thread(target=relay, args=(client, limit), daemon=True).start()

    def relay(client: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError), client:
            # The first connection only tries out whether TLS is spoken.
            if limit != -1:
                with socket.create_connection((host, int(port))) as server:
                    threading.Thread(target=pump, args=(client, server, None), daemon=True).start()
                    pump(server, client, limit)
            client.shutdown(
                socket.SHUT_RD
            )  # otherwise it stays open as long as somebody reads from it
            if resets:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def pump(source: socket.socket, target: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError):  # the other direction was cut
            while limit is None or limit > 0:
                block = source.recv(1 << 16 if limit is None else min(limit, 1 << 16))
                if not block:
                    break
                target.sendall(block)
                limit = None if limit is None else limit - len(block)
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


# The handshake is some 1,500 bytes; then come the manifest, with 20 kB, and the blob.
@pytest.mark.parametrize("size", [-1, 0, 1, 100, 700, 1300, 2000, 2300, 10_000, 22_000, 100_000])
@pytest.mark.parametrize("resets", [False, True])
def test_connection_with_tls_that_is_cut_is_made_again(
    tmp_path: Path, patience: Patience, size: int, resets: bool
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    with serve_registry(server_context(tmp_path)) as registry:
        fill(registry)
        with cutting(registry, [size] * 3, resets=resets) as host:
            settings = HostSettings(ca_file=authority)
            registries = Registries(connect_seconds=5.0, silent_seconds=5.0)
            known = registries.with_host(host, settings)
            client = RepositoryClient(host, "a/b", known, patience=patience)
            assert pull(client) == (MANIFEST, BLOB)
            client.close()


# By the registry itself


def send_and_hang_up(answer: bytes) -> Action:
    """Answer with some bytes, and cut."""

    def act(handler: Handler) -> bool:
        handler.drain()
        handler.wfile.write(answer)
        handler.hang_up()
        return True

    return act


ANSWER_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 262144\r\nContent-Type: application/octet-stream\r\n\r\n"
)


@pytest.mark.parametrize("size", [0, 3, 12, 17, 36, 40, 60, len(ANSWER_HEAD) - 2, len(ANSWER_HEAD)])
@pytest.mark.parametrize("part", ["/manifests/", "/blobs/", "/token"])
def test_head_of_an_answer_that_is_cut_is_asked_for_again(
    registry: Registry, client: RepositoryClient, part: str, size: int
) -> None:
    registry.auth = "bearer"
    fill(registry)
    registry.on("GET", part, send_and_hang_up(ANSWER_HEAD[:size]), times=2)
    assert pull(client) == (MANIFEST, BLOB)


@pytest.mark.parametrize("size", [0, 10, len(b'{"token":"a","expires_in":300}')])
def test_token_that_is_cut_is_asked_for_again(
    registry: Registry, client: RepositoryClient, size: int
) -> None:
    registry.auth = "bearer"
    fill(registry)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    body = b'{"token":"a","expires_in":300}'[:size]
    registry.on("GET", "/token", send_and_hang_up(head + body), times=2)
    assert pull(client) == (MANIFEST, BLOB)


def test_connection_that_is_cut_between_requests_is_made_again(
    registry: Registry, client: RepositoryClient
) -> None:
    fill(registry)

    def end(handler: Handler) -> bool:
        handler.close_connection = True  # without a word: the answer says nothing of it
        return False

    registry.on("GET", "/v2/", end, times=99)
    for _ in range(3):
        assert pull(client) == (MANIFEST, BLOB)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_token_that_expires_in_mid_push_is_asked_for_anew(
    registry: Registry,
    credentials_for: Callable[[Registry], Registries],
    method: str,
    patience: Patience,
) -> None:
    registry.auth = "bearer"
    client = RepositoryClient(registry.host, "a/b", credentials_for(registry), patience=patience)
    push(client, BLOB[:100])

    def expire(handler: Handler) -> bool:
        registry.tokens.clear()
        return False

    registry.on(method, "/uploads/", expire)
    push(client, BLOB)
    assert registry.repository("a/b").blobs[digest_text(BLOB)] == BLOB
    assert len(registry.seen("GET", "/token")) == 2


# What never ends


def flood(head: bytes, piece: bytes) -> Action:
    """Answer with a beginning, and something again and again."""

    def act(handler: Handler) -> bool:
        handler.drain()
        with contextlib.suppress(OSError):  # the client had enough, which is what is tested
            handler.wfile.write(head)
            while True:
                handler.wfile.write(piece)
        handler.close_connection = True
        return True

    return act


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"X: %s\r\n" % (b"x" * 100)),
        (b"HTTP/1.1 100 Continue\r\n", b"X: %s\r\n" % (b"x" * 100)),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n" * 1000),
    ],
    ids=[
        "status",
        "header",
        "headers",
        "headers of 100",
        "100",
        "chunk size",
        "chunk extension",
        "trailers",
    ],
)
@pytest.mark.parametrize("part", ["/manifests/", "/blobs/", "/token"])
def test_answer_that_never_ends_is_an_error(
    registry: Registry, client: RepositoryClient, part: str, head: bytes, piece: bytes
) -> None:
    registry.auth = "bearer"
    fill(registry)
    registry.on("GET", part, flood(head, piece), times=99)
    with pytest.raises(DistributionError):
        pull(client)
