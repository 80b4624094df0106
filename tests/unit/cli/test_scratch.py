"""The commands that make scratches, and those that read, on scratches."""

from __future__ import annotations

import gzip
import hashlib
import json
import os

import pytest

from tests.unit.cli.harness import Shell


@pytest.fixture
def work(shell: Shell) -> Shell:
    """A store with a scratch ``work`` on ``app``."""
    shell.run("layer", "create", "work", "--parent", "app")
    return shell


def test_create_prints_the_id_alone(shell: Shell) -> None:
    result = shell.run("layer", "create", "work", "--parent", "ap")
    assert (result.lines, result.err) == (["work"], "")
    assert shell.run("layer", "inspect", "work").document["chain"] == ["app", "base"]


def test_create_json_is_the_row_of_ls(shell: Shell) -> None:
    found = shell.run("layer", "create", "work", "--parent", "app", "--json").document
    rows = {row["id"]: row for row in shell.run("layer", "ls", "--json").rows}
    assert found == rows["work"]
    assert (found["kind"], found["parent"], found["diff_id"]) == ("scratch", "app", None)
    assert (found["size"], found["entries"]) == (0, 0)


def test_create_makes_the_store(bare: Shell) -> None:
    assert bare.run("layer", "create", "work").lines == ["work"]
    assert bare.run("ls", "work").lines == []


def test_create_takes_storage_options_as_docker_does(shell: Shell) -> None:
    shell.run("layer", "create", "work", "--parent", "app", "--storage-opt", "SIZE=20GB")
    for option in ("length=20GB", "size", "size=much", "=1"):
        shell.run("layer", "create", "other", "--storage-opt", option, code=2)
    assert shell.run("layer", "ls", "-q").lines == ["app", "base", "work"]


def test_create_read_only_makes_a_layer_to_be_filled(shell: Shell) -> None:
    found = shell.run("layer", "create", "new", "--parent", "app", "--read-only", "--json").document
    assert found["kind"] == "created"
    refused = ("layer", "create", "x", "--read-only", "--storage-opt", "size=1GB")
    assert "--storage-opt is for scratches" in shell.run(*refused, code=2).err


def test_create_refuses_a_taken_id_a_missing_parent_and_a_scratch_as_parent(work: Shell) -> None:
    work.run("layer", "create", "work", code=11)
    work.run("layer", "create", "app", code=11)
    work.run("layer", "create", "new", "--parent", "none", code=10)
    work.run("layer", "create", "a/b", code=2)
    assert "commit it" in work.run("layer", "create", "new", "--parent", "work", code=12).err


def test_reading_commands_show_a_scratch_over_its_parents(work: Shell) -> None:
    for arguments in (("ls", "-lR"), ("tree",), ("find", "*.ini")):
        command, *rest = arguments
        options = [one for one in rest if one.startswith("-")]
        others = [one for one in rest if not one.startswith("-")]
        shown = work.run(command, *options, "work", *others)
        assert shown.out == work.run(command, *options, "app", *others).out
    assert work.run("cat", "work", r"C:\Windows\win.ini:Zone.Identifier").out == b"ZoneId=3"
    facts = work.run("stat", "work", "/License.txt", "--json").document
    assert (facts["layer"], facts["size"]) == ("app", 15)


def test_scratch_is_extracted_as_it_looks(work: Shell) -> None:
    work.run("extract", "work", "/app", "-o", str(work.folder / "out"))
    assert (work.folder / "out" / "run.exe").read_bytes() == b"MZ of the app"


def test_fresh_scratch_changes_nothing(work: Shell) -> None:
    assert work.run("layer", "changes", "work").lines == []
    assert work.run("layer", "size", "work").lines == ["0"]
    assert work.run("diff-tree", "--exit-code", "app", "work").lines == []


def test_inspect_tells_a_scratch(work: Shell) -> None:
    found = work.run("layer", "inspect", "work").document
    assert (found["kind"], found["children"], found["digest"]) == ("scratch", [], None)
    assert found["dir"].endswith("work")


def test_scratch_is_removed_and_then_its_parent_can_be(work: Shell) -> None:
    assert "parent of work" in work.run("layer", "remove", "app", code=12).err
    work.run("layer", "remove", "work", "app")
    assert work.run("layer", "ls", "-q").lines == ["base"]


