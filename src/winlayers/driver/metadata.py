"""The two files that the driver keeps in a layer's folder: ``layerchain.json`` and ``layerID``.

    layerchain.json   JSON array of the absolute paths of the parents' folders, nearest first; ``null``
                      for a layer without parents; written as Go writes JSON, without a newline
    layerID           optional: another id for the layer, the whole content as it is; upstream writes it
                      as ``layerId``, which is another name where case counts, so both are read

Paths are resolved by their last part in our own home, so that a home can be moved. Source: moby/moby
daemon/graphdriver/windows/windows.go (getLayerChain, setLayerChain, resolveID, setID).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from winlayers.errors import InvalidName, StoreCorrupt
from winlayers.layer.chain import Chain
from winlayers.layer.names import is_device

LAYER_CHAIN = "layerchain.json"
LAYER_ID = "layerID"
_LAYER_ID_NAMES = (LAYER_ID, "layerId")

#: Ending of the folder of a layer that is on its way out.
REMOVING = "-removing"

_GOOD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_MAX_ID = 200


def check_layer_id(layer_id: str) -> str:
    """The id itself, if a folder can be called so on any OS.

    Raises:
        InvalidName: it is empty, too long, holds other than letters, digits and ``_ . + -``, begins
            with one of these, ends in a dot, or in ``-removing``; or Windows takes it for a device.
    """
    if not _GOOD_ID.fullmatch(layer_id) or len(layer_id) > _MAX_ID or layer_id.endswith("."):
        raise InvalidName(
            f"{layer_id!r} cannot be the id of a layer: use letters, digits and _ . + -, "
            f"at most {_MAX_ID}, beginning with a letter or digit"
        )
    if is_device(layer_id):
        raise InvalidName(f"{layer_id!r} cannot be the id of a layer: it is a device of Windows")
    if layer_id.endswith(REMOVING):
        raise InvalidName(f"{layer_id!r}: ids that end in {REMOVING} are kept for removals")
    return layer_id


def build_layer_chain(folders: Iterable[Path]) -> bytes:
    """The content of ``layerchain.json``.

    Args:
        folders: absolute folders of the parents, nearest first.
    """
    paths = [str(folder) for folder in folders]
    return _go_json(paths or None)


def read_layer_chain(folder: Path) -> Chain:
    """The chain of the layer in a folder.

    Raises:
        StoreCorrupt: the file is not an array of texts. A missing file is an empty chain.
    """
    path = folder / LAYER_CHAIN
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Chain()
    try:
        # A path need not be UTF-8; the id at its end, which alone counts, always is.
        value = json.loads(content.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"{path} is no JSON: {error}") from error
    if value is None:
        return Chain()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StoreCorrupt(f"{path} is not an array of paths")
    return Chain(tuple(_last_part(item, path) for item in value))


def read_layer_id(folder: Path) -> str | None:
    """The other id of the layer in a folder, or None.

    Raises:
        StoreCorrupt: the file holds what cannot be an id; it would lead elsewhere.
    """
    for name in _LAYER_ID_NAMES:
        path = folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        try:
            return check_layer_id(content.decode("ascii"))
        except (UnicodeDecodeError, InvalidName) as error:
            raise StoreCorrupt(
                f"{path} holds {content[:80]!r}, which cannot be the id of a layer; remove the file"
            ) from error
    return None


def _last_part(path: str, source: Path) -> str:
    """The id at the end of a path of any OS."""
    last = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    if not last or last in (".", ".."):
        raise StoreCorrupt(f"{source} names {path!r}, which is no layer's folder")
    return last


def _go_json(value: object) -> bytes:
    """JSON as Go's encoder writes it: no blanks, ``< > &`` and two line ends escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "surrogateescape")
