"""An image's own layers on another base: what ``docker build`` would have made of a newer base, without building.

The rules:

* the layers of the old base are the first of the image; what is above them is its own;
* operating system and architecture of the new base are those of the image, and its build is the same or a newer one,
  since programs of a newer Windows need not run on an older one;
* own layers that change the registry were made over the old base's registry: over a base of another build they are
  refused, unless that is forced; over another revision of the same build they are told;
* what is own stays, also where the new base has a newer file of the name; that is told;
* a hard link of an own layer finds its target in the new base, or the image is refused: Windows would not import it;
* where the new base has a directory instead of a file that an own layer has, or the other way round, the image is
  refused unless that is forced: the own one would hide the other;
* whiteouts of what the new base does not have any more are told.

The config is merged of three: a setting that is as in the old base becomes that of the new one, any other stays.
Variables, labels, ports and volumes are merged one by one, entrypoint and command together. The history is that of the new base, then the own steps.

Source: google/go-containerregistry cmd/crane/rebase.md for the idea; microsoft/hcsshim pkg/ociwclayer (links);
learn.microsoft.com "Windows container version compatibility".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from winlayers.errors import InvalidArgument, Unsupported, WrongPlatform
from winlayers.layer.changes import Comparison
from winlayers.layer.entry import EntryKind
from winlayers.layer.laws import is_opaque_marker
from winlayers.layer.merge import ROOT_ROW, LayerTable, MergedView
from winlayers.layer.names import fold
from winlayers.layer.view import Node, View
from winlayers.making.hivedeltas import hive_files
from winlayers.making.image import BaseImage, MadeImage, make_image
from winlayers.making.settings import add_step
from winlayers.oci import mediatypes
from winlayers.oci.building import edit_config
from winlayers.oci.model import ImageConfig
from winlayers.oci.platform import Platform

BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"
#: Settings that are arrays of ``NAME=value``, and those that are objects: merged one by one.
_LISTED = "env"
_OBJECTS = frozenset({"labels", "exposedports", "volumes"})
#: What is run: taken from one image, since one says how the others are to be read.
_RUN = ("entrypoint", "cmd", "argsescaped")


class ConflictKind(Enum):
    """What an own layer has that the new base does not fit."""

    LINK_TARGET_GONE = "link-target-gone"
    REGISTRY_OF_OTHER_BUILD = "registry-of-other-build"
    OTHER_TYPE = "other-type"
    REGISTRY_OF_OTHER_REVISION = "registry-of-other-revision"
    LINK_TARGET_CHANGED = "link-target-changed"
    HIDES_NEWER_FILE = "hides-newer-file"
    WHITEOUT_IDLE = "whiteout-idle"

    @property
    def is_refused(self) -> bool:
        """Whether an image with it is refused."""
        return self in _REFUSED

    @property
    def can_be_forced(self) -> bool:
        """Whether it is made all the same where that is asked for."""
        return self is not ConflictKind.LINK_TARGET_GONE


_REFUSED = frozenset(
    {
        ConflictKind.LINK_TARGET_GONE,
        ConflictKind.REGISTRY_OF_OTHER_BUILD,
        ConflictKind.OTHER_TYPE,
    }
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing of an own layer that does not fit, or may not.

    Attributes:
        kind: what it is.
        path: of the entry.
        detail: what exactly.
        layer_id: the own layer.
    """

    kind: ConflictKind
    path: str
    detail: str
    layer_id: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class RebaseViews:
    """What is looked into; all stay open.

    Attributes:
        own: the own layers, nearest first.
        old: what the old base shows.
        new: what the new base shows.
    """

    own: Sequence[LayerTable]
    old: View
    new: View


def find_base(config: ImageConfig, candidates: Iterable[BaseImage]) -> BaseImage | None:
    """The image that another one was most likely made of: that with most of its layers, but not all.

    Args:
        config: of the other one.
        candidates: images that may be it.
    Returns:
        The first of those with most layers in common; None where none is a base of it.
    """
    fitting = [one for one in candidates if _is_base_of(one.config, config)]
    return max(fitting, key=lambda one: len(one.config.diff_ids), default=None)


def check_rebase(
    views: RebaseViews, old_platform: Platform, new_platform: Platform
) -> Iterator[Conflict]:
    """What of the own layers does not fit the new base, or may not; in the order of the layers, nearest first.

    Args:
        views: of own layers and both bases.
        old_platform: of the old base.
        new_platform: of the new base.
    Raises:
        PathNotFound: a hard link of one of the bases has no target.
    """
    if old_platform.os_version != new_platform.os_version:
        is_same_build = _build(old_platform) == _build(new_platform)
        kind = (
            ConflictKind.REGISTRY_OF_OTHER_REVISION
            if is_same_build
            else ConflictKind.REGISTRY_OF_OTHER_BUILD
        )
        detail = f"was made over {old_platform.os_version}, and would be laid over {new_platform.os_version}"
        for files in hive_files(views.own).values():
            for file in files:
                if file.is_delta:
                    yield Conflict(kind, file.node.path, detail, file.view.layer_ids[0])
    comparison = Comparison(views.old, views.new, compare_change_time=False)
    for number, table in enumerate(views.own):
        checker = _LayerChecker(table, MergedView(views.own[number + 1 :]), views, comparison)
        yield from checker.conflicts()


