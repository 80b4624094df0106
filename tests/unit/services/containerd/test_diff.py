"""Layers that are applied, made and healed, with containerd's store of blobs beside."""

from __future__ import annotations

import gzip
import io
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.containerd import Client, FakeContent, Stand, digest_of
from tests.support.snapshots import names_in, write
from tests.support.storeimages import a_tar
from winlayers.base.compression import open_decompressed
from winlayers.oci import mediatypes
from winlayers.oci.model import chain_ids, digest_bytes
from winlayers.services.containerd.content import UNCOMPRESSED
from winlayers.services.containerd.messages import message
from winlayers.services.containerd.snapshots import LOSSY

BASE = a_tar("base")
UPPER = a_tar("upper", link_to="base")
CHAINS = [str(one) for one in chain_ids([digest_bytes(BASE), digest_bytes(UPPER)])]
KEY = f"default/1/extract-1-a {CHAINS[0]}"


def mount(source: str, kind: str = "bind") -> Any:
    return message("containerd.types.Mount")(type=kind, source=source, options=["rbind", "rw"])


def prepared(client: Client, key: str = KEY, parent: str = "") -> Any:
    return client.call("Prepare", key=key, parent=parent).mounts


# -- apply ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    [
        mediatypes.OCI_LAYER,
        f"{mediatypes.OCI_LAYER}+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ],
)
def test_layer_of_each_type_is_applied(stand: Stand, client: Client, media_type: str) -> None:
    blob = BASE if media_type == mediatypes.OCI_LAYER else gzip.compress(BASE, mtime=0)
    stand.content.put(blob)
    mounts = prepared(client)
    applied = client.call("Apply", diff=stand.descriptor(blob, media_type), mounts=mounts).applied
    assert applied.media_type == mediatypes.OCI_LAYER
    assert (applied.digest, applied.size) == (digest_of(BASE), len(BASE))
    assert stand.store.driver.layers() == [CHAINS[0].partition(":")[2]]


def test_namespace_is_that_of_the_key(stand: Stand, client: Client) -> None:
    blob = stand.content.put_layer(BASE, namespace="moby")
    for key, code in (("default/1/a", "NOT_FOUND"), ("plain", "NOT_FOUND"), ("/1/a", "NOT_FOUND")):
        mounts = prepared(client, key)
        assert client.refused("Apply", diff=stand.descriptor(blob), mounts=mounts)[0] == code
    mounts = prepared(client, "moby/1/a")
    client.call("Apply", diff=stand.descriptor(blob), mounts=mounts)
    assert stand.store.driver.layers() == ["snapshot-4"]


def _missing(content: FakeContent, blob: bytes) -> None:
    del content.blobs["default", digest_of(blob)]


def _cut(content: FakeContent, blob: bytes) -> None:
    content.cut_at = 1000


def _failing(content: FakeContent, blob: bytes) -> None:
    content.fail_at = 1000


def _shifted(content: FakeContent, blob: bytes) -> None:
    content.shifted = 1


def _changed(content: FakeContent, blob: bytes) -> None:
    content.blobs["default", digest_of(blob)] = blob[:-8] + b"\0" * 8


def _longer(content: FakeContent, blob: bytes) -> None:
    content.blobs["default", digest_of(blob)] = blob + b"more"


def _no_layer(content: FakeContent, blob: bytes) -> None:
    content.blobs["default", digest_of(blob)] = b"\x1f\x8b" + bytes(len(blob) - 2)


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (_missing, {"NOT_FOUND"}),
        (_cut, {"DATA_LOSS"}),
        (_failing, {"UNAVAILABLE"}),
        (_shifted, {"DATA_LOSS"}),
        (_changed, {"DATA_LOSS", "INVALID_ARGUMENT"}),
        (_longer, {"DATA_LOSS"}),
        (_no_layer, {"DATA_LOSS", "INVALID_ARGUMENT"}),
    ],
)
def test_blob_that_does_not_come_leaves_nothing(
    stand: Stand, client: Client, spoil: Callable[[FakeContent, bytes], None], codes: set[str]
) -> None:
    tar = a_tar("much")
    blob = gzip.compress(tar, mtime=0, compresslevel=0)
    assert len(blob) > 2000
    stand.content.put(blob)
    spoil(stand.content, blob)
    mounts = prepared(client, "default/1/a")
    assert client.refused("Apply", diff=stand.descriptor(blob), mounts=mounts)[0] in codes
    stand.check_nothing_left()
    # It can be tried again.
    stand.content.cut_at = stand.content.fail_at = None
    stand.content.shifted = 0
    stand.content.put(blob)
    applied = client.call("Apply", diff=stand.descriptor(blob), mounts=mounts).applied
    assert applied.digest == digest_of(tar)


