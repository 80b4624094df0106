"""The stand-in for the libraries of Windows: compiled once, and after each test nothing of it is left."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from winlayers.backends.native._dlls import TABLE, Libraries
from winlayers.layer.names import UPCASE

SOURCES = Path(__file__).parent / "fake"
BUILD = Path(__file__).parents[2] / "build" / "native"
UNITS = ("fake_hcs.c", "fake_system.c", "fake_disks.c")
FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-pthread"),
    *("-shared", "-fvisibility=hidden"),
)
SECONDS = 120


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
    program = compiler()
    digest = hashlib.sha256(repr((program, FLAGS, sys.platform)).encode())
    for path in sorted(SOURCES.glob("fake*")):
        digest.update(path.read_bytes())
    library = BUILD / digest.hexdigest()[:16] / "fake.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            command = [program, *FLAGS, "-o", str(made), *(str(SOURCES / unit) for unit in UNITS)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            if done.returncode:
                pytest.fail(f"{program} does not compile the stand-in:\n{done.stderr}")
            made.replace(library)
    return library


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
        table = (ctypes.c_uint16 * 65536)(*(UPCASE.get(unit, unit) for unit in range(65536)))
        self._library.fake_set_upcase(table)
        self._settings: set[str] = set()
        self.reset()

    def libraries(self, *left_out: str) -> Libraries:
        """Calls on the stand-in, without some libraries."""
        names = {prototype.library for prototype in TABLE.values()}
        return Libraries(dict.fromkeys(names - set(left_out), self.path))

    def reset(self) -> None:
        """Forget everything but the settings."""
        self._library.fake_reset()

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
        return self._library.fake_live_strings(), self._library.fake_live_handles()

    def contexts(self) -> int:
        """Backup streams that were begun and not ended."""
        begun: int = self._library.fake_live_contexts()
        return begun

    def privileges(self) -> int:
        """How many privileges this thread holds; -1 without an impersonation."""
        held: int = self._library.fake_privileges()
        return held


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
