from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hives import (
    LOCAL,
    TOMBSTONE,
    TREE,
    BuiltKey,
    a_delta,
    a_hive,
    a_key,
    dword,
    no_value,
)
from tests.support.hivetrees import deltas, registries, told
from winlayers.errors import InvalidArgument, Malformed, WinlayersError
from winlayers.formats.hive.cells import Semantics
from winlayers.formats.hive.keys import Fold, SourceKey
from winlayers.formats.hive.layered import flatten, squash
from winlayers.formats.hive.reader import Hive
from winlayers.formats.hive.writer import write_hive
from winlayers.layer.names import fold

DELTA = (Path(__file__).parents[3] / "data/Software_Delta").read_bytes()
INHERIT = 0x80


class Together(Protocol):
    """``flatten`` or ``squash``."""

    def __call__(self, roots: Sequence[SourceKey], *, fold: Fold) -> SourceKey: ...


def root_of(hive: bytes) -> SourceKey:
    return Hive.open(hive, fold=fold).root


def delta(*subkeys: BuiltKey) -> SourceKey:
    return root_of(a_delta(a_key("ROOT", *subkeys)))


def base(*subkeys: BuiltKey) -> SourceKey:
    return root_of(a_hive(a_key("ROOT", *subkeys)))


def shape(root: SourceKey) -> dict[str, object]:
    """Key -> its numbers, by path without the root."""
    return {
        path[1:]: {value.name: value.data[0] if value.data else None for value in key.values()}
        for path, key in _walk(root)
        if path
    }


def _walk(root: SourceKey) -> list[tuple[str, SourceKey]]:
    found, pending = [], [("", root)]
    while pending:
        path, key = pending.pop()
        found.append((path, key))
        pending += [(f"{path}\\{below.name}", below) for below in key.subkeys()]
    return found


def only(root: SourceKey) -> SourceKey:
    (key,) = root.subkeys()
    return key


BELOW = a_key("k", a_key("s", values=[dword("x", 3)]), values=[dword("v", 1), dword("w", 2)])


@pytest.mark.parametrize(
    ("upper", "shown"),
    [
        (a_key("k", values=[dword("V", 9)]), {"k": {"V": 9, "w": 2}, "k\\s": {"x": 3}}),
        (a_key("k", values=[no_value("v")]), {"k": {"w": 2}, "k\\s": {"x": 3}}),
        (a_key("k", layer_byte=TOMBSTONE), {}),
        (
            a_key("k", values=[dword("n", 1)], layer_byte=LOCAL),
            {"k": {"n": 1}, "k\\s": {"x": 3}},
        ),
        (a_key("k", values=[dword("n", 1)], layer_byte=TREE), {"k": {"n": 1}}),
        (
            a_key("k", a_key("s", values=[dword("y", 1)]), layer_byte=LOCAL),
            {"k": {}, "k\\s": {"x": 3, "y": 1}},
        ),
        (a_key("other"), {"k": {"v": 1, "w": 2}, "k\\s": {"x": 3}, "other": {}}),
    ],
)
def test_each_mark_hides_what_it_says(upper: BuiltKey, shown: dict[str, object]) -> None:
    assert shape(flatten([delta(upper), base(BELOW)], fold=fold)) == shown


@pytest.mark.parametrize(
    ("marks", "name"),
    [
        ([INHERIT, 0], "below"),
        ([0, 0], "D0"),
        ([INHERIT, INHERIT], "base"),
        ([INHERIT | LOCAL, 0], ""),
        ([INHERIT, INHERIT | LOCAL], ""),
    ],
)
def test_class_is_that_of_the_nearest_that_has_its_own(marks: list[int], name: str) -> None:
    classes = ["D0", "below"]
    roots = [
        delta(a_key("k", layer_byte=mark, class_name="" if mark & INHERIT else classes[number]))
        for number, mark in enumerate(marks)
    ]
    roots.append(base(a_key("k", class_name="base")))
    assert only(flatten(roots, fold=fold)).class_name == name
    squashed = [squash(roots[:2], fold=fold), roots[2]]
    assert only(flatten(squashed, fold=fold)).class_name == name


@pytest.mark.parametrize(
    ("upper", "lower", "semantics"),
    [
        (TOMBSTONE, 0, Semantics.TOMBSTONE),
        (TREE, LOCAL, Semantics.SUPERSEDE_TREE),
        (0, TOMBSTONE, Semantics.SUPERSEDE_TREE),
        (LOCAL, TREE, Semantics.SUPERSEDE_TREE),
        (LOCAL, 0, Semantics.SUPERSEDE_LOCAL),
        (0, LOCAL, Semantics.SUPERSEDE_LOCAL),
        (0, 0, Semantics.MERGE),
    ],
)
def test_two_marks_make_one(upper: int, lower: int, semantics: Semantics) -> None:
    roots = [delta(a_key("k", layer_byte=upper)), delta(a_key("k", layer_byte=lower))]
    assert only(squash(roots, fold=fold)).semantics is semantics


