"""Layers that Docker made and has forgotten: they fill disks, and nothing of Docker ever removes them.

What is told for an orphan is to be destroyed, so that all of this has to hold:

- the folder is called as Docker calls layers, by 64 hexadecimal digits, with or without ``-init``: another name was
  given by somebody else;
- no image and no container of Docker names it, and it stands below no layer that one of them names, or that somebody
  else made;
- it is neither mounted nor being made, and has no other id;
- nothing in it has changed for a day. Docker notes a layer in its database when the layer is complete, and an hour is
  not enough for a large one.

Source: moby/moby layer/layer_store.go (an id is made when the layer is begun; its record is written at the end).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.backends.commonchecks import REMOVING
from winlayers.backends.native._dockernames import DockerNames
from winlayers.backends.native._plaintrees import count_bytes
from winlayers.errors import StoreCorrupt

_NAME_OF_DOCKER = re.compile(r"[0-9a-f]{64}(-init)?")
_SETTLED_SECONDS = 24 * 60 * 60


def find_orphans(
    layers: Path,
    docker: DockerNames,
    facts: DriverFacts,
    making: frozenset[str],
    names: Sequence[str],
    now_seconds: float | None = None,
    *,
    needs_windows: bool,
) -> Iterator[StoreFinding]:
    """The layers that nobody needs.

    Args:
        layers: folder of all layers.
        docker: what Docker names.
        facts: what the driver knows.
        making: layers that are being made.
        names: of all layers.
        now_seconds: the time, since 1970; by default that of the system.
        needs_windows: they cannot be removed here.
    """
    used = docker.layers | docker.scratches | making | {layer_id for layer_id, _ in facts.mounts}
    there = [name for name in names if not name.endswith(REMOVING)]
    kept = {name for name in there if name in used or not _NAME_OF_DOCKER.fullmatch(name)}
    others = {
        name: other for name in there if (other := _other_id(layers / name, facts)) is not None
    }
    kept.update(others, others.values())
    action = "remove the layer"
    for name in [one for one in there if one in kept]:
        try:
            kept |= set(facts.read_chain(layers / name))
        except StoreCorrupt:
            action = ""  # any of them may be below it
    now = time.time() if now_seconds is None else now_seconds
    for name in there:
        folder = layers / name
        if name not in kept and now - _changed_seconds(folder) > _SETTLED_SECONDS:
            detail = f"holds {count_bytes(folder)} bytes"
            yield StoreFinding(
                *("layer-orphaned", name, folder, detail, action),
                needs_windows=bool(action) and needs_windows,
            )


def _other_id(folder: Path, facts: DriverFacts) -> str | None:
    """The other id of a layer; ``""`` for one that cannot be read."""
    try:
        return facts.read_other_id(folder)
    except StoreCorrupt:
        return ""


def _changed_seconds(folder: Path) -> float:
    """When something right in a folder, or the folder, was last changed."""
    with os.scandir(folder) as found:
        times = [one.stat(follow_symlinks=False).st_mtime for one in found]
    return max((folder.lstat().st_mtime, *times))
