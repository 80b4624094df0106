"""The steps of an import alone, and what it is compared with, each in a process of its own.

``python -m benchmarks.steps STEP ARGUMENT...`` prints what it measured as one JSON object. Only the step
itself is timed, not the start of Python, so a floor is as low as can be.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import mmap
import os
import random
import shutil
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

_BLOCK_SIZE = 1 << 20
_LOOKUPS = 2000


def inflate(file: str) -> dict[str, float]:
    """Inflate a file into one buffer, by the fastest library there is."""
    buffer = memoryview(bytearray(_BLOCK_SIZE))
    with _open_gzip(file) as content:
        started = time.perf_counter()
        while content.readinto(buffer):
            pass
        return {"seconds": time.perf_counter() - started}


def digest(file: str) -> dict[str, float]:
    """Hash a file that is in memory already."""
    with _mapped(file) as content:
        hasher = hashlib.sha256()
        started = time.perf_counter()
        for at in range(0, len(content), _BLOCK_SIZE):
            hasher.update(content[at : at + _BLOCK_SIZE])
        return {"seconds": time.perf_counter() - started}


def write(file: str, target: str) -> dict[str, float]:
    """Write a file that is in memory already to another, and wait for the disk."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with _mapped(file) as content:
        started = time.perf_counter()
        at = 0
        while at < len(content):
            at += os.write(descriptor, content[at : at + _BLOCK_SIZE])
        os.fsync(descriptor)
        seconds = time.perf_counter() - started
    os.close(descriptor)
    return {"seconds": seconds}


def unpack(file: str, target: str) -> dict[str, float]:
    """Inflate a file into another. Not measured."""
    with _open_gzip(file) as content, open(f"{target}.part", "wb") as out:
        shutil.copyfileobj(content, out, _BLOCK_SIZE)
    os.replace(f"{target}.part", target)
    return {}


def parse(tar: str) -> dict[str, float]:
    """Parse the headers of a tar."""
    from winlayers.formats.tar import TarReader

    with open(tar, "rb", buffering=0) as file:
        started = time.perf_counter()
        count = sum(1 for _ in TarReader(file))
        return {"entries": count, "seconds": time.perf_counter() - started}


def index(tar: str, folder: str) -> dict[str, float]:
    """Parse the headers of a tar and write the index of a base layer, without pack and digests."""
    from winlayers.backends.sealed.building import IndexBuilder, index_tar

    path = Path(folder, "index.db")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(tar, "rb", buffering=0) as file:
        started = time.perf_counter()
        builder = IndexBuilder(path, is_base=True, report=lambda finding: None)
        index_tar(file, builder, lambda target: None)
        builder.commit({})
        return {"entries": builder.entry_count, "seconds": time.perf_counter() - started}


def parse_by_tarfile(tar: str, limit: str) -> dict[str, float]:
    """Parse the first headers of a tar with the standard library."""
    with tarfile.open(tar, "r:") as file:
        started = time.perf_counter()
        count = sum(1 for _ in islice(file, int(limit)))
        return {"entries": count, "seconds": time.perf_counter() - started}


