"""The stand-in for the libraries of Windows: compiled once, and after each test nothing of it is left."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from winlayers.backends.native._dlls import TABLE, Libraries
from winlayers.errors import WindowsCallFailed
from winlayers.layer.names import UPCASE

SOURCES = Path(__file__).parent / "fake"
BUILD = Path(__file__).parents[2] / "build" / "native"
UNITS = ("fake_hcs.c", "fake_system.c", "fake_disks.c")
FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-pthread"),
    *("-shared", "-fvisibility=hidden"),
)
SECONDS = 120
ON_WINDOWS: bool = os.name == "nt"

#: For a Python of Windows the stand-in is compiled elsewhere; this variable names the library.
VARIABLE = "WINLAYERS_STAND_IN"
WINDOWS_COMPILER = "x86_64-w64-mingw32-gcc"
WINDOWS_UNITS = ("fake_hcs.c", "fake_disks.c", "fake_streams.c")  # the rest is there
WINDOWS_FLAGS = (
    *("-std=c11", "-O1", "-Wall", "-Wextra", "-Wno-format-truncation"),
    *("-shared", "-static-libgcc"),
)
UNTOLD = ("FormatMessageW", "RtlNtStatusToDosError")  # which nobody asks for
REAL_ON_WINDOWS = {"kernel32", "ntdll", "advapi32", "ole32"}
#: What Wine's kernel32 cannot do, or has only of real volumes.
REDIRECTED = (
    *("BackupRead", "BackupWrite", "DeviceIoControl", "NtCreateFile"),
    *("GetVolumeInformationW", "GetVolumePathNameW", "GetDiskFreeSpaceExW"),
)


def compiler() -> str:
    """The C compiler; it is an error to have none."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.fail(
            "tests/native needs a C compiler: install gcc and libc6-dev (tools/test-packages.txt), or name one in CC"
        )
    return found


