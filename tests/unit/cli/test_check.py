"""check and extract: findings and losses, and the exit codes they lead to."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_file, a_layer, a_whiteout, layer_tar
from tests.unit.cli.harness import APP, BASE, Shell
from winlayers.layer.findings import CATALOG


def test_check_tells_each_finding_with_its_remedy(bare: Shell) -> None:
    tar = layer_tar(a_layer(a_file("Files/a.txt", b"", security=b"\x01\x02\x03")))
    result = bare.run("check", "tar:" + bare.write("bad.tar", tar), code=3)
    assert any(line.startswith("error security-invalid") for line in result.lines)
    assert any(CATALOG["security-invalid"].remedy in line for line in result.lines)
    assert "errors" in result.err


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("tar-damaged", b"no tar" * 500),
        ("tar-damaged", BASE[:-1024] + b"X" * 512),
        ("tar-unterminated", BASE[:-1024]),
        ("compression-damaged", gzip.compress(BASE)[:-1]),
    ],
)
def test_check_tells_damage_as_the_import_does(bare: Shell, code: str, data: bytes) -> None:
    path = bare.write("bad.tar", data)
    rows = bare.run("check", "--json", f"tar:{path}", code=3).rows
    found = [row["offset"] for row in rows if row["code"] == code]
    assert len(found) == 1
    assert found[0] is not None
    assert f"[{code}]" in bare.run("layer", "import", "bad", path, code=14).err


def test_check_json_rows_have_the_documented_fields(bare: Shell) -> None:
    tar = layer_tar(a_layer(a_file("Files/aux", b"")))
    rows = bare.run("check", "--json", "tar:" + bare.write("bad.tar", tar), code=3).rows
    row = next(row for row in rows if row["code"] == "name-reserved")
    assert row["entry"] == "Files/aux"
    assert {"severity", "code", "layer", "entry", "detail", "offset", "cause", "remedy"} <= set(row)


def test_check_knows_the_parents_of_a_layer(shell: Shell) -> None:
    tar = layer_tar(a_layer(a_directory("Hives"), a_whiteout("Files/Windows/none.txt")))
    shell.run("layer", "import", "w", shell.write("w.tar", tar), "--parent", "base")
    codes = [row["code"] for row in shell.run("check", "w", "--json").rows]
    assert codes == ["whiteout-nothing"]
    assert shell.run("check", "w").err == "w: 0 errors, 1 warning, 0 losses\n"
    shell.run("check", "w", "--strict", code=3)


def test_check_of_a_layer_that_holds_nothing_finds_nothing(shell: Shell) -> None:
    folder = shell.root / "windowsfilter" / "created"
    folder.mkdir()
    (folder / "layerchain.json").write_text("null")
    assert shell.run("check", "created").lines == []


def test_extract_writes_files_and_tells_each_kind_of_loss_once(
    shared: Shell, tmp_path: Path
) -> None:
    result = shared.run("extract", "app", "-o", str(tmp_path / "deep" / "out"))
    assert (tmp_path / "deep" / "out" / "License.txt").read_bytes() == b"another license"
    assert result.err.count("security-lost") == 1
    assert "wrote " in result.err
    assert result.out == b""


def test_extract_with_v_tells_each_loss(shared: Shell, tmp_path: Path) -> None:
    result = shared.run("extract", "-v", "app", "/Windows", "-o", str(tmp_path / "out"))
    assert result.err.count("security-lost") > 1


def test_extract_strict_ends_with_three(shared: Shell, tmp_path: Path) -> None:
    arguments = ("extract", "app", "/app", "-o", str(tmp_path / "out"))
    found = shared.run(*arguments, "--strict", "--json", code=3).document
    assert (found["files"], found["size"]) == (1, len(b"MZ of the app"))
    assert found["losses"] > 0


def test_extract_does_not_write_into_a_folder_that_is_in_use(shared: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    shared.run("extract", "app", "-o", str(tmp_path), code=11)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_extract_to_ntfs_refuses_other_disks(shared: Shell, tmp_path: Path) -> None:
    result = shared.run("extract", "--to-ntfs", "app", "-o", str(tmp_path / "out"), code=16)
    assert "ntfs-3g -o streams_interface=windows,noatime DEVICE FOLDER" in result.err
    assert os.listdir(tmp_path / "out") == []


def test_extract_to_ntfs_knows_no_symbolic_links(shared: Shell, tmp_path: Path) -> None:
    arguments = ("extract", "--to-ntfs", "--symlinks", "app", "-o", str(tmp_path / "out"))
    assert "--symlinks" in shared.run(*arguments, code=2).err
    assert not (tmp_path / "out").exists()


def test_extract_of_one_file(shared: Shell, tmp_path: Path) -> None:
    shared.run("extract", "app", "C:\\app\\run.exe", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "run.exe").read_bytes() in APP
