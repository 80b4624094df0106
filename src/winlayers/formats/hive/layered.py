"""Hives that are laid over each other: as the registry that they show, and as one difference in their place.

A layered hive has, of the hives below it, the keys that differ. Its semantics say what a key makes of the same key
below (``cells.Semantics``), a value may be marked as deleted, and the class may be that of the key below.

``flatten`` gives what shows, without marks: each key that some hive has, but

    TOMBSTONE         hides the key with all below it, in its own hive and in those further down
    SUPERSEDE_LOCAL   hides values, class and descriptor of the hives further down, not their subkeys
    SUPERSEDE_TREE    hides all of the hives further down

Of values with one name the nearest counts, and shows where it is no tombstone. The class is that of the nearest
key that does not inherit it; the time is the latest; name, flags and descriptor are those of the nearest.

``squash`` makes one difference of two, such that over any hive it shows what both show. What only one of them has
stays as it is. Where both have a key:

    upper                      lower            result
    TOMBSTONE, SUPERSEDE_TREE  any              the upper one
    other                      TOMBSTONE        SUPERSEDE_TREE all the way down, without tombstones
    other                      SUPERSEDE_TREE   SUPERSEDE_TREE, subkeys too
    SUPERSEDE_LOCAL            other            SUPERSEDE_LOCAL, the values of the upper one
    MERGE                      SUPERSEDE_LOCAL  SUPERSEDE_LOCAL, the values of both
    MERGE                      MERGE            MERGE, the values and tombstones of both

Nothing is held but the keys right below those that are being looked at. The hives stay open for as long as
anything is asked. This module refuses to know files and layers.
Source: msuhanov/regf (layered keys) and US patent application 2017/0279678 A1; that the descriptor of the nearest
key counts is not verified on Windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.hive.cells import KeyFlags, Semantics
from winlayers.formats.hive.keys import Fold, SourceKey, SourceValue, same_name, sort_key


def flatten(roots: Sequence[SourceKey], *, fold: Fold) -> SourceKey:
    """The registry that hives show that are laid over each other.

    Args:
        roots: of the hives, nearest first; the last one is that of a hive that is no difference.
        fold: the form of a name under which Windows compares it.
    Returns:
        The root of what shows; no key and no value below it has a mark.
    Raises:
        InvalidArgument: there is no hive.
        Malformed: a root is marked as deleted. Keys that are asked later raise it for two subkeys of one name, and
            for what the reader finds.
    """
    _check_roots(roots)
    shown: list[_Shown] = []
    for root in roots:
        shown.append(_Shown(root, _shows_values_below(shown)))
        if root.semantics is Semantics.SUPERSEDE_TREE:
            break
    return _FlatKey(shown, fold)


def squash(roots: Sequence[SourceKey], *, fold: Fold) -> SourceKey:
    """One difference in the place of several.

    Args:
        roots: of the differences, nearest first.
        fold: the form of a name under which Windows compares it.
    Returns:
        The root of the one difference.
    Raises:
        InvalidArgument: there is no difference.
        Malformed: as for ``flatten``.
    """
    _check_roots(roots)
    if len(roots) == 1:
        return roots[0]
    # By halves, so that what stands on each other is never deep.
    middle = len(roots) // 2
    upper, lower = squash(roots[:middle], fold=fold), squash(roots[middle:], fold=fold)
    return _squashed(lower, upper, fold)


def _check_roots(roots: Sequence[SourceKey]) -> None:
    if not roots:
        raise InvalidArgument("there are no hives to be put together")
    if any(root.semantics is Semantics.TOMBSTONE for root in roots):
        raise Malformed("registry hive", "its root is marked as deleted")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A key as one hive has it, and whether its values, class and descriptor show."""

    key: SourceKey
    shows_values: bool


def _shows_values_below(shown: Sequence[_Shown]) -> bool:
    """Whether the values of a further key show below these."""
    if not shown:
        return True
    return shown[-1].shows_values and shown[-1].key.semantics is not Semantics.SUPERSEDE_LOCAL


class _FlatKey:
    """What shows of one key of several hives, nearest first."""

    __slots__ = ("_fold", "_shown", "_top")

    def __init__(self, shown: Sequence[_Shown], fold: Fold) -> None:
        self._shown = shown
        self._top = shown[0].key
        self._fold = fold

    @property
    def name(self) -> str:
        return self._top.name

    @property
    def last_written_filetime(self) -> int:
        return max(one.key.last_written_filetime for one in self._shown)

    @property
    def flags(self) -> KeyFlags:
        return self._top.flags

    @property
    def control_flags(self) -> int:
        return self._top.control_flags

    @property
    def semantics(self) -> Semantics:
        return Semantics.MERGE

    @property
    def inherits_class(self) -> bool:
        return False

    @property
    def class_name(self) -> str:
        for key in self._with_values():
            if not key.inherits_class:
                return key.class_name
        return ""

    @property
    def security(self) -> bytes:
        return self._top.security

    def values(self) -> Iterator[SourceValue]:
        """Those of the lowest hive first, each name where it came first."""
        found: dict[str, SourceValue] = {}
        for key in reversed(list(self._with_values())):
            found |= _own_values(key, self._fold)
        return (value for value in found.values() if not value.is_tombstone)

    def subkeys(self) -> Iterator[SourceKey]:
        found: dict[str, list[_Shown]] = {}
        closed: set[str] = set()
        for one in self._shown:
            for folded, key in _own_subkeys(one.key, self._fold).items():
                if folded in closed:
                    continue
                if key.semantics is not Semantics.TOMBSTONE:
                    shown = found.setdefault(folded, [])
                    shown.append(_Shown(key, _shows_values_below(shown)))
                if key.semantics in (Semantics.TOMBSTONE, Semantics.SUPERSEDE_TREE):
                    closed.add(folded)
        for folded in sorted(found, key=sort_key):
            yield _FlatKey(found[folded], self._fold)

    def _with_values(self) -> Iterator[SourceKey]:
        return (one.key for one in self._shown if one.shows_values)


