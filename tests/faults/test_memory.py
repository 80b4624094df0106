"""The memory of an import is bounded, however many entries a layer has.

The processes are started anew: a fork would count the memory of its parent.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.forks import REPOSITORY

LIMIT_SIZE = 60 << 20

GENERATE = """
import sys
from winlayers.formats.tar import TarHeader, TarWriter

writer = TarWriter(sys.stdout.buffer)
count = int(sys.argv[1])
for name in (b"Files", *(b"Files/%d" % n for n in range(count // 1000))):
    writer.add(TarHeader(name, b"5"))
for n in range(count):
    writer.add(TarHeader(b"Files/%d/file%d.dll" % (n // 1000, n), b"0"))
writer.close()
"""

# Nearly the longest paths and the largest descriptors that there can be, no two alike.
GENERATE_LARGE = """
import base64, struct, sys
from winlayers.formats.tar import TarHeader, TarWriter

def descriptor(number):
    sid = bytes((1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0))
    ace = (struct.pack("<BBHI", 0, 0, 59992, number) + sid).ljust(59992, bytes(1))
    acl = struct.pack("<BBHHH", 2, 0, 60000, 1, 0) + ace
    return base64.b64encode(struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + acl)

writer = TarWriter(sys.stdout.buffer)
path = b"Files"
writer.add(TarHeader(path, b"5"))
for _ in range(130):
    path += b"/" + b"d" * 250
    writer.add(TarHeader(path, b"5"))
for n in range(int(sys.argv[1])):
    rawsd = {b"MSWINDOWS.rawsd": descriptor(n)}
    writer.add(TarHeader(path + b"/%d" % n, b"5", pax=rawsd))
writer.close()
"""

IMPORT = """
import resource, sys
from pathlib import Path
from winlayers.assembly import open_driver
from winlayers.config import Config

driver = open_driver(Config(Path(sys.argv[1]), reexec=sys.argv[2] == "True"))
summary = driver.import_layer("new", "", sys.stdin.buffer)
unit = 1 if sys.platform == "darwin" else 1024
if sys.platform == "linux":  # the other figure holds what this process was before it was started
    own = next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)
else:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(summary.entry_count, own * unit, children * unit)
"""


@pytest.mark.parametrize(("count", "reexec"), [(200_000, False), (60_000, True)])
def test_memory_of_many_entries_is_bounded(tmp_path: Path, count: int, reexec: bool) -> None:
    check_memory(tmp_path, GENERATE, count, reexec)


def test_memory_of_large_entries_is_bounded(tmp_path: Path) -> None:
    check_memory(tmp_path, GENERATE_LARGE, 1200, False)


def check_memory(tmp_path: Path, generate: str, count: int, reexec: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", generate, str(count)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as generator:
        told = subprocess.run(
            [sys.executable, "-c", IMPORT, str(tmp_path / "root"), str(reexec)],
            cwd=REPOSITORY,
            stdin=generator.stdout,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    entry_count, own_size, child_size = map(int, told.split())
    assert entry_count > count
    assert own_size < LIMIT_SIZE
    assert child_size < LIMIT_SIZE
