"""layerchain.json and layerID: what Docker writes is read, and hostile or foreign content is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.driver.metadata import (
    build_layer_chain,
    check_layer_id,
    read_layer_chain,
    read_layer_id,
)
from winlayers.errors import InvalidName, StoreCorrupt


@pytest.mark.parametrize(
    ("content", "chain"),
    [
        (b"null", ()),
        (b"[]", ()),
        (b'["/var/lib/windowsfilter/b","/var/lib/windowsfilter/a"]', ("b", "a")),
        (b'["C:\\\\ProgramData\\\\docker\\\\windowsfilter\\\\b"]', ("b",)),
        (b'["/\xe9t\xe9/windowsfilter/b"]', ("b",)),
    ],
)
def test_chain_is_read_by_the_last_parts(
    tmp_path: Path, content: bytes, chain: tuple[str, ...]
) -> None:
    (tmp_path / "layerchain.json").write_bytes(content)
    assert read_layer_chain(tmp_path).layer_ids == chain


def test_missing_chain_is_empty(tmp_path: Path) -> None:
    assert len(read_layer_chain(tmp_path)) == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"1", b"[1]", b'["/"]', b'["x/.."]', b"[" * 100_000, b"\xff"]
)
def test_content_that_is_no_chain_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "layerchain.json").write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"layerchain\.json"):
        read_layer_chain(tmp_path)


def test_chain_comes_back(tmp_path: Path) -> None:
    folders = [Path("/x/windowsfilter/b<&>"), Path("/x/windowsfilter/a")]
    content = build_layer_chain(folders)
    assert content == b'["/x/windowsfilter/b\\u003c\\u0026\\u003e","/x/windowsfilter/a"]'
    (tmp_path / "layerchain.json").write_bytes(content)
    assert read_layer_chain(tmp_path).layer_ids == ("b<&>", "a")
    assert build_layer_chain([]) == b"null"


@pytest.mark.parametrize("name", ["layerID", "layerId"])
def test_other_id_is_read_from_either_name(tmp_path: Path, name: str) -> None:
    assert read_layer_id(tmp_path) is None
    (tmp_path / name).write_text("other")
    assert read_layer_id(tmp_path) == "other"


@pytest.mark.parametrize(
    "layer_id",
    ["", ".", "..", "a/b", "a\\b", "a.", "-a", "x" * 201, "a-removing", "é", "nul", "Con.1"],
)
def test_ids_that_are_no_folder_names_are_refused(layer_id: str) -> None:
    with pytest.raises(InvalidName):
        check_layer_id(layer_id)


@pytest.mark.parametrize(
    "content", [b"", b"../../evil", b"a/b", b"a\0b", b"\xff", b"other\n", b".."]
)
def test_other_id_that_leads_elsewhere_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "layerID").write_bytes(content)
    with pytest.raises(StoreCorrupt, match="layerID"):
        read_layer_id(tmp_path)
