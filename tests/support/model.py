"""What a chain of layers shows, worked out the plain way: to compare ``layer.merge`` with.

Layers are put on each other from the base up, each changing one dict of everything that shows. The
merged view works the other way round, from the top down and only where it is asked, so the two share no
thought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.names import fold

_OPAQUE = ".wh..opq"


@dataclass(frozen=True)
class Shown:
    """One name that shows.

    Attributes:
        path: as it is spelled on the way.
        layer_id: the layer that its entry is from.
        entry: its entry.
        shared: what a hard link shares, under the link's path; for all else the entry.
        parts: data and streams, those of the target for a link.
    """

    path: str
    layer_id: str
    entry: Entry
    shared: Entry
    parts: tuple[HeldPart, ...]

    @property
    def has_children(self) -> bool:
        return self.entry.kind is EntryKind.DIRECTORY and not self.entry.reparse


Model = dict[tuple[str, ...], Shown]


def key_of(path: str) -> tuple[str, ...]:
    """The key of a path in a model."""
    return tuple(fold(path).split("/"))


def model_of(layers: Sequence[Sequence[HeldEntry]]) -> Model:
    """The model of layers, nearest first; the base is ``L0``."""
    model: Model = {}
    for number, layer in enumerate(reversed(layers)):
        model = _put_on(model, f"L{number}", layer)
    return model


def remove_tree(model: Model, key: tuple[str, ...], *, keep_top: bool = False) -> None:
    """Take a name, and all that is below it, away."""
    for other in [other for other in model if other[: len(key)] == key]:
        if not (keep_top and other == key):
            del model[other]


def _put_on(below: Model, layer_id: str, layer: Sequence[HeldEntry]) -> Model:
    model = dict(below)
    for held in layer:
        if held.entry.kind is EntryKind.WHITEOUT:
            *folder, name = held.entry.path.split("/")
            if name == _OPAQUE:
                remove_tree(model, key_of("/".join(folder)), keep_top=True)
            else:
                remove_tree(model, key_of(held.entry.path))
    own: Model = {}
    for held in layer:
        entry = held.entry
        if entry.kind is EntryKind.WHITEOUT:
            continue
        key = key_of(entry.path)
        shown = Shown(entry.path, layer_id, entry, entry, held.parts)
        if entry.kind is EntryKind.LINK:
            target = own.get(key_of(entry.target)) or below[key_of(entry.target)]
            shared = replace(target.shared, path=entry.path)
            shown = replace(shown, shared=shared, parts=target.parts)
        own[key] = shown
        if not (shown.has_children and key in model and model[key].has_children):
            remove_tree(model, key)
        model[key] = shown
    return _respelled(model)


def _respelled(model: Model) -> Model:
    """The model with each path spelled as the directories on its way now are."""
    spelled: Model = {}
    for key in sorted(model):
        shown = model[key]
        above = spelled[key[:-1]].path + "/" if len(key) > 1 else ""
        path = above + shown.path.rpartition("/")[2]
        spelled[key] = replace(shown, path=path)
    return spelled