def lookup(root: str, layer_id: str) -> dict[str, float]:
    """Look names all over a chain up, each twice: microseconds of the median name."""
    from winlayers.assembly import open_driver
    from winlayers.config import Config
    from winlayers.layer.view import walk

    driver = open_driver(Config(Path(root)))
    walked = driver.view(layer_id)
    paths = [node.path for node in walk(walked, walked.root())]
    walked.close()
    view = driver.view(layer_id)
    chosen = paths[:: max(1, len(paths) // _LOOKUPS)]
    cold = _timed(view.lookup, chosen)
    warm = _timed(view.lookup, chosen)
    view.close()
    return {"layers": len(view.layer_ids), "cold_us": cold, "warm_us": warm}


def scratch(root: str, layer_id: str, changed: str) -> dict[str, float]:
    """Make a scratch, change some files in it, and list and write what changed: milliseconds.

    Args:
        root: the store.
        layer_id: what the scratch stands on.
        changed: how many files to write.
    """
    from winlayers.assembly import open_driver
    from winlayers.config import Config
    from winlayers.layer.entry import Entry, EntryKind

    driver = open_driver(Config(Path(root)))
    driver.create_read_write("warm", layer_id)
    driver.remove("warm")
    made = _milliseconds(lambda: driver.create_read_write("s", layer_id))
    with driver.scratch("s") as view:
        files = view.lookup("Files")
        assert files is not None
        for number in range(int(changed)):
            node = view.create(files, f"new{number}", Entry("", EntryKind.FILE, 0x20))
            with view.open_content(node, writable=True) as content:
                content.write_at(0, b"content")
    listed = _milliseconds(lambda: len(list(driver.changes("s"))))
    written = _milliseconds(lambda: _drain(driver.diff("s")))
    driver.remove("s")
    return {"create_ms": made, "changes_ms": listed, "diff_ms": written}


def image(folder: str, *layers: str) -> dict[str, int]:
    """Make an image of compressed layers, the base first, as an OCI layout; how many bytes they are."""
    from winlayers.base.blocks import BlockPump
    from winlayers.oci import mediatypes
    from winlayers.oci.building import build_config, build_manifest, describe
    from winlayers.oci.layout import LayoutSink
    from winlayers.oci.model import Descriptor
    from winlayers.oci.platform import Platform

    kind = mediatypes.layer_type(mediatypes.OCI_LAYER, mediatypes.GZIP, foreign=False)
    diff_ids, blobs = [], []
    for layer in map(Path, layers):
        with open(layer, "rb") as file, BlockPump(file) as pump:
            while pump.read():
                pass
        diff_ids.append(pump.diff_id)
        blobs.append(Descriptor(kind, pump.digest, layer.stat().st_size))
    config = build_config(Platform("windows", "amd64", os_version="10.0.20348.2700"), diff_ids)
    manifest = build_manifest(
        describe(config.raw, mediatypes.OCI_CONFIG), blobs, media_type=mediatypes.OCI_MANIFEST
    )
    with LayoutSink(Path(folder), "1") as sink:
        for path, blob in zip(layers, blobs, strict=True):
            with open(path, "rb") as file:
                sink.put_blob(blob, file)
        sink.put_blob(manifest.config, io.BytesIO(config.raw))
        sink.put_document(manifest.raw, manifest.media_type)
        sink.commit(describe(manifest.raw, manifest.media_type))
    return {"bytes": sum(blob.size for blob in blobs)}


def read_file(path: str) -> dict[str, float]:
    """Read a file in blocks of 1 MiB, and throw it away."""
    return _moved(path, os.O_RDONLY, lambda descriptor: len(os.read(descriptor, _BLOCK_SIZE)))


def write_file(path: str, size: str) -> dict[str, float]:
    """Write a new file in blocks of 1 MiB, and wait for the disk."""
    block = os.urandom(_BLOCK_SIZE)
    left = int(size)

    def write_on(descriptor: int) -> int:
        nonlocal left
        count = os.write(descriptor, block) if left else 0
        left -= count
        return count

    return _moved(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, write_on)


def _moved(path: str, flags: int, move: Callable[[int], int]) -> dict[str, float]:
    started = time.perf_counter()
    descriptor = os.open(path, flags, 0o644)
    count = 0
    while moved := move(descriptor):
        count += moved
    if flags & os.O_WRONLY:
        os.fsync(descriptor)
    os.close(descriptor)
    return {"bytes": count, "seconds": time.perf_counter() - started}


def prepare(plugin: str, clients: str, calls: str, pause_ms: str) -> dict[str, float]:
    """Make snapshots over a socket, by many clients at once: milliseconds that 50 and 99 of 100 calls take.

    Args:
        plugin: the socket.
        clients: how many, each with a connection of its own.
        calls: of each.
        pause_ms: the mean of what each waits before a call; with none, they wait for each other's answers instead.
    """
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    process, pause = os.getpid(), float(pause_ms) / 1000

    def ask(client: int) -> list[float]:
        chance, times = random.Random(client), []
        # Without the option, all would share one connection.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"unix://{plugin}", alone) as channel:
            grpc.channel_ready_future(channel).result(30)
            prepare = channel.unary_unary("/containerd.services.snapshots.v1.Snapshots/Prepare")
            for call in range(int(calls)):
                request = _request(f"bench/{process}/{client}/{call}")
                time.sleep(chance.uniform(0, 2 * pause))
                times.append(_milliseconds(partial(prepare, request)))
        return times

    started = time.perf_counter()
    with ThreadPoolExecutor(int(clients)) as pool:
        times = [one for each in pool.map(ask, range(int(clients))) for one in each]
    hundredths = statistics.quantiles(times, n=100)
    rate = len(times) / (time.perf_counter() - started)
    return {"p50_ms": hundredths[49], "p99_ms": hundredths[98], "rate": rate}


def _request(key: str) -> bytes:
    """A PrepareSnapshotRequest of containerd: field 1 is the snapshotter, field 2 the key."""
    return b"".join(
        bytes([number << 3 | 2, len(text)]) + text.encode()
        for number, text in ((1, "winlayers"), (2, key))
    )


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _drain(file: Any) -> None:
    with file:
        while file.read(_BLOCK_SIZE):
            pass


def _timed(look_up: Callable[[str], object], paths: list[str]) -> float:
    times = []
    for path in paths:
        started = time.perf_counter_ns()
        found = look_up(path)
        times.append(time.perf_counter_ns() - started)
        assert found is not None
    return statistics.median(times) / 1000


@contextmanager
def _mapped(path: str) -> Iterator[memoryview]:
    """The bytes of a file, all in memory before the clock starts."""
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as content,
        memoryview(content) as view,
    ):
        yield view


def _open_gzip(file: str) -> Any:
    """A compressed file, opened by the fastest library there is."""
    for module in ("isal.igzip", "zlib_ng.gzip_ng"):
        try:
            return import_module(module).open(file, "rb")
        except ImportError:
            continue
    return gzip.open(file, "rb")


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    step.__name__: step
    for step in (
        inflate,
        digest,
        write,
        unpack,
        parse,
        index,
        parse_by_tarfile,
        lookup,
        scratch,
        image,
        prepare,
        read_file,
        write_file,
    )
}

if __name__ == "__main__":
    print(json.dumps(_STEPS[sys.argv[1]](*sys.argv[2:])))
