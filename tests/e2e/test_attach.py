"""Layers of Docker on Windows, read of a real disk of NTFS."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import needs
from tests.e2e.ntfsdisk import Disk
from tests.e2e.places import run
from tests.support.builders import (
    NEW_YEAR_FILETIME,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_view,
    a_whiteout,
    layer_tar,
    node_at,
    tar_of,
)
from tests.support.dockerroot import a_layer_folder, record_layer
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.errors import Unsupported
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import build_descriptor
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.baselayer import BaseLayerReader
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE, EntryKind
from winlayers.layer.ntfsfolder import NtfsFolder, spool
from winlayers.layer.ntfswriter import extract_to_ntfs

pytestmark = pytest.mark.e2e

BASE, APP, BOX = "a" * 64, "b" * 64, "c" * 64
READ_ONLY = "ro,streams_interface=windows,noatime"
LONG = build_descriptor(parse_sddl("O:SYG:BAD:PAI" + "(A;OICI;FA;;;BA)" * 30))
EA = build_ea_list([ExtendedAttribute(b"ONE", b"1", 0x80), ExtendedAttribute(b"TWO", bytes(200))])
LAYER = a_layer(
    a_file("Files/a.txt", b"text", {"Zone.Identifier": b"[Zone]", "big": bytes(100_000)}, ea=EA),
    a_directory("Files/d", {"of d": b"stream"}, attributes=0x2013, security=LONG),
    a_file(
        "Files/d/b.bin", bytes(range(256)) * 9000, attributes=0x21, write_filetime=NEW_YEAR_FILETIME
    ),
    a_link("Files/d/c.bin", "Files/d/b.bin"),
    a_junction("Files/j", "C:\\d", attributes=0x412),
    a_symlink("Files/l", "d\\b.bin", attributes=0x420, ea=EA),
    a_file("UtilityVM/Files/vm.txt", b"vm"),
)
# What lies beside and does not belong to the layer.
OTHERS = a_layer(a_file("Files/$Recycle.Bin/x", b"x"), a_file("Hives/System_Base", b"regf"))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A disk with a base layer, one on it, and a container."""
    needs("mkntfs", "ntfs-3g")
    disk = Disk(tmp_path)
    held = {one.entry.path: one for one in (*OTHERS, *LAYER)}
    view = a_view(list(held.values()))
    with disk.mounted() as root:
        layers = root / "Docker/windowsfilter"
        layers.mkdir(parents=True)
        extract_to_ntfs(view, node_at(view, ""), layers / BASE, on_loss=lambda loss: None)
        chains = {BASE: None, APP: [BASE], BOX: [APP, BASE]}
        for layer_id, chain in chains.items():
            folder = layers / layer_id
            folder.mkdir(exist_ok=True)
            paths = chain and [f"C:\\ProgramData\\Docker\\windowsfilter\\{one}" for one in chain]
            (folder / "layerchain.json").write_text(json.dumps(paths))
        (layers / APP / "Files").mkdir()
        (layers / APP / "layerID").write_text("other")
        (layers / BOX / "sandbox.vhdx").touch()
        (layers / ("d" * 64 + "-removing")).mkdir()
    return disk


@pytest.fixture
def mounted(disk: Disk) -> Iterator[Path]:
    with disk.mounted(READ_ONLY) as root:
        yield root / "Docker"


def read(folder: Path) -> list[HeldEntry]:
    """All entries of a base layer, without their times of change."""
    held = []
    with NtfsFolder(folder) as found:
        reader = BaseLayerReader(found, spool=spool)
        for entry in reader:
            parts = [
                HeldPart(part.name, part.size, content=reader.open_part(part).read())
                for part in reader.parts()
            ]
            held.append(HeldEntry(replace(entry, change_filetime=0), tuple(parts)))
    return held


def winlayers(home: Path, *arguments: str | Path, code: int = 0) -> bytes:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "winlayers", "--root", home, *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    return done.stdout if not code else done.stderr


def test_everything_of_a_base_layer_is_read(mounted: Path) -> None:
    got = {one.entry.path: one for one in read(mounted / "windowsfilter" / BASE)}
    wanted = {one.entry.path: one for one in LAYER}
    assert list(got) == sorted(wanted)
    for path, one in wanted.items():
        entry = replace(one.entry, change_filetime=0)
        has_data = entry.kind is EntryKind.FILE and not entry.reparse
        if entry.kind is EntryKind.LINK:  # a name of a file has what the file has
            entry = replace(
                wanted[entry.target].entry, path=path, kind=EntryKind.LINK, target=entry.target,
                change_filetime=0, security=b"", size=0,
            )  # fmt: skip
        assert got[path].entry == entry
        contents = {part.name: part.content for part in one.parts if part.name or has_data}
        assert {part.name: part.content for part in got[path].parts} == contents