def rebase_image(
    image: BaseImage,
    old_base: BaseImage,
    new_base: BaseImage,
    views: RebaseViews,
    *,
    now_seconds: int,
    created_by: str,
    base_name: str = "",
    force: bool = False,
    on_conflict: Callable[[Conflict], None] = lambda conflict: None,
) -> MadeImage:
    """An image whose own layers stand on another base; the rules stand above.

    Args:
        image: the old one.
        old_base: what it was made of.
        new_base: what it shall stand on.
        views: of the own layers and both bases.
        now_seconds: when, since 1970 UTC; that is when the image was made.
        created_by: what the history says of it.
        base_name: name of the new base, for the annotation of an OCI manifest.
        force: make it also where that is refused, if Windows could take it.
        on_conflict: called with each thing that does not fit, or may not.
    Raises:
        InvalidArgument: the old base is none of the image's, or the image has no layer of its own.
        WrongPlatform: the new base is for another system or processor, or an older build.
        Unsupported: conflicts that are refused; how many, and the first.
    """
    if not _is_base_of(old_base.config, image.config):
        raise InvalidArgument(
            f"{image.source.name} was not made of {old_base.source.name}: its first layers are others, or it has "
            "no layer above them"
        )
    _check_platforms(image, old_base, new_base)
    refused = []
    for conflict in check_rebase(views, old_base.config.platform, new_base.config.platform):
        on_conflict(conflict)
        if conflict.kind.is_refused and not (force and conflict.kind.can_be_forced):
            refused.append(conflict)
    if refused:
        raise Unsupported(
            f"{image.source.name} cannot be put on {new_base.source.name}: {refused[0]}"
            + (f", and {len(refused) - 1} more" if len(refused) > 1 else "")
        )
    layers = (*new_base.layers, *image.layers[len(old_base.layers) :])
    config = edit_config(
        image.config,
        platform=_merged_platform(image.config, old_base.config, new_base.config),
        settings=merge_settings(image.config, old_base.config, new_base.config),
        diff_ids=[layer.diff_id for layer in layers],
        history=(*new_base.config.history, *_own_history(image.config, old_base.config)),
    )
    config = add_step(config, created_by, now_seconds=now_seconds, is_empty=True)
    return make_image(image, config, layers, annotations=_annotations(image, new_base, base_name))


def merge_settings(own: ImageConfig, old: ImageConfig, new: ImageConfig) -> dict[str, Any]:
    """What changes in the settings of an image that gets another base.

    Args:
        own: of the image.
        old: of the old base.
        new: of the new base.
    Returns:
        The settings that change, for ``oci.building.edit_config``.
    """
    names: dict[str, str] = {}
    for config in (own, old, new):
        for name in config.settings:
            names.setdefault(name.lower(), name)
    is_run_own = any(own.setting(name) != old.setting(name) for name in _RUN)
    changes = {}
    for folded, name in names.items():
        before, ours, theirs = old.setting(name), own.setting(name), new.setting(name)
        if folded == _LISTED and all(
            isinstance(one, list | None) for one in (before, ours, theirs)
        ):
            merged: Any = list(
                _merged(_variables(ours), _variables(before), _variables(theirs)).values()
            )
        elif folded in _OBJECTS and all(
            isinstance(one, dict | None) for one in (before, ours, theirs)
        ):
            merged = _merged(ours or {}, before or {}, theirs or {})
        elif folded in _RUN:
            merged = ours if is_run_own else theirs
        else:
            merged = theirs if ours == before else ours
        if (merged or None) != (ours or None):
            changes[name] = merged or None
    return changes


def _merged(
    ours: Mapping[str, Any], before: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in theirs.items()
        if name in ours or name not in before  # else it was taken away by us
    }
    changed = {name: value for name, value in ours.items() if before.get(name) != value}
    return kept | changed


def _variables(lines: Sequence[Any] | None) -> dict[str, Any]:
    return {fold(str(line).partition("=")[0]): line for line in lines or ()}


def _own_history(own: ImageConfig, old: ImageConfig) -> Sequence[Mapping[str, Any]]:
    count = len(old.history)
    if own.history[:count] == old.history:
        return own.history[count:]
    # The base was made again with the same layers: what comes behind its last layer is own.
    made = 0
    for number, step in enumerate(own.history):
        if not step.get("empty_layer"):
            made += 1
        if made == len(old.diff_ids):
            return own.history[number + 1 :]
    return ()


