"""Random small registries and differences to them, and what a registry shows, for tests of putting them together."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.hives import (
    LOCAL,
    TOMBSTONE,
    TREE,
    BuiltKey,
    BuiltValue,
    a_key,
    dword,
    no_value,
)
from winlayers.formats.hive.keys import SourceKey
from winlayers.layer.names import fold

_INHERITS = 0x80
_MAX_DEPTH = 3
_KEYS = ("a", "B", "ä")
_VALUES = ("", "v", "W")


@st.composite
def _values(draw: st.DrawFn, *, has_marks: bool) -> list[BuiltValue]:
    names = draw(st.sets(st.sampled_from(_VALUES)))
    return [
        no_value(name)
        if has_marks and draw(st.booleans())
        else dword(name, draw(st.integers(0, 3)))
        for name in sorted(names)
    ]


@st.composite
def _keys(
    draw: st.DrawFn, name: str, depth: int, allowed: tuple[int, ...], *, is_delta: bool
) -> BuiltKey:
    semantics = draw(st.sampled_from(allowed))
    if semantics == TOMBSTONE:
        return a_key(name, layer_byte=semantics)
    below = (TREE, TOMBSTONE) if semantics == TREE else (0, TOMBSTONE, LOCAL, TREE)
    names = draw(st.sets(st.sampled_from(_KEYS))) if depth < _MAX_DEPTH else set()
    subkeys = [
        draw(_keys(one, depth + 1, below if is_delta else (0,), is_delta=is_delta))
        for one in sorted(names, key=fold)
    ]
    inherits = draw(st.sampled_from((0, _INHERITS))) if is_delta else 0
    return a_key(
        name,
        *subkeys,
        values=draw(_values(has_marks=is_delta and semantics == 0)),
        layer_byte=semantics | inherits,
        class_name=draw(st.sampled_from(("", "one", "two"))),
    )


def registries() -> st.SearchStrategy[BuiltKey]:
    """The root of a hive that is no difference."""
    return _keys("ROOT", 0, (0,), is_delta=False)


def deltas() -> st.SearchStrategy[BuiltKey]:
    """The root of a difference, with all the marks that Windows makes."""
    return _keys("ROOT", 0, (0,), is_delta=True)


def told(root: SourceKey) -> dict[str, Any]:
    """All that a key tells, and all below it, by folded path; values in no order."""
    found: dict[str, Any] = {}
    pending = [("", root)]
    while pending:
        path, key = pending.pop()
        found[path] = (
            key.name,
            key.flags,
            key.control_flags,
            key.last_written_filetime,
            key.semantics,
            key.inherits_class,
            key.class_name,
            key.security,
            {value.name: (value.kind, value.data, value.is_tombstone) for value in key.values()},
        )
        pending += [(f"{path}\\{fold(below.name)}", below) for below in key.subkeys()]
    return found
