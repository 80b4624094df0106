"""The registry of layers that are put together: which hive files the one layer has that takes their place.

Each layer but a base layer has what it changes of the registry in ``Hives/*_Delta``, over what the layers below make
of it. Deltas of several layers cannot simply be put on each other, so this module only tells which can be kept:

* a delta without keys and values changes nothing, and does not count;
* if one layer has a delta of a hive, it is kept;
* if several have, the squash is refused, or the nearest is kept where that is asked for: what the others changed of
  that hive is lost then;
* a base layer can have no deltas: a flatten is refused where one counts, or they are left out where that is asked for.

Other files of ``Hives`` are kept, the nearest of each name.

Source: microsoft/hcsshim internal/wclayer/cim/registry.go (deltas are merged layer by layer); msuhanov/regf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from winlayers.errors import Malformed, TooLarge, Unsupported
from winlayers.formats.hive.reader import Hive
from winlayers.layer.entry import EntryKind
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import HIVES, fold
from winlayers.layer.view import Node

_DELTA = fold("_Delta")


@dataclass(frozen=True, slots=True)
class HiveFile:
    """A file of ``Hives``.

    Attributes:
        node: of it, in its layer.
        view: of that layer by itself.
    """

    node: Node
    view: MergedView

    @property
    def is_delta(self) -> bool:
        """Whether it is what a layer changes of a hive."""
        return self.node.folded.endswith(_DELTA)


def hive_files(tables: Sequence[LayerTable]) -> dict[str, list[HiveFile]]:
    """The files of ``Hives``, by folded name, those of the nearest layer first.

    Args:
        tables: the layers, nearest first; deltas that change nothing are left out.
    """
    found: dict[str, list[HiveFile]] = {}
    for table in tables:
        view = MergedView([table])
        folder = view.lookup(HIVES)
        for node in view.list(folder) if folder is not None else ():
            file = HiveFile(node, view)
            if node.kind is EntryKind.FILE and not (file.is_delta and changes_nothing(file)):
                found.setdefault(node.folded, []).append(file)
    return found


def changes_nothing(file: HiveFile) -> bool:
    """Whether a delta has neither keys nor values; one that cannot be read counts as a change."""
    if not file.node.size:
        return True
    with file.view.open(file.node) as opened:
        try:
            root = Hive.open(opened, fold=fold).root
            return next(root.subkeys(), None) is None and next(root.values(), None) is None
        except (Malformed, TooLarge):
            return False


def chosen_files(
    tables: Sequence[LayerTable], *, is_base: bool, lose_changes: bool = False
) -> list[HiveFile]:
    """The files of ``Hives`` for the one layer that takes the place of several, by name.

    Args:
        tables: those several, nearest first.
        is_base: whether it will be a base layer.
        lose_changes: lose changes of the registry rather than refuse.
    Raises:
        Unsupported: changes of the registry would be lost.
    """
    chosen = []
    for name, files in sorted(hive_files(tables).items()):
        if not name.endswith(_DELTA):
            chosen.append(files[0])
            continue
        if is_base and not lose_changes:
            raise Unsupported(
                f"layer {files[0].view.layer_ids[0]} changes the registry ({files[0].node.path}), which a base "
                "layer cannot hold as a change; squash the layers above the base layer instead"
            )
        if len(files) > 1 and not lose_changes:
            ids = ", ".join(file.view.layer_ids[0] for file in files)
            raise Unsupported(
                f"layers {ids} all change the registry ({files[0].node.path}), and only the changes of one could "
                "be kept"
            )
        if not is_base:
            chosen.append(files[0])
    return chosen
