"""Errors: their exit codes, and what is told of them."""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.cli.harness import BASE, Shell
from winlayers.cli import failures
from winlayers.cli.commands import ls
from winlayers.cli.failures import describe
from winlayers.errors import KINDS, LayerNotFound, Malformed, WinlayersError
from winlayers.layer.findings import CATALOG


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_has_the_exit_code_of_the_table(kind: type[WinlayersError]) -> None:
    error = Malformed("tar", "bad") if kind is Malformed else kind("it went wrong")
    failure = describe(error)
    assert failure.exit == KINDS[kind].exit
    assert failure.lines()[0] == f"winlayers: {error}"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOENT, 10),
        (errno.EEXIST, 11),
        (errno.EBUSY, 12),
        (errno.EAGAIN, 13),
        (errno.EIO, 15),
        (errno.EACCES, 17),
        (errno.EPERM, 17),
        (errno.EROFS, 17),
        (errno.ENOSPC, 18),
        (errno.ETIMEDOUT, 20),
        (errno.EDOM, 1),
    ],
)
def test_an_error_of_the_system_takes_the_row_of_its_errno(code: int, expected: int) -> None:
    assert describe(OSError(code, "text", "/some/file")).exit == expected


def test_an_error_of_the_system_names_its_files() -> None:
    failure = describe(OSError(errno.EXDEV, "Cross-device link", "/a", None, "/b"))
    assert failure.message == "/a and /b: Cross-device link"


@pytest.mark.parametrize(
    ("names", "winerror", "expected"),
    [
        (("FOLDER",), None, 2),  # opened by the C runtime
        (("FOLDER",), 5, 17),  # listed, say
        (("file", None, "FOLDER"), 5, 2),  # replaced
        (("FOLDER", None, "file"), 5, 17),
        (("file",), None, 17),
    ],
)
def test_folder_in_place_of_a_file_is_wrong_usage_on_windows_too(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    names: tuple[str | None, ...],
    winerror: int | None,
    expected: int,
) -> None:
    first, *rest = (str(tmp_path) if name == "FOLDER" else name for name in names)
    error = PermissionError(errno.EACCES, "Permission denied", first, *rest)
    monkeypatch.setattr(error, "winerror", winerror, raising=False)
    monkeypatch.setattr(failures, "_IS_WINDOWS", True)
    assert describe(error).exit == expected


def test_errors_of_sqlite_have_the_code_of_their_cause(tmp_path: object) -> None:
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorname = "SQLITE_BUSY"
    assert describe(locked).exit == 13
    full = sqlite3.OperationalError("full")
    full.sqlite_errorname = "SQLITE_FULL"
    assert describe(full).exit == 18
    assert describe(sqlite3.ProgrammingError("ours")).exit == 1


def test_what_is_none_of_these_is_a_fault_of_ours_with_a_request() -> None:
    failure = describe(TypeError("oops"))
    assert failure.exit == 1
    assert "please report it" in failure.lines()[-1]


def test_interrupts_and_lack_of_memory_have_codes() -> None:
    assert describe(KeyboardInterrupt()).exit == 130
    assert describe(MemoryError()).exit == 18


def test_finding_of_an_error_brings_its_remedy() -> None:
    error = Malformed("tar", "bad", offset=512, entry="Files/a", finding="name-nul")
    failure = describe(error)
    assert failure.lines()[-1] == f"What to do: {CATALOG['name-nul'].remedy}"
    assert failure.as_json()["error"] == {
        "kind": "Malformed",
        "message": str(error),
        "exit": 14,
        "finding": "name-nul",
        "remedy": CATALOG["name-nul"].remedy,
        "entry": "Files/a",
        "offset": 512,
    }


def test_notes_follow_the_message() -> None:
    error = LayerNotFound("there is no layer 'x'")
    error.add_note("besides, it rains")
    assert describe(error).lines() == ["winlayers: there is no layer 'x'", "besides, it rains"]


def test_traceback_only_where_it_was_asked_for(
    shared: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("oops")

    monkeypatch.setattr(ls, "find_node", broken)
    result = shared.run("ls", "base", code=1)
    assert result.err.startswith("winlayers: TypeError: oops\nThis is a fault of winlayers")
    assert "Traceback" in shared.run("ls", "base", "-v", code=1).err
    assert "Traceback" not in shared.run("ls", "none", "-v", code=10).err


def test_error_is_one_json_object_where_json_was_asked_for(shared: Shell) -> None:
    error = json.loads(shared.run("ls", "none", "--json", code=10).err)["error"]
    assert (error["kind"], error["exit"]) == ("LayerNotFound", 10)


def test_output_before_an_error_is_kept(shared: Shell) -> None:
    result = shared.run("cat", "base", "/License.txt", "/none", code=10)
    assert result.out == b"the license"


def test_file_given_without_its_transport_gets_a_hint(
    shared: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.write("x.tar", BASE)
    monkeypatch.chdir(shared.folder)
    assert "say tar:x.tar" in shared.run("ls", "x.tar", code=10).err
