"""What containerd asks of a snapshotter, over gRPC and a real store."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.containerd import Client, Stand, digest_of
from tests.support.snapshots import names_in, write
from tests.support.storeimages import a_tar
from winlayers.oci.model import chain_ids, digest_bytes
from winlayers.services.containerd.messages import message

BASE = a_tar("base")
UPPER = a_tar("upper", link_to="base")
CHAINS = [str(one) for one in chain_ids([digest_bytes(BASE), digest_bytes(UPPER)])]
VIEW, ACTIVE, COMMITTED = 1, 2, 3


def info(name: str, **labels: str) -> object:
    return message("containerd.services.snapshots.v1.Info")(name=name, labels=labels)


def mask(*paths: str) -> object:
    return message("google.protobuf.FieldMask")(paths=paths)


# -- life --------------------------------------------------------------------------------------------------


def test_image_is_unpacked_and_used(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    top = stand.apply(UPPER, CHAINS[1], base)
    found = client.stat(top)
    assert (found.kind, found.parent, dict(found.labels)) == (COMMITTED, base, {})
    assert found.created_at.seconds > 1_700_000_000
    view = client.call("View", key="default/5/view", parent=top).mounts
    active = client.call("Prepare", key="default/6/rw", parent=top).mounts
    assert [(one.type, list(one.options)) for one in (*view, *active)] == [
        ("bind", ["rbind", "ro"]),
        ("bind", ["rbind", "rw"]),
    ]
    for key, mounts in (("default/5/view", view), ("default/6/rw", active)):
        assert client.call("Mounts", key=key).mounts == mounts
        number = int(mounts[0].source.rpartition("/")[2])
        assert names_in(stand.snapshots, number) == ["base.txt", "upper.lnk", "upper.txt"]
    for key in ("default/6/rw", "default/5/view", top, base):
        client.call("Remove", key=key)
    assert client.list() == []
    stand.check_nothing_left()


def test_changes_become_a_layer(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    client.call("Prepare", key="default/4/rw", parent=base, labels={"a": "1"})
    write(stand.snapshots, stand.snapshots.stat("default/4/rw").number, "new.txt")
    usage = client.call("Usage", key="default/4/rw")
    assert usage.size > 0
    assert usage.inodes >= 1
    client.call("Commit", key="default/4/rw", name="default/5/done", labels={"b": "2"})
    done = client.stat("default/5/done")
    assert (done.kind, done.parent, dict(done.labels)) == (COMMITTED, base, {"b": "2"})
    assert client.refused("Stat", key="default/4/rw")[0] == "NOT_FOUND"
    number = stand.snapshots.stat("default/5/done").number
    assert names_in(stand.snapshots, number) == ["base.txt", "new.txt"]
    assert client.call("Usage", key="default/5/done").size > 0


def test_labels_change_by_paths(client: Client) -> None:
    client.call("Prepare", key="a", labels={"one": "1", "two": "2"})
    changed = client.call("Update", info=info("a", two="3", x="4"), update_mask=mask("labels.two"))
    assert dict(changed.info.labels) == {"one": "1", "two": "3"}
    changed = client.call("Update", info=info("a"), update_mask=mask("labels.one"))
    assert dict(changed.info.labels) == {"two": "3"}
    changed = client.call("Update", info=info("a", z="9"), update_mask=mask("labels"))
    assert dict(changed.info.labels) == dict(client.stat("a").labels) == {"z": "9"}
    assert dict(client.call("Update", info=info("a", y="8")).info.labels) == {"y": "8"}
    for path in ("name", "parent", "kind", "created_at", "label.y", ""):
        assert (
            client.refused("Update", info=info("a"), update_mask=mask(path))[0]
            == "INVALID_ARGUMENT"
        )
    assert client.refused("Update", info=info("none"))[0] == "NOT_FOUND"
    updated = client.stat("a")
    assert updated.updated_at.ToNanoseconds() > updated.created_at.ToNanoseconds()


def test_list_is_filtered_and_comes_in_parts(stand: Stand, client: Client) -> None:
    for number in range(130):
        stand.snapshots.prepare(f"ns/{number}/a", labels={"even": str(number % 2 == 0)})
    assert len(client.list()) == 130
    assert len(client.list("labels.even==True")) == 65
    assert [one.name for one in client.list("name==ns/7/a", "name~=/^ns\\/12[0-2]/")] == [
        "ns/7/a",
        "ns/120/a",
        "ns/121/a",
        "ns/122/a",
    ]
    assert client.list("kind==committed") == []


@pytest.mark.parametrize("text", ["name==", "name~=(", "a" * 20_000])
def test_filter_that_cannot_be_read_is_refused(stand: Stand, client: Client, text: str) -> None:
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        client.list(text)
    stand.restart()  # which waits for calls in flight
    assert stand.observed == [("List", "InvalidArgument")]


def test_cleanup_takes_what_was_in_use(stand: Stand, client: Client) -> None:
    client.call("Prepare", key="a")
    number = stand.snapshots.stat("a").number
    with stand.snapshots.open_view(number):
        client.call("Remove", key="a")
        assert stand.store.driver.layers() == [f"snapshot-{number}-scratch"]
    client.call("Cleanup")
    stand.check_nothing_left()


# -- refusals ------------------------------------------------------------------------------------------------


def test_codes_of_refusals(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    client.call("Prepare", key="active", parent=base)
    client.call("View", key="view", parent=base)
    for name, fields, code in (
        ("Stat", {"key": "none"}, "NOT_FOUND"),
        ("Mounts", {"key": "none"}, "NOT_FOUND"),
        ("Usage", {"key": "none"}, "NOT_FOUND"),
        ("Remove", {"key": "none"}, "NOT_FOUND"),
        ("Commit", {"key": "none", "name": "x"}, "NOT_FOUND"),
        ("Prepare", {"key": "x", "parent": "none"}, "NOT_FOUND"),
        ("View", {"key": "x", "parent": "none"}, "NOT_FOUND"),
        ("Prepare", {"key": "active"}, "ALREADY_EXISTS"),
        ("View", {"key": base}, "ALREADY_EXISTS"),
        ("Prepare", {"key": "view", "parent": base}, "ALREADY_EXISTS"),
        ("Commit", {"key": "active", "name": base}, "ALREADY_EXISTS"),
        ("Commit", {"key": "active", "name": "view"}, "ALREADY_EXISTS"),
        ("Commit", {"key": "view", "name": "x"}, "FAILED_PRECONDITION"),
        ("Commit", {"key": base, "name": "x"}, "FAILED_PRECONDITION"),
        ("Prepare", {"key": "x", "parent": "active"}, "FAILED_PRECONDITION"),
        ("View", {"key": "x", "parent": "view"}, "FAILED_PRECONDITION"),
        ("Remove", {"key": base}, "FAILED_PRECONDITION"),
        ("Mounts", {"key": base}, "FAILED_PRECONDITION"),
        ("Prepare", {"key": ""}, "INVALID_ARGUMENT"),
        ("Prepare", {"key": "k" * 8193}, "INVALID_ARGUMENT"),
        ("Commit", {"key": "active", "name": ""}, "INVALID_ARGUMENT"),
        ("Prepare", {"key": "x", "labels": {"a": "b" * (2 << 20)}}, "INVALID_ARGUMENT"),
    ):
        assert client.refused(name, **fields)[0] == code, (name, fields)
    assert [one.name for one in client.list()] == [base, "active", "view"]


@pytest.mark.parametrize("key", ["k" * 8192, "\u4e00" * 2700, "\n\0\x7f" * 2000])
def test_refusal_of_a_long_key_has_its_code(client: Client, key: str) -> None:
    code, details = client.refused("Stat", key=key)
    assert code == "NOT_FOUND"
    assert "there is no snapshot" in details


def test_message_that_is_no_message_is_refused(stand: Stand, client: Client) -> None:
    call = client.raw(client.methods["Prepare"].path).future(b"\xff" * 100, timeout=20)
    assert call.exception().code().name in ("INTERNAL", "INVALID_ARGUMENT")
    client.call("Prepare", key="a")
    assert client.stat("a").kind == ACTIVE


def test_huge_message_is_refused(client: Client) -> None:
    huge = client.methods["Prepare"].request(key="a", labels={"a": "x" * (17 << 20)})
    call = client.raw(client.methods["Prepare"].path).future(huge.SerializeToString(), timeout=20)
    assert call.exception().code().name == "RESOURCE_EXHAUSTED"
    assert client.list() == []


def test_unknown_call_is_not_implemented(client: Client) -> None:
    call = client.raw("/containerd.services.snapshots.v1.Snapshots/Unknown").future(b"", timeout=20)
    assert call.exception().code().name == "UNIMPLEMENTED"


# -- many at once ----------------------------------------------------------------------------------------------


def test_one_of_many_gets_a_key(client: Client) -> None:
    calls = [client.begin("Prepare", key="a") for _ in range(32)]
    codes = [call.code().name for call in calls if call.exception() is not None]
    assert codes == ["ALREADY_EXISTS"] * 31
    assert len(client.list()) == 1


def test_many_are_made_and_committed_at_once(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])

    def live(number: int) -> None:
        key = f"default/{number}/k"
        client.call("Prepare", key=key, parent=base)
        client.call("Commit", key=key, name=f"{key}-done")

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(live, range(100, 132)))
    assert len(client.list("kind==committed")) == 33
    assert client.list("kind==active") == []
    with ThreadPoolExecutor(32) as pool:
        list(
            pool.map(
                lambda number: client.call("Remove", key=f"default/{number}/k-done"),
                range(100, 132),
            )
        )
    client.call("Remove", key=base)
    stand.check_nothing_left()


def test_one_of_many_commits_a_key(client: Client) -> None:
    client.call("Prepare", key="a")
    calls = [client.begin("Commit", key="a", name=f"done-{number}") for number in range(8)]
    codes = [call.code().name for call in calls if call.exception() is not None]
    assert codes == ["NOT_FOUND"] * 7
    assert len(client.list()) == 1


# -- restart -----------------------------------------------------------------------------------------------


def test_each_state_outlives_the_service(stand: Stand) -> None:
    base = stand.apply(BASE, CHAINS[0])
    key = f"default/9/extract-1-x {CHAINS[1]}"
    mounts = stand.client.call("Prepare", key=key, parent=base, labels={"a": "b"}).mounts
    before = stand.client.list()
    stand.restart()
    assert stand.client.list() == before
    assert stand.client.call("Mounts", key=key).mounts == mounts
    blob = stand.content.put_layer(UPPER)
    stand.client.call("Apply", diff=stand.descriptor(blob), mounts=mounts)
    stand.restart()
    assert [one.name for one in stand.client.list()] == [base, key]
    # Whoever did not hear the answer asks again.
    reads = len(stand.content.reads)
    again = stand.client.call("Apply", diff=stand.descriptor(blob), mounts=mounts).applied
    assert again.digest == digest_of(UPPER)
    stand.client.call("Commit", key=key, name=f"default/10/{CHAINS[1]}")
    stand.restart()
    assert stand.client.stat(f"default/10/{CHAINS[1]}").kind == COMMITTED
    assert stand.client.refused("Commit", key=key, name="x")[0] == "NOT_FOUND"
    assert len(stand.content.reads) <= reads + 1
    for name in (f"default/10/{CHAINS[1]}", base):
        stand.client.call("Remove", key=name)
    stand.check_nothing_left()


def test_calls_in_flight_end_before_the_service(stand: Stand) -> None:
    stand.content.wait_at = 0
    blob = stand.content.put_layer(BASE)
    mounts = stand.client.call("Prepare", key="default/1/a").mounts
    call = stand.client.begin("Apply", diff=stand.descriptor(blob), mounts=mounts)
    assert stand.content.is_waiting.wait(20)
    ended: list[bool] = []
    stopping = threading.Thread(target=lambda: ended.append(stand.service.stop(20)))
    stopping.start()
    time.sleep(0.05)
    assert ended == []
    stand.content.go.set()
    assert call.result().applied.digest == digest_of(BASE)
    stopping.join(20)
    assert ended == [True]
