"""Messages of the API that is shipped, and what becomes of ours in them."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, MissingExtra
from winlayers.oci.model import Descriptor
from winlayers.services.containerd import messages
from winlayers.services.containerd.content import Content
from winlayers.services.containerd.convert import (
    descriptor_message,
    info_message,
    mount_messages,
    parse_descriptor,
    parse_mounts,
)
from winlayers.services.containerd.messages import CONTENT, DIFF, SNAPSHOTS, message, methods
from winlayers.services.containerd.mounts import Mount
from winlayers.store.snapshots import Snapshot, SnapshotKind

DIGEST = Digest("sha256", "ab" * 32)


def test_services_have_the_calls_of_the_api() -> None:
    found = {method.name: method for method in methods(SNAPSHOTS)}
    assert list(found) == [
        *(
            "Prepare",
            "View",
            "Mounts",
            "Commit",
            "Remove",
            "Stat",
            "Update",
            "List",
            "Usage",
            "Cleanup",
        )
    ]
    assert found["Stat"].path == "/containerd.services.snapshots.v1.Snapshots/Stat"
    assert [name for name, method in found.items() if method.is_answer_stream] == ["List"]
    assert [method.name for method in methods(DIFF)] == ["Apply", "Diff"]
    write = next(method for method in methods(CONTENT) if method.name == "Write")
    assert (write.is_request_stream, write.is_answer_stream) == (True, True)


def test_message_is_of_the_numbers_of_the_api() -> None:
    made = message("containerd.services.snapshots.v1.PrepareSnapshotRequest")(
        snapshotter="s", key="k", parent="p"
    )
    assert made.SerializeToString() == b"\x0a\x01s\x12\x01k\x1a\x01p"
    assert message("containerd.types.Mount") is message("containerd.types.Mount")


def test_message_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        message("containerd.types.None")


def test_snapshot_is_told_with_all_that_is_known() -> None:
    info = info_message(
        Snapshot(
            "key",
            3,
            SnapshotKind.COMMITTED,
            "below",
            {"a": "1"},
            1_700_000_000_123_456_789,
            1_700_000_001_000_000_000,
            "layer",
        )
    )
    assert (info.name, info.parent, dict(info.labels)) == ("key", "below", {"a": "1"})
    assert (info.created_at.seconds, info.created_at.nanos) == (1_700_000_000, 123_456_789)
    assert (info.updated_at.seconds, info.updated_at.nanos) == (1_700_000_001, 0)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SnapshotKind.VIEW, "VIEW"),
        (SnapshotKind.ACTIVE, "ACTIVE"),
        (SnapshotKind.COMMITTED, "COMMITTED"),
    ],
)
def test_kinds_have_the_numbers_of_the_api(kind: SnapshotKind, name: str) -> None:
    info = info_message(Snapshot("k", 1, kind, "", {}, 1, 1, ""))
    assert info.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[info.kind].name == name


def test_mounts_come_back() -> None:
    mounts = [Mount("bind", "/a/1", ("rbind", "rw")), Mount("x", "", ())]
    assert parse_mounts(mount_messages(mounts)) == mounts


def test_descriptor_comes_back() -> None:
    descriptor = Descriptor("type", DIGEST, 2**62)
    assert parse_descriptor(descriptor_message(descriptor)) == descriptor


@pytest.mark.parametrize(
    ("digest", "size"),
    [
        ("", 1),
        ("sha256:", 1),
        ("sha256:" + "AB" * 32, 1),
        ("md5:ab", 1),
        (str(DIGEST), -1),
        (str(DIGEST), -(2**63)),
    ],
)
def test_descriptor_that_is_none_is_refused(digest: str, size: int) -> None:
    told = message("containerd.types.Descriptor")(media_type="t", digest=digest, size=size)
    with pytest.raises(InvalidArgument):
        parse_descriptor(told)


@pytest.mark.parametrize("missing", ["google.protobuf", "grpc"])
def test_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    kept = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == missing:
            raise ImportError(f"No module named {name!r}")
        return kept(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"winlayers\[containerd\]"):
        messages._pool.__wrapped__() if missing == "google.protobuf" else Content("/none")
