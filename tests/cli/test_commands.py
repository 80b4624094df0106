"""The command line on a small layer: what each command prints, and with which exit code."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "data" / "windows-container-rootfs.tar"


class Shell:
    """Runs the program on a store of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "winlayers", "--root", str(self.root), *arguments],
            input=stdin,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("store"))
    shell.run("layer", "import", "base", "-", stdin=gzip.compress(SAMPLE.read_bytes()))
    return shell


def test_export_gives_the_bytes_that_were_imported(shell: Shell) -> None:
    exported = shell.run("layer", "export", "base")
    assert hashlib.sha256(exported).digest() == hashlib.sha256(SAMPLE.read_bytes()).digest()
    assert gzip.decompress(shell.run("layer", "export", "base", "--gzip")) == exported


def test_layer_ls_tells_the_layer(shell: Shell) -> None:
    row = json.loads(shell.run("layer", "ls", "--json"))
    assert (row["id"], row["parent"], row["kind"]) == ("base", None, "sealed")
    assert row["diff_id"] == "sha256:" + hashlib.sha256(SAMPLE.read_bytes()).hexdigest()


@pytest.mark.parametrize("target", ["base", f"tar:{SAMPLE}"])
def test_reading_commands_take_a_layer_and_a_bare_tar(shell: Shell, target: str) -> None:
    assert shell.run("ls", target) == b"License.txt\nProgramData\nUsers\nWindows\n"
    assert shell.run("cat", target, "C:\\LICENSE.TXT") in SAMPLE.read_bytes()
    facts = json.loads(shell.run("stat", target, "/License.txt", "--json"))
    assert (facts["kind"], facts["size"]) == ("file", 5510)
    assert shell.run("find", target, "*.txt") == b"/License.txt\n"
    assert b"License.txt" in shell.run("tree", target)


def test_changes_of_a_base_layer_are_all_added(shell: Shell) -> None:
    lines = shell.run("layer", "changes", "base").splitlines()
    assert b"A /License.txt" in lines
    assert {line[:2] for line in lines} == {b"A "}


def test_extract_writes_the_files(shell: Shell, tmp_path: Path) -> None:
    shell.run("extract", "base", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "License.txt").stat().st_size == 5510


def test_check_finds_something_in_a_cut_down_base(shell: Shell) -> None:
    rows = [json.loads(line) for line in shell.run("check", "base", "--json", code=3).splitlines()]
    assert {"severity", "code", "entry", "detail"} <= set(rows[0])


def test_errors_have_the_documented_exit_codes(shell: Shell) -> None:
    shell.run("ls", "missing", code=10)
    shell.run("cat", "base", "/missing", code=10)
    shell.run("layer", "import", "base", str(SAMPLE), code=11)
    shell.run("layer", "import", "new", "-", stdin=b"x" * 1024, code=14)
    wrong = "sha256:" + "0" * 64
    shell.run("layer", "import", "new", str(SAMPLE), "--digest", wrong, code=15)
    shell.run("layer", "import", "new", str(SAMPLE), "--max-size", "1k", code=18)
    shell.run("layer", "import", "new", "--nonsense", code=2)
    assert json.loads(shell.run("layer", "ls", "--json"))["id"] == "base"


def test_store_is_sound_and_a_layer_can_be_removed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.run("layer", "import", "one", str(SAMPLE))
    shell.run("layer", "import", "two", str(SAMPLE), "--parent", "one")
    assert shell.run("store", "check") == b""
    assert json.loads(shell.run("store", "info", "--json"))["layers"] == 2
    shell.run("layer", "remove", "one", code=12)
    shell.run("layer", "remove", "two", "one")
    assert shell.run("layer", "ls", "--ids") == b""


def test_scratch_is_made_changed_and_committed(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "store")
    shell.run("layer", "import", "base", str(SAMPLE))
    assert shell.run("layer", "create", "work", "--parent", "base") == b"work\n"
    (tmp_path / "new.txt").write_bytes(b"new")
    shell.run("cp", str(tmp_path / "new.txt"), "work:C:\\Users")
    assert shell.run("layer", "changes", "work") == b"C /Users\nA /Users/new.txt\n"
    diff_id = shell.run("layer", "commit", "work", "new")
    exported = shell.run("layer", "export", "new")
    assert diff_id == f"sha256:{hashlib.sha256(exported).hexdigest()}\n".encode()
    packed = shell.run("cp", "-a", "new:/Users", "-")
    shell.run("layer", "create", "copy")
    shell.run("cp", "-", "copy:/", stdin=gzip.compress(packed))
    assert shell.run("cat", "copy", "/users/NEW.TXT") == b"new"


def test_lost_index_is_made_again(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.run("layer", "import", "one", str(SAMPLE))
    (tmp_path / "windowsfilter" / "one" / "sealed" / "index.db").write_bytes(b"nonsense")
    shell.run("store", "check", code=3)
    shell.run("store", "check", "--repair")
    assert b"License.txt" in shell.run("ls", "one")


def test_every_command_has_help_with_examples(shell: Shell) -> None:
    for command in (
        ["layer", "import"],
        ["layer", "export"],
        ["layer", "inspect"],
        ["layer", "size"],
        ["layer", "diff"],
        ["layer", "create"],
        ["layer", "mount"],
        ["layer", "unmount"],
        ["layer", "commit"],
        ["cp"],
        ["diff-tree"],
        ["extract"],
        ["completion"],
    ):
        assert b"Examples" in shell.run(*command, "--help")
