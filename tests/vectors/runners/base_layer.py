"""Folders of base layers, exported as the original does."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any, BinaryIO

from tests.vectors.runners._text import b64
from tests.vectors.runners.backup_to_tar import basic_info
from winlayers.formats.tar import TarWriter
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.baselayer import (
    BaseLayerReader,
    FoundFile,
    walk_base_layer,
    write_base_layer,
)
from winlayers.layer.copying import copy_entries

FILE_ATTRIBUTE_REPARSE_POINT = 0x400


class CaseFolder:
    """The ``tree`` of a case as a folder."""

    def __init__(self, tree: list[dict[str, Any]]) -> None:
        self._streams = {node["path"]: bytes.fromhex(node["stream"]) for node in tree}
        self._found = {node["path"]: found_file(node) for node in tree}

    def find(self, path: str) -> FoundFile | None:
        return self._found.get(path)

    def list(self, path: str) -> Sequence[FoundFile]:
        return [f for f in self._found.values() if f.path.rpartition("/")[0] == path]

    def open_backup(self, path: str) -> BinaryIO:
        return io.BytesIO(self._streams[path])


def found_file(node: dict[str, Any]) -> FoundFile:
    info = basic_info(node["info"])
    is_reparse_point = bool(info.attributes & FILE_ATTRIBUTE_REPARSE_POINT)
    return FoundFile(node["path"], info, node["size"], node["dir"] and not is_reparse_point)


def run(case: dict[str, Any]) -> None:
    folder = CaseFolder(case["tree"])
    walked = [found.path for found in walk_base_layer(folder)]
    assert walked == case["walk"]
    assert [{"path": path, "kind": 0} for path in walked] == [
        {"path": change["path"], "kind": change["kind"]} for change in case["changes"]
    ]
    out = io.BytesIO()
    writer = TarWriter(out)
    write_base_layer(writer, folder)
    writer.close()
    assert out.getvalue() == b64(case["out"])
    assert hashlib.sha256(out.getvalue()).hexdigest() == case["sha256"]
    check_full(folder, walked)


def check_full(folder: CaseFolder, walked: list[str]) -> None:
    """The same through entries, where nothing is lost: every name and every alternate stream."""
    out = io.BytesIO()
    copy_entries(BaseLayerReader(folder), BackupTarWriter(out))
    out.seek(0)
    wanted = [(e, list(r.parts())) for r in [BaseLayerReader(folder)] for e in r]
    reader = BackupTarReader(out, base=True)
    found = [(entry, list(reader.parts())) for entry in reader]
    assert [entry.path for entry, _ in found] == walked
    for (entry, parts), (wanted_entry, wanted_parts) in zip(found, wanted, strict=True):
        assert (entry.security, entry.size) == (wanted_entry.security, wanted_entry.size)
        assert [(p.name, p.size) for p in parts if p.name] == [
            (p.name, p.size) for p in wanted_parts if p.name
        ]