def test_layer_that_many_apply_at_once_is_made_once(stand: Stand, client: Client) -> None:
    blob = stand.content.put_layer(BASE)
    keys = [f"default/{number}/extract-{number}-a {CHAINS[0]}" for number in range(1, 13)]
    mounts = [prepared(client, key) for key in keys]
    calls = [
        client.begin("Apply", diff=stand.descriptor(blob), mounts=where)
        for where in (*mounts, mounts[0])
    ]
    assert {call.result().applied.digest for call in calls} == {digest_of(BASE)}
    assert stand.store.driver.layers() == [CHAINS[0].partition(":")[2]]
    for key in keys:
        client.call("Remove", key=key)
    stand.check_nothing_left()


def test_chain_that_is_another_is_refused(stand: Stand, client: Client) -> None:
    blob = stand.content.put_layer(a_tar("other"))
    mounts = prepared(client)
    assert client.refused("Apply", diff=stand.descriptor(blob), mounts=mounts)[0] == "DATA_LOSS"
    stand.check_nothing_left()


def test_containerd_that_is_gone_is_to_be_asked_again(stand: Stand, client: Client) -> None:
    blob = stand.content.put_layer(BASE)
    mounts = prepared(client)
    stand.end_content()
    assert client.refused("Apply", diff=stand.descriptor(blob), mounts=mounts)[0] == "UNAVAILABLE"
    stand.check_nothing_left()
    stand.begin_content()
    deadline = time.monotonic() + 20
    while client.begin("Apply", diff=stand.descriptor(blob), mounts=mounts).exception():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(stand.store.driver.layers()) == 1


def test_client_that_hangs_up_ends_the_work(stand: Stand, client: Client) -> None:
    stand.content.wait_at = 1000
    blob = gzip.compress(BASE, mtime=0, compresslevel=0)
    stand.content.put(blob)
    mounts = prepared(client)
    call = client.begin("Apply", diff=stand.descriptor(blob), mounts=mounts)
    assert stand.content.is_waiting.wait(20)
    started = time.monotonic()
    call.cancel()  # while nothing comes from containerd, and nothing will
    deadline = started + 10
    while not stand.observed[1:] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stand.observed[1:] == [("Apply", "Cancelled")]
    stand.check_nothing_left()
    stand.content.wait_at = None
    stand.content.go.set()
    client.call("Apply", diff=stand.descriptor(blob), mounts=mounts)
    assert client.stat(KEY).kind == 2


def test_what_is_not_ours_is_not_implemented(stand: Stand, client: Client) -> None:
    blob = stand.content.put_layer(BASE)
    mounts = prepared(client)
    layer = stand.descriptor(blob)
    for told, where in (
        (stand.descriptor(blob, "application/vnd.oci.image.config.v1+json"), mounts),
        (stand.descriptor(blob, "application/x-tar" + "x" * 50_000), mounts),
        (layer, [mount("/var/lib/other/snapshots/1")]),
        (layer, [mount(f"{mounts[0].source}/../1")]),
        (layer, [mount(mounts[0].source + "x")]),
        (layer, [mount(f"{stand.root}#1", "fuse.winlayers"), mounts[0]]),
        (layer, [mounts[0], mounts[0]]),
        (layer, [mount("overlay", "overlay")]),
        (layer, [mount("")]),
        (layer, [mount("\0" * 70_000)]),
    ):
        assert client.refused("Apply", diff=told, mounts=where)[0] == "UNIMPLEMENTED"
    stand.check_nothing_left()


