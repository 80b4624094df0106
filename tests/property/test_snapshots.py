"""Whatever engines ask, in whatever order: what is told and shown is what a simple model has, and no layer is left.

The model is a dict of snapshots, each with the names that it shows. A call that the model refuses has to be refused by
the same error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.snapshots import fill, names_in, write
from tests.support.storeimages import a_tar, an_image, put_image
from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.errors import (
    IllegalState,
    SnapshotExists,
    SnapshotHasChildren,
    SnapshotNotFound,
    WinlayersError,
)
from winlayers.store.snapshots import SnapshotKind
from winlayers.store.store import Store

NAMES = ("one", "two")
TARS = {name: a_tar(name) for name in NAMES}
IMAGE = an_image([TARS["one"], TARS["two"]])
KEYS = ("a", "b", "c", "d")

Operation = tuple[Any, ...]
_keys = st.sampled_from(KEYS)
_parents = st.sampled_from(("", *KEYS))
_labels = st.dictionaries(st.sampled_from(("x", "y.z")), st.sampled_from(("", "1", "2")))
_fields = st.lists(st.sampled_from(("labels", "labels.x", "labels.y.z")), max_size=2)
_operations = st.one_of(
    st.tuples(st.just("prepare"), _keys, _parents, _labels),
    st.tuples(st.just("view"), _keys, _parents, _labels),
    st.tuples(st.just("fill"), _keys, st.sampled_from(NAMES)),
    st.tuples(st.just("write"), _keys),
    st.tuples(st.just("commit"), _keys, _keys, _labels),
    st.tuples(st.just("commit"), _keys, _keys, _labels),
    st.tuples(st.just("remove"), _keys),
    st.tuples(st.just("update"), _keys, _labels, _fields),
    st.tuples(st.just("pull")),
    st.tuples(st.just("untag")),
    st.tuples(st.just("prune")),
    st.tuples(st.just("reopen")),
)


@dataclass(frozen=True)
class Modelled:
    """A snapshot as it has to be.

    Attributes:
        number: that the store gave.
        kind: of it.
        parent: number of what it stands on, or 0.
        labels: of it.
        names: of the files that it shows.
        state: what an active one is: ``new``, ``written`` or ``filled``.
    """

    number: int
    kind: SnapshotKind
    parent: int
    labels: dict[str, str]
    names: frozenset[str]
    state: str = "new"


@dataclass
class Desk:
    """A store, and what has to be in it."""

    root: Path
    model: dict[str, Modelled] = field(default_factory=dict)
    has_image: bool = False
    written: int = 0

    def __post_init__(self) -> None:
        self.store = self._open()

    def do(self, operation: Operation) -> None:
        """One operation, in the store and in the model: the same error, or none in both."""
        kind, *args = operation
        expected = self._refusal(kind, *args)
        actual: type[WinlayersError] | None = None
        try:
            getattr(self, f"_{kind}")(*args)
        except (IllegalState, SnapshotExists, SnapshotHasChildren, SnapshotNotFound) as error:
            actual = type(error)
        assert actual == expected, operation

    def check(self) -> None:
        """Everything is told and shown as the model has it."""
        found = {one.key: one for one in self.store.snapshots.walk()}
        assert set(found) == set(self.model)
        keys = {one.number: key for key, one in self.model.items()} | {0: ""}
        for key, one in self.model.items():
            told = found[key]
            assert told == self.store.snapshots.stat(key) == self.store.snapshots.find(one.number)
            assert (told.number, told.kind, told.labels) == (one.number, one.kind, one.labels)
            assert told.parent == keys[one.parent]
            if one.names or one.parent:
                assert set(names_in(self.store.snapshots, one.number)) == one.names
        if self.has_image:
            assert [len(row.layer_ids) for row in self.store.images()] == [2]

    def check_nothing_left(self) -> None:
        """After everything was removed, there is nothing."""
        for key in sorted(self.model, key=lambda one: -self.model[one].number):
            self.store.snapshots.remove(key)
        if self.has_image:
            self.store.untag("app")
        self.store.prune()
        assert self.store.driver.layers() == []
        assert self.store.disk_usage().layer_count == 0

    # -- what the store is asked ---------------------------------------------------------------------

    def _prepare(self, key: str, parent: str, labels: dict[str, str]) -> None:
        made = self.store.snapshots.prepare(key, parent, labels)
        self._add(key, made.number, SnapshotKind.ACTIVE, parent, labels)

    def _view(self, key: str, parent: str, labels: dict[str, str]) -> None:
        made = self.store.snapshots.view(key, parent, labels)
        self._add(key, made.number, SnapshotKind.VIEW, parent, labels)

    def _fill(self, key: str, name: str) -> None:
        fill(self.store.snapshots, self._number(key), TARS[name])
        one = self.model[key]
        self.model[key] = replace(one, names=one.names | {f"{name}.txt"}, state="filled")

    def _write(self, key: str) -> None:
        self.store.snapshots.scratch_of(self._number(key))
        self.written += 1
        name = f"written{self.written}.txt"
        write(self.store.snapshots, self._number(key), name)
        one = self.model[key]
        self.model[key] = replace(one, names=one.names | {name}, state="written")

    def _commit(self, name: str, key: str, labels: dict[str, str]) -> None:
        self.store.snapshots.commit(name, key, labels)
        one = self.model.pop(key)
        kept = {label: value for label, value in labels.items() if value}
        self.model[name] = replace(one, kind=SnapshotKind.COMMITTED, labels=kept, state="new")

    def _remove(self, key: str) -> None:
        self.store.snapshots.remove(key)
        del self.model[key]

    def _update(self, key: str, labels: dict[str, str], fields: list[str]) -> None:
        self.store.snapshots.update(key, labels, fields)
        one = self.model[key]
        new = dict(labels)
        if fields and "labels" not in fields:
            names = [field.removeprefix("labels.") for field in fields]
            new = one.labels | {name: labels.get(name, "") for name in names}
        kept = {label: value for label, value in new.items() if value}
        self.model[key] = replace(one, labels=kept)

    def _pull(self) -> None:
        put_image(self.store, "app", IMAGE)
        self.has_image = True

    def _untag(self) -> None:
        if self.has_image:
            self.store.untag("app")
            self.has_image = False

    def _prune(self) -> None:
        self.store.prune()

    def _reopen(self) -> None:
        self.store = self._open()
        self.store.recover()

    # -- the model -----------------------------------------------------------------------------------

    def _refusal(self, kind: str, *args: Any) -> type[WinlayersError] | None:
        """What a call is refused with."""
        if kind in ("prepare", "view"):
            key, parent, _ = args
            if key in self.model:
                return SnapshotExists
            if parent and parent not in self.model:
                return SnapshotNotFound
            is_good = not parent or self.model[parent].kind is SnapshotKind.COMMITTED
            return None if is_good else IllegalState
        if kind not in ("fill", "write", "commit", "remove", "update"):
            return None
        one = self.model.get(args[1] if kind == "commit" else args[0])
        if one is None:
            return SnapshotNotFound
        if kind == "remove":
            is_parent = any(other.parent == one.number for other in self.model.values())
            return SnapshotHasChildren if is_parent else None
        if kind == "update":
            return None
        if one.kind is not SnapshotKind.ACTIVE:
            return IllegalState
        if kind == "commit":
            return SnapshotExists if args[0] in self.model else None
        is_taken = one.state == "filled" or (kind == "fill" and one.state == "written")
        return IllegalState if is_taken else None

    def _add(
        self, key: str, number: int, kind: SnapshotKind, parent: str, labels: dict[str, str]
    ) -> None:
        below = self.model[parent] if parent else None
        self.model[key] = Modelled(
            number,
            kind,
            below.number if below else 0,
            {label: value for label, value in labels.items() if value},
            below.names if below else frozenset(),
        )

    def _number(self, key: str) -> int:
        return self.model[key].number if key in self.model else 999

    def _open(self) -> Store:
        return Store(self.root, open_driver(Config(self.root, reexec=False)))


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.lists(_operations, min_size=6, max_size=18))
def test_calls_in_any_order_are_as_the_model_has_them(operations: list[Operation]) -> None:
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        for operation in operations:
            desk.do(operation)
        desk.check()
        desk.check_nothing_left()
