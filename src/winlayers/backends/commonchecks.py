"""What is looked at in the same way whoever keeps the layers: chains, other ids, mounts, staging, what is locked.

Plain calls of files only, so that a store of Windows can be looked at anywhere. This module refuses to know how a layer
is kept. Where the files lie, and what is in them: ``docs/reference/store-layout.md``.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.base.locking import FileLock
from winlayers.base.processes import is_running
from winlayers.errors import StoreCorrupt, StoreLocked
from winlayers.layer.chain import Chain

#: What a layer's folder is called on its way out ends so.
REMOVING = "-removing"
CHAIN_FILE = "layerchain.json"
# What a folder is called in which something is made; see ``sealed.staging``.
_STAGED = re.compile(r".+\.[0-9a-f]{16}")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:|\\\\")


def check_chain(layers: Path, layer_id: str, facts: DriverFacts) -> Iterator[StoreFinding]:
    """Whether a layer tells what it stands on, all of that is there, and stands on the same."""
    path = layers / layer_id / CHAIN_FILE
    if not path.is_file():
        yield StoreFinding("chain-missing", layer_id, path, "there is no such file")
        return
    try:
        chain = facts.read_chain(layers / layer_id)
    except StoreCorrupt as error:
        yield StoreFinding("chain-unreadable", layer_id, path, str(error))
        return
    missing = [member for member in chain if not (layers / member).is_dir()]
    for member in missing:
        yield StoreFinding("chain-parent-missing", layer_id, path, f"{member} is not in the store")
    if chain.parent is not None and not missing:
        yield from _against_parent(layers, layer_id, chain, facts)


def check_other_id(layers: Path, layer_id: str, facts: DriverFacts) -> Iterator[StoreFinding]:
    """Whether the other id of a layer, if it has one, is that of a layer."""
    folder = layers / layer_id
    try:
        other = facts.read_other_id(folder)
    except StoreCorrupt as error:
        yield StoreFinding("id-unreadable", layer_id, folder, str(error))
        return
    if other is not None and not (layers / other).is_dir():
        yield StoreFinding("id-dangling", layer_id, folder, f"{other} is not in the store")


def check_mounts(facts: DriverFacts, action: str) -> Iterator[StoreFinding]:
    """The mounts that do not serve any more.

    Args:
        facts: what is said to be mounted.
        action: what a repair does about one.
    """
    for layer_id, mount in facts.mounts:
        # The volumes of another system cannot be looked at; whether they serve is asked there.
        is_foreign = sys.platform != "win32" and _WINDOWS_PATH.match(str(mount.path)) is not None
        if mount.pid:
            if not is_running(mount.pid, mount.started):
                detail = f"process {mount.pid} has ended"
                yield StoreFinding("mount-dead", layer_id, mount.path, detail, action)
        elif not is_foreign and not mount.path.exists():
            yield StoreFinding("mount-dead", layer_id, mount.path, "there is nothing", action)


def check_staging(tmp: Path) -> Iterator[StoreFinding]:
    """Staging folders that no process works in: the lock beside each is free."""
    for name in sorted(os.listdir(tmp)) if tmp.is_dir() else ():
        folder = tmp / name
        if (
            _STAGED.fullmatch(name)
            and folder.is_dir()
            and not is_locked(folder.with_name(f"{name}.lock"))
        ):
            yield StoreFinding(
                "left-staging", "", folder, "is in use by no process", "remove the folder"
            )


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock in a file."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout_seconds=0)
    except StoreLocked:
        return True
    except OSError as error:
        if error.errno == errno.EROFS:
            return False  # on a disk that cannot be written nobody makes anything
        raise
    lock.release()
    return False


def _against_parent(
    layers: Path, layer_id: str, chain: Chain, facts: DriverFacts
) -> Iterator[StoreFinding]:
    assert chain.parent is not None
    try:
        above = facts.read_chain(layers / chain.parent)
    except StoreCorrupt:
        return  # told of the parent itself
    if above.layer_ids != chain.layer_ids[1:]:
        named, actual = ", ".join(chain.layer_ids[1:]), ", ".join(above)
        detail = f"below {chain.parent} it names {named or 'nothing'}, which stands on {actual or 'nothing'}"
        yield StoreFinding("chain-inconsistent", layer_id, layers / layer_id / CHAIN_FILE, detail)
