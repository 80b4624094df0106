"""What Docker recorded of the tars of its layers, and the tars made of it again."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.builders import a_directory, a_file, a_layer, layer_tar
from tests.support.dockerroot import LAYERDB, record_layer
from winlayers.errors import DigestMismatch, InvalidName, Malformed, TooLarge, Unsupported
from winlayers.layer import framedtar
from winlayers.layer.dockerlayerdb import LayerDatabase, RecordedTar, open_recorded

BODY = bytes(range(256)) * 20
TAR = layer_tar(
    a_layer(
        a_directory("Files"), a_file("Files/a", BODY, {"s": b"stream"}), a_file("Files/empty", b"")
    )
)
BODIES = {b"Files/a": BODY, b"Files/a:s": b"stream"}


def get_body(name: bytes) -> BinaryIO:
    return io.BytesIO(BODIES[name])


def found(root: Path, *layer_ids: str) -> RecordedTar:
    recorded = LayerDatabase(root).find(*layer_ids)
    assert recorded is not None
    return recorded


def assembled(recorded: RecordedTar) -> bytes:
    with open_recorded(recorded, get_body) as tar:
        return tar.read()


def test_tar_is_made_again(tmp_path: Path) -> None:
    record_layer(tmp_path, "base", TAR)
    recorded = found(tmp_path, "base")
    assert str(recorded.diff_id) == "sha256:" + hashlib.sha256(TAR).hexdigest()
    assert (recorded.parent, recorded.chain_id) == (None, recorded.diff_id)
    assert (recorded.size, recorded.has_frame) == (len(TAR), True)
    assert assembled(recorded) == TAR


def test_layers_are_found_by_all_their_names(tmp_path: Path) -> None:
    base = record_layer(tmp_path, "base", TAR)
    app = record_layer(tmp_path, "app", TAR, base)
    assert found(tmp_path, "app") == found(tmp_path, "none", "app")
    assert str(found(tmp_path, "app").parent) == base
    text = f"{base} {base}".encode()  # both have the same tar
    assert app == "sha256:" + hashlib.sha256(text).hexdigest()
    assert LayerDatabase(tmp_path).find("other") is None


def test_data_root_without_images_has_no_records(tmp_path: Path) -> None:
    assert LayerDatabase(tmp_path).find("base") is None


def test_half_made_records_are_passed_over(tmp_path: Path) -> None:
    record_layer(tmp_path, "base", TAR)
    (tmp_path / LAYERDB / ("0" * 64)).mkdir()
    (tmp_path / LAYERDB / "tmp").mkdir()
    (tmp_path / LAYERDB / ("1" * 64)).mkdir()
    (tmp_path / LAYERDB / ("1" * 64) / "cache-id").write_bytes(b"\xff" * 10_000)
    assert found(tmp_path, "base").has_frame


def test_frame_that_was_not_kept_is_told(tmp_path: Path) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    (tmp_path / LAYERDB / digits / "tar-split.json.gz").unlink()
    recorded = found(tmp_path, "base")
    assert not recorded.has_frame
    with pytest.raises(Unsupported, match="kept no tar-split"):
        assembled(recorded)


@pytest.mark.parametrize(
    ("key", "content", "told"),
    [
        ("diff", b"sha256:" + b"0" * 64, "does not make its chain ID"),
        ("diff", b"sha256:0", "64 lowercase hex digits"),
        ("diff", b"none", "is not a digest"),
        ("diff", b"\xff", "is no text"),
        ("diff", b"a" * 1000, "is no text"),
        ("parent", b"sha256:" + b"0" * 64, "does not make its chain ID"),
        ("size", b"-1", "size '-1'"),
        ("size", b"9" * 400, "size '999"),
    ],
)
def test_hostile_values_are_malformed(tmp_path: Path, key: str, content: bytes, told: str) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    (tmp_path / LAYERDB / digits / key).write_bytes(content)
    with pytest.raises(Malformed, match=told):
        LayerDatabase(tmp_path).find("base")


def test_record_without_a_diff_id_is_malformed(tmp_path: Path) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    (tmp_path / LAYERDB / digits / "diff").unlink()
    (tmp_path / LAYERDB / digits / "size").unlink()
    with pytest.raises(Malformed, match="has no diff ID"):
        LayerDatabase(tmp_path).find("base")


def test_links_are_not_followed(tmp_path: Path) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    diff = tmp_path / LAYERDB / digits / "diff"
    diff.rename(tmp_path / "diff")
    diff.symlink_to(tmp_path / "diff")
    with pytest.raises(InvalidName, match="not a regular file"):
        LayerDatabase(tmp_path).find("base")
    os.rename(tmp_path / "image", tmp_path / "elsewhere")
    (tmp_path / "image").symlink_to("elsewhere")
    with pytest.raises(InvalidName, match="link"):
        LayerDatabase(tmp_path)


def test_body_that_is_another_is_told(tmp_path: Path) -> None:
    record_layer(tmp_path, "base", TAR)

    def get_other(name: bytes) -> BinaryIO:
        return io.BytesIO(BODIES[name][:-1])

    with (
        open_recorded(found(tmp_path, "base"), get_other) as tar,
        pytest.raises(DigestMismatch, match="content of 'Files/a'"),
    ):
        tar.read()


def test_frame_of_another_tar_gives_no_end(tmp_path: Path) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    frame = tmp_path / LAYERDB / digits / "tar-split.json.gz"
    lines = gzip.decompress(frame.read_bytes()).splitlines(keepends=True)
    frame.write_bytes(gzip.compress(b"".join(lines[:-1])))
    given = b""
    with (
        open_recorded(found(tmp_path, "base"), get_body) as tar,
        pytest.raises(DigestMismatch, match=f"tar of layer sha256:{digits}"),
    ):
        while block := tar.read(1 << 20):
            given += block
    assert TAR.startswith(given)
    assert len(given) < len(TAR) - 1024


def test_damaged_frame_is_malformed(tmp_path: Path) -> None:
    digits = record_layer(tmp_path, "base", TAR).removeprefix("sha256:")
    frame = tmp_path / LAYERDB / digits / "tar-split.json.gz"
    frame.write_bytes(frame.read_bytes()[:-20])
    with pytest.raises(Malformed):
        assembled(found(tmp_path, "base"))


def test_frame_of_absurd_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_layer(tmp_path, "base", TAR)
    monkeypatch.setattr(framedtar, "_FRAME_LIMIT", 1000)
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        assembled(found(tmp_path, "base"))
