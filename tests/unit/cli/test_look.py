"""ls, tree, find, cat: names and contents, of a layer and of a bare tar alike."""

from __future__ import annotations

import gzip

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.unit.cli.harness import BASE, Shell

TOP = ["app", "Documents and Settings", "ini", "License.txt", "odd.dat", "Users", "Windows"]


@pytest.fixture(params=["base", "tar", "gzip", "windowsfilter"])
def target(request: pytest.FixtureRequest, shared: Shell) -> str:
    """The base layer, as each form of TARGET."""
    if request.param == "tar":
        return "tar:" + shared.write("loose.tar", BASE)
    if request.param == "gzip":
        return "tar:" + shared.write("loose.tar.gz", gzip.compress(BASE, 1))
    return "base" if request.param == "base" else f"windowsfilter:{shared.root}:base"


def test_ls_shows_the_root_of_the_container(shared: Shell) -> None:
    assert shared.run("ls", "app").lines == [*TOP[:4], "lone\ud800", *TOP[4:]]


def test_ls_shows_the_names_of_the_tar_when_raw(shared: Shell, target: str) -> None:
    assert shared.run("ls", target, "--raw").lines == ["Files", "Hives", "UtilityVM"]
    assert shared.run("ls", "--raw", target, "utilityvm/FILES").lines == ["vm.txt"]


@pytest.mark.parametrize("path", ["C:\\Windows", "/windows", "WINDOWS/", "\\\\?\\C:\\Windows"])
def test_ls_takes_any_spelling_of_a_path(shared: Shell, target: str, path: str) -> None:
    names = ["cmd-too.exe", "ea.dat", "System32", "win.ini"]
    assert shared.run("ls", target, path).lines == names


def test_ls_follows_a_junction(shared: Shell) -> None:
    assert shared.run("ls", "app", "/Documents and Settings").lines == ["empty"]


def test_ls_of_a_file_is_its_path(shared: Shell) -> None:
    assert shared.run("ls", "app", "license.txt").lines == ["/License.txt"]


def test_ls_recursive_shows_paths(shared: Shell) -> None:
    lines = shared.run("ls", "-R", "app", "/Windows").lines
    assert lines == [
        "/Windows/cmd-too.exe",
        "/Windows/System32",
        "/Windows/System32/cmd.exe",
        "/Windows/win.ini",
    ]


def test_ls_long_shows_attributes_sizes_times_and_targets(shared: Shell) -> None:
    lines = shared.run("ls", "-l", "base").lines
    assert "d----l--              2020-01-01 00:00:00 Documents and Settings -> C:\\Users" in lines
    assert "-a---l--            0 2020-01-01 00:00:00 ini -> Windows\\win.ini" in lines
    assert "-a---l--            0 2020-01-01 00:00:00 odd.dat -> [0x8000001C]" in lines
    lines = shared.run("ls", "-l", "base", "/Windows").lines
    assert (
        "-arhs---            2 2020-01-01 00:00:00 cmd-too.exe = /Windows/System32/cmd.exe" in lines
    )


def test_ls_json_rows_have_the_documented_fields(shared: Shell) -> None:
    rows = {row["path"]: row for row in shared.run("ls", "--json", "base", "/Windows").rows}
    assert rows["/Windows/cmd-too.exe"] == {
        "path": "/Windows/cmd-too.exe",
        "kind": "link",
        "attributes": ["READONLY", "HIDDEN", "SYSTEM", "ARCHIVE"],
        "size": 2,
        "write": "2020-01-01T00:00:00.0000002Z",
        "layer": "base",
        "target": "/Windows/System32/cmd.exe",
    }


def test_lone_surrogate_goes_out_and_comes_back_in(shared: Shell) -> None:
    out = shared.run("find", "base", "lone*").out
    assert out == b"/lone\xed\xa0\x80\n"
    argument = out.strip().decode("utf-8", "surrogateescape")  # as Python makes arguments of bytes
    assert shared.run("cat", "base", argument).out == b"odd"
    assert shared.run("find", "base", "lone*", "--json").rows[0]["path"] == "/lone\ud800"


def test_lone_surrogate_is_spelled_out_on_a_terminal(shared: Shell) -> None:
    assert shared.run("find", "base", "lone*", is_terminal=True).out == b"/lone\\ud800\n"


