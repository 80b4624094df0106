"""Clients that hang up, and what the service tells of failures: no thread is lost, no code is vague."""

from __future__ import annotations

import errno

import grpc
import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.containerd import SECONDS, Client, Stand, digest_of
from tests.support.snapshots import write
from winlayers import errors
from winlayers.services.containerd.cancelling import CallCancel
from winlayers.services.containerd.content import UNCOMPRESSED
from winlayers.services.containerd.server import code_of

TAR = layer_tar(a_layer(a_file("Files/a.txt", b"a")))
CODES = {one.value[0]: one.name for one in grpc.StatusCode}
_MORE_THAN_THREADS = 40


def test_read_that_waits_ends_with_its_client(stand: Stand, client: Client) -> None:
    stand.content.wait_at = 0
    blob = stand.content.put_layer(TAR)
    mounts = client.call("Prepare", key=f"default/1/extract-1 {digest_of(TAR)}").mounts
    call = client.begin("Apply", diff=stand.descriptor(blob), mounts=mounts)
    assert stand.content.is_waiting.wait(SECONDS)
    call.cancel()
    assert stand.content.is_left.wait(SECONDS)


def test_clients_that_hang_up_leave_the_service_to_others(stand: Stand, client: Client) -> None:
    stand.content.wait_at = 0
    blob = stand.content.put_layer(TAR)
    calls = []
    for number in range(_MORE_THAN_THREADS):
        key = f"default/1/extract-{number} {digest_of(TAR)}"
        mounts = client.call("Prepare", key=key).mounts
        calls.append(client.begin("Apply", diff=stand.descriptor(blob), mounts=mounts))
        assert stand.content.is_waiting.wait(SECONDS)
        calls[-1].cancel()
    assert len(client.list()) == _MORE_THAN_THREADS
    for info in client.list():
        client.call("Remove", key=info.name)
    stand.content.go.set()
    stand.check_nothing_left()


def test_action_of_a_cancel_runs_once_and_never_too_late() -> None:
    done: list[str] = []
    cancel = CallCancel()
    cancel.on_set(lambda: done.append("before"))
    assert done == []
    cancel.set()
    cancel.set()
    cancel.on_set(lambda: done.append("after"))
    assert done == ["before", "after"]
    assert cancel.is_set()


def test_blob_that_is_there_gets_its_labels(stand: Stand, client: Client) -> None:
    client.call("Prepare", key="default/1/below")
    client.call("Commit", key="default/1/below", name="default/2/base")
    left = client.call("View", key="default/3/view", parent="default/2/base").mounts
    right = client.call("Prepare", key="default/4/work", parent="default/2/base").mounts
    write(stand.snapshots, stand.snapshots.stat("default/4/work").number, "new.txt")
    made = client.call("Diff", left=left, right=right).diff
    labels = stand.content.labels["default", made.digest]
    diff_id = labels[UNCOMPRESSED]
    labels.clear()
    labels["of"] = "another"
    assert client.call("Diff", left=left, right=right).diff == made
    assert stand.content.labels["default", made.digest] == {
        UNCOMPRESSED: diff_id,
        "of": "another",
    }
    assert stand.content.partial == {}


@pytest.mark.parametrize("kind", errors.KINDS)
def test_each_kind_of_error_has_its_code(kind: type[errors.WinlayersError]) -> None:
    error = kind("x", "y") if kind is errors.Malformed else kind("x")
    assert code_of(error) == errors.KINDS[kind].grpc
    assert code_of(error) in CODES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "full"), "RESOURCE_EXHAUSTED"),
        (OSError(errno.EDQUOT, "full"), "RESOURCE_EXHAUSTED"),
        (OSError(errno.EROFS, "no"), "PERMISSION_DENIED"),
        (PermissionError(errno.EACCES, "no"), "PERMISSION_DENIED"),
        (OSError(errno.EIO, "bad"), "INTERNAL"),
        (MemoryError(), "RESOURCE_EXHAUSTED"),
        (KeyError("ours"), "INTERNAL"),
        (errors.PrivilegeMissing("no"), "PERMISSION_DENIED"),
        (errors.TooManyLinks("no"), "RESOURCE_EXHAUSTED"),
        (errors.ImageNotFound("no"), "NOT_FOUND"),
    ],
)
def test_failures_of_the_system_have_codes(error: BaseException, code: str) -> None:
    assert CODES[code_of(error)] == code
