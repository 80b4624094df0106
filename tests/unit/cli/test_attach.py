"""store attach, and layers of Docker on Windows as TARGETs; of plain copies."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_file, a_junction, a_layer, a_whiteout, layer_tar
from tests.support.dockerroot import LAYERDB, LAYERS, a_layer_folder, record_layer
from tests.unit.cli.harness import Shell

BASE, APP, BOX = "a" * 64, "b" * 64, "c" * 64
BASE_TAR = layer_tar(
    a_layer(
        a_directory("Files/d"),
        a_file("Files/d/a.txt", b"text"),
        a_file("Files/d/b.txt", b"gone soon"),
        a_junction("Files/link", "C:\\d"),
    )
)
APP_TAR = layer_tar(
    a_layer(
        a_file("Files/d/a.txt", b"other text"),
        a_file("Files/new.txt", b"new"),
        a_whiteout("Files/d/b.txt"),
    )
)


def digest(tar: bytes) -> str:
    return "sha256:" + hashlib.sha256(tar).hexdigest()


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A copy of Docker's folders, with a base layer, one on it and a container, but no layer database."""
    root = tmp_path / "Docker"
    base = a_layer_folder(root, BASE) / "Files"
    (base / "d").mkdir(parents=True)
    (base / "d/a.txt").write_bytes(b"text")
    (base / "d/b.txt").write_bytes(b"gone soon")
    (base / "link").symlink_to("d")
    app = a_layer_folder(root, APP, BASE) / "Files"
    (app / "d").mkdir(parents=True)
    (app / "d/a.txt").write_bytes(b"other text")
    (app / "new.txt").write_bytes(b"new")
    (a_layer_folder(root, BOX, APP, BASE) / "sandbox.vhdx").touch()
    return root


@pytest.fixture
def recorded(docker: Path) -> Path:
    """The same with the layer database."""
    record_layer(docker, APP, APP_TAR, record_layer(docker, BASE, BASE_TAR))
    return docker


def test_layers_are_listed(bare: Shell, recorded: Path) -> None:
    assert bare.run("store", "attach", str(recorded)).lines == [
        f"{'ID':<64}  {'PARENT':<64}  {'KIND':<7}  DIFF ID",
        f"{BASE}  {'-':<64}  base     {digest(BASE_TAR)}",
        f"{APP}  {BASE}  layer    {digest(APP_TAR)}",
        f"{BOX}  {APP}  scratch  -",
    ]


def test_layer_that_cannot_be_listed_is_told(bare: Shell, docker: Path) -> None:
    (docker / LAYERS / BASE / "layerchain.json").write_text("{")
    result = bare.run("store", "attach", "--json", str(docker), code=3)
    assert [json.loads(line)["id"] for line in result.lines] == [APP, BOX]
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
    assert diff_id == digest(printed.out)


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
    assert "sandbox.vhdx" in bare.run("store", "attach", str(docker), BOX, code=16).err
    bare.run("store", "attach", str(docker), "none", code=10)


@pytest.mark.parametrize(("layer_id", "tar"), [(BASE, BASE_TAR), (APP, APP_TAR)])
def test_recorded_tars_are_given_byte_for_byte(
    bare: Shell, recorded: Path, layer_id: str, tar: bytes
) -> None:
    printed = bare.run("store", "attach", str(recorded), layer_id)
    assert printed.out == tar
    assert printed.err == ""
    output = bare.folder / "out.tar"
    bare.run("store", "attach", str(recorded / LAYERS), layer_id[:3], "-o", str(output))
    assert output.read_bytes() == tar


def test_body_that_is_another_ends_it(bare: Shell, recorded: Path) -> None:
    (recorded / LAYERS / APP / "Files/d/a.txt").write_bytes(b"placeholder")
    output = bare.folder / "out.tar"
    told = bare.run("store", "attach", str(recorded), APP, "-o", str(output), code=15)
    assert "content of 'Files/d/a.txt'" in told.err
    assert not output.exists()
    (recorded / LAYERS / APP / "Files/d/a.txt").unlink()
    told = bare.run("ls", f"windowsfilter:{recorded}:{APP}", code=15)
    assert "'Files/d/a.txt' is in the recorded tar of the layer, and not in its" in told.err


def test_recorded_layer_shows_over_its_parents(bare: Shell, recorded: Path) -> None:
    target = f"windowsfilter:{recorded}:{APP}"
    assert bare.run("ls", "-R", target).lines == ["/d", "/d/a.txt", "/link", "/new.txt"]
    assert bare.run("cat", target, "/d/a.txt").out == b"other text"
    same = bare.run("diff-tree", f"windowsfilter:{recorded}:{BASE}", target)
    assert same.lines == ["C /d/a.txt", "D /d/b.txt", "A /new.txt"]


