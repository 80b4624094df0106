"""The structures that Windows is called with, compiled for 64-bit Windows against the headers of mingw-w64.

The ctypes of Python are held to the same list by ``tests/native/test_layouts.py``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import needs

pytestmark = pytest.mark.e2e

FAKE = Path(__file__).parents[1] / "native" / "fake"
SECONDS = 120


def compile_for_windows(source: Path) -> subprocess.CompletedProcess[str]:
    """Check a source with the compiler for 64-bit Windows; nothing is written."""
    needs("x86_64-w64-mingw32-gcc")
    command = ["x86_64-w64-mingw32-gcc", "-std=c11", "-fsyntax-only", "-Wall", str(source)]
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


def test_stand_in_compiles_for_windows() -> None:
    done = compile_for_windows(FAKE / "fake_hcs.c")
    assert (done.returncode, done.stderr) == (0, "")
