"""What Windows is called with, compiled for 64-bit Windows against the headers of mingw-w64.

Structures: their sizes and offsets; the ctypes of Python are held to the same list by
``tests/native/test_layouts.py``. Functions: for each that the headers declare, how many parameters it has, how wide each
and the result are, and which are pointers.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import needs
from winlayers.backends.native._dlls import TABLE, Prototype
from winlayers.backends.native._failures import Convention

pytestmark = pytest.mark.e2e

FAKE = Path(__file__).parents[1] / "native" / "fake"
SECONDS = 120
HEADERS = (
    *("windows.h", "winternl.h", "aclapi.h", "sddl.h", "virtdisk.h", "objbase.h"),
    *("computestorage.h", "restartmanager.h"),
)
INCLUDES = "#define _WIN32_WINNT 0x0A00\n#define NTDDI_VERSION 0x0A000007\n" + "".join(
    f"#include <{header}>\n" for header in HEADERS
)
#: Functions that these headers do not have: only published callers declare those of vmcompute; of the others two are
#: too new, and one is in the headers for drivers.
UNDECLARED = {name for name, one in TABLE.items() if one.library in ("vmcompute", "offreg")} | {
    *("HcsAttachOverlayFilter", "HcsDetachOverlayFilter", "RtlGetVersion")
}

_DECLARED = re.compile(r"^.*\*/ extern (\w+) (\w+) \((.*)\);", re.MULTILINE)


def compile_for_windows(source: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Check a source with the compiler for 64-bit Windows; nothing is written."""
    needs("x86_64-w64-mingw32-gcc")
    command = [
        "x86_64-w64-mingw32-gcc",
        "-std=c11",
        "-fsyntax-only",
        "-Wall",
        *options,
        str(source),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def test_every_size_and_offset_is_that_of_the_headers() -> None:
    done = compile_for_windows(FAKE / "layout_check.c")
    assert (done.returncode, done.stderr) == (0, "")


def test_size_that_is_wrong_does_not_compile(tmp_path: Path) -> None:
    listed = (FAKE / "layouts.h").read_text("utf-8")
    assert "S(FILE_BASIC_INFO, 40)" in listed
    (tmp_path / "layouts.h").write_text(
        listed.replace("S(FILE_BASIC_INFO, 40)", "S(FILE_BASIC_INFO, 36)")
    )
    source = tmp_path / "layout_check.c"
    source.write_bytes((FAKE / "layout_check.c").read_bytes())
    done = compile_for_windows(source)
    assert done.returncode != 0
    assert "FILE_BASIC_INFO size" in done.stderr


@pytest.mark.parametrize("unit", ["fake_hcs.c", "fake_disks.c"])
def test_stand_in_compiles_for_windows(unit: str) -> None:
    done = compile_for_windows(FAKE / unit)
    assert (done.returncode, done.stderr) == (0, "")


def declared_in_headers(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """The types of the result and the parameters of all functions of the headers, by name."""
    source = folder / "headers.c"
    source.write_text(INCLUDES)
    done = compile_for_windows(source, "-aux-info", str(folder / "headers.txt"))
    assert done.returncode == 0, done.stderr
    text = (folder / "headers.txt").read_text()
    return {
        name: (result, [] if parameters == "void" else parameters.split(", "))
        for result, name, parameters in _DECLARED.findall(text)
    }


def is_pointer(kind: object) -> bool:
    return not (isinstance(kind, type) and issubclass(kind, ctypes._SimpleCData)) or (
        kind is ctypes.c_void_p
    )


def asserted(prototype: Prototype, result: str, parameters: list[str]) -> str:
    """What must hold of a function, in C."""
    assert len(parameters) == len(prototype.parameters), prototype.name
    kinds = dict(enumerate(zip(parameters, prototype.parameters, strict=True), start=1))
    if prototype.convention is not Convention.VALUE:  # which is read as wide as a register
        kinds[0] = (result, prototype.convention.restype)
    lines = []
    for number, (declared, kind) in kinds.items():
        where = f'"{prototype.name} {number} ({declared})"'
        size = 8 if is_pointer(kind) else ctypes.sizeof(kind)
        lines.append(f"_Static_assert(sizeof({declared}) == {size}, {where});")
        # 5 is the class of pointers; in a conversion no number of another width is one.
        sign = "==" if is_pointer(kind) else "!="
        lines.append(f"_Static_assert(__builtin_classify_type(({declared})0) {sign} 5, {where});")
    return "\n".join(lines)


def test_every_prototype_is_that_of_the_headers(tmp_path: Path) -> None:
    declared = declared_in_headers(tmp_path)
    assert set(TABLE) - set(declared) == UNDECLARED
    source = tmp_path / "prototypes.c"
    checks = [asserted(one, *declared[name]) for name, one in TABLE.items() if name in declared]
    source.write_text("\n".join([INCLUDES, *checks, ""]))
    done = compile_for_windows(source)
    assert (done.returncode, done.stderr) == (0, "")


def test_parameter_that_is_too_narrow_does_not_compile(tmp_path: Path) -> None:
    declared = declared_in_headers(tmp_path)
    wrong = Prototype("kernel32", "CloseHandle", Convention.BOOL, (ctypes.c_uint32,))
    source = tmp_path / "prototypes.c"
    source.write_text(f"{INCLUDES}\n{asserted(wrong, *declared['CloseHandle'])}\n")
    done = compile_for_windows(source)
    assert done.returncode != 0
    assert "CloseHandle 1 (HANDLE)" in done.stderr
