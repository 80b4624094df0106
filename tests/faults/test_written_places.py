"""Nothing is written outside the root and the temporary folder.

Python itself tells of each file that it opens, makes, renames or removes (``sys.addaudithook``), in this
process and in the write-layer process, which gets the hook through a ``sitecustomize``. What SQLite
writes, it does not tell: for that the work is done once more with all else mounted read-only, where
that may be done.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults import scenes
from tests.faults.forks import REPOSITORY, Nursery
from tests.faults.scenes import GZIPPED, Source
from tests.faults.test_full_disk import may_mount
from tests.support.builders import a_file, a_layer, a_link, content_at, layer_tar, paths_of
from winlayers.backends.portable.loose import open_loose

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 0x20, 0x1000, 0x4000, 0x40000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events that name paths, and where in their arguments these stand. With them a folder may come that the
# path counts from.
_EVENTS = {
    "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.link": (0, 1),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,),
    "os.setxattr": (0,), "os.mkfifo": (0,), "os.mknod": (0,), "sqlite3.connect": (0,),
}  # fmt: skip

SITE = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.faults.test_written_places import install
install(os.environ["WINLAYERS_TEST_RECORD"])
"""


def install(record: str) -> None:
    """Write the name of each path that is changed from now on to a file, one a line."""
    target = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = flags & _WRITES if flags is not None else any(c in mode for c in "wxa+")
            if writes:
                tell(event, path)
        elif event in _EVENTS:
            folders = [a for a in args[1:] if isinstance(a, int) and a > 2]
            for place in _EVENTS[event]:
                tell(event, args[place], folders[-1] if folders and event != "os.mkdir" else None)

    def tell(event: str, path: Any, folder: int | None = None) -> None:
        if isinstance(path, int):
            return  # of a file that is open already
        shown = os.fsdecode(path).removeprefix("file://").partition("?")[0]
        if not os.path.isabs(shown) and event in ("os.remove", "os.rmdir") and folder is not None:
            shown = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), shown)
        line = json.dumps([os.getpid(), event, os.path.abspath(shown)])
        os.write(target, line.encode() + b"\n")

    sys.addaudithook(hook)


def work(root: Path, tmpdir: Path, source: Path, reexec: bool) -> None:
    """What a user does with a store."""
    scenes.make(root)
    driver = scenes.open_store(root, reexec=reexec, tmpdir=tmpdir)
    scenes.add(driver, "new", Source(GZIPPED))
    assert scenes.digest_of(driver, "new") == scenes.DIFF_IDS["new"]
    with closing(driver.view("new")) as view:
        assert content_at(view, "Files/Program/below.txt") == b"me"
    assert list(driver.changes("new"))
    driver.get("new")
    driver.put("new")
    driver.create("empty", "new")
    driver.remove("empty")
    driver.remove("new")
    assert driver.cleanup() == []
    with open_loose(source, tmpdir=tmpdir) as loose:
        assert "Files/Program/file1.dll" in paths_of(loose.view)


def work_recorded(root: Path, tmpdir: Path, source: Path, reexec: bool, record: Path) -> None:
    site = record.with_name("site")
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    os.environ |= {
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WINLAYERS_TEST_RECORD": str(record),
    }
    sys.dont_write_bytecode = True
    install(str(record))
    work(root, tmpdir, source, reexec)


@pytest.mark.parametrize("reexec", [False, True])
def test_all_that_is_written_is_below_root_and_tmpdir(
    nursery: Nursery, tmp_path: Path, reexec: bool
) -> None:
    root, tmpdir, record = tmp_path / "root", tmp_path / "tmp", tmp_path / "record"
    tmpdir.mkdir()
    source = tmp_path / "layer.tar.gz"
    source.write_bytes(GZIPPED)
    nursery.run(work_recorded, root, tmpdir, source, reexec, record)
    told = [json.loads(line) for line in record.read_text().splitlines()]
    outside = [
        (event, path)
        for _, event, path in told
        if path not in (str(root), str(tmpdir), os.devnull)
        and not path.startswith((f"{root}/", f"{tmpdir}/"))
        and path != str(tmp_path)
    ]
    assert outside == []
    events = {event for _, event, _ in told}
    assert {"open", "os.mkdir", "os.rename", "os.remove", "sqlite3.connect"} <= events
    assert len({pid for pid, _, _ in told}) == (2 if reexec else 1)
    assert any(path.startswith(f"{tmpdir}/new.") for _, _, path in told)
    assert list(tmpdir.iterdir()) == []
    assert set(os.listdir(tmp_path)) == {"root", "tmp", "record", "site", source.name}


# -- with all else read-only --------------------------------------------------------------------------


def freeze_all_but(folder: Path) -> None:
    """Make every file system read-only for this process and its children, but for one folder."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: bytes | None, target: str, flags: int) -> None:
        if libc.mount(source, os.fsencode(target), None, flags, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)

    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    mount(None, "/", _MS_REC | _MS_PRIVATE)
    mount(os.fsencode(folder), str(folder), _MS_BIND)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        kind = line.partition(" - ")[2].split()[0]
        if point != str(folder) and kind not in ("proc", "sysfs", "devpts", "mqueue", "cgroup2"):
            mount(None, point, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    os.chdir(folder)


def work_frozen(folder: Path, source: bytes, reexec: bool, count: int) -> None:
    """A layer with enough in it that SQLite would use temporary files if it ever did."""
    freeze_all_but(folder)
    for place in ("/tmp", "/var/tmp", str(folder.parent)):
        with pytest.raises(OSError, match="Read-only"):
            open(os.path.join(place, "test-of-winlayers"), "w")
    (folder / "layer.tar.gz").write_bytes(GZIPPED)
    (folder / "tmp").mkdir()
    work(folder / "root", folder / "tmp", folder / "layer.tar.gz", reexec)
    driver = scenes.open_store(folder / "root", reexec=reexec)
    summary = driver.import_layer("big", "", Source(source))
    assert summary.entry_count >= count
    assert sum(1 for _ in driver.changes("big")) >= count


# Where nothing may be mounted, the hooks above are what there is.
if may_mount():

    @pytest.mark.parametrize("reexec", [False, True])
    def test_work_is_done_where_all_else_is_read_only(
        nursery: Nursery, tmp_path: Path, reexec: bool
    ) -> None:
        folder = tmp_path / "only"
        folder.mkdir()
        files = [a_file(f"Files/{n}", b"", {"s": b"1"}) for n in range(1500)]
        links = [a_link(f"Files/link{n}", f"Files/{n}") for n in range(1500)]
        tar = layer_tar(a_layer(*files, *links))
        nursery.run(work_frozen, folder, tar, reexec, 3000)
        assert sorted(os.listdir(folder)) == ["layer.tar.gz", "root", "tmp"]