def _merged_platform(own: ImageConfig, old: ImageConfig, new: ImageConfig) -> Platform:
    added = [
        feature
        for feature in own.platform.os_features
        if feature not in (*old.platform.os_features, *new.platform.os_features)
    ]
    return replace(
        new.platform,
        variant=own.platform.variant,
        os_features=(*new.platform.os_features, *added),
    )


def _annotations(image: BaseImage, new_base: BaseImage, base_name: str) -> Mapping[str, str] | None:
    if image.manifest.media_type != mediatypes.OCI_MANIFEST:
        return None
    annotations = dict(image.manifest.annotations)
    annotations.pop(BASE_NAME, None)
    annotations[BASE_DIGEST] = str(new_base.manifest.digest)
    return annotations | {BASE_NAME: base_name} if base_name else annotations


def _is_base_of(base: ImageConfig, image: ImageConfig) -> bool:
    count = len(base.diff_ids)
    return 0 < count < len(image.diff_ids) and image.diff_ids[:count] == base.diff_ids


def _check_platforms(image: BaseImage, old_base: BaseImage, new_base: BaseImage) -> None:
    ours, theirs = image.config.platform, new_base.config.platform
    if (ours.os, ours.architecture) != (theirs.os, theirs.architecture):
        raise WrongPlatform(
            f"{new_base.source.name} is for {theirs}, {image.source.name} for {ours}"
        )
    old, new = _build(old_base.config.platform), _build(theirs)
    if old is None or new is None:
        lacking = old_base if old is None else new_base
        raise WrongPlatform(f"{lacking.source.name} does not say which build of Windows it is")
    if new < old:
        raise WrongPlatform(
            f"{new_base.source.name} is build {new} of Windows, which is older than build {old} of the old base"
        )


def _build(platform: Platform) -> int | None:
    parts = platform.os_version.split(".")
    number = parts[2] if len(parts) > 2 else ""
    is_number = number.isascii() and number.isdigit() and len(number) <= 9
    return int(number) if is_number else None


class _LayerChecker:
    """Looks at one own layer."""

    def __init__(
        self, table: LayerTable, own_below: View, views: RebaseViews, comparison: Comparison
    ) -> None:
        self._table = table
        self._own_below = own_below
        self._old = views.old
        self._new = views.new
        self._comparison = comparison

    def conflicts(self) -> Iterator[Conflict]:
        pending = [(ROOT_ROW, "")]
        while pending:
            row, above = pending.pop()
            for node in self._table.children(row):
                path = f"{above}/{node.name}" if above else node.name
                if node.kind is EntryKind.WHITEOUT:
                    yield from self._whiteout(path)
                    continue
                if node.kind is EntryKind.LINK:
                    yield from self._link(node, path)
                yield from self._entry(node, path)
                if node.is_directory:
                    pending.append((node.row, path))

    def _conflict(self, kind: ConflictKind, path: str, detail: str) -> Conflict:
        return Conflict(kind, path, detail, self._table.layer_id)

    def _whiteout(self, path: str) -> Iterator[Conflict]:
        if is_opaque_marker(path) or self._own_below.lookup(path) is not None:
            return
        if self._old.lookup(path) is not None and self._new.lookup(path) is None:
            detail = "is removed, and the new base does not have it"
            yield self._conflict(ConflictKind.WHITEOUT_IDLE, path, detail)

    def _link(self, node: Node, path: str) -> Iterator[Conflict]:
        row, target = self._table.link_target(node.row)
        if row or self._own_below.lookup(target) is not None:
            return
        before, after = self._old.lookup(target), self._new.lookup(target)
        if after is None or after.kind is EntryKind.DIRECTORY:
            detail = f"is a hard link to {target!r}, which the new base does not have as a file"
            yield self._conflict(ConflictKind.LINK_TARGET_GONE, path, detail)
        elif before is None or self._comparison.change(before, after) is not None:
            detail = f"is a hard link to {target!r}, which is another file in the new base"
            yield self._conflict(ConflictKind.LINK_TARGET_CHANGED, path, detail)

    def _entry(self, node: Node, path: str) -> Iterator[Conflict]:
        before, after = self._old.lookup(path), self._new.lookup(path)
        if after is None or self._own_below.lookup(path) is not None:
            return
        if node.is_directory is not after.is_directory:
            if before is None or before.is_directory is not after.is_directory:
                detail = f"would hide what is {_type_of(after)} in the new base"
                yield self._conflict(ConflictKind.OTHER_TYPE, path, detail)
        elif not node.is_directory and (
            before is None or self._comparison.change(before, after) is not None
        ):
            detail = "is another file in the new base than in the old one, and stays as it is here"
            yield self._conflict(ConflictKind.HIDES_NEWER_FILE, path, detail)


def _type_of(node: Node) -> str:
    if node.is_directory:
        return "a directory"
    return "a link" if node.is_reparse_point else "a file"