def test_key_that_is_made_anew_has_no_marks_but_that_it_hides_all() -> None:
    made = a_key("k", a_key("gone", layer_byte=TOMBSTONE), a_key("s"), values=[no_value("v")])
    roots = [delta(made), delta(a_key("k", layer_byte=TOMBSTONE))]
    key = only(squash(roots, fold=fold))
    assert [(one.name, one.semantics) for one in key.subkeys()] == [("s", Semantics.SUPERSEDE_TREE)]
    assert list(key.values()) == []


def test_tombstone_of_a_value_is_kept_where_a_hive_below_may_have_it() -> None:
    roots = [delta(a_key("k", values=[no_value("v")])), delta(a_key("k", values=[dword("v", 1)]))]
    (value,) = only(squash(roots, fold=fold)).values()
    assert value.is_tombstone


@settings(derandomize=True, max_examples=80, deadline=None)
@given(registries(), st.lists(deltas(), min_size=2, max_size=3))
def test_squashed_differences_show_what_they_showed(
    below: BuiltKey, above: Sequence[BuiltKey]
) -> None:
    roots = [root_of(a_delta(one)) for one in above]
    bottom = root_of(a_hive(below))
    shown = told(flatten([*roots, bottom], fold=fold))
    target = io.BytesIO()
    write_hive(target, squash(roots, fold=fold), fold=fold, is_layered=True)
    assert told(flatten([root_of(target.getvalue()), bottom], fold=fold)) == shown


@settings(derandomize=True, max_examples=60, deadline=None)
@given(registries(), deltas(), deltas())
def test_squash_of_the_lower_or_of_the_upper_two_shows_the_same(
    below: BuiltKey, first: BuiltKey, second: BuiltKey
) -> None:
    bottom, lower, upper = root_of(a_hive(below)), root_of(a_delta(first)), root_of(a_delta(second))
    shown = told(flatten([upper, lower, upper, bottom], fold=fold))
    for roots in (
        [upper, squash([lower, upper], fold=fold), bottom],
        [squash([upper, lower], fold=fold), upper, bottom],
    ):
        assert told(flatten(roots, fold=fold)) == shown


def test_what_shows_has_no_marks() -> None:
    target = io.BytesIO()
    root = flatten([root_of(DELTA), base(a_key("Microsoft", a_key("Old")))], fold=fold)
    write_hive(target, root, fold=fold)
    hive = Hive.open(target.getvalue(), fold=fold)
    assert not hive.is_layered
    assert told(hive.root) == {
        path: (row[0], row[1] | (0xC if not path else 0), *row[2:])
        for path, row in told(root).items()
    }


def test_real_difference_over_itself_is_itself_but_for_what_it_hides() -> None:
    real = root_of(DELTA)
    bottom = base(a_key("Microsoft", a_key("Old", values=[dword("kept", 1)])))
    shown = told(flatten([real, bottom], fold=fold))
    twice = squash([real, root_of(DELTA)], fold=fold)
    assert told(flatten([twice, bottom], fold=fold)) == shown
    # 2,946 keys, of which 17 are deletions; and the one below.
    assert len(shown) == 2946 - 17 + 1


@pytest.mark.parametrize("together", [flatten, squash])
def test_no_hive_a_deleted_root_and_two_keys_of_one_name_are_refused(together: Together) -> None:
    with pytest.raises(InvalidArgument):
        together([], fold=fold)
    with pytest.raises(Malformed, match="root is marked as deleted"):
        together([root_of(a_delta(a_key("ROOT", layer_byte=TOMBSTONE))), delta()], fold=fold)
    root = together([delta(a_key("a"), a_key("A")), delta()], fold=fold)
    with pytest.raises(Malformed, match="two subkeys"):
        list(root.subkeys())


SMALL = a_delta(
    a_key(
        "ROOT",
        a_key("k", a_key("s", layer_byte=TOMBSTONE), values=[no_value("v")], layer_byte=INHERIT),
        a_key("l", a_key("s"), layer_byte=LOCAL, class_name="c", lists="ri"),
        a_key("t", a_key("s", layer_byte=TREE), values=[dword("d", 1)], layer_byte=TREE),
    )
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    # What is used of the one bin.
    st.lists(st.tuples(st.integers(4128, 5056), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_damaged_hives_raise_our_errors_alone(changes: Sequence[tuple[int, int]]) -> None:
    damaged = bytearray(SMALL)
    for at, byte in changes:
        damaged[at] = byte
    small = root_of(SMALL)
    with suppress(WinlayersError):
        roots = [root_of(bytes(damaged)), small]
        write_hive(io.BytesIO(), squash(roots, fold=fold), fold=fold, is_layered=True)
    with suppress(WinlayersError):
        roots = [small, root_of(bytes(damaged)), base(BELOW)]
        target = io.BytesIO()
        size = write_hive(target, flatten(roots, fold=fold), fold=fold)
        assert size == len(target.getvalue())
