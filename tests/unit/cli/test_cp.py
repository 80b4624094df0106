"""``winlayers cp``: into a scratch and out of any layer, from and to folders and tars."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.builders import NEW_YEAR_FILETIME
from tests.unit.cli.harness import BASE, Shell
from winlayers.cli.copyplaces import LayerPlace, parse_place
from winlayers.errors import Malformed
from winlayers.formats.filetime import filetime_to_ns, format_filetime, ns_to_filetime

LONG_AGO_NS = 1_300_000_000_123_456_700


@pytest.fixture
def work(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A store with a scratch ``work`` on ``app``; the present folder is the test's."""
    shell.run("layer", "create", "work", "--parent", "app")
    monkeypatch.chdir(shell.folder)
    return shell


@pytest.fixture
def site(work: Shell) -> Path:
    """A folder with a bit of everything that POSIX has."""
    site = work.folder / "site"
    (site / "sub").mkdir(parents=True)
    (site / "index.html").write_bytes(b"hello")
    (site / "sub" / "zeros").write_bytes(b"a" + bytes(3 << 20))
    os.link(site / "index.html", site / "sub" / "again")
    (site / "to-file").symlink_to("index.html")
    (site / "to-folder").symlink_to("sub")
    (site / "to-root").symlink_to("/Windows")
    for path in (site / "index.html", site / "sub" / "zeros", site / "sub", site):
        os.utime(path, ns=(LONG_AGO_NS + 100, LONG_AGO_NS))
    return site


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bytes], None]:
    """Gives bytes on standard input."""

    def give(content: bytes) -> None:
        path = tmp_path / "standard-input"
        path.write_bytes(content)
        monkeypatch.setattr("sys.stdin", open(path))

    return give