def build_fake() -> Path:
    """The compiled stand-in: that of the sources as they are, compiled where there is none."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    if ON_WINDOWS:
        return build_fake_for_windows()
    return _compiled(compiler(), FLAGS, UNITS, "fake.so")


def build_fake_for_windows() -> Path:
    """The same for a Python of Windows, compiled here."""
    return _compiled(WINDOWS_COMPILER, WINDOWS_FLAGS, WINDOWS_UNITS, "fake.dll", "-lole32")


def _compiled(
    program: str, flags: tuple[str, ...], units: tuple[str, ...], name: str, *libraries: str
) -> Path:
    digest = hashlib.sha256(repr((program, flags, units, sys.platform)).encode())
    for path in sorted(SOURCES.glob("fake*")):
        digest.update(path.read_bytes())
    library = BUILD / digest.hexdigest()[:16] / name
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            sources = (str(SOURCES / unit) for unit in units)
            command = [program, *flags, "-o", str(made), *sources, *libraries]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            if done.returncode:
                pytest.fail(f"{program} does not compile the stand-in:\n{done.stderr}")
            made.replace(library)
    return library


_set_last_error: Callable[[int], object] = getattr(ctypes, "set_last_error", ctypes.set_errno)


class Fake:
    """The stand-in, and how to steer it.

    Attributes:
        path: the compiled library.
        api: the calls of winlayers on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.api = self.libraries()
        self._library = ctypes.CDLL(str(path))
        self._library.fake_fail.argtypes = (ctypes.c_char_p, ctypes.c_int32, ctypes.c_int)
        self._library.fake_set.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._library.fake_log.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
        self._library.fake_log.restype = ctypes.c_size_t
        self._library.fake_close_disk.argtypes = (ctypes.c_void_p,)
        table = (ctypes.c_uint16 * 65536)(*(UPCASE.get(unit, unit) for unit in range(65536)))
        self._library.fake_set_upcase(table)
        self._settings: set[str] = set()
        self.freed = 0
        self.reset()

    def libraries(self, *left_out: str) -> Libraries:
        """Calls on the stand-in, without some libraries."""
        names = {prototype.library for prototype in TABLE.values()} - set(left_out)
        if not ON_WINDOWS:
            return Libraries(dict.fromkeys(names, self.path))
        return Watched(self, dict.fromkeys(names - REAL_ON_WINDOWS, self.path))

    def reset(self) -> None:
        """Forget everything but the settings."""
        self._library.fake_reset()
        self.freed = 0

    def fail(self, call: str, code: int, times: int = 1) -> None:
        """Have the next calls of a function fail."""
        self._library.fake_fail(call.encode(), ctypes.c_int32(code).value, times)

    def set(self, key: str, value: str) -> None:
        """Set something until the test ends."""
        self._settings.add(key)
        self._library.fake_set(key.encode(), value.encode())

    def unset(self) -> None:
        """Take back all settings."""
        for key in self._settings:
            self._library.fake_set(key.encode(), None)

    def log(self) -> list[str]:
        """All lines of the log."""
        buffer = ctypes.create_string_buffer(self._library.fake_log(None, 0) + 1)
        self._library.fake_log(buffer, len(buffer))
        return buffer.value.decode("utf-8", "surrogatepass").splitlines()

    def calls(self) -> list[str]:
        """The functions that were called, in order."""
        return [line.split(" ")[0] for line in self.log() if not line.startswith("  ")]

    def live(self) -> tuple[int, int]:
        """Texts and handles that were given out and not given back."""
        return self._library.fake_live_strings() - self.freed, self._library.fake_live_handles()

    def note(self, call: str) -> None:
        """Put a call of a real library into the log."""
        self._library.fake_note(call.encode())

    def fault(self, call: str) -> int | None:
        """The code that the next call of a real library is to fail with, if it is."""
        code = ctypes.c_int32()
        return code.value if self._library.fake_faulty(call.encode(), ctypes.byref(code)) else None

    def close_disk(self, handle: Any) -> None:
        """Tell that a handle is about to be closed, which may be that of a disk."""
        self._library.fake_close_disk(handle)

    def contexts(self) -> int:
        """Backup streams that were begun and not ended."""
        begun: int = self._library.fake_live_contexts()
        return begun

    def privileges(self) -> int:
        """How many privileges this thread holds; -1 without an impersonation."""
        if ON_WINDOWS:
            return 0 if self._impersonates() else -1
        held: int = self._library.fake_privileges()
        return held

    def _impersonates(self) -> bool:
        token = ctypes.c_void_p()
        try:
            Libraries.call(self.api, "OpenThreadToken", -2, 8, 0, ctypes.byref(token))
        except WindowsCallFailed:
            return False
        Libraries.call(self.api, "CloseHandle", token)
        return True


class Watched(Libraries):
    """The libraries of a Windows where they are real; their calls are in the log of the stand-in, and fail when told."""

    def __init__(self, fake: Fake, files: dict[str, Path]) -> None:
        super().__init__(files, dict.fromkeys(REDIRECTED, "vmcompute"))
        self._fake = fake

    def call(self, name: str, *arguments: Any) -> int:
        prototype = TABLE[name]
        if prototype.library in REAL_ON_WINDOWS and name not in (*REDIRECTED, *UNTOLD):
            self._fake.note(name)
            if (code := self._fake.fault(name)) is not None:
                _set_last_error(code)
                told = prototype.convention.leaves_last_error
                raise self._failure(prototype, 0 if told else code)
            if name == "CoTaskMemFree":
                self._fake.freed += 1
            elif name == "CloseHandle":
                self._fake.close_disk(arguments[0])
        return super().call(name, *arguments)


@pytest.fixture(scope="session")
def fake_library() -> Path:
    return build_fake()


@pytest.fixture
def fake(fake_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    fake = Fake(fake_library)
    fake.set("FAKE_BACKUP_DIR", str(tmp_path_factory.mktemp("kept")))
    yield fake
    fake.unset()
    assert fake.live() == (0, 0), "texts, handles that nobody gave back"
    assert fake.contexts() == 0, "backup streams that nobody ended"
    assert fake.privileges() == -1, "the thread keeps privileges"