def test_commit_is_for_scratches(work: Shell) -> None:
    assert "is no scratch" in work.run("layer", "commit", "app", "new", code=2).err
    work.run("layer", "commit", "none", "new", code=10)
    error = work.run("layer", "commit", "app", "new", "--json", code=2).err
    assert json.loads(error)["error"]["kind"] == "InvalidArgument"


def test_scratch_of_another_store_is_looked_into(work: Shell) -> None:
    (work.folder / "new.txt").write_bytes(b"new")
    work.run("cp", str(work.folder / "new.txt"), "work:/app")
    target = f"windowsfilter:{work.root}:work"
    assert work.run("cat", target, "/app/new.txt", "/app/run.exe").out == b"newMZ of the app"
    assert work.run("ls", target, "/app").lines == ["new.txt", "run.exe"]
    work.run("ls", f"windowsfilter:{work.root}:none", code=10)
    (work.root / "windowsfilter" / "work" / "scratch" / "scratch.db").write_bytes(b"damaged")
    work.run("ls", target, code=15)


@pytest.fixture
def changed(work: Shell) -> Shell:
    """The scratch has a new file, a changed one, and two names of one file."""
    site = work.folder / "site"
    site.mkdir()
    (site / "a.txt").write_bytes(b"new")
    os.link(site / "a.txt", site / "b.txt")
    (work.folder / "License.txt").write_bytes(b"a third license")
    work.run("cp", "-q", str(site), "work:/")
    work.run("cp", "-q", str(work.folder / "License.txt"), "work:/")
    return work


def test_changes_and_size_of_a_scratch(changed: Shell) -> None:
    lines = changed.run("layer", "changes", "work").lines
    assert lines == ["C /", "C /License.txt", "A /site", "A /site/a.txt", "A /site/b.txt"]
    assert changed.run("layer", "size", "work").lines == [str(3 + 3 + len(b"a third license"))]
    row = changed.run("layer", "ls", "--json").rows[2]
    assert (row["id"], row["kind"], row["diff_id"]) == ("work", "scratch", None)
    assert row["size"] > 0


def test_commit_makes_a_layer_and_leaves_the_scratch(changed: Shell) -> None:
    result = changed.run("layer", "commit", "work", "new")
    (diff_id,) = result.lines
    assert (
        diff_id == "sha256:" + hashlib.sha256(changed.run("layer", "export", "new").out).hexdigest()
    )
    changes = changed.run("layer", "changes", "work").out
    assert changed.run("layer", "changes", "new").out == changes
    assert changed.run("layer", "inspect", "new").document["chain"] == ["app", "base"]
    assert changed.run("stat", "new", "/site/b.txt").lines[1] == "kind:          link"
    changed.run("check", "new")
    found = changed.run("layer", "commit", "work", "newer", "--json").document
    assert (found["id"], found["parent"], found["diff_id"]) == ("newer", "app", diff_id)
    changed.run("layer", "commit", "work", "new", code=11)
    changed.run("layer", "commit", "work", "a/b", code=2)


def test_export_and_diff_of_a_scratch_are_the_layer_that_a_commit_makes(changed: Shell) -> None:
    changed.run("layer", "commit", "work", "new")
    tar = changed.run("layer", "export", "new").out
    assert changed.run("layer", "export", "work").out == tar
    assert changed.run("layer", "diff", "work").out == tar
    target = changed.folder / "work.tar.gz"
    changed.run("layer", "export", "work", "--gzip", "-o", str(target))
    assert gzip.decompress(target.read_bytes()) == tar


def test_check_looks_at_the_layer_that_a_commit_would_make(changed: Shell) -> None:
    result = changed.run("check", "work")
    assert result.err == "work: 0 errors, 0 warnings, 0 losses\n"
    findings = changed.run("layer", "inspect", "work").document["findings"]
    assert [one for one in findings if one["layer"] == "work"] == []
    assert list((changed.root / "tmp").iterdir()) == []
    changed.run("check", f"windowsfilter:{changed.root}:work", code=16)


def test_hard_links_of_a_scratch_are_extracted_as_such(changed: Shell) -> None:
    changed.run("-q", "extract", "work", "/site", "-o", str(changed.folder / "out"))
    assert (changed.folder / "out" / "a.txt").samefile(changed.folder / "out" / "b.txt")
