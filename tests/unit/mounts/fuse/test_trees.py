"""Trees are opened when they are asked for, and let go of when nobody is in them; without FUSE."""

from __future__ import annotations

import errno
from collections import Counter
from threading import Event, Thread
from typing import cast

import pytest

from winlayers.errors import InUse, PathNotFound
from winlayers.mounts.fuse import _trees
from winlayers.mounts.fuse._operations import Operations
from winlayers.mounts.fuse._trees import Opened, OpenTrees


class Answering:
    """Operations that only end."""

    def destroy(self, path: str) -> None:
        assert path == "/"


class Wood:
    """Trees that count how often each number was opened and closed."""

    def __init__(self, max_idle: int = 2) -> None:
        self.now = 0.0
        self.opened = Counter[int]()
        self.closed: list[int] = []
        self.faulty = False
        self.trees = OpenTrees(self._open, clock=lambda: self.now, max_idle=max_idle)

    def _open(self, number: int) -> Opened:
        if number == 99:
            raise PathNotFound("99")
        self.opened[number] += 1
        return Opened(cast(Operations, Answering()), lambda: self._close(number))

    def _close(self, number: int) -> None:
        self.closed.append(number)
        if self.faulty:
            raise InUse("cannot be closed")

    def visit(self, *numbers: int) -> None:
        for number in numbers:
            with self.trees.enter(number):
                pass


@pytest.fixture
def wood() -> Wood:
    return Wood()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trees, "_LEAVE_SECONDS", 0.01)


def test_tree_is_opened_once_and_kept(wood: Wood) -> None:
    wood.visit(1, 1, 2, 1)
    assert wood.opened == {1: 1, 2: 1}
    assert wood.closed == []


def test_tree_that_was_left_first_is_closed_where_there_are_too_many(wood: Wood) -> None:
    wood.visit(1, 2, 1, 3)
    assert wood.closed == [2]
    wood.visit(2)
    assert wood.closed == [2, 1]
    assert wood.opened[2] == 2


def test_tree_that_somebody_is_in_is_kept(wood: Wood) -> None:
    with wood.trees.enter(1):
        wood.visit(2, 3, 4, 5)
        wood.trees.tire(0)
        assert 1 not in wood.closed
    assert wood.trees.find(1) is not None


def test_idle_trees_are_closed_after_a_while(wood: Wood) -> None:
    wood.visit(1)
    wood.now = 30.0
    wood.visit(2)
    wood.now = 61.0
    wood.trees.tire(60)
    assert wood.closed == [1]
    wood.now = 90.0
    wood.trees.tire(60)
    assert wood.closed == [1, 2]


def test_slots_are_never_used_again(wood: Wood) -> None:
    tree = wood.trees.enter(1)
    assert wood.trees.of_slot(tree.slot) is tree
    wood.trees.leave(tree)
    wood.trees.let_go(1)
    with pytest.raises(OSError) as told:
        wood.trees.of_slot(tree.slot)
    assert told.value.errno == errno.EBADF
    with wood.trees.enter(1):
        again = wood.trees.find(1)
        assert again is not None
        assert again.slot != tree.slot


@pytest.mark.usefixtures("_impatient")
def test_tree_in_use_is_let_go_of_when_it_is_left(wood: Wood) -> None:
    tree = wood.trees.enter(1)
    wood.trees.stay(tree)
    with pytest.raises(OSError) as told:
        wood.trees.let_go(1)
    assert told.value.errno == errno.EBUSY
    wood.trees.leave(tree)
    assert wood.closed == []
    wood.trees.leave(tree)
    assert wood.closed == [1]
    wood.trees.let_go(1)
    assert wood.closed == [1]


def test_letting_go_waits_for_who_is_about_to_leave(
    wood: Wood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trees, "_LEAVE_SECONDS", 30.0)
    tree = wood.trees.enter(1)
    leaving = Thread(target=wood.trees.leave, args=[tree])
    leaving.start()
    wood.trees.let_go(1)
    assert wood.closed == [1]
    leaving.join()


def test_number_that_cannot_be_opened_is_told_to_each(wood: Wood) -> None:
    for _ in range(2):
        with pytest.raises(PathNotFound):
            wood.trees.enter(99)
    assert wood.trees.find(99) is None


def test_tree_that_cannot_be_closed_keeps_nobody(wood: Wood) -> None:
    wood.faulty = True
    wood.visit(1)
    wood.trees.let_go(1)
    wood.visit(1)
    assert wood.opened[1] == 2


def test_all_are_closed_at_the_end(wood: Wood) -> None:
    tree = wood.trees.enter(1)
    wood.visit(2)
    wood.trees.close_all()
    assert sorted(wood.closed) == [1, 2]
    with pytest.raises(OSError) as told:
        wood.trees.of_slot(tree.slot)
    assert told.value.errno == errno.EBADF


def test_open_ones_are_entered_while_they_are_looked_at(wood: Wood) -> None:
    wood.visit(1, 2)
    assert [(tree.number, tree.use_count) for tree in wood.trees.opened()] == [(1, 1), (2, 1)]
    assert wood.closed == []
    wood.visit(3)
    assert wood.closed == [1]


def test_who_asks_for_a_number_that_is_being_opened_waits_and_others_do_not() -> None:
    began, go_on = Event(), Event()
    opened: list[int] = []

    def open_slowly(number: int) -> Opened:
        opened.append(number)
        if number == 1:
            began.set()
            assert go_on.wait(30)
        return Opened(cast(Operations, Answering()), lambda: None)

    trees = OpenTrees(open_slowly, clock=lambda: 0.0)
    entered: list[int] = []
    threads = [Thread(target=lambda: entered.append(trees.enter(1).slot)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert began.wait(30)
    with trees.enter(2):
        assert not entered
    go_on.set()
    for thread in threads:
        thread.join()
    assert opened == [1, 2]
    assert len(set(entered)) == 1
    tree = trees.find(1)
    assert tree is not None
    assert tree.use_count == 3


def test_threads_leave_nobody_inside() -> None:
    wood = Wood(max_idle=1)

    def work() -> None:
        for turn in range(300):
            with wood.trees.enter(turn % 3):
                pass

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wood.trees.tire(0)
    assert Counter(wood.closed) == wood.opened