def a_tar(*members: tuple[str, bytes | str], **headers: dict[str, str]) -> bytes:
    """A plain tar: a folder for a name that ends in a slash, for a text a link of that type and target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1_300_000_000
            info.pax_headers = headers.get(name, {})
            if isinstance(content, str):
                info.type, info.linkname = content[:1].encode(), content[1:]
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def test_folder_goes_in_with_times_links_and_inherited_descriptors(work: Shell, site: Path) -> None:
    result = work.run("cp", "site", "work:/")
    assert result.err == "copied 2 files, 2 directories and 4 links to work:/\n"
    assert work.run("ls", "-R", "work", "/site").lines == [
        "/site/index.html",
        "/site/sub",
        "/site/sub/again",
        "/site/sub/zeros",
        "/site/to-file",
        "/site/to-folder",
        "/site/to-root",
    ]
    index = work.run("stat", "work", "/site/index.html", "--json").document
    assert index["times"]["write"] == format_filetime(ns_to_filetime(LONG_AGO_NS))
    assert index["times"]["access"] == format_filetime(ns_to_filetime(LONG_AGO_NS + 100))
    assert index["times"]["creation"] > "2025"
    assert index["attributes"] == ["ARCHIVE"]
    assert index["security"]["sddl"].startswith("O:BAG:SYD:")
    for folder in ("/site", "/site/sub"):
        facts = work.run("stat", "work", folder, "--json").document
        assert facts["times"]["write"] == format_filetime(ns_to_filetime(LONG_AGO_NS))
    assert work.run("cat", "work", "/site/sub/zeros").out == b"a" + bytes(3 << 20)
    assert work.run("cat", "work", "/site/to-folder/again").out == b"hello"
    links = {row["path"]: row for row in work.run("ls", "work", "/site", "--json").rows}
    assert links["/site/to-root"]["target"] == "C:\\Windows"
    assert "DIRECTORY" in links["/site/to-folder"]["attributes"]
    assert "DIRECTORY" in links["/site/to-root"]["attributes"]
    assert "DIRECTORY" not in links["/site/to-file"]["attributes"]


def test_zeros_are_not_stored(work: Shell, site: Path) -> None:
    work.run("cp", "site/sub/zeros", "work:/")
    files = list((work.root / "windowsfilter" / "work" / "scratch" / "data").rglob("*"))
    assert sum(file.stat().st_blocks * 512 for file in files if file.is_file()) < 3 << 20


def test_file_lands_as_docker_puts_it(work: Shell, site: Path) -> None:
    work.run("cp", "site/index.html", r"work:C:\new.html")
    work.run("cp", "site/index.html", "work:/Users")
    work.run("cp", "site/index.html", "work:/LICENSE.TXT")
    assert work.run("cat", "work", "/new.html", "/Users/index.html", "/License.txt").out == (
        b"hello" * 3
    )
    assert "/License.txt" in work.run("find", "work", "license.*").lines  # the name keeps its case
    for destination in ("work:/none/", "work:/none/x", "work:/License.txt/"):
        work.run("cp", "site/index.html", destination, code=2 if "License" in destination else 10)


def test_content_of_a_folder_goes_into_one_that_is_there(work: Shell, site: Path) -> None:
    work.run("cp", "site/.", "work:/Users")
    assert "index.html" in work.run("ls", "work", "/Users").lines
    work.run("cp", "site/sub", "work:/other")
    assert work.run("ls", "work", "/other").lines == ["again", "zeros"]
    assert "no directory" in work.run("cp", "site", "work:/License.txt", code=2).err


def test_destination_goes_through_links_of_the_layer(work: Shell, site: Path) -> None:
    work.run("cp", "site/index.html", "work:/Documents and Settings")
    assert work.run("ls", "work", "/Users").lines == ["empty", "index.html"]


def test_overwritten_file_keeps_descriptor_and_loses_streams(work: Shell, site: Path) -> None:
    before = work.run("stat", "work", "/Windows/win.ini", "--json").document
    work.run("cp", "site/index.html", "work:/Windows/win.ini")
    after = work.run("stat", "work", "/Windows/win.ini", "--json").document
    assert after["security"] == before["security"]
    assert after["times"]["creation"] == before["times"]["creation"]
    assert (len(before["streams"]), after["streams"]) == (1, [])
    assert after["size"] == 5


def test_read_only_file_is_not_overwritten(work: Shell, site: Path) -> None:
    error = work.run("cp", "site/index.html", "work:/Windows/System32/cmd.exe", code=17).err
    assert "cmd.exe" in error
    assert work.run("cat", "work", "/Windows/System32/cmd.exe").out == b"MZ"


def test_link_is_copied_as_one_unless_followed(work: Shell, site: Path) -> None:
    work.run("cp", "site/to-file", "work:/a")
    work.run("cp", "-L", "site/to-file", "work:/b")
    work.run("cp", "site/to-folder/", "work:/c")
    kinds = {row["path"]: row.get("target") for row in work.run("ls", "work", "--json").rows}
    assert (kinds["/a"], kinds["/b"], kinds["/c"]) == ("index.html", None, None)
    assert work.run("ls", "work", "/c").lines == ["again", "zeros"]


def test_kinds_do_not_take_each_others_place(work: Shell, site: Path) -> None:
    (site / "License.txt").mkdir()
    assert "no directory" in work.run("cp", "site/.", "work:/", code=2).err
    (site / "License.txt").rmdir()
    (site / "Windows").write_bytes(b"")
    assert "is a directory" in work.run("cp", "site/.", "work:/", code=2).err
    (site / "Windows").unlink()
    (site / "Documents and Settings").mkdir()
    work.run("cp", "site/.", "work:/", code=2)


def test_names_that_windows_does_not_hold_are_refused(work: Shell) -> None:
    for name in ("a:b", "aux.txt", "dot.", ".wh.a"):
        folder = work.folder / f"f-{len(name)}-{name[0]}"
        folder.mkdir()
        (folder / name).write_bytes(b"")
        assert name in work.run("cp", f"{folder}/.", "work:/", code=2).err
    folder = work.folder / "cases"
    folder.mkdir()
    for name in ("Readme", "README"):
        (folder / name).write_bytes(b"")
    assert "one name to Windows" in work.run("cp", "cases", "work:/", code=11).err


def test_pipes_are_left_out_and_told(work: Shell, site: Path) -> None:
    os.mkfifo(site / "queue")
    result = work.run("cp", "site", "work:/", code=3)
    assert "left out queue: " in result.err
    assert "index.html" in work.run("ls", "work", "/site").lines


def test_quota_ends_a_copy(work: Shell) -> None:
    work.run("layer", "create", "small", "--parent", "app", "--storage-opt", "size=64kB")
    (work.folder / "big").write_bytes(b"x" * 100_000)
    work.run("cp", "big", "small:/", code=18)
    assert "big" not in work.run("ls", "small").lines
    work.run("cp", "-q", "big", "work:/")


def test_only_scratches_take_files_and_one_side_is_a_layer(work: Shell, site: Path) -> None:
    assert "layer create" in work.run("cp", "site", "app:/", code=2).err
    work.run("cp", "site", "none:/", code=10)
    work.run("cp", "site", "other", code=2)
    assert "cp -a app:/a - |" in work.run("cp", "app:/a", "work:/b", code=2).err
    work.run("cp", "none", "work:/", code=10)
    work.run("cp", "", "work:/", code=2)
    work.run("cp", "app:/none", ".", code=10)


def test_tar_is_unpacked(work: Shell, feed: Callable[[bytes], None]) -> None:
    feed(
        a_tar(
            ("./top/", b""),
            ("./top/to-new", "2deep/new.txt"),
            ("top/deep/er/new.txt", b"new"),
            ("top/to-deep", "2deep"),
            ("top/hard", "1top/deep/er/new.txt"),
            ("top/link-to-link", "1top/to-deep"),
            ("top/twice", b"first"),
            ("top/twice", b"second"),
        )
    )
    work.run("cp", "-", "work:/Users")
    assert work.run("cat", "work", "/Users/top/hard", "/Users/top/twice").out == b"newsecond"
    rows = {row["path"]: row for row in work.run("ls", "work", "/Users/top", "--json").rows}
    assert "DIRECTORY" in rows["/Users/top/to-deep"]["attributes"]
    assert rows["/Users/top/link-to-link"]["target"] == "deep"
    assert rows["/Users/top/twice"]["write"].startswith("2011-03-13T07:06:40.0")


def test_compressed_tar_is_unpacked(work: Shell, feed: Callable[[bytes], None]) -> None:
    feed(gzip.compress(a_tar(("a.txt", b"a"))))
    work.run("cp", "-", "work:")
    assert work.run("cat", "work", "/a.txt").out == b"a"


@pytest.mark.parametrize(
    "name", ["../out", "/abs", "a/../../out", "C:/x", r"\\server\share", "a\\..\\..\\x"]
)
def test_tar_that_leads_elsewhere_is_refused(
    work: Shell, feed: Callable[[bytes], None], name: str
) -> None:
    feed(a_tar((name, b"x")))
    found = json.loads(work.run("cp", "-", "work:/Users", "--json", code=2).err)
    assert found["error"]["finding"] == "name-traversal"
    feed(a_tar(("a", b""), ("b", "1" + name)))
    work.run("cp", "-", "work:/Users", code=2)
    assert "out" not in "".join(work.run("find", "work", "*out*").lines)


def test_tar_does_not_lead_through_its_own_links(
    work: Shell, feed: Callable[[bytes], None]
) -> None:
    feed(a_tar(("a", "2/Windows"), ("a/win.ini", b"hostile")))
    work.run("cp", "-", "work:/Users", code=2)
    feed(a_tar(("ini/win.ini", b"hostile")))
    work.run("cp", "-", "work:/", code=2)  # there is a link of this name
    assert work.run("cat", "work", "/Windows/win.ini").out == b"[fonts]"
    feed(a_tar(("a", "1/Windows/win.ini")))
    work.run("cp", "-", "work:/Users", code=2)
    feed(a_tar(("b", "1Windows/win.ini")))
    assert "not among" in work.run("cp", "-", "work:/", code=2).err


def test_damaged_tars_are_refused(work: Shell, feed: Callable[[bytes], None]) -> None:
    tar = a_tar(("a.txt", b"a" * 2000))
    for content in (tar[:1000], tar[:2560], b"no tar" * 200, b""):
        feed(content)
        work.run("cp", "-", "work:/", code=14)
    feed(tar)
    work.run("cp", "-", "work:/License.txt", code=2)
    work.run("cp", "-", "work:/none", code=10)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ntfs_attrib", "abc", 14),
        ("ntfs_times", "abc", 14),
        ("ntfs_acl", "abc", 2),
        ("ntfs_ea", "abc", 14),
        ("ntfs_reparse_data", "abc", 2),
    ],
)
def test_hostile_ntfs_metadata_is_refused(
    work: Shell, feed: Callable[[bytes], None], name: str, value: str, code: int
) -> None:
    feed(a_tar(("a", b""), a={f"SCHILY.xattr.system.{name}": value}))
    work.run("cp", "-", "work:/", code=code)


def test_all_that_ntfs_has_goes_from_layer_to_layer(
    work: Shell, feed: Callable[[bytes], None]
) -> None:
    feed(work.run("cp", "-a", "base:/.", "-").out)
    work.run("layer", "create", "copy")
    result = work.run("cp", "-", "copy:/")
    assert result.err.startswith("copied 5 files, 4 directories and 4 links")
    changed = {row["path"] for row in work.run("diff-tree", "--json", "base", "copy").rows}
    # What is outside of C: was not copied; and here the two names of a file are alike.
    assert changed == {"/", "/Windows/cmd-too.exe", "Hives", "UtilityVM"}
    shared = work.run("stat", "copy", "/Windows/cmd-too.exe", "--json").document
    assert (
        shared["security"]
        == work.run("stat", "base", "/Windows/cmd-too.exe", "--json").document["security"]
    )


def test_tar_on_standard_output_is_plain(work: Shell) -> None:
    result = work.run("cp", "app:/Windows", "-")
    with tarfile.open(fileobj=io.BytesIO(result.out)) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == [
        "Windows",
        "Windows/cmd-too.exe",
        "Windows/System32",
        "Windows/System32/cmd.exe",
        "Windows/win.ini",
    ]
    assert members["Windows/System32/cmd.exe"].linkname == "Windows/cmd-too.exe"
    assert members["Windows/cmd-too.exe"].mode == 0o444
    assert int(members["Windows/win.ini"].mtime) == filetime_to_ns(NEW_YEAR_FILETIME) // 10**9
    assert not any("SCHILY.xattr" in key for one in members.values() for key in one.pax_headers)
    assert "loss stream-lost" in result.err
    assert work.run("-q", "cp", "-a", "app:/Windows", "-").err == ""
    work.run("cp", "app:/", "-", code=2, is_terminal=True)


def test_links_go_into_a_tar_as_links(work: Shell) -> None:
    with tarfile.open(fileobj=io.BytesIO(work.run("cp", "app:/.", "-").out)) as tar:
        links = {member.name: member.linkname for member in tar if member.issym()}
    assert links == {"Documents and Settings": "Users", "ini": "Windows/win.ini"}


def test_folder_comes_out(work: Shell) -> None:
    result = work.run("cp", "app:/Windows", "out")
    assert (work.folder / "out" / "win.ini").read_bytes() == b"[fonts]"
    assert (work.folder / "out" / "cmd-too.exe").samefile(work.folder / "out/System32/cmd.exe")
    assert (work.folder / "out").stat().st_mtime_ns == filetime_to_ns(NEW_YEAR_FILETIME + 2)
    assert "loss security-lost" in result.err
    assert result.err.startswith("copied 2 files, 1 directory and 1 link to out\n")


def test_folder_comes_into_one_that_is_there(work: Shell) -> None:
    out = work.folder / "out"
    (out / "Windows" / "System32").mkdir(parents=True)
    (out / "Windows" / "own.txt").write_bytes(b"own")
    (out / "Windows" / "win.ini").write_bytes(b"old")
    work.run("cp", "app:/Windows", "out")
    work.run("cp", "app:/app/.", "out")
    assert sorted(os.listdir(out)) == ["Windows", "run.exe"]
    assert sorted(os.listdir(out / "Windows")) == ["System32", "cmd-too.exe", "own.txt", "win.ini"]
    assert (out / "Windows" / "win.ini").read_bytes() == b"[fonts]"


def test_file_comes_out_as_docker_puts_it(work: Shell) -> None:
    for destination, path in (("new", "new"), (".", "License.txt"), ("new", "new")):
        work.run("cp", "app:/License.txt", destination)
        assert (work.folder / path).read_bytes() == b"another license"
    work.run("cp", "app:/License.txt", "none/", code=10)
    work.run("cp", "app:/License.txt", "none/x", code=10)
    work.run("cp", "app:/License.txt", "new/", code=2)
    work.run("cp", "app:/License.txt/", "x", code=2)
    work.run("cp", "app:/Windows", "new", code=2)
    work.run("cp", "--raw", "base:Hives/Software_Base", "hive")
    assert (work.folder / "hive").read_bytes() == b"regf"


def test_what_comes_out_gets_through_no_link(work: Shell) -> None:
    outside, out = work.folder / "outside", work.folder / "out"
    outside.mkdir()
    (out / "Windows").mkdir(parents=True)
    (out / "Windows" / "System32").symlink_to(outside)
    (out / "Windows" / "win.ini").symlink_to(outside / "win.ini")
    work.run("cp", "app:/Windows", "out", code=2)
    assert list(outside.iterdir()) == []
    assert sorted(os.listdir(out)) == ["Windows"]


def test_link_in_a_layer_has_to_be_followed(work: Shell) -> None:
    assert "-L copies" in work.run("cp", "app:/ini", ".", code=2).err
    work.run("cp", "-L", "app:/ini", ".")
    assert (work.folder / "ini").read_bytes() == b"[fonts]"


def test_hard_links_of_a_scratch_come_out_as_such(work: Shell, site: Path) -> None:
    work.run("cp", "site", "work:/")
    work.run("cp", "work:/site", "out")
    assert (work.folder / "out/index.html").samefile(work.folder / "out/sub/again")
    with tarfile.open(fileobj=io.BytesIO(work.run("cp", "work:/site", "-").out)) as tar:
        assert tar.getmember("site/sub/again").linkname == "site/index.html"


def test_files_of_a_tar_come_out_without_an_import(work: Shell) -> None:
    file = work.write("some.tar", BASE)
    work.run("cp", f"tar:{file}:C:\\Windows\\win.ini", ".")
    assert (work.folder / "win.ini").read_bytes() == b"[fonts]"
    work.run("cp", f"windowsfilter:{work.root}:app:/app", "app")
    assert os.listdir(work.folder / "app") == ["run.exe"]


def test_names_of_files_and_stores_may_hold_colons(tmp_path: Path) -> None:
    tar, root = tmp_path / "a:b.tar", tmp_path / "r:s"
    tar.touch()
    root.mkdir()
    assert parse_place(f"tar:{tar}:C:/x") == LayerPlace(f"tar:{tar}", "C:/x")
    place = parse_place(f"windowsfilter:{root}:app:/x")
    assert place == LayerPlace(f"windowsfilter:{root}:app", "/x")


def test_scratch_is_written_by_one_at_a_time(work: Shell, site: Path) -> None:
    from winlayers.assembly import open_driver
    from winlayers.config import Config

    with open_driver(Config(work.root)).scratch("work"):
        work.run("cp", "site", "work:/", code=12)
        work.run("cp", "work:/app", "out")
    work.run("cp", "site", "work:/")


def test_json_tells_what_was_copied(work: Shell, site: Path) -> None:
    assert work.run("cp", "site", "work:/", "--json").document == {
        "destination": "work:/",
        "files": 2,
        "directories": 2,
        "links": 4,
        "size": 5 + 1 + (3 << 20),
        "left_out": [],
    }
    found = work.run("cp", "work:/site", "out", "--json").document
    assert (found["destination"], found["files"], found["links"]) == ("out", 2, 3)


def test_error_of_a_value_names_it() -> None:
    from winlayers.cli import copyxattrs
    from winlayers.layer import ntfs3g

    with pytest.raises(Malformed, match="ntfs_attrib"):
        copyxattrs.tells_directory({ntfs3g.ATTRIBUTES: b""})
