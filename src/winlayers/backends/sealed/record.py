"""What a layer was when it was imported, kept beside its pack.

    sealed/layer.json   {"diff_id": …, "digest": …, "tar_size": bytes, "created_ns": since 1970}

The index tells the same. But an index can be lost and made again from the pack, and a pack alone cannot
tell whether it is still what was imported: then the record can. This module knows nothing of packs and
indexes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from winlayers.base.atomic import sync_file
from winlayers.errors import StoreCorrupt

RECORD = "layer.json"
_MAX_SIZE = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of an import.

    Attributes:
        diff_id: digest of the uncompressed tar (``sha256:…``).
        digest: digest of the file that it came in.
        tar_size: bytes of the uncompressed tar.
        created_ns: when it was imported, nanoseconds since 1970.
    """

    diff_id: str
    digest: str
    tar_size: int
    created_ns: int

    @classmethod
    def of_facts(cls, facts: dict[str, str]) -> Self:
        """The record that the facts of an index make up.

        Raises:
            StoreCorrupt: one is missing, or no number.
        """
        try:
            return cls(
                facts["diff_id"],
                facts["digest"],
                int(facts["tar_size"]),
                int(facts["created_ns"]),
            )
        except (KeyError, ValueError) as error:
            raise StoreCorrupt(f"the index does not tell what was imported: {error}") from error

    def facts(self) -> dict[str, object]:
        """The same as facts of an index."""
        return asdict(self)


def write_record(folder: Path, record: Record, *, sync: bool = True) -> None:
    """Write a record into a folder that is being made; the folder itself is not synced."""
    with open(folder / RECORD, "xb") as file:
        file.write(json.dumps(asdict(record)).encode() + b"\n")
        file.flush()
        if sync:
            sync_file(file.fileno())


def read_record(sealed: Path) -> Record | None:
    """The record in the folder of a sealed layer, or None where there is none.

    Raises:
        StoreCorrupt: it is no record.
    """
    path = sealed / RECORD
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_SIZE)
    except FileNotFoundError:
        return None
    try:
        value = json.loads(content)
        kinds = {"diff_id": str, "digest": str, "tar_size": int, "created_ns": int}
        if value.keys() != kinds.keys() or not all(
            isinstance(value[name], kind) for name, kind in kinds.items()
        ):
            raise ValueError("it does not have the fields of one")
        return Record(**value)
    except (ValueError, AttributeError, RecursionError) as error:
        raise StoreCorrupt(f"{path} is no record of an import: {error}") from error
