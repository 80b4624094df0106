"""Who holds a layer, as Windows tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _holders
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._holders import Holder, find_holders, find_processes
from winlayers.errors import Malformed, WindowsCallFailed

SESSION = ["RmStartSession", "RmRegisterResources", "RmGetList", "RmGetList", "RmEndSession"]
TWO = "1234 dockerd.exe|88 Antivirus Ünïcode"
HOLDERS = [Holder("dockerd.exe", 1234), Holder("Antivirus Ünïcode", 88)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A layer with files of its own, and others in its tree."""
    folder = tmp_path / "Layer1"
    for name in ("sandbox.vhdx", "Hives/System_Delta", "UtilityVM/a.vhdx", "Files/a", "Hives/x/y"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


class Lacking(Libraries):
    """A host without some functions."""

    def __init__(self, path: Path, *lacking: str) -> None:
        super().__init__(dict.fromkeys(("vmcompute", "rstrtmgr", "ole32", "kernel32"), path))
        self._lacking = lacking

    def has(self, name: str) -> bool:
        return name not in self._lacking and super().has(name)


def test_processes_that_hold_files_of_the_layer_are_named(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    assert find_holders(fake.api, folder) == tuple(HOLDERS)
    assert [line for line in fake.log() if line.startswith(("Rm", "  file"))] == [
        *("RmStartSession flags=0", "RmRegisterResources files=3"),
        f"  file {folder / 'Hives' / 'System_Delta'}",
        f"  file {folder / 'UtilityVM' / 'a.vhdx'}",
        f"  file {folder / 'sandbox.vhdx'}",
        *("RmGetList room=0", "RmGetList room=2", "RmEndSession 7"),
    ]


def test_compute_systems_that_run_from_the_layer_are_named(fake: Fake, folder: Path) -> None:
    systems = [
        {"Id": "LAYER1"},
        {"Id": "vm", "RuntimeImagePath": "C:\\l\\layer1\\UtilityVM", "IsRuntimeTemplate": True},
        {"Id": "other", "RuntimeImagePath": "C:\\l\\layer12"},
        {"Id": "", "RuntimeImagePath": ""},
    ]
    fake.set("FAKE_HCS_SYSTEMS", json.dumps(systems))
    found = find_holders(fake.api, folder)
    assert found == (Holder("LAYER1", None), Holder("vm", None))


def test_layer_that_nobody_holds_has_no_holder(fake: Fake, folder: Path) -> None:
    assert find_holders(fake.api, folder) == ()
    assert fake.calls()[-4:] == [*SESSION[:3], "RmEndSession"]


def test_layer_that_is_gone_is_asked_about_by_its_name_alone(fake: Fake, tmp_path: Path) -> None:
    assert find_holders(fake.api, tmp_path / "gone") == ()
    assert fake.calls() == ["HcsEnumerateComputeSystems", "CoTaskMemFree"]


def test_no_more_files_are_asked_about_than_the_limit(fake: Fake, tmp_path: Path) -> None:
    for number in range(_holders.MAX_FILES + 5):
        (tmp_path / f"{number:03}").write_bytes(b"")
    find_holders(fake.api, tmp_path)
    asked = [Path(line[7:]).name for line in fake.log() if line.startswith("  file ")]
    assert asked == [f"{number:03}" for number in range(_holders.MAX_FILES)]


def test_more_holders_than_there_was_room_for_are_asked_for_again(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    fake.set("FAKE_HOLDERS_MORE", "3")
    assert find_processes(fake.api, [folder / "sandbox.vhdx"]) == HOLDERS
    assert fake.log().count("RmGetList room=3") == 1
    assert fake.calls().count("RmGetList") == 4


def test_holders_that_come_faster_than_they_are_listed_are_not_told(
    fake: Fake, folder: Path
) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    fake.set("FAKE_HOLDERS_MORE", "100")
    assert find_processes(fake.api, [folder / "sandbox.vhdx"]) == []
    assert fake.calls().count("RmGetList") == 5


def test_more_holders_than_the_limit_are_not_told(
    fake: Fake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_holders, "MAX_PROCESSES", 1)
    fake.set("FAKE_HOLDERS", TWO)
    assert find_processes(fake.api, [folder / "sandbox.vhdx"]) == []
    assert fake.calls() == [*SESSION[:3], "RmEndSession"]


@pytest.mark.parametrize("call", sorted(set(SESSION)))
def test_session_ends_whatever_fails(fake: Fake, folder: Path, call: str) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    fake.fail(call, 29)
    with pytest.raises(WindowsCallFailed) as caught:
        find_processes(fake.api, [folder / "sandbox.vhdx"])
    assert (caught.value.call, caught.value.code) == (call, 29)
    assert fake.calls()[-1] == (call if call == "RmStartSession" else "RmEndSession")
    if call == "RmEndSession":  # what the fault kept open, so that only a true leak shows
        fake.api.call("RmEndSession", 7)


def test_host_without_the_restart_manager_names_compute_systems(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    fake.set("FAKE_HCS_SYSTEMS", '[{"Id":"layer1"}]')
    api = Lacking(fake.path, "RmStartSession")
    assert find_holders(api, folder) == (Holder("layer1", None),)
    assert "RmStartSession" not in fake.calls()


def test_host_without_compute_systems_names_processes(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", TWO)
    api = Lacking(fake.path, "HcsEnumerateComputeSystems")
    assert find_holders(api, folder) == tuple(HOLDERS)
    assert fake.calls() == SESSION


def test_host_that_can_tell_of_neither_says_so(fake: Fake, folder: Path) -> None:
    api = Lacking(fake.path, "RmStartSession", "HcsEnumerateComputeSystems")
    assert find_holders(api, folder) is None
    assert fake.calls() == []


def test_systems_that_nobody_understands_are_told(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HCS_SYSTEMS", "{")
    with pytest.raises(Malformed):
        find_holders(fake.api, folder)


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        (Holder("a.exe", 5), "a.exe (process 5)"),
        (Holder("", 5), "a program (process 5)"),
        (Holder("vm", None), "compute system 'vm'"),
    ],
)
def test_holder_is_told_in_words(holder: Holder, text: str) -> None:
    assert str(holder) == text
