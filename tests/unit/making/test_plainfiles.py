"""Files of plain tars and folders, each with what is needed of it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from winlayers.base.rooted import Root
from winlayers.errors import InvalidArgument, InvalidName, Malformed
from winlayers.making.plainfiles import PlainFile, PlainKind, files_of_folder, files_of_tar


def a_tar(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, kind, fields in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 7
            content = b""
            for key, value in fields.items():
                if key == "content":
                    assert isinstance(value, bytes)
                    content = value
                else:
                    setattr(info, key, value)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def told(file: PlainFile) -> tuple[object, ...]:
    content = b""
    if file.kind is PlainKind.FILE:
        assert file.open is not None
        with file.open() as opened:
            content = opened.read()
        assert len(content) == file.size
    return "/".join(file.parts), file.kind, file.write_ns, content, file.target, file.shares


def test_files_of_a_tar_come_in_its_order() -> None:
    tar = a_tar(
        ("./", tarfile.DIRTYPE, {}),
        ("b/", tarfile.DIRTYPE, {}),
        ("b/f", tarfile.REGTYPE, {"content": b"text"}),
        ("b/l", tarfile.SYMTYPE, {"linkname": "../x"}),
        ("a", tarfile.LNKTYPE, {"linkname": "./b/f"}),
    )
    second = 10**9
    assert [told(file) for file in files_of_tar(io.BytesIO(tar))] == [
        ("b", PlainKind.DIRECTORY, 7 * second, b"", "", ()),
        ("b/f", PlainKind.FILE, 7 * second, b"text", "", ()),
        ("b/l", PlainKind.SYMLINK, 7 * second, b"", "../x", ()),
        ("a", PlainKind.HARD_LINK, 7 * second, b"", "", ("b", "f")),
    ]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:/x"])
def test_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        list(files_of_tar(io.BytesIO(a_tar((name, tarfile.REGTYPE, {})))))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_windows_does_not_have_is_refused(kind: bytes) -> None:
    with pytest.raises(InvalidArgument, match="pipe, socket or device"):
        list(files_of_tar(io.BytesIO(a_tar(("x", kind, {})))))


def test_cut_tar_is_malformed() -> None:
    tar = a_tar(("x", tarfile.REGTYPE, {"content": b"y"}))[:1024]
    with pytest.raises(Malformed, match="end marker"):
        list(files_of_tar(io.BytesIO(tar)))


def test_files_of_a_folder_come_by_name_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "z").write_bytes(b"text")
    (tmp_path / "a").symlink_to("b")
    os.link(tmp_path / "b" / "z", tmp_path / "c")
    for path in ("b/c", "b/z", "b"):
        os.utime(tmp_path / path, ns=(5, 7))
    with Root(tmp_path) as root:
        found = [told(file) for file in files_of_folder(root)]
    found[0] = (*found[0][:2], None, *found[0][3:])
    assert found == [
        ("a", PlainKind.SYMLINK, None, b"", "b", ()),
        ("b", PlainKind.DIRECTORY, 7, b"", "", ()),
        ("b/c", PlainKind.DIRECTORY, 7, b"", "", ()),
        ("b/z", PlainKind.FILE, 7, b"text", "", ()),
        ("c", PlainKind.HARD_LINK, 7, b"", "", ("b", "z")),
    ]


def test_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    with Root(tmp_path) as root, pytest.raises(InvalidArgument, match="'p' is a pipe"):
        list(files_of_folder(root))