def test_control_characters_in_names_do_not_reach_the_output(bare: Shell) -> None:
    tar = layer_tar(a_layer(a_file("Files/evil\x1b[2J\n.txt", b"")))
    target = "tar:" + bare.write("evil.tar", tar)
    assert bare.run("ls", target).out == b"evil\\x1b[2J\\x0a.txt\n"
    assert bare.run("ls", target, "--json").rows[0]["path"] == "/evil\x1b[2J\n.txt"


def test_tree_draws_branches_and_counts(shared: Shell) -> None:
    result = shared.run("tree", "base", "/Windows")
    assert result.lines == [
        "/Windows",
        "├── cmd-too.exe = /Windows/System32/cmd.exe",
        "├── ea.dat",
        "├── System32",
        "│   └── cmd.exe",
        "└── win.ini",
    ]
    assert result.err == "1 directory, 4 files and links\n"


def test_tree_stops_at_a_depth_and_leaves_out_files(shared: Shell) -> None:
    assert shared.run("tree", "base", "/Windows", "-d", "--depth", "1").lines == [
        "/Windows",
        "└── System32",
    ]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.EXE", ["/Windows/cmd-too.exe", "/Windows/System32/cmd.exe"]),
        ("windows\\*\\*.exe", ["/Windows/System32/cmd.exe"]),
        ("/Windows/**/*.exe", ["/Windows/cmd-too.exe", "/Windows/System32/cmd.exe"]),
        ("nothing", []),
    ],
)
def test_find_matches_in_any_case(
    shared: Shell, target: str, pattern: str, paths: list[str]
) -> None:
    assert shared.run("find", target, pattern).lines == paths


@pytest.mark.parametrize(
    ("kind", "paths"),
    [
        ("d", ["/Users", "/Users/empty", "/Windows", "/Windows/System32"]),
        ("l", ["/Documents and Settings", "/ini"]),
    ],
)
def test_find_by_type(shared: Shell, kind: str, paths: list[str]) -> None:
    assert shared.run("find", "base", "*", "--type", kind).lines == paths


def test_cat_gives_data_streams_and_follows_links(shared: Shell, target: str) -> None:
    assert shared.run("cat", target, "C:\\WINDOWS\\win.ini").out == b"[fonts]"
    assert shared.run("cat", target, "/windows/win.ini:zone.identifier").out == b"ZoneId=3"
    assert shared.run("cat", target, "ini", "/Windows/cmd-too.exe").out == b"[fonts]MZ"
    assert shared.run("cat", target, "ini:Zone.Identifier:$DATA").out == b"ZoneId=3"
    assert shared.run("cat", "--raw", target, "Hives/Software_Base").out == b"regf"


def test_cat_shows_the_nearest_layer(shared: Shell) -> None:
    assert shared.run("cat", "app", "/License.txt").out == b"another license"
    shared.run("cat", "app", "/Windows/ea.dat", code=10)


def test_cat_refuses_a_directory_and_an_unknown_stream(shared: Shell) -> None:
    assert "winlayers ls" in shared.run("cat", "base", "/Windows", code=2).err
    shared.run("cat", "base", "/License.txt:none", code=10)


def test_path_of_the_tar_without_raw_gets_a_hint(shared: Shell) -> None:
    assert "--raw" in shared.run("cat", "base", "Hives/Software_Base", code=10).err


def test_diff_tree_tells_what_differs_and_ends_with_three_when_asked(shared: Shell) -> None:
    result = shared.run("diff-tree", "base", "app", "--exit-code", code=3)
    assert result.lines == [
        "A /app",
        "A /app/run.exe",
        "C /License.txt",
        "D /Windows/ea.dat",
        "C /Windows/win.ini",
    ]
    assert shared.run("diff-tree", "base", "base", "--exit-code").lines == []


def test_same_id_in_another_store_is_not_taken_for_the_same_layer(
    shared: Shell, bare: Shell
) -> None:
    other = layer_tar(a_layer(a_file("Files/License.txt", b"quite another")))
    bare.run("layer", "import", "base", bare.write("other.tar", other))
    there = f"windowsfilter:{bare.root}:base"
    lines = shared.run("diff-tree", "base", there).lines
    assert "C /License.txt" in lines
