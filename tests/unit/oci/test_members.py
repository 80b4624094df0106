"""Members of a tar: read where they lie, whatever an archive says of itself."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.base import room
from winlayers.base.compression import Compression, open_compressor
from winlayers.errors import InvalidName, Malformed, NoSpace, TooLarge, WinlayersError
from winlayers.formats.tarblock import TYPE_DIRECTORY, TYPE_REGULAR, TarHeader
from winlayers.formats.tarwrite import TarWriter
from winlayers.oci import _members
from winlayers.oci._files import read_small
from winlayers.oci._members import TarFiles

LINK = b"2"
HARD = b"1"


def tar(*members: tuple[str, bytes | str], kind: bytes = LINK) -> bytes:
    """A tar of files (bytes), links (text) and folders (names with a slash at the end)."""
    target = io.BytesIO()
    writer = TarWriter(target)
    for name, content in members:
        if isinstance(content, str):
            writer.add(TarHeader(name.encode(), kind, content.encode()))
        elif name.endswith("/"):
            writer.add(TarHeader(name.encode(), TYPE_DIRECTORY))
        else:
            writer.add(TarHeader(name.encode(), TYPE_REGULAR, size=len(content)))
            writer.write(content)
    writer.close()
    return target.getvalue()


def files_of(path: Path, content: bytes) -> TarFiles:
    path.write_bytes(content)
    return TarFiles(path)


def test_members_are_read_where_they_lie(tmp_path: Path) -> None:
    files = files_of(tmp_path / "a.tar", tar(("d/", b""), ("d/a", b"one"), ("./b", b"two")))
    assert files.size(("d", "a")) == 3
    assert read_small(files, ("d", "a"), 10) == b"one"
    assert read_small(files, ("b",), 10) == b"two"
    assert files.size(("c",)) is None
    with pytest.raises(FileNotFoundError):
        files.open(("c",))
    with pytest.raises(InvalidName, match="not a regular file"):
        files.size(("d",))


def test_member_stays_open_when_the_archive_is_closed(tmp_path: Path) -> None:
    files = files_of(tmp_path / "a.tar", tar(("a", b"one"), ("b", b"two")))
    with files.open(("b",)) as member:
        files.close()
        assert member.seek(1) == 1
        assert member.read() == b"wo"
    member.close()
    assert member.closed


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
def test_archive_may_be_compressed(tmp_path: Path, compression: Compression) -> None:
    target = io.BytesIO()
    with open_compressor(target, compression) as writer:
        writer.write(tar(("a", b"one")))
    files = files_of(tmp_path / "a.tar.x", target.getvalue())
    assert read_small(files, ("a",), 10) == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.x"]


def test_archive_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=lambda: pipe.write_bytes(tar(("a", b"one"))))
    writing.start()
    files = TarFiles(pipe)
    writing.join()
    assert read_small(files, ("a",), 10) == b"one"


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_members, "copy", full)
    with pytest.raises(NoSpace, match="TMPDIR"):
        files_of(tmp_path / "a.tgz", gzip.compress(tar(("a", b"one"))))


def test_bomb_is_stopped_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(total=1 << 40, free=(64 << 20) - 1)
    monkeypatch.setattr(room, "disk_of", lambda folder: full)
    with pytest.raises(NoSpace, match="TMPDIR"):
        files_of(tmp_path / "a.tgz", gzip.compress(bytes(1 << 20)))


@pytest.mark.parametrize("name", ["n" * 4000, "a/" * 2000 + "b"])
def test_names_have_a_limit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(_members, "MAX_NAMES_SIZE", 1 << 20)
    few = tar(*((f"{number}{name}", b"") for number in range(3)))
    assert files_of(tmp_path / "few.tar", few).size(tuple(f"0{name}".split("/"))) == 0
    many = tar(*((f"{number}{name}", b"") for number in range(300)))
    with pytest.raises(TooLarge, match="names"):
        files_of(tmp_path / "many.tar", many)


def test_links_lead_to_members(tmp_path: Path) -> None:
    content = tar(
        ("x.tar", b"layer"), ("d/layer.tar", "../x.tar"), ("e/layer.tar", "../d/layer.tar")
    )
    files = files_of(tmp_path / "a.tar", content)
    assert read_small(files, ("e", "layer.tar"), 10) == b"layer"
    assert files.size(("d", "layer.tar")) == 5
    files = files_of(tmp_path / "b.tar", tar(("x", b"layer"), ("d/y", "x"), kind=HARD))
    assert read_small(files, ("d", "y"), 10) == b"layer"


@pytest.mark.parametrize("name", ["../a", "/a", "d/../../a"])
def test_name_that_leads_out_is_malformed(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed, match="leads out"):
        files_of(tmp_path / "a.tar", tar((name, b"x")))


@pytest.mark.parametrize("target", ["../../a", "/etc/passwd", ".."])
def test_link_that_leads_out_is_malformed(tmp_path: Path, target: str) -> None:
    with pytest.raises(Malformed, match="leads out"):
        files_of(tmp_path / "a.tar", tar(("a", target)))


def test_link_is_never_followed_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    files = files_of(tmp_path / "a.tar", tar(("a", "outside")))
    assert files.size(("a",)) is None


def test_links_in_a_circle_are_malformed(tmp_path: Path) -> None:
    files = files_of(tmp_path / "a.tar", tar(("a", "b"), ("b", "a")))
    with pytest.raises(Malformed, match="steps"):
        files.size(("a",))


def test_two_members_of_one_name_are_malformed_when_asked_for(tmp_path: Path) -> None:
    content = tar(("a", b"one"), ("./a", b"two"), ("b", b"three"), ("d/", b""), ("d/", b""))
    files = files_of(tmp_path / "a.tar", content)
    assert read_small(files, ("b",), 10) == b"three"
    with pytest.raises(Malformed, match="more than once"):
        files.size(("a",))
    with pytest.raises(InvalidName):
        files.size(("d",))


def test_third_member_of_a_name_does_not_hide_the_other_two(tmp_path: Path) -> None:
    files = files_of(tmp_path / "a.tar", tar(("a", b"1"), ("a", b"2"), ("a/", b"")))
    with pytest.raises(Malformed, match="more than once"):
        files.open(("a",))


def test_count_of_members_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_members, "MAX_MEMBERS", 3)
    three = [(name, b"x") for name in "abc"]
    assert files_of(tmp_path / "a.tar", tar(*three)).size(("c",)) == 1
    with pytest.raises(TooLarge, match="more than 3 members"):
        files_of(tmp_path / "b.tar", tar(*three, ("d", b"x")))


def test_thousands_of_members_are_found(tmp_path: Path) -> None:
    files = files_of(tmp_path / "a.tar", tar(*((f"d{n}/f", b"") for n in range(5000))))
    assert files.size(("d4999", "f")) == 0


def test_archive_that_is_cut_is_malformed(tmp_path: Path) -> None:
    whole = tar(("a", bytes(1000)), ("b", b"x"))
    with pytest.raises(Malformed):
        files_of(tmp_path / "a.tar", whole[:900])
    with pytest.raises(Malformed):
        files_of(tmp_path / "b.tar", gzip.compress(whole)[:-20])


def test_size_larger_than_the_archive_is_malformed(tmp_path: Path) -> None:
    target = io.BytesIO()
    TarWriter(target).add(TarHeader(b"a", TYPE_REGULAR, size=1 << 40))
    with pytest.raises(Malformed):
        files_of(tmp_path / "a.tar", target.getvalue())


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.data())
def test_damaged_archive_is_an_error_of_ours_or_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(tar(("a", b"one"), ("d/b", "../a"), ("c", bytes(600))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    try:
        files = files_of(path, bytes(content))
        for parts in (("a",), ("d", "b"), ("c",)):
            size = files.size(parts)
            assert size is None or len(read_small(files, parts, 1 << 20)) == size
    except WinlayersError:
        return
