"""Children that are started ahead: taken once, replaced when dead, ended when nobody takes them."""

from __future__ import annotations

import subprocess
import sys

from winlayers.driver import wire
from winlayers.driver.child import Child, ReadyChild, start_child
from winlayers.errors import Cancelled


def waiting() -> Child:
    """A process that ends with its input."""
    return started("import sys; sys.stdin.read()")


def started(code: str) -> Child:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0
    )


def finish(child: Child) -> None:
    with child:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(timeout=20)


def test_first_taker_gets_the_child_that_waits() -> None:
    children: list[Child] = []

    def start() -> Child:
        children.append(waiting())
        return children[-1]

    with ReadyChild(start) as ready:
        assert len(children) == 1
        assert ready.take() is children[0]
        assert len(children) == 1
        assert ready.take() is children[1]
    for child in children:
        assert child.poll() is None  # it is the taker's to end
        finish(child)


def test_child_that_nobody_took_is_ended() -> None:
    child = waiting()
    with ReadyChild(lambda: child):
        pass
    assert child.returncode is not None


def test_child_that_died_while_it_waited_is_replaced() -> None:
    dead, alive = started("raise SystemExit(3)"), waiting()
    dead.wait(timeout=20)
    left = [alive, dead]
    with ReadyChild(left.pop) as ready:
        assert ready.take() is alive
    finish(alive)


def test_write_layer_process_that_is_told_nothing_ends_by_itself() -> None:
    child = start_child()
    assert child.stdin is not None
    child.stdin.close()
    child.stdin = None
    said, complained = child.communicate(timeout=20)
    assert isinstance(wire.load_answer(said), Cancelled)
    assert (complained, child.returncode) == (b"", 1)
