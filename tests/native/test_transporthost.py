"""The real files of an import, by handles: what is seen, made and removed, and that no link leads out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._handles import BACKUP, RESTORE, SECURITY, privileges
from winlayers.backends.native._transporthost import NativeHost
from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.transportfolder import TransportFolder

INFO = BasicInfo(1, 2, 3, 4, 0x22)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"inside")
    (tmp_path / "file").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path)
    return root


@pytest.fixture
def folder(root: Path) -> Iterator[TransportFolder]:
    with closing(TransportFolder(root)) as folder:
        yield folder


@pytest.fixture
def host(fake: Fake) -> Iterator[NativeHost]:
    with privileges(fake.api, BACKUP, RESTORE, SECURITY), NativeHost(fake.api) as host:
        yield host


def test_what_is_there_is_seen(host: NativeHost, folder: TransportFolder) -> None:
    places = ["folder", "FOLDER/File", "link", "no", "no/no"]
    assert [host.has(folder, path) for path in places] == [True, True, True, False, False]
    assert [host.has_directory(folder, path) for path in places] == [True, *[False] * 4]


def test_times_are_set_and_read(host: NativeHost, folder: TransportFolder) -> None:
    for path in ("folder/file", "link"):
        host.set_info(folder, path, INFO)
    assert host.info(folder, "folder/file") == INFO
    assert host.info(folder, "link").write_filetime == 3
    with pytest.raises(Malformed) as caught:
        host.info(folder, "no")
    assert caught.value.finding == "parent-missing"


def test_folders_are_made_once(host: NativeHost, folder: TransportFolder, root: Path) -> None:
    host.make_directory(folder, "folder/new")
    assert (root / "folder" / "new").is_dir()
    for path, finding in (("folder/new", "name-duplicate"), ("no/new", "parent-missing")):
        with pytest.raises(Malformed) as caught:
            host.make_directory(folder, path)
        assert caught.value.finding == finding


def test_what_is_removed_must_be_there(
    host: NativeHost, folder: TransportFolder, root: Path
) -> None:
    host.remove(folder, "link")
    host.remove(folder, "folder")
    assert list(root.iterdir()) == []
    assert (root.parent / "file").read_bytes() == b"outside"
    with pytest.raises(Malformed, match="cannot be removed"):
        host.remove(folder, "folder")


@pytest.mark.parametrize("use", ["has", "has_directory", "make_directory", "info", "remove"])
def test_no_link_is_gone_through(host: NativeHost, folder: TransportFolder, use: str) -> None:
    with pytest.raises(Malformed) as caught:
        getattr(host, use)(folder, "link/file")
    assert caught.value.finding == "parent-not-directory"
    with pytest.raises(InvalidArgument):
        getattr(host, use)(folder, "../file")


def test_folder_is_opened_once(fake: Fake, root: Path, folder: TransportFolder) -> None:
    with NativeHost(fake.api) as host:
        assert host.handle(root) == host.handle(root)
        assert host.has(folder, "folder")
        assert fake.calls().count("CreateFileW") == 1
        assert fake.live() == (0, 1)
    assert fake.live() == (0, 0)
