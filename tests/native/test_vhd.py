"""Virtual disks: what is asked of Windows, and that no handle is left open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _vhd
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._vhd import AttachFlags, DiskFlags
from winlayers.errors import InvalidArgument, WindowsCallFailed

TIB = 1 << 40


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "sandbox.vhdx"
    path.write_text("vhdx 1048576\n")
    return path


def attach(api: Libraries, path: Path) -> None:
    with _vhd.open_disk(api, path) as handle:
        _vhd.attach_disk(api, handle, AttachFlags.PERMANENT_LIFETIME)


def detach(api: Libraries, path: Path) -> None:
    with _vhd.open_disk(api, path) as handle:
        _vhd.detach_disk(api, handle)


def test_disk_is_opened_with_all_access_and_closed(fake: Fake, disk: Path) -> None:
    flags = DiskFlags.CACHED_IO | DiskFlags.IGNORE_RELATIVE_PARENT_LOCATOR
    with _vhd.open_disk(fake.api, disk, flags=flags) as handle:
        assert handle == 0x7654321100
        assert fake.live() == (0, 1)
    assert fake.log() == [
        f"OpenVirtualDisk {disk} access=0 flags=88 version=2 info=0",
        "CloseHandle 0x7654321100",
    ]


def test_attachment_ends_with_the_handle(fake: Fake, disk: Path) -> None:
    with _vhd.open_disk(fake.api, disk) as handle:
        _vhd.attach_disk(fake.api, handle, AttachFlags.BYPASS_DEFAULT_ENCRYPTION_POLICY)
        assert _vhd.is_attached(fake.api, disk)
    assert not _vhd.is_attached(fake.api, disk)
    assert fake.log()[1:4] == [
        "AttachVirtualDisk flags=20",
        f"OpenVirtualDisk {disk} access=0 flags=0 version=2 info=1",
        "GetVirtualDiskInformation version=13 size=32",
    ]


def test_permanent_attachment_ends_when_it_is_detached(fake: Fake, disk: Path) -> None:
    attach(fake.api, disk)
    assert _vhd.is_attached(fake.api, disk)
    detach(fake.api, disk)
    assert not _vhd.is_attached(fake.api, disk)


def test_disk_is_made_with_its_size(fake: Fake, tmp_path: Path) -> None:
    made = tmp_path / "new.vhdx"
    _vhd.create_disk(fake.api, made, TIB, block_size=1 << 20)
    assert made.read_text() == f"vhdx {TIB}\n"
    assert fake.log() == [
        f"CreateVirtualDisk {made} access=0 flags=0 size={TIB} block=1048576",
        "CloseHandle 0x7654321100",
    ]


def test_disk_that_is_there_is_not_made_again(fake: Fake, disk: Path) -> None:
    with pytest.raises(WindowsCallFailed) as caught:
        _vhd.create_disk(fake.api, disk, TIB, block_size=1 << 20)
    assert (caught.value.call, caught.value.code) == ("CreateVirtualDisk", 80)
    assert disk.read_text() == "vhdx 1048576\n"


@pytest.mark.parametrize("size", [-512, -1, 0, 1, 513, 64 * TIB + 512, 1 << 64])
def test_size_that_no_disk_has_is_refused(fake: Fake, tmp_path: Path, size: int) -> None:
    with pytest.raises(InvalidArgument, match=f"a disk of {size} bytes"):
        _vhd.create_disk(fake.api, tmp_path / "new.vhdx", size, block_size=1 << 20)
    assert fake.calls() == []


@pytest.mark.parametrize("size", [0, 1, 64 * TIB])
def test_size_that_a_disk_may_have_passes(size: int) -> None:
    _vhd.check_size(size)
    with pytest.raises(InvalidArgument, match="64 TiB"):
        _vhd.check_size(size + 64 * TIB + 1)


OPERATIONS: dict[str, tuple[list[str], Callable[[Libraries, Path], object]]] = {
    "attach": (["OpenVirtualDisk", "AttachVirtualDisk", "CloseHandle"], attach),
    "detach": (["OpenVirtualDisk", "DetachVirtualDisk", "CloseHandle"], detach),
    "is_attached": (
        ["OpenVirtualDisk", "GetVirtualDiskInformation", "CloseHandle"],
        _vhd.is_attached,
    ),
    "create": (
        ["CreateVirtualDisk", "CloseHandle"],
        lambda api, path: _vhd.create_disk(
            api, path.with_name("new.vhdx"), TIB, block_size=1 << 20
        ),
    ),
}


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, one in OPERATIONS.items() for at in range(len(one[0]))]
)
def test_disk_is_closed_whatever_fails(fake: Fake, disk: Path, name: str, at: int) -> None:
    calls, operation = OPERATIONS[name]
    if name == "detach":
        attach(fake.api, disk)
    before = len(fake.calls())
    fake.fail(calls[at], 1117)
    with pytest.raises(WindowsCallFailed) as caught:
        operation(fake.api, disk)
    assert (caught.value.call, caught.value.code) == (calls[at], 1117)
    assert fake.calls()[before:] == [*calls[: at + 1], *calls[-1:][: 0 < at < len(calls) - 1]]
    if calls[at] == "CloseHandle":  # what the fault kept open, so that only a true leak shows
        fake.api.call("CloseHandle", 0x7654321100)


def test_failure_to_close_does_not_hide_the_failure_before(fake: Fake, disk: Path) -> None:
    fake.fail("AttachVirtualDisk", 32)
    fake.fail("CloseHandle", 6)
    with pytest.raises(WindowsCallFailed) as caught:
        attach(fake.api, disk)
    assert caught.value.call == "AttachVirtualDisk"
    assert "closing failed too: Windows refused CloseHandle" in caught.value.__notes__[0]
    fake.api.call("CloseHandle", 0x7654321100)
