"""IndexBuilder on tars where one row depends on another: links, doubles, and what is opened for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, a_link, an_import, layer_tar, paths_of
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.loose import open_loose
from winlayers.formats.tar import TarFormat, TarHeader, TarWriter
from winlayers.layer.chain import Chain
from winlayers.layer.entry import EntryKind
from winlayers.layer.view import View

LONE = "\ud800"


def _tar(path: Path, *headers: TarHeader) -> Path:
    with open(path, "wb") as file:
        writer = TarWriter(file)
        for header in headers:
            writer.add(header, format=TarFormat.PAX)
        writer.close()
    return path


def _folder(name: bytes) -> TarHeader:
    return TarHeader(name=name, typeflag=b"5", pax={b"MSWINDOWS.fileattr": b"16"})


def _file(name: bytes) -> TarHeader:
    return TarHeader(name=name, typeflag=b"0", pax={b"MSWINDOWS.fileattr": b"32"})


def _link(name: bytes, target: bytes) -> TarHeader:
    return TarHeader(name=name, typeflag=b"1", linkname=target, pax={})


def test_hard_link_that_stands_twice_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    path = _tar(
        tmp_path / "layer.tar",
        _folder(b"Files"),
        _file(b"Files/a"),
        _link(b"Files/l", b"Files/a"),
        _folder(b"Files/folder"),
        _link(b"Files/L", b"Files/folder"),  # which is not looked at: the name is taken
    )
    with open_loose(path, tmpdir=tmp_path, is_base=True) as layer:
        found = [(finding.code, finding.entry) for finding in layer.table.findings()]
        link = layer.view.lookup("Files/l")
        assert link is not None
        assert layer.view.entry(link).target == "Files/a"
    assert found == [("name-duplicate", "Files/L")]


def test_missing_folders_of_one_entry_are_told_up_to_a_limit(tmp_path: Path) -> None:
    path = _tar(tmp_path / "layer.tar", _folder(b"Files"), _file(b"Files/a" + 5000 * b"/b"))
    with open_loose(path, tmpdir=tmp_path, is_base=True) as layer:
        findings = list(layer.table.findings())
        found = paths_of(layer.view)
    assert {(finding.code, finding.entry) for finding in findings} == {
        ("parent-missing", found[-1])
    }
    assert findings[1].detail == "there is no entry for 'Files/a/b' before it"
    assert len(findings) == 16
    assert len(found) == 5002


def test_findings_of_long_names_are_kept_up_to_a_size(tmp_path: Path) -> None:
    folders = [b"Files" + number * (b"/" + 250 * b"d") for number in range(130)]
    twice = 600 * [_file(folders[-1] + b"/x")]
    path = _tar(tmp_path / "layer.tar", *map(_folder, folders), *twice)
    with open_loose(path, tmpdir=tmp_path, is_base=True) as layer:
        findings = list(layer.table.findings())
    kept = sum(len(finding.entry + finding.detail) for finding in findings)
    assert (15 << 20) < kept <= (16 << 20)


def test_what_is_below_the_second_of_two_folders_is_found_below_the_first(tmp_path: Path) -> None:
    path = _tar(
        tmp_path / "layer.tar",
        _folder(b"Files"),
        _folder(b"Files/a"),
        _folder(b"Files/A"),
        _file(b"Files/A/x"),
        *[_file(b"Files/%d" % number) for number in range(1000)],
        _file(b"Files/A/y"),
    )
    with open_loose(path, tmpdir=tmp_path, is_base=True) as layer:
        assert [finding.code for finding in layer.table.findings()] == ["name-duplicate"]
        found = paths_of(layer.view)
    assert {"Files/a/x", "Files/a/y"} <= set(found)
    assert len(found) == 1004


def test_refused_name_with_a_lone_surrogate_can_be_told(tmp_path: Path) -> None:
    path = _tar(tmp_path / "layer.tar", _file(f"other/{LONE}/a:s".encode("utf-8", "surrogatepass")))
    with open_loose(path, tmpdir=tmp_path, is_base=True) as layer:
        entries = {finding.entry for finding in layer.table.findings()}
    assert entries == {f"other/{LONE}/a:s"}


def test_link_to_a_link_into_the_parents_keeps_a_lone_surrogate(tmp_path: Path) -> None:
    backend = PortableBackend(tmp_path)
    backend.import_tar(an_import("base", layer_tar(a_layer(a_file(f"Files/{LONE}", b"low")))))
    raw = f"Files/{LONE}".encode("utf-8", "surrogatepass")
    top = _tar(
        tmp_path / "top.tar",
        _folder(b"Files"),
        _link(b"Files/l", raw),
        _link(b"Files/m", b"Files/l"),
    )
    backend.import_tar(an_import("top", top.read_bytes(), "base"))
    view = backend.view("top", Chain(("base",)))
    node = view.lookup("Files/m")
    assert node is not None
    assert node.kind is EntryKind.LINK
    assert view.open(node).read() == b"low"
    view.close()


def test_parents_are_opened_once_for_all_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PortableBackend(tmp_path)
    names = [f"Files/{number}" for number in range(50)]
    backend.import_tar(an_import("base", layer_tar(a_layer(*(a_file(name) for name in names)))))
    opened: list[View] = []
    original = backend.view

    def view(layer_id: str, chain: Chain) -> View:
        opened.append(original(layer_id, chain))
        return opened[-1]

    monkeypatch.setattr(backend, "view", view)
    links = [a_link(f"Files/link{number}", name) for number, name in enumerate(names)]
    summary = backend.import_tar(an_import("top", layer_tar(a_layer(*links)), "base"))
    assert summary.entry_count > len(links)
    assert len(opened) == 1
