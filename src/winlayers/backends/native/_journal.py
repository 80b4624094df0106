"""Which layers are being made: what a crash leaves of them is known for what it is.

    ROOT/winlayers/making/<id>.json   {"files": null} or {"files": {"layerchain.json": "<base64>", …}}
    ROOT/winlayers/making/<id>.new    the file while it is written
    ROOT/winlayers/making/<id>.lock   held by the process that makes the layer

Windows makes a layer in its folder step by step, so that half a layer has the name of a whole one. While the journal
names it, it is not there to anybody: with ``files`` it is one that was created and not filled, as it had been before.
Removing the journal's file is the moment at which the layer is there. A file whose lock is free is of a process that
has died. This module does not know what a layer is.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from winlayers.base.atomic import sync_directory, sync_file
from winlayers.base.locking import FileLock
from winlayers.errors import LayerExists, StoreCorrupt, StoreLocked

_SUFFIX = ".json"
_STAGED = ".new"


class Journal:
    """The journal of one store.

    Args:
        folder: where it is kept, a folder that is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def claiming(self, layer_id: str) -> Iterator[None]:
        """Be the only one who makes a layer.

        Raises:
            LayerExists: another process makes it.
        """
        lock = self._lock(layer_id)
        try:
            lock.acquire(timeout_seconds=0)
        except StoreLocked as error:
            raise LayerExists(f"layer {layer_id} is being made by another process") from error
        try:
            yield
        finally:
            if self.names(layer_id):
                lock.release()
            else:
                lock.remove()

    def begin(self, layer_id: str, files: Mapping[str, bytes] | None) -> None:
        """Note that a layer is being made.

        Args:
            layer_id: the layer, claimed.
            files: those of the driver in a layer that was created before; None for a new one.
        """
        held = None
        if files is not None:
            held = {name: base64.b64encode(content).decode() for name, content in files.items()}
        with open(self._staged(layer_id), "wb") as file:
            file.write(json.dumps({"files": held}).encode())
            file.flush()
            sync_file(file.fileno())
        os.replace(self._staged(layer_id), self._path(layer_id))
        sync_directory(self._folder)

    def end(self, layer_id: str) -> None:
        """Note that a layer is there, or gone."""
        self._path(layer_id).unlink()
        sync_directory(self._folder)

    def names(self, layer_id: str) -> bool:
        """Whether a layer is being made, or was until its process died."""
        return self._path(layer_id).exists()

    def files_before(self, layer_id: str) -> dict[str, bytes] | None:
        """The files that a layer had when it was created; None for one that was not there.

        Raises:
            StoreCorrupt: the journal cannot be read.
        """
        path = self._path(layer_id)
        try:
            files = json.loads(path.read_bytes())["files"]
            if files is None:
                return None
            return {name: base64.b64decode(text, validate=True) for name, text in files.items()}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreCorrupt(
                f"{path} cannot be read: {error}; remove it, and that layer"
            ) from error

    def left_over(self) -> list[str]:
        """The layers whose making was begun and not ended, those that somebody makes now among them."""
        paths = (Path(name) for name in os.listdir(self._folder))
        return sorted({path.stem for path in paths if path.suffix in (_SUFFIX, _STAGED)})

    def forget_unfinished(self, layer_id: str) -> None:
        """Remove what a crash left of an entry that was never there; the layer is claimed."""
        self._staged(layer_id).unlink(missing_ok=True)

    def _path(self, layer_id: str) -> Path:
        return self._folder / f"{layer_id}{_SUFFIX}"

    def _staged(self, layer_id: str) -> Path:
        return self._folder / f"{layer_id}{_STAGED}"

    def _lock(self, layer_id: str) -> FileLock:
        return FileLock(self._folder / f"{layer_id}.lock")
