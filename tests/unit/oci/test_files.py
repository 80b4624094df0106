"""Files of a folder: whole or absent, and never outside of it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import Corrupt, DigestMismatch, InvalidName, Malformed, TooLarge
from winlayers.oci._files import Folder, clean_place, read_small


class Failing(io.BytesIO):
    """Gives what it has, and then fails."""

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            raise DigestMismatch("content", expected="a", actual="b")
        return block


def test_file_that_is_received_is_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make_folder(("a", "b"))
    folder.receive(("a", "b", "c"), io.BytesIO(b"content"), 7)
    assert folder.size(("a", "b", "c")) == 7
    assert read_small(folder, ("a", "b", "c"), 7) == b"content"
    folder.receive(("a", "b", "c"), io.BytesIO(b"new"))
    assert read_small(folder, ("a", "b", "c"), 7) == b"new"
    assert folder.names(("a",)) == ["b"]
    folder.close()


@pytest.mark.parametrize("size", [0, 2, 4])
def test_file_of_another_size_leaves_the_old_one(tmp_path: Path, size: int) -> None:
    folder = Folder(tmp_path)
    folder.receive(("a",), io.BytesIO(b"old"), 3)
    with pytest.raises(Corrupt):
        folder.receive(("a",), io.BytesIO(b"new"), size)
    assert read_small(folder, ("a",), 3) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_endless_source_is_stopped(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        count = 0

        def read(self, size: int = -1, /) -> bytes:
            self.count += 1
            return b"x" * size

    source = Endless()
    with pytest.raises(Corrupt, match="more than the 10 bytes"):
        Folder(tmp_path).receive(("a",), source, 10)
    assert source.count == 1


def test_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        Folder(tmp_path).receive(("a",), Failing(b"abc"), 3)
    assert list(tmp_path.iterdir()) == []


def test_small_file_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    folder = Folder(tmp_path)
    assert read_small(folder, ("a",), 5) == b"12345"
    with pytest.raises(TooLarge, match="more than 4 bytes"):
        read_small(folder, ("a",), 4)


def test_links_and_folders_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to("../outside")
    (inside / "folder").mkdir()
    (inside / "way").symlink_to("..")
    folder = Folder(inside)
    for parts in [("link",), ("folder",), ("way", "outside")]:
        with pytest.raises(InvalidName):
            folder.size(parts)
        with pytest.raises(InvalidName):
            folder.open(parts)
    with pytest.raises(InvalidName):
        folder.receive(("way", "new"), io.BytesIO(b"x"))
    folder.receive(("link",), io.BytesIO(b"mine"))
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert not (tmp_path / "new").exists()
    assert (inside / "link").read_bytes() == b"mine"


def test_queue_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queue")
    with pytest.raises(InvalidName):
        Folder(tmp_path).open(("queue",))


def test_sweep_removes_what_was_being_written_and_nothing_else(tmp_path: Path) -> None:
    for name in (".winlayers-0123.tmp", ".winlayers-writing.lock", ".other.tmp", "a"):
        (tmp_path / name).write_bytes(b"x")
    folder = Folder(tmp_path)
    folder.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.tmp",
        ".winlayers-writing.lock",
        "a",
    ]
    assert folder.names() == [".other.tmp", "a"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a/b", ("a", "b")),
        ("./a//b/", ("a", "b")),
        ("a/../b", ("b",)),
        (".", ()),
    ],
)
def test_place_is_made_clean(text: str, parts: tuple[str, ...]) -> None:
    assert clean_place(text, "it") == parts


@pytest.mark.parametrize("text", ["/a", "//a", "..", "../a", "a/../../b", "a\0b"])
def test_place_that_leads_out_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="leads out"):
        clean_place(text, "it")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "c"]), max_size=8))
def test_place_is_within_or_refused(names: list[str]) -> None:
    text = "/".join(names)
    try:
        parts = clean_place(text, "it", folder="x/y")
    except Malformed:
        return
    assert set(parts).isdisjoint({"..", ".", ""})
    assert os.path.normpath(os.path.join("/r/x/y", text)) == "/" + "/".join(("r", *parts))