def test_hostile_descriptors_are_refused(stand: Stand, client: Client) -> None:
    mounts = prepared(client)
    blob = stand.content.put_layer(BASE)
    made = message("containerd.types.Descriptor")
    media_type = mediatypes.OCI_LAYER
    for digest in (
        "",
        "sha256",
        "sha256:",
        "md5:abc",
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 100_000,
    ):
        told = made(media_type=media_type, digest=digest, size=10)
        assert client.refused("Apply", diff=told, mounts=mounts)[0] == "INVALID_ARGUMENT"
    for size in (-1, -(2**63)):
        told = made(media_type=media_type, digest=digest_of(blob), size=size)
        assert client.refused("Apply", diff=told, mounts=mounts)[0] == "INVALID_ARGUMENT"
    for size in (0, 1, 2**62):
        told = made(media_type=media_type, digest=digest_of(blob), size=size)
        assert client.refused("Apply", diff=told, mounts=mounts)[0] in (
            "DATA_LOSS",
            "RESOURCE_EXHAUSTED",
        )
    assert client.refused("Apply", diff=stand.descriptor(blob))[0] == "INVALID_ARGUMENT"
    for number in ("99", "0", "9" * 18, "9" * 30):
        where = [mount(f"{mounts[0].source.rpartition('/')[0]}/{number}")]
        code = client.refused("Apply", diff=stand.descriptor(blob), mounts=where)[0]
        assert code in ("NOT_FOUND", "UNIMPLEMENTED")
    stand.check_nothing_left()


def test_snapshot_that_takes_no_layer(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    blob = stand.content.put_layer(UPPER)
    view = client.call("View", key="default/3/v", parent=base).mounts
    done = stand.snapshots.stat(base).number
    written = prepared(client, "default/4/rw", base)
    write(stand.snapshots, stand.snapshots.stat("default/4/rw").number, "new.txt")
    place = view[0].source.rpartition("/")[0]
    for where in (view, [mount(f"{place}/{done}")], written):
        refused = client.refused("Apply", diff=stand.descriptor(blob), mounts=where)
        assert refused[0] == "FAILED_PRECONDITION"


# -- diff ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    ["", f"{mediatypes.OCI_LAYER}+gzip", f"{mediatypes.OCI_LAYER}+zstd", mediatypes.OCI_LAYER],
)
def test_layer_comes_back_as_it_was_applied(stand: Stand, client: Client, media_type: str) -> None:
    base = stand.apply(BASE, CHAINS[0])
    top = stand.apply(UPPER, CHAINS[1], base)
    stand.content.blobs.clear()
    left = client.call("View", key="default/5/l", parent=base).mounts
    right = client.call("View", key="default/5/r", parent=top).mounts
    made = client.call(
        "Diff", left=left, right=right, media_type=media_type, labels={"a": "1"}, ref="r"
    ).diff
    assert made.media_type == (media_type or f"{mediatypes.OCI_LAYER}+gzip")
    ((place, content),) = stand.content.blobs.items()
    assert place == ("default", made.digest)
    assert len(content) == made.size
    assert stand.content.labels[place] == {"a": "1", UNCOMPRESSED: digest_of(UPPER)}
    assert stand.content.partial == {}
    # Nothing is collected before its client had time to name it.
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert stand.content.leased[place] > now
    assert _decompressed(content) == UPPER


