"""The trees of a forest that are open: each from when it is first asked for until nobody has used it for long.

Who asks for a tree *enters* it by its number and leaves it again; a handle is one who stays. A tree that nobody
is in is idle. Idle trees are kept, so that going from one to another and back opens nothing anew, but only some
of them and only for a while: each costs file descriptors and memory, and a scratch is locked while it is open.

A number that is opened or closed makes others who ask for it wait, and nobody else. Each opening gets a *slot*,
a number of its own that is never used again, so that a handle never leads into a tree that was opened after it.
This module refuses to know what trees are of, and how they are opened.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Condition, Lock
from types import TracebackType
from typing import NamedTuple

from winlayers.errors import WinlayersError
from winlayers.mounts.fuse._operations import Operations

#: Idle trees that are kept open.
MAX_IDLE = 32
#: Seconds that an idle tree is kept open.
IDLE_SECONDS = 60.0
# The kernel tells of a closed file after whoever closed it goes on.
_LEAVE_SECONDS = 0.5
_log = logging.getLogger("winlayers.mounts")


class Opened(NamedTuple):
    """What was opened for a number.

    Attributes:
        operations: what answers for it.
        close: lets go of it, after its operations were ended.
    """

    operations: Operations
    close: Callable[[], None]


class OpenTree:
    """A tree that somebody entered; leaving the ``with`` block leaves it.

    Attributes:
        number: what it was asked for by.
        slot: of this opening.
        operations: what answers for it.
        use_count: who is in it.
        left: when the last one left, by the clock.
        is_unwanted: whether it shall be closed when nobody is in it.
    """

    __slots__ = (
        "_owner",
        "close",
        "is_unwanted",
        "left",
        "number",
        "operations",
        "slot",
        "use_count",
    )

    def __init__(self, owner: OpenTrees, number: int, slot: int, opened: Opened) -> None:
        self._owner = owner
        self.number = number
        self.slot = slot
        self.operations, self.close = opened
        self.use_count = 1
        self.left = 0.0
        self.is_unwanted = False

    def __enter__(self) -> Operations:
        return self.operations

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.leave(self)


class OpenTrees:
    """Open trees by number and by slot. Any thread may call.

    Args:
        open_tree: opens a number; what it raises is raised to whoever asked for it.
        clock: seconds, for telling how long a tree was idle.
        max_idle: idle trees that are kept open.
    """

    def __init__(
        self,
        open_tree: Callable[[int], Opened],
        *,
        clock: Callable[[], float],
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._open_tree = open_tree
        self._clock = clock
        self._max_idle = max_idle
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._trees: dict[int, OpenTree] = {}
        self._slots: dict[int, OpenTree] = {}
        # By number, who was left last at the end.
        self._idle: OrderedDict[int, OpenTree] = OrderedDict()
        # Numbers that are being opened or closed.
        self._busy: set[int] = set()
        self._next_slot = 1

    def enter(self, number: int) -> OpenTree:
        """Enter a tree, which is opened if it is not open.

        Raises:
            WinlayersError, OSError: it cannot be opened.
        """
        with self._lock:
            while (tree := self._trees.get(number)) is None and number in self._busy:
                self._changed.wait()
            if tree is not None:
                if not tree.use_count:
                    del self._idle[number]
                tree.use_count += 1
                return tree
            self._busy.add(number)
        return self._open(number)

    def leave(self, tree: OpenTree) -> None:
        """Leave a tree."""
        with self._lock:
            tree.use_count -= 1
            if tree.use_count:
                return
            tree.left = self._clock()
            self._idle[tree.number] = tree
            if not tree.is_unwanted and len(self._idle) <= self._max_idle:
                return
            closing = self._take_out(tree if tree.is_unwanted else next(iter(self._idle.values())))
        self._close(closing)

    def stay(self, tree: OpenTree) -> None:
        """Enter a tree once more, which the caller is in."""
        with self._lock:
            tree.use_count += 1

    def find(self, number: int) -> OpenTree | None:
        """A tree if it is open, without entering it."""
        return self._trees.get(number)

    def of_slot(self, slot: int) -> OpenTree:
        """The tree that an opening made, in which somebody is.

        Raises:
            OSError: EBADF, it is closed.
        """
        try:
            return self._slots[slot]
        except KeyError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def let_go(self, number: int) -> None:
        """Close a tree; one that somebody is in when the last one leaves it.

        Raises:
            OSError: EBUSY, somebody is in it, and stays for now.
        """
        with self._lock:
            if (tree := self._trees.get(number)) is None:
                self._changed.wait_for(lambda: number not in self._busy)
                return
            if tree.use_count:
                tree.is_unwanted = True
                if self._changed.wait_for(lambda: self._is_gone(tree), _LEAVE_SECONDS):
                    return
                raise OSError(errno.EBUSY, "files of the snapshot are open")
            closing = self._take_out(tree)
        self._close(closing)

    def tire(self, seconds: float = IDLE_SECONDS) -> None:
        """Close what has been idle for so long."""
        oldest = self._clock() - seconds
        with self._lock:
            tired = [tree for tree in self._idle.values() if tree.left <= oldest]
            closing = [self._take_out(tree) for tree in tired]
        for tree in closing:
            self._close(tree)

    def opened(self) -> Iterable[OpenTree]:
        """Those that are open, each entered while it is looked at."""
        with self._lock:
            numbers = list(self._trees)
        for number in numbers:
            with self._lock:
                tree = self._trees.get(number)
                if tree is None:
                    continue
                if not tree.use_count:
                    del self._idle[number]
                tree.use_count += 1
            with tree:
                yield tree

    def close_all(self) -> None:
        """Close all, whoever is in them."""
        with self._lock:
            closing = [self._take_out(tree) for tree in list(self._trees.values())]
        for tree in closing:
            self._close(tree)

    # -- inside ------------------------------------------------------------------------------------

    def _open(self, number: int) -> OpenTree:
        try:
            opened = self._open_tree(number)
        except BaseException:
            self._end_turn(number)
            raise
        with self._lock:
            tree = OpenTree(self, number, self._next_slot, opened)
            self._next_slot += 1
            self._trees[number] = self._slots[tree.slot] = tree
        self._end_turn(number)
        return tree

    def _take_out(self, tree: OpenTree) -> OpenTree:
        """Have nobody find a tree any more, and those who ask for its number wait. The lock is held."""
        del self._trees[tree.number]
        del self._slots[tree.slot]
        self._idle.pop(tree.number, None)
        self._busy.add(tree.number)
        return tree

    def _close(self, tree: OpenTree) -> None:
        try:
            tree.operations.destroy("/")
            tree.close()
        except (WinlayersError, OSError):
            # Nobody is there to be told, and others wait for the number.
            _log.exception("closing snapshot %d", tree.number)
        finally:
            self._end_turn(tree.number)

    def _end_turn(self, number: int) -> None:
        with self._lock:
            self._busy.discard(number)
            self._changed.notify_all()

    def _is_gone(self, tree: OpenTree) -> bool:
        return tree.slot not in self._slots and tree.number not in self._busy