def test_changes_of_targets(bare: Shell, recorded: Path) -> None:
    app, base = (f"windowsfilter:{recorded}:{one}" for one in (APP, BASE))
    wanted = ["C /d/a.txt", "D /d/b.txt", "A /new.txt"]
    assert bare.run("layer", "changes", app).lines == wanted
    assert bare.run("layer", "changes", app, "--parent", base).lines == wanted
    assert bare.run("layer", "changes", base).lines == [
        "A /",
        "A /d",
        "A /d/a.txt",
        "A /d/b.txt",
        "A /link",
    ]
    assert bare.run("layer", "changes", base, "--parent", app).lines == [
        "C /d/a.txt",
        "A /d/b.txt",
        "D /new.txt",
    ]


def test_changes_without_parents_are_listed(bare: Shell, recorded: Path) -> None:
    shutil.rmtree(recorded / LAYERS / BASE)
    target = f"windowsfilter:{recorded}:{APP}"
    wanted = ["C /", "C /d", "C /d/a.txt", "D /d/b.txt", "C /new.txt"]
    result = bare.run("layer", "changes", target)
    assert result.lines == wanted
    assert f"layer {APP} is shown without its parents: there is no layer '{BASE}'" in result.err
    assert f"{target}: its parents are not at hand, so what it adds is C too" in result.err
    tar = bare.folder / "app.tar"
    tar.write_bytes(APP_TAR)
    assert bare.run("layer", "changes", f"tar:{tar}").lines == wanted


def test_layer_is_shown_alone_where_a_parent_is_damaged(bare: Shell, recorded: Path) -> None:
    (recorded / LAYERS / BASE / "Files/d/a.txt").write_bytes(b"placeholder")
    result = bare.run("ls", f"windowsfilter:{recorded}:{APP}")
    assert result.lines == ["d", "new.txt"]
    assert f"layer {APP} is shown without its parents: content of 'Files/d/a.txt'" in result.err
    assert list(bare.folder.rglob("winlayers-look*")) == []


def test_directories_without_an_entry_are_not_listed(bare: Shell) -> None:
    tar = _saved(bare, layer_tar([a_file("Files/d/a.txt", b"1")]))
    assert bare.run("layer", "changes", f"tar:{tar}").lines == ["C /d/a.txt"]


def test_whole_chain_is_imported(bare: Shell, recorded: Path) -> None:
    wanted = [f"{BASE} {digest(BASE_TAR)}", f"{APP} {digest(APP_TAR)}"]
    assert bare.run("store", "attach", str(recorded), "bbb", "--import").lines == wanted
    assert bare.run("layer", "export", APP).out == APP_TAR
    assert bare.run("ls", APP).lines == ["d", "link", "new.txt"]
    again = bare.run("store", "attach", str(recorded), APP, "--import", "--json")
    assert [json.loads(line) for line in again.lines] == [
        {"id": BASE, "parent": None, "diff_id": digest(BASE_TAR), "imported": False},
        {"id": APP, "parent": BASE, "diff_id": digest(APP_TAR), "imported": False},
    ]


def test_other_layers_of_the_same_id_stay(bare: Shell, recorded: Path) -> None:
    bare.run("layer", "import", BASE, str(_saved(bare, layer_tar(a_layer(a_directory("Files"))))))
    told = bare.run("store", "attach", str(recorded), APP, "--import", code=11)
    assert f"the store has another layer {BASE}" in told.err
    assert bare.run("layer", "ls", "-q").lines == [BASE]


def test_layer_that_was_created_is_filled(bare: Shell, recorded: Path) -> None:
    bare.run("layer", "create", "--read-only", BASE)
    assert len(bare.run("store", "attach", str(recorded), APP, "--import").lines) == 2
    assert bare.run("layer", "export", BASE).out == BASE_TAR


def test_chain_with_a_layer_that_cannot_be_read_is_not_imported(
    bare: Shell, recorded: Path
) -> None:
    shutil.rmtree(recorded / LAYERDB)
    told = bare.run("store", "attach", str(recorded), APP, "--import", code=16)
    assert "stands on parents" in told.err
    assert bare.run("layer", "ls", "-q").lines == []
    told = bare.run("store", "attach", str(recorded), "--import", code=2)
    assert "--import needs the ID of a layer" in told.err
    bare.run("store", "attach", str(recorded), BASE, "--import", "-o", "base.tar", code=2)


def _saved(bare: Shell, tar: bytes) -> Path:
    path = bare.folder / "saved.tar"
    path.write_bytes(tar)
    return path
