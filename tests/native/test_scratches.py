"""Scratches: the order of the calls, and that whatever fails leaves nothing done."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.native.test_busy import Clock
from winlayers.backends.native import _hcs, _scratches, _vhd
from winlayers.backends.native._dlls import TABLE, Libraries
from winlayers.errors import (
    Denied,
    InUse,
    InvalidArgument,
    LayerExists,
    LayerMounted,
    StoreCorrupt,
    WindowsCallFailed,
    WinlayersError,
)

GIB = 1 << 30
FIRST_ONLY = frozenset({"ImportLayer", "ExportLayer", "DestroyLayer"})
#: What a test is about: not the ids of parents, texts, nor who holds what.
ASIDE = frozenset({"NameToGuid", "CoTaskMemFree", "HcsEnumerateComputeSystems", "RtlGetVersion"})


class SecondOnly(Libraries):
    """A host that has given up the first generation, but for the ids of names."""

    def has(self, name: str) -> bool:
        return name not in FIRST_ONLY and super().has(name)


class Home:
    """Two layers and a scratch that is yet to be made.

    Attributes:
        api: the calls of this host.
        parents: the layers, nearest first.
        scratch: its folder.
        clock: time, which passes when it is waited for.
    """

    def __init__(self, fake: Fake, folder: Path, api: Libraries) -> None:
        self.fake = fake
        self.api = api
        self.parents = [folder / "upper", folder / "base"]
        self.scratch = folder / "rw"
        self.leaving = folder / "rw-removing"
        self.clock = Clock()
        for parent in self.parents:
            (parent / "Files").mkdir(parents=True)
            (parent / "Files" / parent.name).write_bytes(b"")

    def make(self, size: int = 0) -> None:
        _scratches.create(self.api, self.scratch, self.parents, size)

    def make_mounted(self) -> None:
        self.make()
        self.mount()

    def mount(self) -> str:
        return _scratches.mount(self.api, self.scratch, self.parents, patience=self.clock.patience)

    def unmount(self) -> None:
        _scratches.unmount(self.api, self.scratch, patience=self.clock.patience)

    @contextmanager
    def exporting(self) -> Iterator[str]:
        with _scratches.exporting(
            *(self.api, self.scratch, self.parents),
            is_mounted=self.is_mounted(),
            patience=self.clock.patience,
        ) as path:
            yield path

    def export(self) -> None:
        with self.exporting():
            pass

    def take_away(self) -> None:
        _scratches.take_away(self.api, self.scratch, self.leaving, patience=self.clock.patience)

    def destroy(self) -> None:
        _scratches.destroy(self.api, self.scratch, patience=self.clock.patience)

    def is_mounted(self) -> bool:
        return _scratches.is_mounted(self.api, self.scratch)

    def calls(self, done: Callable[[], object]) -> list[str]:
        """What something calls."""
        before = len(self.fake.calls())
        done()
        return [one for one in self.fake.calls()[before:] if one not in ASIDE]


@pytest.fixture
def first(fake: Fake, tmp_path: Path) -> Home:
    """A host that is asked with the calls of vmcompute."""
    return Home(fake, tmp_path, fake.api)


@pytest.fixture
def second(fake: Fake, tmp_path: Path) -> Home:
    """A host that is asked with the calls of computestorage."""
    libraries = {prototype.library for prototype in TABLE.values()}
    return Home(fake, tmp_path, SecondOnly(dict.fromkeys(libraries, fake.path)))


@pytest.fixture(params=["first", "second"])
def home(request: pytest.FixtureRequest) -> Home:
    found: Home = request.getfixturevalue(request.param)
    return found


GROWING = [
    *("CreateSandboxLayer", "ExpandSandboxSize", "OpenVirtualDisk", "AttachVirtualDisk"),
    *("GetLayerMountPath", "GetLayerMountPath", "CreateFileW", "DeviceIoControl"),
    *("GetDiskFreeSpaceExW", "DeviceIoControl", "CloseHandle", "CloseHandle"),
]
CREATING = [
    *("CreateVirtualDisk", "CloseHandle"),
    *("CreateFileW", "HcsFormatWritableLayerVhd", "CloseHandle"),
    *("OpenVirtualDisk", "AttachVirtualDisk", "HcsGetLayerVhdMountPath"),
    *("HcsInitializeWritableLayer", "CloseHandle"),
]
MOUNTING = ["ActivateLayer", "PrepareLayer", "GetLayerMountPath", "GetLayerMountPath"]
UNMOUNTING = ["UnprepareLayer", "DeactivateLayer"]
MOUNTING_DISK = [
    *("OpenVirtualDisk", "AttachVirtualDisk", "HcsGetLayerVhdMountPath"),
    *("HcsAttachLayerStorageFilter", "CloseHandle"),
]
UNMOUNTING_DISK = [
    *("OpenVirtualDisk", "HcsGetLayerVhdMountPath", "HcsDetachLayerStorageFilter"),
    *("DetachVirtualDisk", "CloseHandle"),
]
ASKING = ["OpenVirtualDisk", "GetVirtualDiskInformation", "CloseHandle"]
DETACHING = ["OpenVirtualDisk", "DetachVirtualDisk", "CloseHandle"]


# -- making


def test_scratch_of_no_size_is_as_windows_makes_it(first: Home) -> None:
    assert first.calls(first.make) == ["CreateSandboxLayer"]
    lines = [line for line in first.fake.log() if line.startswith("  parent /")]
    assert lines == [f"  parent {one}" for one in first.parents]
    assert (first.scratch / "sandbox.vhdx").read_text() == f"vhdx {20 * GIB}\n"


def test_scratch_of_a_size_is_expanded_and_its_volume_grows(first: Home) -> None:
    assert first.calls(lambda: first.make(127 * 10**9)) == GROWING
    log = first.fake.log()
    disk = first.scratch / "sandbox.vhdx"
    assert f"OpenVirtualDisk {disk} access=0 flags=0 version=2 info=0" in log
    assert "AttachVirtualDisk flags=20" in log
    assert f"GetDiskFreeSpaceExW {first.scratch / 'Volume'}\\" in log
    assert f"DeviceIoControl code=900f0 in=8 out=0 value={127 * 10**9 // 4096 * 8}" in log
    assert disk.read_text() == f"vhdx {127 * 10**9}\n"
    assert not first.is_mounted()


def test_volume_that_fills_its_partition_is_left(first: Home) -> None:
    first.fake.set("FAKE_VOLUME_BYTES", str(127 * 10**9))
    assert first.calls(lambda: first.make(127 * 10**9)).count("DeviceIoControl") == 1


def test_disk_on_which_windows_names_no_volume_is_told(first: Home) -> None:
    first.fake.fail("GetLayerMountPath", 0)  # success, with a length that nobody wrote
    with pytest.raises(StoreCorrupt, match="names no volume"):
        first.make(40 * GIB)
    assert not first.scratch.exists()


def test_scratch_is_made_on_its_disk(second: Home) -> None:
    assert second.calls(second.make) == CREATING
    disk = second.scratch / "sandbox.vhdx"
    log = second.fake.log()
    assert f"CreateVirtualDisk {disk} access=0 flags=0 size={20 * GIB} block=1048576" in log
    assert f"HcsInitializeWritableLayer {second.scratch / 'Volume'}" in log
    assert "AttachVirtualDisk flags=22" in log
    paths = [one["Path"] for one in layer_data(log)["Layers"]]
    assert paths == list(map(str, second.parents))
    assert not second.is_mounted()


def layer_data(log: list[str]) -> Mapping[str, list[Mapping[str, str]]]:
    found: Mapping[str, list[Mapping[str, str]]] = json.loads(
        next(line[7:] for line in log if line.startswith("  data "))
    )
    return found


def test_later_builds_take_the_handle_of_the_disk_to_format_it(second: Home) -> None:
    second.fake.set("FAKE_BUILD", "17764")
    assert second.calls(second.make)[:5] == [
        *("CreateVirtualDisk", "CloseHandle"),
        *("OpenVirtualDisk", "HcsFormatWritableLayerVhd", "CloseHandle"),
    ]


def test_size_of_a_disk_is_rounded_up(second: Home) -> None:
    second.make(127 * 10**9 + 1)
    size = int((second.scratch / "sandbox.vhdx").read_text().split()[1])
    assert size == 121117 << 20
    assert 0 < size - 127 * 10**9 < 1 << 20


@pytest.mark.parametrize("size", [-1, (64 << 40) + 1])
def test_size_that_no_disk_has_is_refused(home: Home, size: int) -> None:
    with pytest.raises(InvalidArgument, match="64 TiB"):
        home.make(size)
    assert home.fake.calls() == []


def test_folder_that_is_there_is_left(home: Home) -> None:
    home.scratch.mkdir()
    with pytest.raises(LayerExists, match="is there already"):
        home.make()
    assert home.scratch.is_dir()
    assert home.fake.calls() == []


def faults(calls: list[str]) -> list[tuple[str, int]]:
    """Every function that is called, with its place among the calls, once."""
    return [(call, calls.index(call)) for call in dict.fromkeys(calls) if call != "CloseHandle"]


def code_for(call: str) -> int:
    """An error that no waiting helps against, as the function tells it."""
    library = TABLE[call].library
    return 0x8007045D if library in ("vmcompute", "computestorage") else 1117


def failing(
    home: Home, call: str, done: Callable[[], object]
) -> tuple[WindowsCallFailed, list[str]]:
    """What is told and called where a call fails."""
    home.fake.fail(call, code_for(call))
    before = len(home.fake.calls())
    with pytest.raises(WindowsCallFailed) as caught:
        done()
    assert (caught.value.call, caught.value.code) == (call, 1117)
    assert home.clock.pauses == []
    return caught.value, [one for one in home.fake.calls()[before:] if one not in ASIDE]


@pytest.mark.parametrize(("call", "at"), faults(GROWING))
def test_nothing_is_left_of_a_scratch_that_fails(first: Home, call: str, at: int) -> None:
    _, called = failing(first, call, lambda: first.make(40 * GIB))
    closed = (at >= 3) + (at >= 7)
    assert called == [
        *GROWING[: at + 1],
        *["CloseHandle"] * closed,
        *["DestroyLayer"] * (at > 0),
    ]
    assert not first.scratch.exists()


@pytest.mark.parametrize(("call", "at"), faults(CREATING))
def test_nothing_is_left_of_a_disk_that_fails(second: Home, call: str, at: int) -> None:
    _, called = failing(second, call, second.make)
    closed = at in (3, 6, 7, 8)
    assert called == [*CREATING[: at + 1], *["CloseHandle"] * closed, "DestroyLayer"]
    assert not second.scratch.exists()


def test_scratch_that_cannot_be_undone_is_told_with_the_first_failure(first: Home) -> None:
    first.fake.fail("DestroyLayer", 0x80070005)
    error, _ = failing(first, "ExpandSandboxSize", lambda: first.make(GIB))
    assert error.__notes__ == [
        "undoing it failed too: Windows refused DestroyLayer with error 5 (0x80070005): "
        "Access is denied"
    ]


def test_disk_that_does_not_close_is_told_and_nothing_is_left(first: Home) -> None:
    handle = 0x7654321100
    first.fake.fail("CloseHandle", 6, 2)
    with pytest.raises(WindowsCallFailed) as caught:
        first.make(40 * GIB)
    assert caught.value.call == "CloseHandle"
    assert not first.scratch.exists()
    opened = next(line for line in first.fake.log() if line.startswith("CloseHandle 0x45"))
    first.fake.api.call("CloseHandle", int(opened.split(" ")[1], 16))
    first.fake.api.call("CloseHandle", handle)


# -- mounting


def test_scratch_is_mounted_and_unmounted(first: Home) -> None:
    first.make()
    before = len(first.fake.calls())
    assert first.mount() == str(first.scratch / "Volume")
    assert [one for one in first.fake.calls()[before:] if one not in ASIDE] == MOUNTING
    assert (first.scratch / "Volume" / "upper").exists()
    assert first.is_mounted()
    assert first.calls(first.unmount) == UNMOUNTING
    assert not first.is_mounted()


def test_scratch_is_mounted_and_unmounted_by_its_disk(second: Home) -> None:
    second.make()
    before = len(second.fake.calls())
    assert second.mount() == str(second.scratch / "Volume")
    assert [one for one in second.fake.calls()[before:] if one not in ASIDE] == MOUNTING_DISK
    assert second.fake.log().count("AttachVirtualDisk flags=26") == 1
    assert second.is_mounted()
    assert second.calls(second.unmount) == UNMOUNTING_DISK
    assert not second.is_mounted()


def test_folder_shows_where_windows_names_no_volume(first: Home) -> None:
    first.make()
    first.fake.fail("GetLayerMountPath", 0)  # success, with a length that nobody wrote
    assert first.mount() == str(first.scratch)
    first.unmount()


@pytest.mark.parametrize(
    ("call", "undone"),
    [
        ("ActivateLayer", []),
        ("PrepareLayer", ["DeactivateLayer"]),
        ("GetLayerMountPath", ["UnprepareLayer", "DeactivateLayer"]),
    ],
)
def test_scratch_that_does_not_mount_is_as_before(
    first: Home, call: str, undone: list[str]
) -> None:
    first.make()
    _, called = failing(first, call, first.mount)
    assert called == [*MOUNTING[: MOUNTING.index(call) + 1], *undone]
    assert not first.is_mounted()


@pytest.mark.parametrize(("call", "at"), faults(MOUNTING_DISK))
def test_disk_that_does_not_mount_is_as_before(second: Home, call: str, at: int) -> None:
    second.make()
    _, called = failing(second, call, second.mount)
    undone = DETACHING if at > 1 else []
    assert called == [*MOUNTING_DISK[: at + 1], *["CloseHandle"] * (at > 0), *undone]
    assert not second.is_mounted()


def test_disk_that_does_not_close_is_unmounted(second: Home) -> None:
    second.make()
    _, called = failing(second, "CloseHandle", second.mount)
    assert called == [*MOUNTING_DISK, "HcsDetachLayerStorageFilter", *DETACHING]
    assert not second.is_mounted()
    second.fake.api.call("CloseHandle", 0x7654321100)


def test_undoing_goes_on_where_a_part_of_it_fails(first: Home) -> None:
    first.make()
    first.fake.fail("UnprepareLayer", 0x80070006)
    error, called = failing(first, "GetLayerMountPath", first.mount)
    assert called[-2:] == ["UnprepareLayer", "DeactivateLayer"]
    assert [note[:54] for note in error.__notes__] == [
        "undoing it failed too: Windows refused UnprepareLayer ",
        "undoing it failed too: Windows refused DeactivateLayer",
    ]
    first.unmount()


@pytest.mark.parametrize("call", UNMOUNTING)
def test_scratch_that_does_not_unmount_is_told(first: Home, call: str) -> None:
    first.make()
    first.mount()
    _, called = failing(first, call, first.unmount)
    assert called == UNMOUNTING[: UNMOUNTING.index(call) + 1]
    assert first.is_mounted()


@pytest.mark.parametrize(("call", "at"), faults(UNMOUNTING_DISK))
def test_disk_that_does_not_unmount_is_told(second: Home, call: str, at: int) -> None:
    second.make()
    second.mount()
    _, called = failing(second, call, second.unmount)
    assert called == [*UNMOUNTING_DISK[: at + 1], *["CloseHandle"] * (at > 0)]
    assert second.is_mounted()


@pytest.mark.parametrize(("call", "at"), faults(ASKING))
def test_disk_that_does_not_tell_is_told(home: Home, call: str, at: int) -> None:
    home.make()
    _, called = failing(home, call, home.is_mounted)
    assert called == [*ASKING[: at + 1], *["CloseHandle"] * (at > 0)]


# -- exporting


@pytest.mark.parametrize("mounted", [False, True])
def test_scratch_is_exported_unprepared(first: Home, tmp_path: Path, mounted: bool) -> None:
    first.make()
    first.mount()
    (first.scratch / "Volume" / "new").write_bytes(b"")
    if not mounted:
        first.unmount()
    (tmp_path / "out").mkdir()

    def export() -> None:
        with first.exporting() as path:
            assert path == str(first.scratch)
            below = list(map(str, first.parents))
            _hcs.export_layer(first.api, path, str(tmp_path / "out"), below)

    around = ("UnprepareLayer", "PrepareLayer") if mounted else ("ActivateLayer", "DeactivateLayer")
    assert first.calls(export) == [*ASKING, around[0], "ExportLayer", around[1]]
    assert (tmp_path / "out" / "Files" / "new").exists()
    assert first.is_mounted() is mounted


@pytest.mark.parametrize("mounted", [False, True])
def test_disk_is_exported_by_its_volume_without_the_filter(second: Home, mounted: bool) -> None:
    second.make()
    if mounted:
        second.mount()

    def export() -> None:
        with second.exporting() as path:
            assert path == str(second.scratch / "Volume")
            assert second.is_mounted()

    whole = [*ASKING, "OpenVirtualDisk"]
    if mounted:
        whole += [
            *("HcsGetLayerVhdMountPath", "CloseHandle", "HcsDetachLayerStorageFilter"),
            *(*ASKING, "HcsAttachLayerStorageFilter"),
        ]
    else:
        whole += ["AttachVirtualDisk", "HcsGetLayerVhdMountPath", *ASKING, "CloseHandle"]
    assert second.calls(export) == whole
    assert second.is_mounted() is mounted


@pytest.mark.parametrize("mounted", [False, True])
def test_scratch_is_as_before_where_the_export_fails(home: Home, mounted: bool) -> None:
    home.make()
    if mounted:
        home.mount()
    with pytest.raises(KeyboardInterrupt), home.exporting():
        raise KeyboardInterrupt
    assert home.is_mounted() is mounted
    if mounted:
        home.unmount()


@pytest.mark.parametrize(
    ("mounted", "call", "called"),
    [
        (True, "UnprepareLayer", ["UnprepareLayer"]),
        (True, "PrepareLayer", ["UnprepareLayer", "PrepareLayer"]),
        (False, "ActivateLayer", ["ActivateLayer"]),
        (False, "DeactivateLayer", ["ActivateLayer", "DeactivateLayer"]),
    ],
)
def test_failure_around_an_export_is_told(
    first: Home, mounted: bool, call: str, called: list[str]
) -> None:
    first.make()
    if mounted:
        first.mount()
    assert failing(first, call, first.export)[1] == [*ASKING, *called]


def test_failure_at_the_end_does_not_hide_that_of_the_export(first: Home) -> None:
    first.make()
    first.mount()
    first.fake.fail("PrepareLayer", 0x8007045D)
    with pytest.raises(ValueError, match="export") as caught, first.exporting():
        raise ValueError("the export failed")
    assert caught.value.__notes__[0].startswith(
        "undoing it failed too: Windows refused PrepareLayer with error 1117"
    )


# -- taking away


def refuse(monkeypatch: pytest.MonkeyPatch, times: int, code: int | None = None) -> None:
    """Have the next renames fail as Windows refuses them."""
    rename, left = os.rename, [times]

    def refusing(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] >= 0:
            error = PermissionError(errno.EACCES, "refused", str(source))
            if code is not None:
                error.winerror = code  # type: ignore[attr-defined,unused-ignore]
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", refusing)


def test_layer_is_renamed_after_its_templates_were_ended(first: Home) -> None:
    first.make()
    template = {"Id": "vm", "IsRuntimeTemplate": True, "RuntimeImagePath": "C:\\l\\rw\\UtilityVM"}
    first.fake.set("FAKE_HCS_SYSTEMS", json.dumps([template]))
    assert first.calls(first.take_away) == [
        *("HcsOpenComputeSystem", "HcsRegisterComputeSystemCallback"),
        *("HcsTerminateComputeSystem", "HcsUnregisterComputeSystemCallback"),
        "HcsCloseComputeSystem",
    ]
    assert (first.leaving / "sandbox.vhdx").exists()
    assert not first.scratch.exists()


def test_template_that_does_not_end_keeps_the_layer(first: Home) -> None:
    first.make()
    failing(first, "HcsEnumerateComputeSystems", first.take_away)
    assert first.scratch.exists()


def test_host_without_compute_systems_has_none_to_end(fake: Fake, tmp_path: Path) -> None:
    class Without(SecondOnly):
        def has(self, name: str) -> bool:
            return name != "HcsEnumerateComputeSystems" and super().has(name)

    libraries = ("computestorage", "virtdisk", "kernel32", "vmcompute", "ole32", "ntdll")
    home = Home(fake, tmp_path, Without(dict.fromkeys(libraries, fake.path)))
    home.make()
    before = len(fake.calls())
    home.take_away()
    assert fake.calls()[before:] == []
    assert home.leaving.exists()


def test_layer_that_is_not_there_is_as_good(first: Home) -> None:
    first.take_away()
    assert not first.leaving.exists()


def test_leftover_of_an_earlier_removal_is_left(first: Home) -> None:
    first.make()
    first.leaving.mkdir()
    with pytest.raises(LayerExists, match="its removal did not end"):
        first.take_away()
    assert first.scratch.exists()
    assert list(first.leaving.iterdir()) == []


def test_scratch_that_is_attached_since_a_crash_is_detached(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.make()
    home.mount()
    refuse(monkeypatch, 1)
    assert home.calls(home.take_away) == DETACHING
    opened = [line for line in home.fake.log() if line.startswith("OpenVirtualDisk")]
    disk = home.scratch / "sandbox.vhdx"
    assert opened[-1] == f"OpenVirtualDisk {disk} access=0 flags=88 version=2 info=0"
    assert home.clock.pauses == []
    assert not _vhd.is_attached(home.api, home.leaving / "sandbox.vhdx")


def test_disk_is_detached_once_then_it_is_waited(
    first: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.make()
    first.mount()
    refuse(monkeypatch, 4)
    assert first.calls(first.take_away) == DETACHING
    assert first.clock.pauses == [0.01, 0.02, 0.04]
    assert first.leaving.exists()


@pytest.mark.parametrize("call", DETACHING[:2])
def test_disk_that_does_not_detach_is_told_where_it_does_not_rename(
    first: Home, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    first.make()
    first.mount()
    refuse(monkeypatch, 100)
    first.fake.fail(call, 1117)
    with pytest.raises(Denied, match="access to layer rw is refused"):
        first.take_away()
    assert first.fake.calls().count("OpenVirtualDisk") == 1
    assert first.scratch.exists()


def test_disk_that_does_not_detach_is_waited_for(
    first: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.make()
    refuse(monkeypatch, 2)
    assert first.calls(first.take_away) == DETACHING  # refused: it was not attached
    assert first.clock.pauses == [0.01, 0.02]


def test_layer_without_a_disk_is_waited_for(first: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first.scratch.mkdir()
    refuse(monkeypatch, 2)
    assert first.calls(first.take_away) == []
    assert first.clock.pauses == [0.01, 0.02]
    assert first.leaving.exists()


def test_disk_of_a_layer_that_shares_badly_is_not_detached(
    first: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.make()
    first.mount()
    first.fake.set("FAKE_HOLDERS", "7 a.exe")
    refuse(monkeypatch, 100, 32)
    with pytest.raises(InUse, match=r"layer rw is held by a\.exe \(process 7\)"):
        first.take_away()
    assert "OpenVirtualDisk" not in first.fake.calls()
    assert first.is_mounted()


def test_rename_that_fails_otherwise_is_told_at_once(first: Home) -> None:
    first.make()
    first.leaving = first.scratch / "below" / "x"
    with pytest.raises(OSError, match="below"):
        first.take_away()
    assert first.clock.pauses == []
    assert first.scratch.exists()


def test_layer_is_destroyed(home: Home) -> None:
    home.make()
    assert home.calls(home.destroy) == ["DestroyLayer"]
    assert not home.scratch.exists()


# -- what somebody holds


BUSY: dict[str, tuple[str, Callable[[Home], None], Callable[[Home], object]]] = {
    "mount": ("ActivateLayer", Home.make, Home.mount),
    "prepare": ("PrepareLayer", Home.make, Home.mount),
    "unmount": ("UnprepareLayer", Home.make_mounted, Home.unmount),
    "deactivate": ("DeactivateLayer", Home.make_mounted, Home.unmount),
    "export": ("ActivateLayer", Home.make, Home.export),
    "destroy": ("DestroyLayer", Home.make, Home.destroy),
}


@pytest.mark.parametrize("name", BUSY)
def test_layer_that_is_held_for_a_moment_is_waited_for(first: Home, name: str) -> None:
    call, prepare, operation = BUSY[name]
    prepare(first)
    first.fake.fail(call, 0x80070020, 3)
    before = first.fake.calls().count(call)
    operation(first)
    assert first.clock.pauses == [0.01, 0.02, 0.04]
    assert first.fake.calls().count(call) - before == 4


@pytest.mark.parametrize("name", BUSY)
def test_layer_that_is_held_on_is_told_with_its_holder(first: Home, name: str) -> None:
    call, prepare, operation = BUSY[name]
    prepare(first)
    mounted = first.is_mounted()
    first.fake.set("FAKE_HCS_SYSTEMS", '[{"Id":"rw"}]')
    first.fake.fail(call, 0x80070020, 100)
    with pytest.raises(LayerMounted, match="layer rw is held by compute system 'rw'; end it first"):
        operation(first)
    assert sum(first.clock.pauses) < 5
    if call != "DeactivateLayer":
        assert first.is_mounted() is mounted


@pytest.mark.parametrize(
    ("call", "mounted", "operation"),
    [
        ("AttachVirtualDisk", False, Home.mount),
        ("HcsAttachLayerStorageFilter", False, Home.mount),
        ("AttachVirtualDisk", False, Home.export),
        ("HcsDetachLayerStorageFilter", True, Home.unmount),
        ("DetachVirtualDisk", True, Home.unmount),
        ("HcsAttachLayerStorageFilter", True, Home.export),
    ],
)
def test_disk_that_is_held_for_a_moment_is_waited_for(
    second: Home, call: str, mounted: bool, operation: Callable[[Home], object]
) -> None:
    second.make()
    if mounted:
        second.mount()
    second.fake.fail(call, 32 if call.endswith("Disk") else 0x80070020, 2)
    operation(second)
    assert second.clock.pauses == [0.01, 0.02]


def test_every_failure_is_one_of_winlayers(home: Home) -> None:
    for done in (home.mount, home.unmount, home.is_mounted, home.export, home.destroy):
        with pytest.raises(WinlayersError):
            done()
