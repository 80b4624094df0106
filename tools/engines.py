"""The engines that are tested with: containerd and Docker of Debian 12 and 13, unpacked once into build/engines.

    python tools/engines.py                             get what is not there yet
    python tools/engines.py 13 ctr --version            run a program of a release, with its arguments

Nothing is installed, and nothing of this system's apt is changed: apt-get gets the packages with lists and a cache of
its own, and they are unpacked as they are. Their programs ask for no newer C library than that of Debian 12, so they
run on any system that has it or a newer one. It does not know what the engines are for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / "build" / "engines"

#: Names a mirror of Debian where this system's apt has none.
MIRROR_VARIABLE = "DEBIAN_MIRROR"
_SOURCES = Path("/etc/apt")
_MIRROR = re.compile(r"https?://\S+/debian/?(?=\s|$)")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Of each release: its name, and the packages. 12 has containerd 1.6 and Docker 20.10, 13 has 1.7 and 26.1.
#: Libraries are those that a system of Debian may be without.
RELEASES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "12": (
        "bookworm",
        ("containerd", "docker.io", "runc", "tini", "libdevmapper1.02.1", "libseccomp2"),
    ),
    "13": ("trixie", ("containerd", "docker.io", "docker-cli", "docker-buildx", "tini")),
}
#: Programs of the release named last are found where that one has none.
PROGRAMS = ("usr/bin", "usr/sbin", "usr/libexec/docker/cli-plugins")

SECONDS = 300


class Engines:
    """Programs of engines, by releases of Debian, in a folder.

    Args:
        home: the folder; filled by ``make`` where it is not.
    """

    def __init__(self, home: Path = HOME) -> None:
        self.home = home

    def make(self) -> None:
        """Get and unpack what is not there yet.

        Raises:
            SystemExit: it cannot be had; the text says why.
        """
        stamp = self.home / ".made"
        recipe = hashlib.sha256(repr(sorted(RELEASES.items())).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == recipe:
            return
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise SystemExit(f"engines are packages of Debian, and {program} is not there")
        if not KEYRING.exists():
            raise SystemExit(f"{KEYRING} is not there: apt-get install debian-archive-keyring")
        self.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            apt = _Apt(Path(folder))
            apt.update([name for name, _ in RELEASES.values()])
            for release, (name, packages) in RELEASES.items():
                target = self.home / release
                shutil.rmtree(target, ignore_errors=True)
                for package in apt.download(name, packages):
                    _run(["dpkg-deb", "--extract", str(package), str(target)])
        stamp.write_text(recipe)

    def program(self, release: str, name: str) -> Path:
        """Where a program of a release is.

        Raises:
            SystemExit: it is not there.
        """
        for folder in PROGRAMS:
            if (path := self.home / release / folder / name).exists():
                return path
        raise SystemExit(f"{name} of Debian {release} is not in {self.home}: run make e2e")

    def environment(self, release: str) -> dict[str, str]:
        """What is to be set to run programs of a release: they find their libraries and each other first."""
        ours = self.home / release
        folders = [ours / folder for folder in PROGRAMS[:2]]
        folders += [self.home / "12" / folder for folder in PROGRAMS[:2]]  # it has runc
        paths = [*map(str, folders), os.environ.get("PATH", os.defpath)]
        libraries = sorted(map(str, (self.home / "12").glob("*/*-linux-gnu")))
        libraries += sorted(map(str, (self.home / "12").glob("usr/lib/*-linux-gnu")))
        return {"PATH": os.pathsep.join(paths), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def find_mirror() -> str:
    """The mirror of Debian that this system gets its packages from.

    Raises:
        SystemExit: it has none; the text says what to set.
    """
    if told := os.environ.get(MIRROR_VARIABLE):
        return told
    files = [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*"))]
    for file in files:
        if file.suffix in (".list", ".sources") and file.is_file():
            lines = file.read_text(errors="replace").splitlines()
            for line in lines:
                if not line.lstrip().startswith("#") and (match := _MIRROR.search(line)):
                    return match[0]
    raise SystemExit(
        f"engines are packages of Debian, and this system's apt has no mirror of it: set {MIRROR_VARIABLE} to the "
        "address of one"
    )


class _Apt:
    """apt-get with sources, lists and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("sources", "state/lists/partial", "cache/archives/partial", "packages"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()

    def update(self, names: Sequence[str]) -> None:
        source = [
            "Types: deb",
            f"URIs: {find_mirror()}",
            f"Suites: {' '.join(names)}",
            "Components: main",
            f"Signed-By: {KEYRING}",
        ]
        (self.folder / "sources" / "debian.sources").write_text("\n".join(source) + "\n")
        # Without the option, lists that cannot be had are only a warning.
        self._run("update", "-o", "APT::Update::Error-Mode=any")

    def download(self, name: str, packages: Sequence[str]) -> list[Path]:
        target = self.folder / "packages" / name
        target.mkdir()
        self._run("download", *(f"{package}/{name}" for package in packages), folder=target)
        found = sorted(target.glob("*.deb"))
        if len(found) != len(packages):
            raise SystemExit(f"of {', '.join(packages)}, only {len(found)} are in {name}")
        return found

    def _run(self, command: str, *arguments: str, folder: Path | None = None) -> None:
        options = {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": self.folder / "sources",
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
        }
        given = [word for option in options.items() for word in ("-o", "{}={}".format(*option))]
        _run(["apt-get", "-qq", *given, command, *arguments], folder)


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS
    )
    if done.returncode:
        raise SystemExit(f"engines cannot be had: {command[0]} said: {done.stderr.strip()}")


def main(arguments: Sequence[str]) -> int:
    """Get the engines, and run one where there are arguments; the exit status."""
    engines = Engines()
    engines.make()
    if not arguments:
        return 0
    release, name, *rest = arguments
    environment = os.environ | engines.environment(release)
    return subprocess.run([engines.program(release, name), *rest], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
