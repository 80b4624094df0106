"""Mounts that are told, and which snapshot they are of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import Unsupported
from winlayers.services.containerd.mounts import BIND, Mount, MountTeller
from winlayers.store.snapshots import Snapshot, SnapshotKind

BINDS = MountTeller(Path("/store"), Path("/shown"))


def a_snapshot(kind: SnapshotKind, number: int = 7) -> Snapshot:
    return Snapshot("key", number, kind, "", {}, 1, 1, "")


@pytest.mark.parametrize(
    ("kind", "access"),
    [(SnapshotKind.ACTIVE, "rw"), (SnapshotKind.VIEW, "ro"), (SnapshotKind.COMMITTED, "ro")],
)
def test_only_what_takes_changes_is_mounted_for_writing(kind: SnapshotKind, access: str) -> None:
    snapshot = a_snapshot(kind)
    assert BINDS.mounts(snapshot) == [Mount(BIND, "/shown/7", ("rbind", access))]


@pytest.mark.parametrize("number", [1, 10, 10**17, 10**18 - 1])
def test_number_comes_back(number: int) -> None:
    snapshot = a_snapshot(SnapshotKind.ACTIVE, number)
    assert BINDS.number_of(BINDS.mounts(snapshot)) == number
    assert BINDS.number_of([]) is None


@pytest.mark.parametrize(
    "mounts",
    [
        *(
            [Mount(BIND, f"/shown/{name}", ())]
            for name in ("", "0", "07", "-1", "+1", "1a", "\u0661", "x")
        ),
        *(
            [Mount(BIND, f"/shown/{name}", ())]
            for name in ("1/2", "../1", "1\n", " 1", "1" * 19, "1" * 9999)
        ),
        *([Mount(BIND, place, ())] for place in ("/other/1", "shown/1", "/1", "1", "/shown\0/1")),
        [Mount("fuse.winlayers", "/shown/1", ())],
        [Mount(BIND, "/store#1", ())],
        [Mount(BIND, "/shown/1", ()), Mount(BIND, "/shown/1", ())],
        [Mount("overlay", "overlay", ("upperdir=/shown/1",))],
    ],
)
def test_what_is_not_of_the_store_is_refused(mounts: list[Mount]) -> None:
    with pytest.raises(Unsupported, match="is no snapshot of the store at /store") as caught:
        BINDS.number_of(mounts)
    assert len(str(caught.value)) < 1000


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from([BIND, "fuse", ""]), st.text("/shownstre#.0123\0", max_size=20))
def test_any_place_has_a_number_or_is_refused(kind: str, source: str) -> None:
    try:
        number = BINDS.number_of([Mount(kind, source, ())])
    except Unsupported:
        number = -1
    assert number is not None
    assert number == -1 or source.endswith(f"/{number}")