class _SquashedKey:
    """One key of two differences, where both have it and neither alone can stand for both.

    Args:
        lower: no tombstone.
        upper: MERGE or SUPERSEDE_LOCAL.
        fold: the form of a name under which Windows compares it.
    """

    __slots__ = ("_fold", "_lower", "_upper", "semantics")

    def __init__(self, lower: SourceKey, upper: SourceKey, fold: Fold) -> None:
        self._lower = lower
        self._upper = upper
        self._fold = fold
        both = (lower.semantics, upper.semantics)
        self.semantics = max(both, key=int)

    @property
    def name(self) -> str:
        return self._upper.name

    @property
    def last_written_filetime(self) -> int:
        return max(self._lower.last_written_filetime, self._upper.last_written_filetime)

    @property
    def flags(self) -> KeyFlags:
        return self._upper.flags

    @property
    def control_flags(self) -> int:
        return self._upper.control_flags

    @property
    def inherits_class(self) -> bool:
        # From what is below both; a key that hides that has nothing to inherit.
        return (
            self.semantics is Semantics.MERGE
            and self._upper.inherits_class
            and self._lower.inherits_class
        )

    @property
    def class_name(self) -> str:
        if not self._upper.inherits_class:
            return self._upper.class_name
        if self._hides_lower_values or self._lower.inherits_class:
            return ""
        return self._lower.class_name

    @property
    def security(self) -> bytes:
        return self._upper.security

    @property
    def _hides_lower_values(self) -> bool:
        return self._upper.semantics is Semantics.SUPERSEDE_LOCAL

    def values(self) -> Iterator[SourceValue]:
        found = {} if self._hides_lower_values else _own_values(self._lower, self._fold)
        found |= _own_values(self._upper, self._fold)
        keeps_tombstones = self.semantics is Semantics.MERGE
        return (value for value in found.values() if keeps_tombstones or not value.is_tombstone)

    def subkeys(self) -> Iterator[SourceKey]:
        lower = _own_subkeys(self._lower, self._fold)
        upper = _own_subkeys(self._upper, self._fold)
        for folded in sorted(lower | upper, key=sort_key):
            key = _squashed(lower.get(folded), upper.get(folded), self._fold)
            if self.semantics is not Semantics.SUPERSEDE_TREE:
                yield key
            elif key.semantics is not Semantics.TOMBSTONE:
                yield _TreeKey(key)


class _TreeKey:
    """A key of a difference that stands where the hives below have nothing that may show."""

    __slots__ = ("_key",)

    def __init__(self, key: SourceKey) -> None:
        # A wrapper in a wrapper would add nothing but depth.
        self._key: SourceKey = key._key if isinstance(key, _TreeKey) else key

    @property
    def name(self) -> str:
        return self._key.name

    @property
    def last_written_filetime(self) -> int:
        return self._key.last_written_filetime

    @property
    def flags(self) -> KeyFlags:
        return self._key.flags

    @property
    def control_flags(self) -> int:
        return self._key.control_flags

    @property
    def semantics(self) -> Semantics:
        return Semantics.SUPERSEDE_TREE

    @property
    def inherits_class(self) -> bool:
        return False

    @property
    def class_name(self) -> str:
        return "" if self._key.inherits_class else self._key.class_name

    @property
    def security(self) -> bytes:
        return self._key.security

    def values(self) -> Iterator[SourceValue]:
        return (value for value in self._key.values() if not value.is_tombstone)

    def subkeys(self) -> Iterator[SourceKey]:
        for key in self._key.subkeys():
            if key.semantics is not Semantics.TOMBSTONE:
                yield _TreeKey(key)


def _squashed(lower: SourceKey | None, upper: SourceKey | None, fold: Fold) -> SourceKey:
    """One key of two differences, of which at least one has it."""
    if upper is None or lower is None:
        only = lower or upper
        assert only is not None, "a key that neither has"
        return only
    if upper.semantics in (Semantics.TOMBSTONE, Semantics.SUPERSEDE_TREE):
        return upper
    if lower.semantics is Semantics.TOMBSTONE:
        return _TreeKey(upper)
    return _SquashedKey(lower, upper, fold)


def _own_values(key: SourceKey, fold: Fold) -> dict[str, SourceValue]:
    """The values of a key in one hive by folded name; of two with one name the first, as when one is looked up."""
    found: dict[str, SourceValue] = {}
    for value in key.values():
        found.setdefault(fold(value.name), value)
    return found


def _own_subkeys(key: SourceKey, fold: Fold) -> dict[str, SourceKey]:
    """The subkeys of a key in one hive by folded name."""
    found: dict[str, SourceKey] = {}
    for subkey in key.subkeys():
        if found.setdefault(fold(subkey.name), subkey) is not subkey:
            raise same_name(key, subkey.name)
    return found
