"""A socket in front of containerd: what goes through it is not changed, and diffs are ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.containerd import SECONDS, Client, Stand, digest_of, serve
from tests.support.storeimages import a_tar
from winlayers.errors import InUse
from winlayers.services.containerd.front import FrontServer

BASE = a_tar("base")
DETAILS = "grpc-status-details-bin"


class Behind(grpc.GenericRpcHandler):
    """What stands for containerd: says what it was asked, by streams of bytes."""

    def __init__(self) -> None:
        self.metadata: list[tuple[str, str | bytes]] = []
        self.remaining: float | None = None
        self.is_cancelled = threading.Event()

    def service(self, details: Any) -> Any:
        call = getattr(self, f"_{details.method.rpartition('/')[2].lower()}", None)
        return call and grpc.stream_stream_rpc_method_handler(call)

    def _echo(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self.metadata = list(context.invocation_metadata())
        self.remaining = context.time_remaining()
        context.send_initial_metadata((("first", "1"), ("first-bin", b"\0\xff")))
        for request in requests:
            yield b"<" + request + b">"
        context.set_trailing_metadata((("last", "2"),))

    def _refuse(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield next(requests)
        context.set_trailing_metadata(((DETAILS, b"\x08\x09why"), ("last", "3")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: \u00e9")

    def _wait(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.add_callback(self.is_cancelled.set)
        yield b"begun"
        self.is_cancelled.wait(SECONDS)


class Fronted:
    """A front, and what is behind it."""

    def __init__(self, stand: Stand, folder: Path) -> None:
        self.behind = Behind()
        self.behind_address = folder / "b.sock"
        self.address = folder / "f.sock"
        self.begin()
        self.front = FrontServer(stand.service, str(self.address), str(self.behind_address))
        self.front.start()
        self.channel: Any = grpc.insecure_channel(f"unix://{self.address}")

    def begin(self) -> None:
        self._server = serve(self.behind_address, [self.behind])

    def end(self) -> None:
        self._server.stop(None).wait()
        self.behind_address.unlink(missing_ok=True)

    def close(self) -> None:
        self.channel.close()
        assert self.front.stop(5)
        self.end()

    def call(self, name: str, *requests: bytes, **options: Any) -> Any:
        options.setdefault("timeout", SECONDS)
        return self.channel.stream_stream(f"/any.Service/{name}")(iter(requests), **options)


@pytest.fixture
def fronted(stand: Stand, tmp_path: Path) -> Iterator[Fronted]:
    made = Fronted(stand, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("requests", [(), (b"a",), (b"", b"b" * 70_000, b"c")])
def test_streams_go_through_as_they_are(fronted: Fronted, requests: tuple[bytes, ...]) -> None:
    call = fronted.call(
        "Echo", *requests, metadata=(("containerd-namespace", "moby"), ("x-bin", b"\1"))
    )
    assert list(call) == [b"<" + one + b">" for one in requests]
    assert call.code() is grpc.StatusCode.OK
    assert {("first", "1"), ("first-bin", b"\0\xff")} <= set(map(tuple, call.initial_metadata()))
    assert ("last", "2") in set(map(tuple, call.trailing_metadata()))
    told = [tuple(one) for one in fronted.behind.metadata]
    assert told.count(("containerd-namespace", "moby")) == 1
    assert told.count(("x-bin", b"\1")) == 1


def test_single_messages_go_through(fronted: Fronted) -> None:
    call = fronted.channel.unary_unary("/any.Service/Echo")
    assert call(b"one", timeout=SECONDS) == b"<one>"
    large = bytes(12 << 20)
    channel: Any = grpc.insecure_channel(
        f"unix://{fronted.address}", options=[("grpc.max_receive_message_length", -1)]
    )
    assert len(channel.unary_unary("/any.Service/Echo")(large, timeout=SECONDS)) == len(large) + 2
    channel.close()


def test_errors_come_with_all_that_is_told_of_them(fronted: Fronted) -> None:
    call = fronted.call("Refuse", b"a")
    assert next(call) == b"a"
    with pytest.raises(grpc.RpcError):
        next(call)
    assert (call.code().name, call.details()) == ("FAILED_PRECONDITION", "not now: \u00e9")
    trailing = [tuple(one) for one in call.trailing_metadata()]
    assert trailing.count((DETAILS, b"\x08\x09why")) == trailing.count(("last", "3")) == 1


def test_call_that_nobody_knows_is_not_implemented(fronted: Fronted) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(fronted.call("Unknown"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_deadline_is_told_if_there_is_one(fronted: Fronted) -> None:
    assert list(fronted.call("Echo", b"a", timeout=7)) == [b"<a>"]
    assert fronted.behind.remaining is not None
    assert 0 < fronted.behind.remaining < 8  # gRPC rounds it
    assert list(fronted.call("Echo", b"a", timeout=None)) == [b"<a>"]
    assert fronted.behind.remaining is None or fronted.behind.remaining > 10**6


def test_client_that_hangs_up_is_told(fronted: Fronted) -> None:
    call = fronted.call("Wait")
    assert next(call) == b"begun"
    assert not fronted.behind.is_cancelled.is_set()
    call.cancel()
    assert fronted.behind.is_cancelled.wait(10)


def test_messages_go_through_one_by_one(fronted: Fronted) -> None:
    asked = threading.Semaphore(0)

    def requests() -> Iterator[bytes]:
        for number in range(3):
            assert asked.acquire(timeout=SECONDS)
            yield str(number).encode()

    call = fronted.channel.stream_stream("/any.Service/Echo")(requests(), timeout=SECONDS)
    for number in range(3):
        asked.release()
        assert next(call) == f"<{number}>".encode()


def test_containerd_may_go_and_come_back(fronted: Fronted) -> None:
    assert list(fronted.call("Echo", b"a")) == [b"<a>"]
    fronted.end()
    with pytest.raises(grpc.RpcError) as caught:
        list(fronted.call("Echo", b"a"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    fronted.begin()
    deadline = time.monotonic() + SECONDS
    answers: list[bytes] = []
    while not answers and time.monotonic() < deadline:
        try:
            answers = list(fronted.call("Echo", b"b"))
        except grpc.RpcError:
            time.sleep(0.1)
    assert answers == [b"<b>"]


def test_diffs_are_answered_by_ours(stand: Stand, client: Client, fronted: Fronted) -> None:
    mounts = client.call("Prepare", key="default/1/a").mounts
    blob = stand.content.put_layer(BASE)
    through = Client(fronted.address)
    applied = through.call("Apply", diff=stand.descriptor(blob), mounts=mounts).applied
    assert applied.digest == digest_of(BASE)
    assert through.call("Diff", right=mounts).diff.size > 0
    assert through.refused("Diff")[0] == "INVALID_ARGUMENT"
    # Snapshots are asked for at containerd, which knows their real names.
    assert through.refused("Stat", key="default/1/a")[0] == "UNIMPLEMENTED"
    through.close()
    assert [name for name, _ in stand.observed] == ["Prepare", "Apply", "Diff", "Diff"]


def test_stop_cuts_off_who_waits_for_ever(fronted: Fronted) -> None:
    call = fronted.call("Wait")
    assert next(call) == b"begun"
    assert not fronted.front.stop(0.2)
    with pytest.raises(grpc.RpcError):
        next(call)


def test_place_that_cannot_be_listened_on_is_told(stand: Stand, tmp_path: Path) -> None:
    with pytest.raises(InUse, match="cannot listen"):
        FrontServer(stand.service, str(tmp_path / "none" / "f.sock"), str(tmp_path / "b.sock"))
