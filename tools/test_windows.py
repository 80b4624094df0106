"""Proves on a Windows host with containers what no other system can show: that Windows agrees with the native backend.

    python tools/test_windows.py [--docker-root DIR | --base TAR] [--refs DIR]

Run it as administrator, with winlayers installed. The base layer is one that Docker has on this host, or a tar of one.
Layers are made in a new folder of the disk of ``--work``, and removed again. It prints a line for each thing that
holds, and ends with status 1 at the first that does not; what it has not proved by then is not proved.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.builders import a_file, a_layer, a_link, a_whiteout, layer_tar  # noqa: E402
from winlayers.assembly import open_driver  # noqa: E402
from winlayers.backends.native._dlls import Libraries  # noqa: E402
from winlayers.backends.native._hcs import name_to_guid  # noqa: E402
from winlayers.config import Config  # noqa: E402
from winlayers.driver.driver import Driver  # noqa: E402
from winlayers.errors import Unsupported, WinlayersError  # noqa: E402
from winlayers.layer.entry import EntryKind  # noqa: E402
from winlayers.layer.view import walk  # noqa: E402

NEW, AGAIN, MACHINE = (
    "Files/winlayers/new.txt",
    "Files/winlayers/again.txt",
    "UtilityVM/Files/winlayers.txt",
)
WRITTEN = "written.txt"
CONTENT = b"made by winlayers\r\n"

Say = Callable[[str], None]


class NotProved(Exception):
    """Something does not hold."""


def check(holds: bool, what: str, say: Say) -> None:
    """Tell what holds.

    Raises:
        NotProved: it does not.
    """
    if not holds:
        raise NotProved(what)
    say(what)


def prove_layers(driver: Driver, base: BinaryIO, say: Say) -> None:
    """Take a base layer through all that happens to layers, and remove them all.

    Args:
        driver: on an empty store of the native backend.
        base: the uncompressed tar of a base layer.
        say: takes each thing that holds.
    """
    digest = _Digest(base)
    driver.apply_diff("base", "", cast(BinaryIO, digest))
    check(driver.exists("base"), "a base layer is imported", say)
    with driver.diff("base") as tar:
        check(_digest_of(tar) == digest.value, "its tar comes out as it went in", say)

    removed, has_machine = _looked_at(driver)
    held = [a_file(NEW, CONTENT), a_link(AGAIN, NEW), a_whiteout(removed)]
    if has_machine:
        held.append(a_file(MACHINE, CONTENT))
    child = layer_tar(a_layer(*held))
    driver.apply_diff("child", "base", io.BytesIO(child))
    check(_content(driver, "child", NEW) == CONTENT, "a child layer is imported", say)
    check(_content(driver, "child", AGAIN) == CONTENT, "its hard link is there", say)
    check(_content(driver, "child", removed) is None, f"{removed} is removed in it", say)
    if has_machine:
        check(_content(driver, "child", MACHINE) == CONTENT, "its utility VM is made", say)
    else:
        say("NOT proved: utility VMs, as the base layer has none")
    with driver.diff("child") as tar:
        check(tar.read() == child, "the tar of the child comes out as it went in", say)

    driver.create_read_write("scratch", "child")
    volume = driver.get("scratch")
    try:
        check(
            (volume / "winlayers" / "new.txt").read_bytes() == CONTENT,
            "a scratch shows the chain",
            say,
        )
        (volume / WRITTEN).write_bytes(CONTENT)
        check((volume / WRITTEN).read_bytes() == CONTENT, "it takes writes", say)
    finally:
        driver.put("scratch")
    with driver.diff("scratch", "child") as tar:
        driver.apply_diff("committed", "child", tar)
    found = _content(driver, "committed", f"Files/{WRITTEN}")
    check(found == CONTENT, "the difference of the scratch is a layer again", say)

    for layer_id in ("scratch", "committed", "child", "base"):
        driver.remove(layer_id)
    check(driver.layers() == [], "all layers are removed", say)


def prove_guids(api: Libraries, say: Say) -> None:
    """NameToGuid gives one name one GUID, and another name another one."""
    first, again, other = (name_to_guid(api, name) for name in ("base", "base", "child"))
    check(first == again != other, f"NameToGuid is stable: base is {first}", say)


def prove_refusal(folder: Path, say: Say) -> None:
    """A store on ReFS is refused."""
    try:
        open_driver(Config(folder, backend="native"))
    except Unsupported as error:
        say(f"ReFS is refused: {error}")
        return
    raise NotProved(f"{folder} is not refused")


def _looked_at(driver: Driver) -> tuple[str, bool]:
    """A file of the base layer that can be removed, and whether it has a utility VM."""
    with driver.view("base") as view:
        files = view.lookup("Files")
        if files is None:
            raise NotProved("a base layer has the folder Files")
        for node in walk(view, files):
            if node.kind is EntryKind.FILE and "$" not in node.path:
                return node.path, view.lookup("UtilityVM/Files") is not None
    raise NotProved("a base layer has files")


def _content(driver: Driver, layer_id: str, path: str) -> bytes | None:
    with driver.view(layer_id) as view:
        node = view.lookup(path)
        if node is None:
            return None
        with view.open(node) as file:
            return file.read()


class _Digest(io.RawIOBase):
    """A file, and the digest of what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = hashlib.sha256()

    @property
    def value(self) -> str:
        return self._sum.hexdigest()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._sum.update(data)
        return data


def _digest_of(file: BinaryIO) -> str:
    summed = hashlib.sha256()
    while block := file.read(1 << 20):
        summed.update(block)
    return summed.hexdigest()


def _open_base(docker_root: Path) -> BinaryIO:
    """The tar of a base layer that Docker has."""
    driver = open_driver(Config(docker_root, backend="native"))
    for layer_id in driver.layers():
        if not driver.chain(layer_id):
            return driver.diff(layer_id)
    raise NotProved(
        f"{docker_root} has no base layer: pull an image of Windows first, or give --base"
    )


def main(arguments: list[str]) -> int:
    """Prove all that can be proved here; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    docker = Path(os.environ.get("ProgramData", "C:\\ProgramData")) / "docker"
    parser.add_argument(
        "--docker-root", type=Path, default=docker, help="whose base layer is taken"
    )
    parser.add_argument("--base", type=Path, help="a tar of a base layer, uncompressed")
    parser.add_argument("--refs", type=Path, help="an empty folder on a ReFS volume")
    parser.add_argument(
        "--work", type=Path, help="where layers are made; a temporary folder otherwise"
    )
    options = parser.parse_args(arguments)
    if os.name != "nt":
        print(
            f"this is {sys.platform}: it proves what Windows does, on a host with containers",
            file=sys.stderr,
        )
        return 2

    def say(what: str) -> None:
        print(f"ok: {what}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="winlayers-", dir=options.work))
    try:
        prove_guids(Libraries(), say)
        base = options.base.open("rb") if options.base else _open_base(options.docker_root)
        with base:
            prove_layers(open_driver(Config(folder, backend="native")), base, say)
        if options.refs is None:
            print("NOT proved: that ReFS is refused; give --refs")
        else:
            prove_refusal(options.refs, say)
    except (NotProved, WinlayersError) as error:
        print(f"NOT proved: {error}\nwhat was made is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)  # no layer is in it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