def test_changes_come_as_a_layer(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    right = prepared(client, "moby/5/rw", base)
    number = int(right[0].source.rpartition("/")[2])
    write(stand.snapshots, number, "new.txt", b"some content")
    left = client.call("View", key="moby/5/v", parent=base).mounts
    made = client.call("Diff", left=left, right=right).diff
    tar = _decompressed(stand.content.blobs["moby", made.digest])
    assert b"some content" in tar
    assert b"base.txt" not in tar
    whole = client.call("Diff", right=right).diff
    assert b"base.txt" in _decompressed(stand.content.blobs["moby", whole.digest])


def test_blob_that_is_there_already_is_as_good(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    right = client.call("View", key="default/5/r", parent=base).mounts
    first = client.call("Diff", right=right).diff
    second = client.call("Diff", right=right).diff
    assert first == second
    assert stand.content.partial == {}


def test_blob_that_is_refused_half_way_is_given_up(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    right = client.call("View", key="default/5/r", parent=base).mounts
    stand.content.blobs.clear()
    stand.content.refuse_at = 1
    for ref in ("", "mine"):
        code, details = client.refused("Diff", right=right, ref=ref)
        assert code == "UNAVAILABLE"
        assert "no space left" in details
    assert stand.content.partial == stand.content.blobs == {}
    stand.content.refuse_at = None
    assert client.call("Diff", right=right, ref="mine").diff.size > 0


def test_client_that_hangs_up_ends_what_is_written(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    right = client.call("View", key="default/5/r", parent=base).mounts
    stand.content.blobs.clear()
    stand.content.wait_at = 0
    call = client.begin("Diff", right=right)
    assert stand.content.is_waiting.wait(20)
    call.cancel()
    deadline = time.monotonic() + 10
    while ("Diff", "Cancelled") not in stand.observed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stand.observed[-1] == ("Diff", "Cancelled")
    stand.content.go.set()
    while stand.content.partial and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stand.content.blobs == {}


def test_difference_that_cannot_be_made_is_refused(stand: Stand, client: Client) -> None:
    base = stand.apply(BASE, CHAINS[0])
    right = client.call("View", key="default/5/r", parent=base).mounts
    place = right[0].source.rpartition("/")[0]
    for fields, code in (
        ({}, "INVALID_ARGUMENT"),
        ({"left": right}, "INVALID_ARGUMENT"),
        ({"right": [mount("/elsewhere/1")]}, "UNIMPLEMENTED"),
        ({"right": right, "left": [mount("/elsewhere/1")]}, "UNIMPLEMENTED"),
        ({"right": right, "media_type": "text/plain"}, "UNIMPLEMENTED"),
        ({"right": [mount(f"{place}/99")]}, "NOT_FOUND"),
        ({"right": right, "left": [mount(f"{place}/99")]}, "NOT_FOUND"),
    ):
        assert client.refused("Diff", **fields)[0] == code
    assert stand.content.partial == {}


# -- heal ----------------------------------------------------------------------------------------------------


def test_layer_that_its_client_wrote_is_healed(
    stand: Stand, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    base = stand.apply(BASE, CHAINS[0])
    stand.content.put(b"broken", labels={UNCOMPRESSED: "sha256:nonsense"})
    stand.content.put_layer(UPPER)
    key = f"default/5/extract-7-x {CHAINS[1]}"
    number = int(prepared(client, key, base)[0].source.rpartition("/")[2])
    write(stand.snapshots, number, "half.txt")
    name = f"default/6/{CHAINS[1]}"
    client.call("Commit", key=key, name=name)
    assert dict(client.stat(name).labels) == {}
    assert names_in(stand.snapshots, number) == ["base.txt", "upper.lnk", "upper.txt"]
    assert CHAINS[1].partition(":")[2] in stand.store.driver.layers()
    assert "without what only Windows has" not in caplog.text


@pytest.mark.parametrize("namespace", ["other", ""])
def test_layer_whose_blob_is_not_there_is_told_lossy(
    stand: Stand, client: Client, caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    if namespace:
        stand.content.put_layer(BASE, namespace=namespace)
    write(stand.snapshots, int(prepared(client)[0].source.rpartition("/")[2]), "half.txt")
    with caplog.at_level(logging.WARNING):
        client.call("Commit", key=KEY, name="default/6/x", labels={"a": "1"})
    assert dict(client.stat("default/6/x").labels) == {"a": "1", LOSSY: "true"}
    assert names_in(stand.snapshots, stand.snapshots.stat("default/6/x").number) == ["half.txt"]
    assert "without what only Windows has" in caplog.text
    assert stand.store.driver.layers() == ["snapshot-1"]


def test_layer_on_a_lossy_one_is_lossy(stand: Stand, client: Client) -> None:
    prepared(client)
    client.call("Commit", key=KEY, name=f"default/6/{CHAINS[0]}")
    stand.content.put_layer(UPPER)
    key = f"default/7/extract-7-x {CHAINS[1]}"
    prepared(client, key, f"default/6/{CHAINS[0]}")
    client.call("Commit", key=key, name=f"default/8/{CHAINS[1]}")
    assert dict(client.stat(f"default/8/{CHAINS[1]}").labels) == {LOSSY: "true"}


def test_layer_whose_blob_is_damaged_is_committed_as_it_was_written(
    stand: Stand, client: Client
) -> None:
    blob = stand.content.put_layer(BASE)
    stand.content.blobs["default", digest_of(blob)] = blob[:-8] + bytes(8)
    number = int(prepared(client)[0].source.rpartition("/")[2])
    write(stand.snapshots, number, "half.txt")
    client.call("Commit", key=KEY, name="x")
    assert dict(client.stat("x").labels) == {LOSSY: "true"}
    assert names_in(stand.snapshots, number) == ["half.txt"]


def _decompressed(content: bytes) -> bytes:
    with open_decompressed(io.BytesIO(content)) as tar:
        return tar.read()
