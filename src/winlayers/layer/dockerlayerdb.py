"""Docker's layer database beside a ``windowsfilter`` folder: what it recorded of the tars that it pulled.

    ROOT/windowsfilter/<cache id>/                    the files of a layer
    ROOT/image/windowsfilter/layerdb/sha256/<hex>/    the same layer, by the digits of its chain ID
        cache-id             name of the folder with its files
        diff                 diff ID: the digest of its tar
        parent               chain ID of the layer below; a base layer has none
        size                 bytes of its files, in decimal
        tar-split.json.gz    the tar but for the bodies of files; see ``formats.tarsplit``

With the frame and the files the tar is made again byte for byte. This module refuses to know where the body of
an entry lies. The database is only read, and no link in it is followed.

Source: moby/moby layer/filestore.go and layer/layer_store.go; vbatts/tar-split tar/asm. A chain ID: OCI image
specification, config.md, "Layer ChainID".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from winlayers.base.digest import Digest
from winlayers.base.rooted import Parts, Root
from winlayers.errors import InvalidArgument, Malformed, Unsupported
from winlayers.layer.framedtar import open_framed_tar
from winlayers.layer.names import encode_name

_STRUCTURE = "layer database of Docker"
_LAYERS: Parts = ("image", "windowsfilter", "layerdb", "sha256")
_FRAME = "tar-split.json.gz"
_HEX = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,19}")
# The longest of the small files is a digest of 71 characters; ids of folders have 64.
_VALUE_LIMIT = 512


@dataclass(frozen=True, slots=True)
class RecordedTar:
    """What Docker recorded of the tar of a layer.

    Attributes:
        root: folder that ``image`` is in.
        chain_id: of the layer.
        diff_id: digest of the tar.
        parent: chain ID of the layer below, or None.
        size: bytes of the layer's files as Docker counted them; None where it does not say.
        has_frame: whether the tar can be made again.
    """

    root: Path
    chain_id: Digest
    diff_id: Digest
    parent: Digest | None
    size: int | None
    has_frame: bool


class LayerDatabase:
    """The layer database of a data root; empty where there is none.

    Args:
        root: folder that ``windowsfilter`` and ``image`` are in.
    """

    def __init__(self, root: Path) -> None:
        """Look which layers it has.

        Raises:
            InvalidName: a link stands where a folder or file should be.
            OSError: the folder cannot be read.
        """
        self._root = root
        self._names: dict[bytes, str] = {}
        with Root(root) as opened:
            if not opened.exists(_LAYERS):
                return
            for name in sorted(opened.list(_LAYERS)):
                cache_id = _content(opened, name, "cache-id") if _HEX.fullmatch(name) else None
                if cache_id:  # else it is half-made, or half-removed
                    self._names.setdefault(cache_id.strip(), name)

    def find(self, *layer_ids: str) -> RecordedTar | None:
        """What was recorded of a layer.

        Args:
            layer_ids: name of its folder, and what else it is called.
        Returns:
            The record of the first name that has one, or None.
        Raises:
            Malformed: the record is not of its form, or its diff ID is not the one of its chain ID.
        """
        for layer_id in layer_ids:
            name = self._names.get(encode_name(layer_id))
            if name is not None:
                return self._record(name)
        return None

    def _record(self, name: str) -> RecordedTar:
        with Root(self._root) as opened:
            diff_id = _digest(opened, name, "diff")
            parent = _digest(opened, name, "parent")
            size = _value(opened, name, "size")
            has_frame = opened.exists((*_LAYERS, name, _FRAME))
        if diff_id is None:
            raise Malformed(_STRUCTURE, "it has no diff ID", entry=name)
        if _chain_id(parent, diff_id) != name:
            raise Malformed(_STRUCTURE, "its diff ID does not make its chain ID", entry=name)
        if size is not None and not _SIZE.fullmatch(size):
            raise Malformed(_STRUCTURE, f"it has the size {size!r}", entry=name)
        return RecordedTar(
            self._root,
            Digest("sha256", name),
            diff_id,
            parent,
            None if size is None else int(size),
            has_frame,
        )


@contextmanager
def open_recorded(
    recorded: RecordedTar, get_file: Callable[[bytes], BinaryIO]
) -> Iterator[BinaryIO]:
    """Make the tar of a layer again, as it is read.

    Args:
        recorded: what Docker recorded.
        get_file: opens the body of an entry, by its name as it stands in the tar; it is closed here.
    Returns:
        The tar, for a ``with`` block. Its last piece is only given out when the digest of all was
        compared; without it a tar has no end.
    Raises:
        Unsupported: the frame was not kept.
        DigestMismatch: raised by reading: a body, or the whole, is not what it was.
        Malformed: raised by reading: the frame is not of its form.
        TooLarge: raised by reading: the frame has more than 4 GiB.
    """
    if not recorded.has_frame:
        raise Unsupported(f"Docker kept no {_FRAME} of layer {recorded.chain_id}")
    with ExitStack() as stack:
        root = stack.enter_context(Root(recorded.root))
        packed = stack.enter_context(root.open_file((*_LAYERS, recorded.chain_id.hex, _FRAME)))
        yield open_framed_tar(
            cast("BinaryIO", packed),
            get_file,
            diff_id=recorded.diff_id,
            what=f"layer {recorded.chain_id}",
        )


def _content(root: Root, name: str, key: str) -> bytes | None:
    """What is in a small file of a layer, if it is one; None where there is none."""
    try:
        with root.open_file((*_LAYERS, name, key)) as file:
            return file.read(_VALUE_LIMIT + 1)
    except FileNotFoundError:
        return None


def _value(root: Root, name: str, key: str) -> str | None:
    content = _content(root, name, key)
    if content is None:
        return None
    if len(content) > _VALUE_LIMIT or not content.isascii():
        raise Malformed(_STRUCTURE, f"{key} is no text of {_VALUE_LIMIT} bytes", entry=name)
    return content.decode("ascii").strip()


def _digest(root: Root, name: str, key: str) -> Digest | None:
    text = _value(root, name, key)
    if text is None:
        return None
    try:
        return Digest.parse(text)
    except InvalidArgument as error:
        raise Malformed(_STRUCTURE, f"{key}: {error}", entry=name) from None


def _chain_id(parent: Digest | None, diff_id: Digest) -> str:
    """The digits of a chain ID."""
    if parent is None:
        return diff_id.hex
    return hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()