def test_layers_are_listed_with_their_chains(mounted: Path, tmp_path: Path) -> None:
    told = winlayers(tmp_path / "home", "store", "attach", "--json", mounted)
    unknown = {"diff_id": None, "chain_id": None}
    assert [json.loads(line) for line in told.splitlines()] == [
        {"id": BASE, "parent": None, "chain": [], "kind": "base", "other_id": None, **unknown},
        {
            "id": APP,
            "parent": BASE,
            "chain": [BASE],
            "kind": "layer",
            "other_id": "other",
            **unknown,
        },
        {
            "id": BOX,
            "parent": APP,
            "chain": [APP, BASE],
            "kind": "scratch",
            "other_id": None,
            **unknown,
        },
    ]


def test_base_layer_goes_into_a_store_and_comes_out_the_same(mounted: Path, tmp_path: Path) -> None:
    home, tar = tmp_path / "home", tmp_path / "base.tar"
    winlayers(home, "store", "attach", mounted, "aaa", "-o", tar)
    again = winlayers(home, "store", "attach", mounted / "windowsfilter", BASE)
    assert again == tar.read_bytes()
    diff_id = winlayers(home, "layer", "import", "base", tar).decode().strip()
    assert diff_id == "sha256:" + hashlib.sha256(again).hexdigest()
    assert winlayers(home, "layer", "export", "base") == again
    listed = winlayers(home, "ls", f"windowsfilter:{mounted}:{BASE}", "/").decode().split()
    assert listed == ["a.txt", "d", "j", "l"]
    shown = winlayers(home, "cat", f"windowsfilter:{mounted}:{BASE}", "/a.txt:Zone.Identifier")
    assert shown == b"[Zone]"
    same = winlayers(home, "diff-tree", f"windowsfilter:{mounted}:{BASE}", "base")
    assert same == b""


@pytest.mark.parametrize(
    ("layer_id", "told"), [(APP, b"stands on parents"), (BOX, b"sandbox.vhdx")]
)
def test_other_layers_say_why_they_are_not_read(
    mounted: Path, tmp_path: Path, layer_id: str, told: bytes
) -> None:
    home = tmp_path / "home"
    assert told in winlayers(home, "store", "attach", mounted, layer_id, code=16)
    assert told in winlayers(home, "ls", f"windowsfilter:{mounted}:{layer_id}", code=16)


