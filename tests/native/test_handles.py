"""Handles, paths and privileges."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._handles import (
    BACKUP,
    RESTORE,
    SECURITY,
    Access,
    OpenFlags,
    Share,
    closing,
    extended_path,
    open_file,
    privileges,
    system_path,
)
from winlayers.errors import InvalidArgument, PrivilegeMissing, WindowsCallFailed

ALL = (BACKUP, RESTORE, SECURITY)
#: What `privileges` calls for one of them, in order.
STEPS = (
    *("ImpersonateSelf", "OpenThreadToken", "LookupPrivilegeValueW"),
    *("AdjustTokenPrivileges", "CloseHandle", "RevertToSelf"),
)


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        ("C:\\a", "\\\\?\\C:\\a"),
        ("C:/a/b", "\\\\?\\C:\\a\\b"),
        ("C:\\a\\.\\b\\..\\c\\", "\\\\?\\C:\\a\\c"),
        ("C:\\", "\\\\?\\C:\\"),
        ("\\\\server\\share\\a", "\\\\?\\UNC\\server\\share\\a"),
        ("//server/share/a/../b", "\\\\?\\UNC\\server\\share\\b"),
        ("\\\\?\\C:\\a/b.", "\\\\?\\C:\\a/b."),
        ("\\\\?\\Volume{1}\\a", "\\\\?\\Volume{1}\\a"),
        ("\\\\.\\pipe\\x", "\\\\.\\pipe\\x"),
        ("C:\\" + "x" * 300, "\\\\?\\C:\\" + "x" * 300),
    ],
)
def test_path_is_extended(path: str, extended: str) -> None:
    assert extended_path(path) == extended
    assert extended_path(extended) == extended


@pytest.mark.parametrize("path", ["", "a", "a\\b", "C:a", "\\a", "/a", "C:"])
def test_path_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="no absolute path"):
        extended_path(path)


def test_path_of_another_system_stays(tmp_path: Path) -> None:
    assert system_path(tmp_path / "a" / ".." / "b") == os.path.join(tmp_path, "b")


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("C:\\a\\dots. .\\con ", "\\\\?\\C:\\a\\dots. .\\con "),
        ("\\\\?\\Volume{1}\\x.", "\\\\?\\Volume{1}\\x."),
        ("a\\b.", "\\\\?\\C:\\here\\a\\b."),
        ("\\a", "\\\\?\\C:\\a"),
        ("C:a", "\\\\?\\C:\\here\\a"),
    ],
)
def test_path_of_windows_keeps_the_ends_of_names(
    monkeypatch: pytest.MonkeyPatch, path: str, taken: str
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("os.getcwd", lambda: "C:\\here")
    assert system_path(path) == taken


def test_path_relative_to_another_drive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("os.getcwd", lambda: "C:\\here")
    with pytest.raises(InvalidArgument, match="no absolute path"):
        system_path("D:a")


def test_folder_opens_with_backup_semantics(fake: Fake, tmp_path: Path) -> None:
    with open_file(fake.api, tmp_path, Access.GENERIC_READ | Access.ACCESS_SYSTEM_SECURITY) as it:
        assert it >> 32 == 0x45
        assert fake.live() == (0, 1)
    assert fake.log() == [
        f"CreateFileW {tmp_path} access=81000000 share=1 sa=0 disposition=3 flags=02200000 template=0",
        f"CloseHandle {it:#x}",
    ]


def test_what_is_asked_for_arrives(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "läyer \U0001f600.bin"
    flags = OpenFlags.BACKUP_SEMANTICS | OpenFlags.SEQUENTIAL_SCAN
    share = Share.READ | Share.WRITE | Share.DELETE
    with open_file(fake.api, path, Access.GENERIC_WRITE, share=share, disposition=2, flags=flags):
        assert path.exists()
    assert fake.log()[0] == (
        f"CreateFileW {path} access=40000000 share=7 sa=0 disposition=2 flags=0a000000 template=0"
    )


def test_file_that_is_not_there_is_code_2(fake: Fake, tmp_path: Path) -> None:
    with (
        pytest.raises(WindowsCallFailed) as caught,
        open_file(fake.api, tmp_path / "gone", Access.GENERIC_READ),
    ):
        pytest.fail("opened")
    assert (caught.value.code, caught.value.call) == (2, "CreateFileW")
    assert fake.calls() == ["CreateFileW"]


def test_handles_are_closed_in_reverse_order(fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ExitStack() as stack:
        handles = [
            stack.enter_context(open_file(fake.api, tmp_path, Access.GENERIC_READ))
            for _ in range(3)
        ]
        raise RuntimeError
    assert [line for line in fake.log() if "Close" in line] == [
        f"CloseHandle {one:#x}" for one in reversed(handles)
    ]


def test_failure_to_close_is_told(fake: Fake) -> None:
    with pytest.raises(WindowsCallFailed) as caught, closing(fake.api, 0x1234567800):
        pass
    assert (caught.value.call, caught.value.code) == ("CloseHandle", 6)


def test_failure_to_close_does_not_hide_the_first(fake: Fake) -> None:
    with pytest.raises(RuntimeError) as caught, closing(fake.api, 0x1234567800):
        raise RuntimeError("first")
    assert caught.value.args == ("first",)
    assert "CloseHandle" in caught.value.__notes__[0]


def test_privileges_are_held_while_the_with_lasts(fake: Fake) -> None:
    with privileges(fake.api, *ALL):
        assert fake.privileges() == 3
        assert fake.live() == (0, 0)
        assert fake.calls()[-1] == "CloseHandle"
    assert fake.privileges() == -1
    assert [line for line in fake.log() if line.startswith(("  ", "Adjust", "Open", "Imp"))] == [
        "ImpersonateSelf 2",
        "OpenThreadToken 0xfffffffffffffffe access=28 self=0",
        "AdjustTokenPrivileges 0x6700000008 disable=0 count=3 size=0 old=0 length=0",
        *(f"  enable {name}" for name in ALL),
    ]


def test_privileges_are_those_of_one_thread(fake: Fake) -> None:
    held = []
    with privileges(fake.api, BACKUP):
        thread = threading.Thread(target=lambda: held.append(fake.privileges()))
        thread.start()
        thread.join()
        held.append(fake.privileges())
    assert held == [-1, 1]


@pytest.mark.parametrize("step", STEPS)
def test_privileges_are_given_back_whatever_fails(fake: Fake, step: str) -> None:
    fake.fail(step, 8)
    with pytest.raises(WindowsCallFailed) as caught, privileges(fake.api, BACKUP):
        assert step == "RevertToSelf"
    assert (caught.value.call, caught.value.code) == (step, 8)
    if step == "RevertToSelf":  # nothing is left to be tried: the thread keeps them
        fake.api.call("RevertToSelf")
    if step == "CloseHandle":
        fake.api.call("CloseHandle", 0x6700000008)


def test_error_inside_is_kept_when_giving_back_fails(fake: Fake) -> None:
    fake.fail("RevertToSelf", 8)
    with pytest.raises(RuntimeError) as caught, privileges(fake.api, BACKUP):
        raise RuntimeError("first")
    assert "keeps its privileges" in caught.value.__notes__[0]
    fake.api.call("RevertToSelf")


def test_privilege_that_the_account_lacks_is_told(fake: Fake) -> None:
    fake.set("FAKE_LACKS", SECURITY)
    with pytest.raises(PrivilegeMissing, match=SECURITY), privileges(fake.api, *ALL):
        pytest.fail("held")
    assert fake.calls()[-2:] == ["CloseHandle", "RevertToSelf"]


def test_privileges_inside_the_same_do_nothing(fake: Fake) -> None:
    with privileges(fake.api, BACKUP, RESTORE):
        fake.reset()
        with privileges(fake.api, RESTORE):
            assert fake.privileges() == 2
        assert fake.calls() == []
        assert fake.privileges() == 2
        with (
            pytest.raises(InvalidArgument, match="cannot be added"),
            privileges(fake.api, SECURITY),
        ):
            pytest.fail("held")
    with privileges(fake.api, SECURITY):
        assert fake.privileges() == 1
