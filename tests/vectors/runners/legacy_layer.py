"""Transport folders: written from layer tars and from single steps, and read again."""

from __future__ import annotations

import hashlib
import io
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.vectors.runners._text import b64
from tests.vectors.runners.backup_to_tar import basic_info
from winlayers.errors import WinlayersError
from winlayers.layer.backupcontents import collect_parts
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.tarheaders import Dialect
from winlayers.layer.transport import PortableHost, TransportReader, TransportWriter

# What the clone of a utility VM holds in the vectors.
PARENT_CONTENT = b"efi"


def run(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (sequence if case["op"] == "sequence" else roundtrip)(case, Path(folder))


def roundtrip(case: dict[str, Any], folder: Path) -> None:
    parents = []
    if case.get("parent_in"):
        parents = [folder / "parent"]
        parents[0].mkdir()
        import_tar(b64(case["parent_in"]) or b"", TransportWriter(parents[0]))
    root, backups, host = folder / "layer", folder / "backups", PortableHost()
    root.mkdir()
    backups.mkdir()
    writer = TransportWriter(root, parents, backup_root=backups, host=host, tombstone_file=True)
    assert import_tar(b64(case["in"]) or b"", writer) == case["size"]
    check_result(case, writer, root, host)
    saved = {path.name: path.read_bytes().hex() for path in backups.iterdir()}
    assert saved == (case["backups"] or {})
    out = export_tar(root, host)
    assert out == b64(case["out"])
    assert hashlib.sha256(out).hexdigest() == case["out_sha256"]


def import_tar(tar: bytes, writer: TransportWriter) -> int:
    """Copy a layer tar into a transport folder; bytes of data."""
    return copy_entries(BackupTarReader(io.BytesIO(tar), dialect=Dialect.GO), writer).size


def export_tar(root: Path, host: PortableHost) -> bytes:
    """The layer tar of a transport folder, as the original writes it."""
    out = io.BytesIO()
    with closing(TransportReader(root, host=host)) as reader:
        copy_entries(reader, BackupTarWriter(out, dialect=Dialect.GO))
    return out.getvalue()


def sequence(case: dict[str, Any], folder: Path) -> None:
    root, parent, host = folder / "layer", folder / "parent", PortableHost()
    root.mkdir()
    for path in case["parent_files"]:
        place = parent / path.replace("\\", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(PARENT_CONTENT)
    writer = TransportWriter(root, [parent], host=host, tombstone_file=True)
    with writer:
        failed = play(case["steps"], writer)
    if case.get("free") and failed is not None:
        return
    wanted = case["error"]
    if wanted is not None:
        assert failed == wanted["step"]
        return
    assert failed is None
    check_result(case, writer, root, host)


def play(steps: list[dict[str, Any]], writer: TransportWriter) -> int | None:
    """Take all steps; the number of the one that failed, or None.

    An entry is added when all of its stream is written, which is at the next step.
    """
    pending: tuple[str, dict[str, int], bytes] | None = None

    def finish() -> None:
        nonlocal pending
        if pending is not None:
            step, pending = pending, None
            add(writer, *step)

    for number, step in enumerate(steps):
        try:
            if step["op"] == "write":
                if pending is None:
                    return number
                pending = (*pending[:2], pending[2] + bytes.fromhex(step["b"]))
                continue
            finish()
            path = step["a"].replace("\\", "/")
            if step["op"] == "add":
                pending = (path, step["info"], b"")
                if [following["op"] for following in steps[number + 1 : number + 2]] != ["write"]:
                    finish()
            elif step["op"] == "link":
                target = step["b"].replace("\\", "/")
                writer.link(Entry(path, EntryKind.LINK, target=target))
            elif step["op"] == "remove":
                writer.remove(path)
            else:
                writer.commit()
        except WinlayersError:
            return number
    return None


def add(writer: TransportWriter, path: str, info: dict[str, int], stream: bytes) -> None:
    """Add the entry that a backup stream tells of."""
    source = io.BytesIO(stream)
    contents = collect_parts(source, path)
    kind = EntryKind.DIRECTORY if info["attributes"] & 0x10 else EntryKind.FILE
    entry = Entry(
        path,
        kind,
        info["attributes"],
        info["creation"],
        info["access"],
        info["write"],
        info["change"],
        0 if contents.data is None else contents.data.size,
        contents.security,
        contents.ea,
        contents.reparse,
    )
    writer.add(entry, contents.open_parts(source))


def check_result(
    case: dict[str, Any], writer: TransportWriter, root: Path, host: PortableHost
) -> None:
    assert [path.replace("/", "\\") for path in writer.tombstones] == case["tombstones"]
    found_links = [
        {
            "from": "own" if link.source is None else "parent",
            "path": link.path.replace("/", "\\"),
            "target": link.target.replace("/", "\\"),
        }
        for link in writer.links
    ]
    assert found_links == case["pending_links"]
    closed = case["op"] == "roundtrip" or case["steps"][-1]["op"] == "close"
    check_tree(case["tree"], root, host, closed=closed)


def check_tree(tree: list[dict[str, Any]], root: Path, host: PortableHost, *, closed: bool) -> None:
    found = {place.relative_to(root).as_posix(): place for place in root.rglob("*")}
    expected = {node["path"]: node for node in tree}
    assert sorted(found) == sorted(expected)
    for path, node in expected.items():
        assert found[path].is_dir() == node["dir"]
        if not node["dir"] and closed:
            assert found[path].read_bytes().hex() == node["bytes"], path
        if node.get("info") is not None and closed:
            assert host.infos[path] == basic_info(node["info"]), path
