"""The layer calls of vmcompute: what arrives, in which order, and what every failure leaves."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _hcs
from winlayers.errors import InvalidArgument, StoreCorrupt, WindowsCallFailed

HIVES = ("DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM")


class Home:
    """Layers on disk: ``base``, and ``rw`` on it."""

    def __init__(self, fake: Fake, folder: Path) -> None:
        self.fake = fake
        self.folder = folder
        self.base = str(folder / "base")
        self.scratch = str(folder / "rw")
        self.out = str(folder / "out")
        config = folder / "base" / "Files" / "Windows" / "System32" / "config"
        config.mkdir(parents=True)
        for hive in HIVES:
            (config / hive).write_bytes(b"regf")
        (folder / "base" / "Files" / "a.txt").write_bytes(b"base")
        (folder / "out").mkdir()
        _hcs.process_base_image(fake.api, self.base)
        _hcs.create_scratch(fake.api, self.scratch, [self.base])
        fake.reset()


@pytest.fixture
def home(fake: Fake, tmp_path: Path) -> Home:
    return Home(fake, tmp_path)


Operation = Callable[[Home], object]
#: Every operation, the call that it stands for, and whether parents go along.
OPERATIONS: dict[str, tuple[str, bool, Operation]] = {
    "create": ("CreateLayer", False, lambda h: _hcs.create(h.fake.api, h.base + "2", h.base)),
    "create_scratch": (
        *("CreateSandboxLayer", True),
        lambda h: _hcs.create_scratch(h.fake.api, h.scratch + "2", [h.base]),
    ),
    "expand": ("ExpandSandboxSize", False, lambda h: _hcs.expand(h.fake.api, h.scratch, 1 << 40)),
    "activate": ("ActivateLayer", False, lambda h: _hcs.activate(h.fake.api, h.scratch)),
    "deactivate": ("DeactivateLayer", False, lambda h: _hcs.deactivate(h.fake.api, h.scratch)),
    "prepare": (
        *("PrepareLayer", True),
        lambda h: _hcs.prepare(h.fake.api, h.scratch, [h.base]),
    ),
    "unprepare": ("UnprepareLayer", False, lambda h: _hcs.unprepare(h.fake.api, h.scratch)),
    "mount_path": ("GetLayerMountPath", False, lambda h: _hcs.mount_path(h.fake.api, h.scratch)),
    "exists": ("LayerExists", False, lambda h: _hcs.exists(h.fake.api, h.scratch)),
    "destroy": ("DestroyLayer", False, lambda h: _hcs.destroy(h.fake.api, h.scratch)),
    "export_layer": (
        *("ExportLayer", True),
        lambda h: _hcs.export_layer(h.fake.api, h.scratch, h.out, [h.base]),
    ),
    "import_layer": (
        *("ImportLayer", True),
        lambda h: _hcs.import_layer(h.fake.api, h.scratch, h.out, [h.base]),
    ),
    "process_base_image": (
        *("ProcessBaseImage", False),
        lambda h: _hcs.process_base_image(h.fake.api, h.base),
    ),
    "process_utility_vm": (
        *("ProcessUtilityImage", False),
        lambda h: _hcs.process_utility_vm(h.fake.api, h.base),
    ),
    "name_to_guid": ("NameToGuid", False, lambda h: _hcs.name_to_guid(h.fake.api, "base")),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_failure_of_an_operation_is_that_of_its_call(home: Home, name: str) -> None:
    call, has_parents, operation = OPERATIONS[name]
    home.fake.fail(call, 0x80070005)
    with pytest.raises(WindowsCallFailed) as caught:
        operation(home)
    assert (caught.value.call, caught.value.code, caught.value.raw) == (call, 5, 0x80070005)
    assert caught.value.text == "Access is denied"
    assert home.fake.calls() == [*(["NameToGuid"] if has_parents else []), call]


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one[1]])
def test_nothing_is_called_where_a_parent_has_no_id(home: Home, name: str) -> None:
    call, _, operation = OPERATIONS[name]
    home.fake.fail("NameToGuid", 0x80004005)
    with pytest.raises(WindowsCallFailed) as caught:
        operation(home)
    assert caught.value.call == "NameToGuid"
    assert call not in home.fake.calls()


def test_layer_is_its_path_with_an_empty_home(home: Home) -> None:
    _hcs.create(home.fake.api, home.base + "2", home.base)
    assert home.fake.log() == [f"CreateLayer {home.base}2", f"  parent {home.base}"]
    assert (home.folder / "base2").is_dir()


def test_layer_that_is_there_is_code_183(home: Home) -> None:
    with pytest.raises(WindowsCallFailed) as caught:
        _hcs.create(home.fake.api, home.base)
    assert caught.value.code == 183


def test_parents_arrive_nearest_first(home: Home) -> None:
    upper = home.folder / "läyer \U0001f600"
    upper.mkdir()
    _hcs.create_scratch(home.fake.api, home.scratch + "2", [str(upper), home.base])
    assert home.fake.log() == [
        "NameToGuid läyer \U0001f600",
        "NameToGuid base",
        f"CreateSandboxLayer {home.scratch}2",
        "  parent id 0",
        f"  parent {upper}",
        f"  parent {home.base}",
    ]


def test_size_of_more_than_four_gigabytes_arrives(home: Home) -> None:
    _hcs.expand(home.fake.api, home.scratch, (1 << 40) + 1)
    assert home.fake.log()[-1] == "  size 1099511627777"


def test_scratch_lives_through_all_its_states(home: Home) -> None:
    api = home.fake.api
    assert _hcs.mount_path(api, home.scratch) == ""
    _hcs.activate(api, home.scratch)
    _hcs.prepare(api, home.scratch, [home.base])
    volume = Path(_hcs.mount_path(api, home.scratch))
    assert (volume / "a.txt").read_bytes() == b"base"
    (volume / "new.txt").write_bytes(b"new")
    (volume / "a.txt").unlink()
    with pytest.raises(WindowsCallFailed) as caught:
        _hcs.export_layer(api, home.scratch, home.out, [home.base])
    assert caught.value.code == 32
    _hcs.unprepare(api, home.scratch)
    _hcs.export_layer(api, home.scratch, home.out, [home.base])
    _hcs.deactivate(api, home.scratch)
    tombstones = home.folder / "out" / "tombstones.txt"
    assert tombstones.read_bytes() == b"\xef\xbb\xbfVersion 1.0\r\n\\a.txt\r\n"
    tombstones.unlink()
    child = str(home.folder / "child")
    _hcs.import_layer(api, child, home.out, [home.base])
    assert (home.folder / "child" / "Files" / "new.txt").read_bytes() == b"new"
    assert _hcs.exists(api, child)
    _hcs.destroy(api, child)
    assert not _hcs.exists(api, child)
    assert [one for one in home.fake.calls() if one != "NameToGuid"] == [
        *("GetLayerMountPath", "ActivateLayer", "PrepareLayer"),
        *("GetLayerMountPath", "GetLayerMountPath", "ExportLayer", "UnprepareLayer"),
        *("ExportLayer", "DeactivateLayer", "ImportLayer", "LayerExists", "DestroyLayer"),
        "LayerExists",
    ]


def test_mount_path_is_asked_for_in_two_steps(home: Home) -> None:
    assert _hcs.mount_path(home.fake.api, home.base) == home.base
    assert home.fake.log() == [
        *(f"GetLayerMountPath {home.base}", "  buffer NULL"),
        *(f"GetLayerMountPath {home.base}", "  buffer given"),
    ]


def test_mount_path_ends_after_the_first_step_where_there_is_none(home: Home) -> None:
    assert _hcs.mount_path(home.fake.api, home.scratch) == ""
    assert home.fake.calls() == ["GetLayerMountPath"]


def test_mount_path_that_grows_between_the_steps_is_a_failure(home: Home) -> None:
    home.fake.fail("GetLayerMountPath", 0, 1)  # success, with a length that nobody wrote
    assert _hcs.mount_path(home.fake.api, home.base) == ""


def test_mount_path_whose_nul_is_not_counted_is_read_to_its_end(home: Home) -> None:
    home.fake.set("FAKE_HCS_LENGTH", "no-nul")
    assert _hcs.mount_path(home.fake.api, home.base) == home.base


def test_mount_path_longer_than_any_is_refused_before_it_is_asked_for(home: Home) -> None:
    home.fake.set("FAKE_HCS_LENGTH", "huge")
    with pytest.raises(StoreCorrupt, match="units"):
        _hcs.mount_path(home.fake.api, home.base)
    assert home.fake.calls() == ["GetLayerMountPath"]


def test_id_of_a_layer_is_that_of_the_name_of_its_folder(home: Home) -> None:
    expected = uuid.UUID(bytes_le=hashlib.sha1("läyer".encode()).digest()[:16])
    for path in ("C:\\home\\läyer", "C:\\home\\läyer\\", "/home/läyer", "läyer"):
        assert _hcs.layer_guid(home.fake.api, path) == expected
    assert set(home.fake.log()) == {"NameToGuid läyer"}


def test_nul_in_a_path_is_refused_before_any_call(home: Home) -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        _hcs.create(home.fake.api, "C:\\a\0b")
    with pytest.raises(InvalidArgument, match="NUL"):
        _hcs.create_scratch(home.fake.api, "C:\\a", ["C:\\b\0"])
    assert home.fake.log() == []


def test_preparations_wait_for_each_other(home: Home) -> None:
    _hcs.activate(home.fake.api, home.scratch)
    ends = []

    def prepare() -> None:
        _hcs.prepare(home.fake.api, home.scratch, [home.base])
        ends.append(home.fake.calls().count("PrepareLayer"))

    thread = threading.Thread(target=prepare)
    with _hcs._preparing:
        thread.start()
        time.sleep(0.05)
        assert "PrepareLayer" not in home.fake.calls()
    thread.join(10)
    assert ends == [1]


def test_preparation_that_fails_lets_the_next_in(home: Home) -> None:
    home.fake.fail("PrepareLayer", 0x80070015)
    for _ in range(2):
        with pytest.raises(WindowsCallFailed) as caught:
            _hcs.prepare(home.fake.api, home.scratch, [home.base])
        assert caught.value.code == 21  # injected; then because it is not active
    assert not _hcs._preparing.locked()


def test_utility_vm_is_processed_by_its_own_folder(home: Home) -> None:
    boot = home.folder / "base" / "UtilityVM" / "Files" / "EFI" / "Microsoft" / "Boot"
    boot.mkdir(parents=True)
    (boot / "BCD").write_bytes(b"regf")
    _hcs.process_utility_vm(home.fake.api, str(home.folder / "base" / "UtilityVM"))
    assert (home.folder / "base" / "UtilityVM" / "SystemTemplate.vhdx").exists()
    assert (boot / "BCD").read_bytes() == b"regf[mutated]"
