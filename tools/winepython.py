"""A Python of Windows that runs under Wine on Linux: made once, kept in build/wine-python.

    python tools/winepython.py                          make it where it is not there
    python tools/winepython.py -m pytest -m "not e2e" tests/unit/formats
                                                        run it, with the arguments of Python

Its interpreter comes out of the one wheel that carries all of it, its standard library from a CPython 3.11 of this
system, its packages from the package index as what they are for Windows. Paths of Linux are Z:\\... in it. It needs
Wine and the compiler of mingw-w64 (tools/e2e-packages.txt). It does not know what is run.

What is odd here is so because of Wine 8:

- The loader of 64 bits is started, not the front end ``wine``: that one complains of a missing 32-bit half.
- Wine's server and services outlive what is run. They are started first, with nothing of ours open: they would keep
  the pipes that they inherit, and who reads those would wait for ever.
- What is run writes to pipes. It cannot ask a file that is open for writing only for its kind, and Python would end.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
HOME = ROOT / "build" / "wine-python"

INTERPRETER = "panda3d==1.10.16"
INTERPRETER_FOLDER = "deploy_libs/"
TARGET = (
    "--platform",
    "win_amd64",
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--abi",
    "cp311",
)
#: Of the wheel. The forwarders to the C runtime are left out: Wine has its own.
LIBRARIES = (
    *(
        "_asyncio.pyd",
        "_bz2.pyd",
        "_ctypes.pyd",
        "_decimal.pyd",
        "_elementtree.pyd",
        "_hashlib.pyd",
    ),
    *("_lzma.pyd", "_multiprocessing.pyd", "_overlapped.pyd", "_queue.pyd", "_socket.pyd"),
    *("_sqlite3.pyd", "_ssl.pyd", "_uuid.pyd", "_zoneinfo.pyd", "pyexpat.pyd", "select.pyd"),
    *("unicodedata.pyd", "libffi-8.dll", "libcrypto-3.dll", "libssl-3.dll", "sqlite3.dll"),
)
PROGRAM = """\
__declspec(dllimport) int Py_Main(int, unsigned short **);
int wmain(int count, unsigned short **words) { return Py_Main(count, words); }
"""
#: What tests need. pip asks this system, not Windows, which markers hold: so none are left, and colorama is named.
TESTING = ("pytest", "pytest-xdist", "hypothesis", "colorama")
NOT_OF_WINDOWS = (
    *(
        "__pycache__",
        "test",
        "lib-dynload",
        "site-packages",
        "dist-packages",
        "config-*",
        "idlelib",
    ),
    *("tkinter", "turtledemo", "ensurepip", "sitecustomize.py", "_sysconfigdata*"),
)

SECONDS_TO_MAKE = 300
SECONDS_TO_RUN = 3600
SECONDS_OF_SERVER = 120

_STARTING = threading.Lock()


class WinePython:
    """A Python of Windows in a folder.

    Args:
        home: the folder; made by ``make`` where it is not there.
    """

    def __init__(self, home: Path = HOME) -> None:
        self.home = home
        self._python = home / "python"
        self._loader = _program("/usr/lib/wine/wine64", "wine64", "wine")
        self._server = _program("/usr/lib/wine/wineserver64", "wineserver64", "wineserver")

    def make(self) -> None:
        """Make what is not there yet, or was made in another way.

        Raises:
            SystemExit: something that it needs is missing; the text says what.
        """
        requirements = _requirements()
        self._step("interpreter", self._make_interpreter, INTERPRETER, *LIBRARIES, PROGRAM)
        self._step("library", self._make_library, *NOT_OF_WINDOWS)
        self._step("prefix", self._make_prefix)
        self._step("packages", lambda: self._make_packages(requirements), *requirements)

    def run(
        self,
        arguments: Sequence[str],
        *,
        seconds: float,
        environment: Mapping[str, str] | None = None,
        stdout: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[str]:
        """Run it in the root of the project.

        Args:
            arguments: of Python.
            seconds: how long it may take; what runs longer is ended, with all that it started.
            environment: what is to be set for it.
            stdout: where both of its streams go: a pipe, never a file.
        Returns:
            The exit status and, from a pipe, the text of both streams.
        Raises:
            subprocess.TimeoutExpired: it took longer.
        """
        self._start_server()
        command = [self._loader, str(self._python / "python.exe"), *arguments]
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env=self._environment(**(environment or {})),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            self.end()
            raise

    def end(self) -> None:
        """End everything that runs in it."""
        self._call(self._server, "-k")

    def windows_path(self, path: Path) -> str:
        """What a path of Linux is there."""
        return "Z:" + str(path.absolute()).replace("/", "\\")

    def _start_server(self) -> None:
        # Fails where one runs already. Then its services run, too: another thread that runs something waits for them.
        with _STARTING:
            if self._call(self._server, f"-p{SECONDS_OF_SERVER}") == 0:
                self._call(self._loader, "cmd", "/c", "exit")

    def _environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "LC_ALL": "C.UTF-8",  # of which Wine takes how names of files are written
            "WINEPREFIX": str(self.home / "prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d",  # nothing to be downloaded
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            **more,
        }

    def _call(self, *command: str) -> int:
        done = subprocess.run(
            command,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_TO_MAKE,
        )
        return done.returncode

    def _step(self, name: str, make: Callable[[], None], *recipe: str) -> None:
        stamp = self.home / f".{name}"
        digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return
        self._python.mkdir(parents=True, exist_ok=True)
        make()
        stamp.write_text(digest)

    def _make_interpreter(self) -> None:
        compiler = _program("x86_64-w64-mingw32-gcc")
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            _pip("download", "--no-deps", *TARGET, "--dest", folder, INTERPRETER)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                _take(archive, "python311.dll", self._python)
                for name in LIBRARIES:
                    _take(archive, name, self._python / "DLLs")
            source = Path(folder) / "python.c"
            source.write_text(PROGRAM)
            made = str(self._python / "python.exe")
            library = str(self._python / "python311.dll")
            subprocess.run(
                [compiler, "-O2", "-municode", "-o", made, str(source), library],
                check=True,
                timeout=SECONDS_TO_MAKE,
            )

    def _make_library(self) -> None:
        library = self._python / "Lib"
        kept = library / "site-packages"
        for old in library.iterdir() if library.exists() else ():
            if old != kept:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        ignored = shutil.ignore_patterns(*NOT_OF_WINDOWS)
        shutil.copytree(_standard_library(), library, ignore=ignored, dirs_exist_ok=True)
        kept.mkdir(exist_ok=True)
        (self.home / ".packages").unlink(missing_ok=True)  # which compiles this, too

    def _make_prefix(self) -> None:
        self._call(self._loader, "wineboot", "-i")
        self._call(self._server, "-w")

    def _make_packages(self, requirements: Sequence[str]) -> None:
        target = self._python / "Lib" / "site-packages"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _pip("install", "--no-compile", *TARGET, "--target", str(target), *requirements)
        (target / "winlayers.pth").write_text(self.windows_path(ROOT / "src") + "\n")
        # Some files of others are there to be wrong: what matters is that the rest is compiled.
        library = self.windows_path(target.parent)
        self.run(["-m", "compileall", "-q", library], seconds=SECONDS_TO_MAKE)


def _requirements() -> tuple[str, ...]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ours = (line.partition(";")[0].strip() for line in project["dependencies"])
    testing = [line for line in project["optional-dependencies"]["dev"] if line.startswith(TESTING)]
    return (*ours, *testing, "colorama")


def _standard_library() -> Path:
    own = Path(sysconfig.get_path("stdlib"))
    candidates = [
        *([own] if sys.version_info[:2] == (3, 11) else []),
        *(Path(root) / "lib" / "python3.11" for root in ("/usr", "/usr/local")),
    ]
    for folder in candidates:
        if (folder / "os.py").exists() and (folder / "encodings").is_dir():
            return folder
    raise SystemExit("no standard library of CPython 3.11 here: run this with a CPython 3.11")


def _take(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(archive.read(INTERPRETER_FOLDER + name))


def _program(*names: str) -> str:
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    raise SystemExit(f"{names[-1]} is not installed: see tools/e2e-packages.txt")


def _pip(command: str, *arguments: str) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            command,
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            *arguments,
        ],
        check=True,
        timeout=SECONDS_TO_MAKE,
    )


def main(arguments: Sequence[str]) -> int:
    """Make it, and run it where there are arguments; the exit status."""
    python = WinePython()
    python.make()
    if not arguments:
        return 0
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, text=True) as shown:
        assert shown.stdin is not None
        return python.run(arguments, seconds=SECONDS_TO_RUN, stdout=shown.stdin).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
