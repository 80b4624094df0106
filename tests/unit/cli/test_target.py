"""TARGETs: what is found, what is refused, and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.harness import APP, BASE, Shell
from winlayers.cli.imagenames import _NOT_OURS
from winlayers.cli.session import Session
from winlayers.cli.target import open_target


@pytest.mark.parametrize("transport", sorted(_NOT_OURS))
def test_transports_of_other_programs_are_unsupported_by_name(
    shared: Shell, transport: str
) -> None:
    result = shared.run("ls", f"{transport}:some/image:tag", code=16)
    assert f"does not speak with {transport}" in result.err


def test_image_that_is_not_there_is_refused_with_what_is_possible(shared: Shell) -> None:
    name = "mcr.microsoft.com/windows/nanoserver:ltsc2022"
    result = shared.run("ls", name, code=10)
    assert f"docker://{name}" in result.err
    assert "tar:FILE" in result.err


def test_beginning_of_an_id_must_be_that_of_one_layer(shell: Shell) -> None:
    shell.run("layer", "import", "base2", shell.write("x.tar", BASE))
    assert shell.run("cat", "ap", "/app/run.exe").out == b"MZ of the app"
    assert shell.run("cat", "base", "/License.txt").out == b"the license"  # whole, so no beginning
    assert "base, base2" in shell.run("ls", "ba", code=2).err
    for text in ("nothing", "", "..", "../app", "tmp"):
        shell.run("ls", text, code=10)


def test_other_store_is_only_read(shared: Shell, bare: Shell) -> None:
    before = _state(shared.root)
    for root in (shared.root, shared.root / "windowsfilter"):
        assert bare.run("cat", f"windowsfilter:{root}:app", "/ini").out == b"[fonts]"
    assert bare.run("stat", "--json", f"windowsfilter:{shared.root}:ap", "/app").document[
        "layer"
    ] == (f"windowsfilter:{shared.root}:app")
    assert _state(shared.root) == before
    assert not bare.root.exists()


def test_other_store_in_the_form_of_windows_is_read_and_leaves_nothing_behind(bare: Shell) -> None:
    folder = bare.folder / "docker" / "windowsfilter" / ("a" * 64)
    (folder / "Files/Users").mkdir(parents=True)
    result = bare.run("ls", f"windowsfilter:{bare.folder / 'docker'}:aaaa")
    assert result.lines == ["Users"]
    assert "it is a plain copy" in result.err
    assert list((bare.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("rest", ["", "only-a-root", ":id", "root:"])
def test_other_store_needs_root_and_id(shared: Shell, rest: str) -> None:
    shared.run("ls", f"windowsfilter:{rest}", code=2)


def test_other_store_that_is_not_there(bare: Shell) -> None:
    bare.run("ls", "windowsfilter:/nonexistent:id", code=10)


def test_bare_tar_leaves_nothing_behind(bare: Shell) -> None:
    session = Session(root=bare.root)
    with open_target(session, "tar:" + bare.write("x.tar", APP)) as target:
        work = list((bare.root / "tmp").iterdir())
        assert len(work) == 2
        assert target.view.lookup("Files/app/run.exe") is not None
    assert list((bare.root / "tmp").iterdir()) == []


def test_bare_tar_that_is_damaged_leaves_nothing_behind(bare: Shell) -> None:
    bare.run("ls", "tar:" + bare.write("x.tar", b"no tar" * 500), code=14)
    bare.run("ls", "tar:/nonexistent", code=10)
    assert list((bare.root / "tmp").iterdir()) == []


def test_bare_tar_that_is_no_file_is_refused(bare: Shell) -> None:
    assert "names no file" in bare.run("ls", "tar:", code=2).err


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/fd there")
def test_bare_tar_that_is_a_pipe_is_refused(bare: Shell) -> None:
    read_end, write_end = os.pipe()
    try:
        assert "is a pipe" in bare.run("ls", f"tar:/dev/fd/{read_end}", code=2).err
    finally:
        os.close(read_end)
        os.close(write_end)


def test_layer_without_its_pack_is_corrupt(shell: Shell) -> None:
    (shell.root / "windowsfilter" / "base" / "sealed" / "layer.tar").unlink()
    assert "is missing" in shell.run("ls", "base", code=15).err
    assert "is missing" in shell.run("check", "app", code=15).err


def test_bare_tar_without_room_for_its_index_tells_of_tmpdir(bare: Shell) -> None:
    bare.root.write_bytes(b"a file, not a folder")
    told = bare.run("ls", "tar:" + bare.write("x.tar", APP), code=10).err
    assert (
        f"are made in {bare.root / 'tmp'}; --tmpdir DIR has them made in DIR/winlayers-staging"
        in told
    )
    tmpdir = bare.folder / "tmp"
    assert bare.run("--tmpdir", str(tmpdir), "ls", "tar:" + bare.write("x.tar", APP)).lines != []
    assert [path.name for path in tmpdir.iterdir()] == ["winlayers-staging"]
    assert "DIR/winlayers-staging" in " ".join(bare.run("ls", "--help").out.decode().split())


def test_layer_ids_and_transports_are_completed(shared: Shell) -> None:
    def complete(words: str) -> list[str]:
        environ = {
            **os.environ,
            "WINLAYERS_ROOT": str(shared.root),
            "_WINLAYERS_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-m", "winlayers"], env=environ, capture_output=True, check=True
        )
        return [line.split(",")[1] for line in done.stdout.decode().splitlines()]

    assert complete("winlayers ls ") == [
        "app",
        "base",
        "tar:",
        "windowsfilter:",
        "snapshot:",
        "docker://",
        "oci:",
        "oci-archive:",
        "docker-archive:",
        "dir:",
        "store:",
    ]
    assert complete("winlayers layer export b") == ["base"]
    assert "diff-tree" in complete("winlayers di")


def _state(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