def test_plain_copy_says_what_is_lost(mounted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mounted / "windowsfilter", copy, symlinks=True)
    done = subprocess.run(
        [sys.executable, "-m", "winlayers", "--root", tmp_path / "home", "store", "attach", copy, BASE],
        capture_output=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    told = done.stderr.decode()
    assert f"{copy / BASE}: it is a plain copy" in told
    assert "loss link-skipped: symbolic link or junction not written: 2, as Files/" in told
    run(["tar", "-tf", _saved(tmp_path, done.stdout)])
    kept = {one.entry.path: one.entry for one in read(copy / BASE)}
    assert kept.keys() == {one.entry.path for one in LAYER} - {"Files/j", "Files/l"}
    assert kept["Files/a.txt"].write_filetime == NEW_YEAR_FILETIME + 2
    assert kept["Files/d/c.bin"].kind in (EntryKind.FILE, EntryKind.LINK)


BCD = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"
BASE_TAR = layer_tar([*LAYER, *a_layer(a_file(BCD, b"as it was pulled"))[2:]])
APP_TAR = layer_tar(
    a_layer(
        a_file("Files/A.TXT", b"new text", {"Zone.Identifier": b"[other]"}),
        a_directory("Files/d", {"of d": b"new stream"}),
        a_link("Files/d/same.txt", "Files/A.TXT"),
        a_whiteout("Files/d/b.bin"),
        a_file("Hives/Software_Delta", b"regf"),
    )
)


@pytest.fixture
def recorded(disk: Disk) -> Iterator[Path]:
    """The same disk, where Docker has recorded the tars of both layers."""
    with disk.mounted() as root:
        layers = root / "Docker/windowsfilter"
        boot = (layers / BASE / BCD).parent
        boot.mkdir(parents=True)
        (boot / "BCD").write_bytes(b"changed by Windows")
        (layers / BASE / "bcd.bak").write_bytes(b"as it was pulled")
        (layers / APP / "Files").rmdir()
        view = a_view([one for one in _held(APP_TAR) if one.entry.kind is not EntryKind.WHITEOUT])
        (layers / APP / "Hives").mkdir()
        (layers / APP / "Hives/Software_Delta").write_bytes(b"regf")
        extract_to_ntfs(
            view, node_at(view, "Files"), layers / APP / "Files", on_loss=lambda loss: None
        )
        record_layer(root / "Docker", APP, APP_TAR, record_layer(root / "Docker", BASE, BASE_TAR))
    with disk.mounted(READ_ONLY) as root:
        yield root / "Docker"


def _held(tar: bytes) -> list[HeldEntry]:
    reader = BackupTarReader(io.BytesIO(tar))
    return [
        HeldEntry(
            entry,
            tuple(
                HeldPart(part.name, part.size, content=reader.open_part(part).read())
                for part in reader.parts()
            ),
        )
        for entry in reader
    ]


def test_recorded_tars_come_out_byte_for_byte(recorded: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert winlayers(home, "store", "attach", recorded, BASE) == BASE_TAR
    assert winlayers(home, "store", "attach", recorded, APP) == APP_TAR
    told = winlayers(home, "store", "attach", "--json", recorded)
    assert [json.loads(line)["diff_id"] for line in told.splitlines()] == [
        "sha256:" + hashlib.sha256(BASE_TAR).hexdigest(),
        "sha256:" + hashlib.sha256(APP_TAR).hexdigest(),
        None,
    ]


def test_recorded_chain_goes_into_a_store(recorded: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    winlayers(home, "store", "attach", recorded, APP, "--import")
    assert winlayers(home, "layer", "export", APP) == APP_TAR
    assert winlayers(home, "layer", "export", BASE) == BASE_TAR
    same = winlayers(home, "diff-tree", "--raw", f"windowsfilter:{recorded}:{APP}", APP)
    assert same == b""
    changed = winlayers(home, "layer", "changes", f"windowsfilter:{recorded}:{APP}")
    assert changed == winlayers(home, "layer", "changes", APP)
    assert b"C /A.TXT\n" in changed
    assert b"D /d/b.bin\n" in changed


def test_recorded_tar_is_given_of_a_plain_copy_too(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recorded, copy, symlinks=True)
    told = winlayers(tmp_path / "home", "store", "attach", copy, APP, code=15)
    assert b"'Files/A.TXT:Zone.Identifier' is in the recorded tar" in told
    app = copy / "windowsfilter" / APP / "Files"
    (app / "A.TXT:Zone.Identifier").write_bytes(b"[other]")
    (app / "d:of d").write_bytes(b"new stream")
    assert winlayers(tmp_path / "home", "store", "attach", copy, APP) == APP_TAR


def test_placeholder_in_a_recorded_layer_is_told(tmp_path: Path) -> None:
    needs("mkntfs", "ntfs-3g")
    disk, view = Disk(tmp_path), a_view(a_layer(a_reparse_point("Files/wci", 0x80000018)))
    with disk.mounted() as root:
        folder = a_layer_folder(root, APP, BASE)
        extract_to_ntfs(view, node_at(view, "Files"), folder / "Files", on_loss=lambda loss: None)
        record_layer(root, APP, layer_tar(a_layer(a_file("Files/wci", b"content"))))
    with disk.mounted(READ_ONLY) as root:
        told = winlayers(tmp_path / "home", "store", "attach", root, APP, code=16)
    assert b"'Files/wci' has the reparse tag 0x80000018" in told


def test_sparse_file_is_read_with_its_holes(tmp_path: Path) -> None:
    needs("mkntfs", "ntfs-3g")
    disk, size = Disk(tmp_path), 1 << 30  # more than the disk holds
    with disk.mounted() as root:
        (root / "Files").mkdir()
        with open(root / "Files/holes", "wb") as file:
            file.truncate(size)
            os.pwrite(file.fileno(), b"x", size // 2)
    with disk.mounted(READ_ONLY) as root, NtfsFolder(root) as folder:
        reader = BaseLayerReader(folder, spool=spool)
        found = {entry.path: tuple(reader.parts()) for entry in reader}
        (part,) = found["Files/holes"]
        with folder.open_backup("Files/holes") as stream:
            assert stream.seek(0, os.SEEK_END) < 1 << 20
    assert (part.size, part.attributes) == (size, STREAM_ATTRIBUTE_SPARSE)
    assert part.extents is not None
    assert [(extent.offset, extent.size) for extent in part.extents] == [(size // 2, 1 << 16)]


def _saved(folder: Path, content: bytes) -> Path:
    path = folder / "saved.tar"
    path.write_bytes(content)
    return path


def test_mount_without_streams_is_refused(disk: Disk) -> None:
    with disk.mounted("ro") as root, pytest.raises(Unsupported, match="streams_interface=windows"):
        NtfsFolder(root / "Docker/windowsfilter" / BASE)


def test_content_that_a_driver_has_is_refused(tmp_path: Path) -> None:
    disk, view = Disk(tmp_path), a_view(a_layer(a_reparse_point("Files/wci", 0x80000018)))
    with disk.mounted() as root:
        extract_to_ntfs(view, node_at(view, ""), root / BASE, on_loss=lambda loss: None)
    with (
        disk.mounted(READ_ONLY) as root,
        NtfsFolder(root / BASE) as folder,
        pytest.raises(Unsupported, match=r"Files/wci.*0x80000018"),
    ):
        tar_of(BaseLayerReader(folder))
