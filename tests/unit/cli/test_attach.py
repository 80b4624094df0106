"""store attach, and layers of Docker on Windows as TARGETs; of plain copies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.cli.harness import Shell

BASE, APP = "a" * 64, "b" * 64


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A copy of Docker's folder, with a base layer and one on it."""
    root = tmp_path / "Docker"
    for layer_id, chain in ((BASE, None), (APP, [f"D:\\windowsfilter\\{BASE}"])):
        folder = root / "windowsfilter" / layer_id
        (folder / "Files/d").mkdir(parents=True)
        (folder / "Files/d/a.txt").write_bytes(b"text")
        (folder / "layerchain.json").write_text(json.dumps(chain))
    (root / "windowsfilter" / BASE / "Files/link").symlink_to("d")
    return root


def test_layers_are_listed(bare: Shell, docker: Path) -> None:
    assert bare.run("store", "attach", str(docker)).lines == [
        f"{'ID':<64}  {'PARENT':<64}  KIND",
        f"{BASE}  {'-':<64}  base",
        f"{APP}  {BASE}  layer",
    ]


def test_layer_that_cannot_be_listed_is_told(bare: Shell, docker: Path) -> None:
    (docker / "windowsfilter" / BASE / "layerchain.json").write_text("{")
    result = bare.run("store", "attach", "--json", str(docker), code=3)
    assert [json.loads(line)["id"] for line in result.lines] == [APP]
    assert "layerchain.json" in result.err


def test_base_layer_becomes_a_tar_that_can_be_imported(bare: Shell, docker: Path) -> None:
    tar = bare.folder / "base.tar"
    result = bare.run("store", "attach", str(docker), "aa", "-o", str(tar))
    assert result.lines == []
    assert "it is a plain copy" in result.err
    assert "loss link-skipped" in result.err
    printed = bare.run("-q", "store", "attach", str(docker), BASE)
    assert printed.out == tar.read_bytes()
    (diff_id,) = bare.run("layer", "import", "copied", str(tar)).lines
    assert diff_id == "sha256:" + hashlib.sha256(printed.out).hexdigest()


def test_base_layer_is_a_target(bare: Shell, docker: Path) -> None:
    target = f"windowsfilter:{docker}:{BASE[:8]}"
    assert bare.run("ls", target).lines == ["d"]
    assert bare.run("cat", target, "/d/a.txt").out == b"text"
    assert "link-skipped" in bare.run("check", target, code=3).out.decode()


def test_what_cannot_be_read_is_told(bare: Shell, docker: Path) -> None:
    told = bare.run("store", "attach", str(docker), APP, "-o", "app.tar", code=16)
    assert "stands on parents" in told.err
    assert not (bare.folder / "app.tar").exists()
    assert "stands on parents" in bare.run("ls", f"windowsfilter:{docker}:{APP}", code=16).err
    bare.run("store", "attach", str(docker), "none", code=10)
