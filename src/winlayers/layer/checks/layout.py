"""The shape of a layer: its tops, its hives, its utility VM, and things that are no layer at all.

Source: microsoft/hcsshim internal/wclayer (legacy.go, baselayerwriter.go, converttobaselayer.go);
buildpacks/imgutil and moby/buildkit for what an import needs at least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from winlayers.layer.checks.hivefiles import check_hive, has_log
from winlayers.layer.checks.subject import Subject
from winlayers.layer.entry import EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.names import FILES, HIVE_FILES, HIVES, ROOT_NAMES, UTILITY_VM, fold
from winlayers.layer.view import NODE_IMPLIED, Node

SYSTEM32 = f"{FILES}/Windows/System32"
CONFIG = f"{SYSTEM32}/config"
BCD = ("EFI", "Microsoft", "Boot", "BCD")

_DELTAS = frozenset(fold(f"{name}_Delta") for name in HIVE_FILES)
_LINUX = frozenset(
    fold(name)
    for name in ["bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"]
)  # fmt: skip
_WINDOWS = frozenset(
    fold(name)
    for name in ("Windows", "Program Files", "Program Files (x86)", "ProgramData", "Users", "Inetpub")
)  # fmt: skip
_IMAGE = frozenset(
    map(fold, ("manifest.json", "oci-layout", "index.json", "blobs", "repositories"))
)
_CIM = re.compile(r".*\.CIM|(REGION|OBJECTID)_.*")
_DISK = re.compile(r".*\.VHDX?")


def looks_like_base(subject: Subject) -> bool:
    """Whether a layer whose parents are not known has none.

    Layers with parents have Hives, base layers have not; what has neither is a base if it brings Windows.
    """
    return subject.top(HIVES) is None and (
        subject.top(UTILITY_VM) is not None or subject.own.lookup(SYSTEM32) is not None
    )


def foreign_kind(subject: Subject) -> Finding | None:
    """The one finding that explains all others, for things that are no layer of Windows."""
    names = {node.folded: node.name for node in subject.children(None)}
    stray = {folded: name for folded, name in names.items() if name not in ROOT_NAMES}
    if not stray:
        return None

    def found(code: str, among: list[str]) -> Finding:
        shown = ", ".join(repr(stray[folded]) for folded in sorted(among)[:4])
        return subject.finding(code, "", f"has {shown} at the top")

    if any(folded == "TOMBSTONES.TXT" or folded.endswith(".$WCIDIRS$") for folded in stray):
        return found("layer-transport", [f for f in stray if f.endswith((".TXT", ".$WCIDIRS$"))])
    if among := [folded for folded in stray if _CIM.fullmatch(folded)]:
        return found("layer-cim", among)
    if among := [folded for folded in stray if _DISK.fullmatch(folded)]:
        return found("layer-vhd", among)
    if subject.top(FILES) is not None:
        return None
    if len(among := [folded for folded in stray if folded in _IMAGE]) > 1:
        return found("layer-image", among)
    if among := [folded for folded in stray if folded in _WINDOWS]:
        return found("files-prefix-missing", among)
    if len(among := [folded for folded in stray if folded in _LINUX]) > 1:
        return found("layer-linux", among)
    return None


def check_layout(subject: Subject) -> Iterator[Finding]:
    """Look at the tops, the hives and the utility VM."""
    yield from _check_tops(subject)
    if subject.is_base:
        yield from _check_config(subject)
    else:
        yield from _check_misplaced(subject)
        yield from _check_deltas(subject)
    yield from _check_utility_vm(subject)


def _check_tops(subject: Subject) -> Iterator[Finding]:
    has_files, has_hives = _has_entry(subject, FILES), _has_entry(subject, HIVES)
    if not has_files and not has_hives:
        yield subject.finding("tops-missing", "", "there is no entry for Files, and none for Hives")
    elif not has_files:
        yield subject.finding("files-missing", FILES, "there is no entry for the folder")
    elif not has_hives and not subject.is_base:
        yield subject.finding("hives-missing", HIVES, "there is no entry for the folder")
    if has_hives and subject.is_base:
        yield subject.finding("hives-in-base", HIVES, "a base layer has none")


def _has_entry(subject: Subject, name: str) -> bool:
    node = subject.top(name)
    return node is not None and not node.flags & NODE_IMPLIED


def _check_config(subject: Subject) -> Iterator[Finding]:
    """The five hives that the registry of every container is made of."""
    missing = []
    for name in HIVE_FILES.values():
        node = subject.own.lookup(f"{CONFIG}/{name}")
        if node is None or node.kind is EntryKind.DIRECTORY:
            missing.append(name)
            continue
        for finding in check_hive(subject, node):
            if finding.code != "hive-dirty" or not has_log(subject.own, node.path):
                yield finding
    if missing:
        yield subject.finding("hive-config-missing", CONFIG, f"there is no {', '.join(missing)}")


def _check_misplaced(subject: Subject) -> Iterator[Finding]:
    for name in HIVE_FILES.values():
        node = subject.own.lookup(f"{CONFIG}/{name}")
        if node is not None and node.kind is not EntryKind.DIRECTORY:
            detail = "the layer has parents, so it changes the registry only by Hives"
            yield subject.finding("hive-misplaced", node.path, detail)


def _check_deltas(subject: Subject) -> Iterator[Finding]:
    hives = subject.top(HIVES)
    for node in subject.children(hives) if hives else ():
        if node.folded not in _DELTAS:
            yield subject.finding("hive-unknown", node.path, "is none of the five *_Delta")
        elif node.kind is EntryKind.DIRECTORY:
            yield subject.finding("hive-invalid", node.path, "is a folder")
        else:
            yield from check_hive(subject, node)


def _check_utility_vm(subject: Subject) -> Iterator[Finding]:
    top = subject.top(UTILITY_VM)
    if top is None:
        return
    if not subject.is_base:
        yield subject.finding("utilityvm-in-child", UTILITY_VM, "the layer has parents")
    beside = "utilityvm-ignored" if subject.is_base else "utilityvm-outside"
    for node in subject.children(top):
        if node.folded != fold(FILES):
            yield subject.finding(beside, node.path, f"only {UTILITY_VM}/{FILES} has a meaning")
    files = subject.child(top, FILES)
    if files is not None:
        yield from _check_case(subject, files, FILES)
    files = subject.directory(top, FILES)
    if files is not None:
        yield from _check_bcd(subject, files)
    elif subject.is_base:
        detail = f"there is no folder {UTILITY_VM}/{FILES}"
        yield subject.finding("utilityvm-files-missing", UTILITY_VM, detail)


def _check_bcd(subject: Subject, files: Node) -> Iterator[Finding]:
    node: Node = files
    for name in BCD:
        found = subject.child(node, name)
        if found is None:
            if subject.is_base:
                detail = f"there is no {'/'.join((files.path, *BCD))}"
                yield subject.finding("bcd-missing", node.path, detail)
            return
        node = found
        yield from _check_case(subject, node, name)
    yield from check_hive(subject, node, invalid="bcd-invalid")


def _check_case(subject: Subject, node: Node, name: str) -> Iterator[Finding]:
    if node.name != name:
        yield subject.finding("name-case", node.path, f"Windows looks for {name!r} in this case")
