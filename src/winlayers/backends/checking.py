"""What the checks of stores share: their codes, what a finding tells, and what only the driver can tell them.

Each backend looks at its own files. What is wrong is told under a stable code of ``STORE_RULES``, as findings of
layers are told under theirs, together with what a repair would do about it: nothing is changed by looking. This module
refuses to know how a layer is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from winlayers.backends.contract import Mount
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Rule, Severity

_E, _W = Severity.ERROR, Severity.WARNING

#: code -> what it means, as ``layer.findings.CATALOG`` is for layers.
STORE_RULES: dict[str, Rule] = {
    "layer-unreadable": Rule(
        _E,
        "layer cannot be looked at",
        "The system refuses to list or read its folder.",
        "Run as the owner of the store, or look at the disk.",
    ),
    "layer-foreign": Rule(
        _W,
        "something that is no layer of ours",
        "It lies among the layers, and has neither what Docker's create leaves nor a pack.",
        "Move it elsewhere; a layer in the form of Windows itself is not read.",
    ),
    "chain-unreadable": Rule(
        _E,
        "layerchain.json does not parse",
        "Nothing tells the parents of the layer.",
        "Write it again: a JSON array of the parents' folders, nearest first; or import the layer again.",
    ),
    "chain-missing": Rule(
        _W,
        "layerchain.json is missing",
        "The layer is taken for a base layer.",
        "Write it again if it has parents: a JSON array of their folders, nearest first.",
    ),
    "chain-inconsistent": Rule(
        _E,
        "chain is not that of the parent",
        "The layer names its parent, but not all that the parent stands on.",
        "Import the layer again on its parent.",
    ),
    "chain-parent-missing": Rule(
        _E,
        "a parent is not in the store",
        "The layer cannot be shown without it.",
        "Import the parent again under the same id, or remove the layer.",
    ),
    "index-missing": Rule(
        _E,
        "index is missing",
        "Nothing of the layer can be listed.",
        "winlayers store check --repair",
    ),
    "index-unreadable": Rule(
        _E,
        "index cannot be read",
        "It is damaged, or of another version.",
        "winlayers store check --repair",
    ),
    "record-missing": Rule(
        _W,
        "record of the import is missing",
        "If the index is lost too, nothing tells whether the pack is still what was imported.",
        "winlayers store check --repair",
    ),
    "record-unreadable": Rule(
        _W,
        "record of the import cannot be read, or is not what the index tells",
        "One of the two was damaged or written to.",
        "winlayers store check --deep tells whether the pack is sound; --repair makes both again.",
    ),
    "pack-missing": Rule(
        _E,
        "pack is missing",
        "The content of the layer is gone; only its index is left.",
        "Remove the layer and import it again.",
    ),
    "pack-size": Rule(
        _E,
        "pack has another size than it was imported with",
        "It was cut, or written to.",
        "Remove the layer and import it again.",
    ),
    "pack-digest": Rule(
        _E,
        "pack has another digest than it was imported with",
        "Bytes of it have changed since.",
        "Remove the layer and import it again; look at the disk.",
    ),
    "scratch-unreadable": Rule(
        _E,
        "scratch cannot be read",
        "Its database is damaged, or of another version.",
        "Look at the disk; what of it can still be read, 'winlayers cp' gets out. Then remove it.",
    ),
    "scratch-data-missing": Rule(
        _E,
        "written content of a scratch is missing",
        "A file of data was removed, or never reached the disk before the machine stopped.",
        "Open the scratch to have the file empty, or remove the scratch.",
    ),
    "left-removing": Rule(
        _W,
        "layer that was not removed to its end",
        "A removal was interrupted; it holds space.",
        "winlayers store check --repair, or open the store in any way.",
    ),
    "left-staging": Rule(
        _W,
        "rest of an import that did not end",
        "An import was interrupted; it holds space.",
        "winlayers store check --repair, or open the store in any way.",
    ),
    "id-unreadable": Rule(
        _E,
        "layerID holds what cannot be an id",
        "Whoever asks for the layer is refused.",
        "Remove the file layerID, if the layer is to be known by the name of its folder.",
    ),
    "id-dangling": Rule(
        _E,
        "layerID names a layer that is not in the store",
        "Whoever asks for this layer is sent there.",
        "Remove the file layerID, or import the layer that it names.",
    ),
    "mount-dead": Rule(
        _W,
        "mount that does not serve any more",
        "Its process has ended, or the system was started again.",
        "winlayers store check --repair",
    ),
    "left-making": Rule(
        _W,
        "layer whose making did not end",
        "An import or a creation was interrupted; it is not there to anybody, and holds space.",
        "winlayers store check --repair, or open the store in any way.",
    ),
    "layer-half": Rule(
        _E,
        "layer without its folder Files",
        "Half of it is gone, or Windows never ended to make it.",
        "Remove the layer and import it again.",
    ),
    "layer-orphaned": Rule(
        _W,
        "layer that no image and no container of Docker names",
        "Docker made it and has forgotten it; it holds space.",
        "Stop Docker, look that nobody needs it, then: winlayers store check --repair",
    ),
    "layer-changed": Rule(
        _E,
        "files of the layer are not what was imported",
        "Something wrote to them, removed them, or the disk is damaged.",
        "Remove the layer and import it again; look at the disk.",
    ),
    "boot-copy-missing": Rule(
        _W,
        "copy of a boot file is missing",
        "Windows changes the file in the utility VM, so without the copy the tar cannot be made again.",
        "Import the layer again if it is to be exported.",
    ),
    "ledger-unreadable": Rule(
        _E,
        "ledger of the layer cannot be read",
        "It is damaged, or of another version; the layer itself is not concerned.",
        "winlayers store check --repair; import the layer again if it is to keep its digest.",
    ),
    "ledger-orphaned": Rule(
        _W,
        "ledger of a layer that is not there",
        "Somebody else removed the layer.",
        "winlayers store check --repair, or open the store in any way.",
    ),
    "scratch-disk-missing": Rule(
        _E,
        "disk of a scratch is missing",
        "All that was written to the scratch is gone.",
        "Remove the container, or the scratch.",
    ),
    "scratch-disk-empty": Rule(
        _E,
        "disk of a scratch is an empty file",
        "It was never written, or never reached the disk before the machine stopped.",
        "Remove the container, or the scratch.",
    ),
}


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """One thing found in a store.

    Attributes:
        code: key of ``STORE_RULES``.
        layer_id: the layer concerned, or ``""``.
        path: the file or folder concerned.
        detail: what exactly.
        action: what a repair does about it; ``""`` where it can do nothing.
        needs_windows: the action is one that only Windows can do, on a system that is none.
    """

    code: str
    layer_id: str
    path: Path
    detail: str
    action: str = ""
    needs_windows: bool = False

    @property
    def rule(self) -> Rule:
        """What the code means."""
        return STORE_RULES[self.code]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return STORE_RULES[self.code].severity

    @property
    def is_repairable(self) -> bool:
        """Whether a repair on this system does anything about it."""
        return bool(self.action) and not self.needs_windows


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """What the driver knows of a store, and a check has to be told.

    Attributes:
        read_chain: reads the parents of the layer in a folder; StoreCorrupt if it cannot.
        read_other_id: reads the other id of the layer in a folder, if it has one; StoreCorrupt if it cannot.
        mounts: what is said to be mounted, by ids of layers.
    """

    read_chain: Callable[[Path], Chain]
    read_other_id: Callable[[Path], str | None]
    mounts: tuple[tuple[str, Mount], ...] = ()
