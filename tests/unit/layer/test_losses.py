"""Each thing that a form has no place for is told, and nothing else."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.support.builders import (
    NEW_YEAR_FILETIME,
    a_directory,
    a_file,
    a_junction,
    a_link,
    a_reparse_point,
    a_symlink,
    a_whiteout,
)
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.formats.ea import NEED_EA, ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import TAG_AF_UNIX, TAG_WOF, MountPoint, build_reparse
from winlayers.layer.backuptarwriter import BackupTarWriter
from winlayers.layer.findings import Finding
from winlayers.layer.losses import Form, losses_of
from winlayers.layer.tarheaders import Dialect

FLAGGED_EA = build_ea_list([ExtendedAttribute(b"A", b"1", NEED_EA)])
EA = build_ea_list([ExtendedAttribute(b"A", b"1")])
BAD_EA_NAME = build_ea_list([ExtendedAttribute(b"a=b", b"1")])
NO_PRINT_NAME = build_reparse(MountPoint("\\??\\C:\\a", ""))
SAME_TIMES = {
    "creation_filetime": NEW_YEAR_FILETIME,
    "access_filetime": NEW_YEAR_FILETIME,
    "write_filetime": NEW_YEAR_FILETIME,
    "change_filetime": NEW_YEAR_FILETIME,
}
SPARSE = HeldEntry(
    a_file("Files/a", b"x").entry,
    (HeldPart("", 1, content=b"x"), HeldPart("s", 1, 8, content=b"\0")),
)


def codes(held: HeldEntry, form: Form) -> list[str]:
    return [one.code for one in losses_of(held.entry, held.parts, form=form)]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (a_file("Files/a", b"x", {"s": b"y"}, ea=EA), []),
        (a_directory("Files/a"), []),
        (a_link("Files/a", "Files/b"), []),
        (a_whiteout("Files/a"), []),
        (a_symlink("Files/a", "b"), []),
        (a_junction("Files/a", "C:\\b"), []),
        (a_file("Files/a", write_filetime=0), ["time-wrapped"]),
        (a_link("Files/a", "Files/b", change_filetime=0), ["time-wrapped"]),
        (a_file("Files/a", ea=FLAGGED_EA), ["ea-lost"]),
        (a_file("Files/a", ea=BAD_EA_NAME), ["ea-lost"]),
        (a_file("Files/a", ea=b"\1"), ["ea-invalid"]),
        (a_directory("Files/a", {"s": b"x", "t": b"y"}), ["stream-lost"] * 2),
        (SPARSE, ["stream-sparse"]),
        (a_reparse_point("Files/a", TAG_AF_UNIX), ["reparse-unsupported"]),
        (a_directory("Files/a", reparse=NO_PRINT_NAME), ["reparse-rebuilt"]),
        (a_directory("Files/a", reparse=NO_PRINT_NAME[:10]), ["reparse-invalid"]),
        (HeldEntry(replace(a_symlink("Files/a", "b").entry, size=4)), ["link-with-data"]),
    ],
)
def test_loss_of_the_original(held: HeldEntry, expected: list[str]) -> None:
    assert codes(held, Form.GO_TAR) == expected


@pytest.mark.parametrize(
    "held",
    [
        a_file("Files/a", b"x", {"s": b"y"}, ea=FLAGGED_EA, write_filetime=0),
        a_directory("Files/a", {"s": b"x", "t": b"y"}, ea=EA),
        a_directory("Files/a", attributes=0x410, reparse=NO_PRINT_NAME),
    ],
)
def test_loss_of_the_original_is_what_its_writer_reports(held: HeldEntry) -> None:
    reported: list[Finding] = []
    writer = BackupTarWriter(io.BytesIO(), dialect=Dialect.GO, on_loss=reported.append)
    writer.add(held.entry, [(part, io.BytesIO(part.content)) for part in held.parts])
    assert list(losses_of(held.entry, held.parts, form=Form.GO_TAR)) == reported
    assert reported


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (a_file("Files/a", security=b"", **SAME_TIMES), []),
        (a_file("Files/a", **SAME_TIMES), ["security-lost"]),
        (a_file("Files/a", security=b""), ["time-lost"]),
        (a_file("Files/a", security=b"", attributes=0x26, **SAME_TIMES), ["attributes-lost"]),
        (a_file("Files/a", b"", {"s": b""}, security=b"", **SAME_TIMES), ["stream-lost"]),
        (a_file("Files/a", security=b"", ea=EA, **SAME_TIMES), ["ea-lost"]),
        (a_symlink("Files/a", "b", security=b"", **SAME_TIMES), []),
        (a_symlink("Files/a", "C:\\b", security=b"", **SAME_TIMES), ["reparse-rebuilt"]),
        (a_junction("Files/a", "C:\\b", security=b"", **SAME_TIMES), ["reparse-rebuilt"]),
        (
            a_reparse_point("Files/a", TAG_AF_UNIX, security=b"", **SAME_TIMES),
            ["reparse-lost"],
        ),
        (a_reparse_point("Files/a", TAG_WOF, security=b"", **SAME_TIMES), ["reparse-dropped"]),
        (a_file("Files/a", security=b"", reparse=b"\1", **SAME_TIMES), ["reparse-invalid"]),
        (a_whiteout("Files/a"), []),
    ],
)
@pytest.mark.parametrize("form", [Form.FOLDER, Form.LINUX_TAR])
def test_loss_on_other_systems(held: HeldEntry, expected: list[str], form: Form) -> None:
    assert codes(held, form) == expected


def test_linux_has_no_place_for_hives() -> None:
    held = a_file("Hives/System_Delta", b"regf")
    assert codes(held, Form.LINUX_TAR) == ["outside-files-lost"]
    assert "outside-files-lost" not in codes(held, Form.FOLDER)
