"""Volumes: their file systems, and filling a partition that grew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _vhd, _volumes
from winlayers.backends.native._vhd import AttachFlags
from winlayers.errors import Unsupported, WindowsCallFailed

GIB = 1 << 30
FILLING = [
    *("CreateFileW", "DeviceIoControl", "GetDiskFreeSpaceExW", "DeviceIoControl", "CloseHandle"),
]


class Volume:
    """The volume of a disk of 20 GiB, which is attached while the volume is made to fill it.

    Attributes:
        path: of the volume.
        log: what filling it called.
    """

    def __init__(self, fake: Fake, folder: Path) -> None:
        self.disk = folder / "sandbox.vhdx"
        self.disk.write_text(f"vhdx {20 * GIB}\n")
        self.path = str(folder / "Volume")
        self.log: list[str] = []
        self._fake = fake

    def fill(self, end: str = "") -> bool:
        with _vhd.open_disk(self._fake.api, self.disk) as handle:
            _vhd.attach_disk(self._fake.api, handle, AttachFlags.NONE)
            before = len(self._fake.log())
            try:
                return _volumes.fill_partition(self._fake.api, self.path + end)
            finally:
                self.log = self._fake.log()[before:]


@pytest.fixture
def volume(fake: Fake, tmp_path: Path) -> Volume:
    return Volume(fake, tmp_path)


def test_file_system_is_that_of_the_volume_that_a_path_is_on(fake: Fake, tmp_path: Path) -> None:
    place = tmp_path / "not there"
    assert _volumes.file_system(fake.api, place) == "NTFS"
    assert fake.log() == [f"GetVolumePathNameW {place} units=32768", "GetVolumeInformationW /"]


@pytest.mark.parametrize("name", ["ReFS", "REFS", "refs"])
def test_refs_is_refused_in_any_case(fake: Fake, tmp_path: Path, name: str) -> None:
    fake.set("FAKE_FS", name)
    with pytest.raises(Unsupported, match=f"{tmp_path} is on a volume with {name}.*NTFS"):
        _volumes.refuse_refs(fake.api, tmp_path)


@pytest.mark.parametrize("name", ["NTFS", "FAT32", "refs2", ""])
def test_other_file_systems_pass(fake: Fake, tmp_path: Path, name: str) -> None:
    fake.set("FAKE_FS", name)
    _volumes.refuse_refs(fake.api, tmp_path)
    assert fake.calls() == ["GetVolumePathNameW", "GetVolumeInformationW"]


@pytest.mark.parametrize("call", ["GetVolumePathNameW", "GetVolumeInformationW"])
def test_volume_that_does_not_tell_is_told(fake: Fake, tmp_path: Path, call: str) -> None:
    fake.fail(call, 21)
    with pytest.raises(WindowsCallFailed) as caught:
        _volumes.refuse_refs(fake.api, tmp_path)
    assert (caught.value.call, caught.value.code) == (call, 21)


def test_volume_is_told_to_fill_its_partition(fake: Fake, volume: Volume) -> None:
    fake.set("FAKE_VOLUME_BYTES", str(10 * GIB))
    assert volume.fill()
    opened, *controls, closed = volume.log
    assert opened == (
        f"CreateFileW {volume.path} access=c0000000 share=3 sa=0 disposition=3 flags=02000000 template=0"
    )
    assert controls == [
        "DeviceIoControl code=7405c in=0 out=8 value=0",
        f"GetDiskFreeSpaceExW {volume.path}\\",
        f"DeviceIoControl code=900f0 in=8 out=0 value={20 * GIB // 512}",
    ]
    assert closed.startswith("CloseHandle 0x45")


@pytest.mark.parametrize(
    ("size", "grows"),
    [
        (20 * GIB, False),
        (20 * GIB - 1, False),
        (20 * GIB - 4096, False),
        (20 * GIB - 4097, True),
        (20 * GIB - 8192, True),
        (30 * GIB, False),
    ],
)
def test_volume_that_lacks_more_than_a_cluster_grows(
    fake: Fake, volume: Volume, size: int, grows: bool
) -> None:
    fake.set("FAKE_VOLUME_BYTES", str(size))
    assert volume.fill() is grows
    assert volume.log[2].startswith("GetDiskFreeSpaceExW")
    assert len(volume.log) == 4 + grows


def test_volume_is_opened_without_its_last_backslash(fake: Fake, volume: Volume) -> None:
    assert volume.fill("\\")
    assert volume.log[0].split(" access")[0] == f"CreateFileW {volume.path}"
    assert volume.log[2] == f"GetDiskFreeSpaceExW {volume.path}\\"


def test_letter_is_opened_as_a_volume(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winlayers.backends.native._handles.system_path", str)
    with pytest.raises(WindowsCallFailed):
        _volumes.fill_partition(fake.api, "V:\\")
    assert fake.log()[0].split(" access")[0] == "CreateFileW \\\\?\\V:"


@pytest.mark.parametrize("at", [0, 1, 2, 4])
def test_volume_is_closed_whatever_fails(fake: Fake, volume: Volume, at: int) -> None:
    fake.set("FAKE_VOLUME_BYTES", str(10 * GIB))
    fake.fail(FILLING[at], 1117)
    with pytest.raises(WindowsCallFailed) as caught:
        volume.fill()
    assert (caught.value.call, caught.value.code) == (FILLING[at], 1117)
    calls = [line.split(" ")[0] for line in volume.log if not line.startswith("  ")]
    assert calls == [*FILLING[: at + 1], *["CloseHandle"] * (0 < at < 4)]
    if at == 4:  # what the fault kept open, so that only a true leak shows
        fake.api.call("CloseHandle", int(volume.log[4].split(" ")[1], 16))


def test_volume_that_refuses_to_grow_is_told(fake: Fake, volume: Volume) -> None:
    volume.disk.write_text("vhdx 0\n")
    with pytest.raises(WindowsCallFailed) as caught:
        volume.fill()
    assert (caught.value.call, caught.value.code) == ("DeviceIoControl", 87)
