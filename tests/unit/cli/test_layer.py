"""The commands of the group ``layer``."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, a_whiteout, layer_tar
from tests.unit.cli.harness import APP, BASE, Shell

DIFF_ID = "sha256:" + hashlib.sha256(BASE).hexdigest()


def test_import_prints_the_diff_id_alone(bare: Shell) -> None:
    result = bare.run("layer", "import", "x", bare.write("x.tar.gz", gzip.compress(BASE)))
    assert result.out.decode() == DIFF_ID + "\n"
    assert result.err.startswith("warning name-surrogate: ")


def test_import_json_has_the_documented_fields(bare: Shell) -> None:
    packed = gzip.compress(BASE)
    file = bare.write("x.tar.gz", packed)
    found = bare.run("layer", "import", "x", file, "--json").document
    assert found["id"] == "x"
    assert found["parent"] is None
    assert found["diff_id"] == DIFF_ID
    assert found["digest"] == "sha256:" + hashlib.sha256(packed).hexdigest()
    assert found["tar_size"] == len(BASE)
    assert [one["code"] for one in found["findings"]] == ["name-surrogate"]
    assert found["size"] > 2000
    assert found["entries"] > 10


def test_import_compares_digests(bare: Shell) -> None:
    file = bare.write("x.tar", BASE)
    wrong = "sha256:" + "0" * 64
    for option in ("--digest", "--diff-id"):
        assert wrong in bare.run("layer", "import", "x", file, option, wrong, code=15).err
    bare.run("layer", "import", "x", file, "--digest", "sha256:nonsense", code=2)
    assert bare.run("layer", "ls", "-q").lines == []
    bare.run("layer", "import", "x", file, "--digest", DIFF_ID, "--diff-id", DIFF_ID)


def test_import_keeps_to_a_limit(bare: Shell) -> None:
    file = bare.write("x.tar", BASE)
    bare.run("layer", "import", "x", file, "--max-size", "1k", code=18)
    bare.run("layer", "import", "x", file, "--max-size", "0", code=2)
    bare.run("layer", "import", "x", file, "--max-size", "9e99", code=2)
    bare.run("layer", "import", "x", file, "--max-size", "1MB")


def test_import_takes_the_beginning_of_a_parents_id(shell: Shell) -> None:
    shell.run("layer", "import", "new", shell.write("a.tar", APP), "--parent", "ba")
    assert shell.run("layer", "inspect", "new").document["chain"] == ["base"]


def test_import_of_a_cut_tar_tells_what_to_do(bare: Shell) -> None:
    cut = bare.write("cut.tar", BASE.rstrip(b"\0") + bytes(-len(BASE.rstrip(b"\0")) % 512))
    result = bare.run("layer", "import", "x", cut, code=14)
    assert "[tar-unterminated]" in result.err
    assert "What to do: " in result.err
    bare.run("layer", "import", "x", cut, "--allow-unterminated")


def test_import_of_an_odd_name_needs_to_be_lenient(bare: Shell) -> None:
    file = bare.write("odd.tar", layer_tar(a_layer(a_file("Files/aux.txt", b""))))
    bare.run("layer", "import", "x", file, code=14)
    result = bare.run("layer", "import", "x", file, "--lenient")
    assert "name-reserved" in result.err
    assert bare.run("-q", "layer", "import", "y", file, "--lenient").err == ""


def test_import_refuses_what_is_no_tar_or_not_there(bare: Shell) -> None:
    assert "No such file" in bare.run("layer", "import", "x", "/nonexistent", code=10).err
    bare.run("layer", "import", "x", str(bare.folder), code=2)
    bare.run("layer", "import", "x", bare.write("no.tar", b"no tar" * 200), code=14)
    bare.run("layer", "import", "a/b", bare.write("x.tar", BASE), code=2)


def test_export_gives_the_imported_bytes(shared: Shell, tmp_path: Path) -> None:
    assert shared.run("layer", "export", "base").out == BASE
    assert gzip.decompress(shared.run("layer", "export", "base", "--gzip").out) == BASE
    assert shared.run("layer", "diff", "base").out == BASE
    target = tmp_path / "out.tar"
    shared.run("layer", "export", "base", "-o", str(target))
    assert target.read_bytes() == BASE
    assert list(tmp_path.iterdir()) == [target]


def test_export_of_zstd_can_be_imported_again(shell: Shell) -> None:
    file = str(shell.folder / "out.tar.zst")
    shell.run("layer", "export", "base", "--zstd", "-o", file)
    assert shell.run("layer", "import", "again", file).out.decode().strip() == DIFF_ID


def test_export_refuses_a_terminal(shared: Shell) -> None:
    shared.run("layer", "export", "base", code=2, is_terminal=True)


def test_export_leaves_the_old_file_where_it_fails(shared: Shell, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    target.write_bytes(b"old")
    shared.run("layer", "export", "none", "-o", str(target), code=10)
    assert target.read_bytes() == b"old"
    shared.run("layer", "export", "base", "-o", str(tmp_path / "no" / "out.tar"), code=10)
    shared.run("layer", "export", "base", "-o", str(tmp_path), code=2)
    assert list(tmp_path.iterdir()) == [target]


def test_ls_json_has_the_documented_fields(shared: Shell) -> None:
    rows = shared.run("layer", "ls", "--json").rows
    assert [(row["id"], row["parent"], row["kind"]) for row in rows] == [
        ("app", "base", "sealed"),
        ("base", None, "sealed"),
    ]
    assert set(rows[0]) == {"id", "parent", "kind", "size", "entries", "diff_id", "created"}
    assert rows[1]["diff_id"] == DIFF_ID


def test_ls_text_has_heads_and_columns(shared: Shell) -> None:
    lines = shared.run("layer", "ls").lines
    assert lines[0].split() == ["ID", "PARENT", "KIND", "SIZE", "ENTRIES", "CREATED"]
    assert lines[1].split()[:3] == ["app", "base", "sealed"]
    assert shared.run("layer", "ls", "-q").lines == ["app", "base"]


def test_ls_tells_a_damaged_layer_and_shows_the_others(shell: Shell) -> None:
    (shell.root / "windowsfilter" / "app" / "sealed" / "index.db").write_bytes(b"damaged")
    result = shell.run("layer", "ls", "--json", code=3)
    assert [row["id"] for row in result.rows] == ["base"]
    assert "StoreCorrupt" in result.err


def test_ls_of_no_store_is_empty_and_makes_none(bare: Shell) -> None:
    assert bare.run("layer", "ls").lines == []
    bare.run("ls", "any", code=10)
    bare.run("layer", "remove", "any", code=10)
    assert not bare.root.exists()


def test_inspect_tells_all(shared: Shell) -> None:
    found = shared.run("layer", "inspect", "app").document
    assert (found["chain"], found["children"]) == (["base"], [])
    assert found["dir"].endswith("app")
    assert found["disk_size"] > found["tar_size"] == len(APP)
    assert all({"code", "severity", "remedy"} <= set(one) for one in found["findings"])


def test_changes_are_letters_and_paths(shared: Shell) -> None:
    assert shared.run("layer", "changes", "app").lines == [
        "A /app",
        "A /app/run.exe",
        "C /License.txt",
        "D /Windows/ea.dat",
        "C /Windows/win.ini",
    ]
    assert "A Files/app" in shared.run("layer", "changes", "app", "--raw").lines
    assert "A Hives/Software_Base" in shared.run("layer", "changes", "base").lines


def test_changes_json_marks_what_is_metadata_alone(shared: Shell) -> None:
    rows = {row["path"]: row for row in shared.run("layer", "changes", "app", "--json").rows}
    assert rows["/Windows/win.ini"]["metadata_only"] is True
    assert rows["/License.txt"] == {
        "kind": "C",
        "path": "/License.txt",
        "metadata_only": False,
        "is_directory": False,
        "size": 15,
    }


def test_changes_against_another_layer(shared: Shell) -> None:
    assert shared.run("layer", "changes", "app", "--parent", "app").lines == []


def test_letters_are_coloured_on_a_terminal_unless_that_is_not_wanted(shared: Shell) -> None:
    lines = shared.run("layer", "changes", "app", is_terminal=True).lines
    assert lines[0] == "\x1b[32mA\x1b[0m /app"
    lines = shared.run("layer", "changes", "app", is_terminal=True, environ={"NO_COLOR": "1"}).lines
    assert lines[0] == "A /app"


def test_size_is_a_number(shared: Shell) -> None:
    size = len(b"MZ of the app") + len(b"another license") + len(b"[fonts]")
    assert shared.run("layer", "size", "app").out.decode() == f"{size}\n"
    assert shared.run("layer", "size", "app", "--json").document == {"id": "app", "size": size}


def test_remove_takes_children_before_parents(shell: Shell) -> None:
    assert "parent of app" in shell.run("layer", "remove", "base", code=12).err
    shell.run("layer", "remove", "base", "app")
    assert shell.run("layer", "ls", "-q").lines == []


def test_remove_does_what_it_can(shell: Shell) -> None:
    result = shell.run("layer", "remove", "none", "app", code=3)
    assert "'none'" in result.err
    assert shell.run("layer", "ls", "-q").lines == ["base"]
    shell.run("layer", "remove", "none", code=10)
    shell.run("layer", "remove", "-f", "none")


@pytest.mark.parametrize("command", ["export", "inspect", "changes", "diff", "size", "remove"])
def test_ids_may_be_shortened_where_only_one_layer_begins_so(shell: Shell, command: str) -> None:
    shell.run("layer", "import", "apple", shell.write("w.tar", _whiteouts()), "--parent", "base")
    result = shell.run("layer", command, "ap", code=2)
    assert "app, apple" in result.err
    shell.run("layer", command, "appl")
    shell.run("layer", command, "app")  # a whole id is never taken for a beginning


def _whiteouts() -> bytes:
    return layer_tar(a_layer(a_whiteout("Files/Windows/win.ini")))


def test_import_keeps_some_of_many_findings_and_counts_all(bare: Shell) -> None:
    tar = layer_tar(a_layer(*(a_file(f"Files/{n}\ud800", b"") for n in range(1100))))
    source = bare.write("many.tar", tar)
    result = bare.run("layer", "import", "many", source, "--no-sync")
    assert result.err.splitlines()[-1] == "and 1090 more; -v shows more of them"
    result = bare.run("layer", "import", "more", source, "--no-sync", "-v")
    assert result.err.splitlines()[-1] == "and 100 more"
    found = bare.run("layer", "import", "last", source, "--no-sync", "--json").document
    assert (found["finding_count"], len(found["findings"])) == (1100, 1000)
