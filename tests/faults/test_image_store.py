"""Images at a crash, on a full disk and between two processes: whole or absent, and nothing else is touched.

old   base <- sibling      always there
new   base <- upper        comes, or goes
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.forks import PATIENCE_SECONDS, Actor, Bell, Nursery, Outcome
from tests.faults.points import Call, Points, full_from, kill_at
from tests.support.storeimages import RealImage, a_tar, an_image, put_blobs, put_image
from winlayers.assembly import open_driver, open_store
from winlayers.config import Config
from winlayers.errors import ImageNotFound
from winlayers.oci.model import Descriptor
from winlayers.store.catalog import Catalog
from winlayers.store.store import Store

OLD = an_image([a_tar("base"), a_tar("sibling", link_to="base")])
NEW = an_image([a_tar("base"), a_tar("upper", link_to="base"), a_tar("top")], plain=[2])

Story = Callable[[Path], None]

_MEMORY = Path("/dev/shm")  # the disk that is made of memory, on Linux


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder where nobody waits for a disk: what a killed process wrote is there, flushed or not."""
    if os.access(_MEMORY, os.W_OK):
        with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="winlayers-") as folder:
            yield Path(folder)
    else:
        yield tmp_path


def open_unrecovered(root: Path) -> Store:
    """The store as a process has it that opened it before."""
    return Store(root, open_driver(Config(root, reexec=False)))


def make(root: Path) -> None:
    put_image(open_unrecovered(root), "old", OLD)


def pull(root: Path) -> None:
    put_image(open_unrecovered(root), "new", NEW)


def untag(root: Path) -> None:
    open_unrecovered(root).untag("new")


def prune_compressed(root: Path) -> None:
    open_unrecovered(root).prune(compressed=True)


def reopen(root: Path) -> None:
    open_store(Config(root, reexec=False))


def pull_in_part(root: Path) -> None:
    """Put blobs, and end without a goodbye."""
    sink = open_unrecovered(root).open_sink("new")
    put_blobs(sink, NEW)


def check_bytes(store: Store, name: str, image: RealImage, blobs: tuple[Descriptor, ...]) -> None:
    """An image gives back these blobs and all its layers."""
    with store.open_source(name) as source:
        assert source.document(source.resolve()) == image.manifest.raw
        for one in blobs:
            with source.open_blob(one) as file:
                assert file.read() == image.blobs[one.digest]
    for layer_id, tar in zip(image.layer_ids, image.tars, strict=True):
        with store.driver.diff(layer_id) as file:
            assert file.read() == tar


def look(root: Path, *, has_blobs: bool = True) -> str:
    """Open the store after a crash; ``"absent"`` or ``"whole"``, as "new" is found."""
    store = open_store(Config(root, reexec=False))
    check_consistent(root, store)
    for image, name in ((OLD, "old"), (NEW, "new")):
        blobs = (image.manifest.config, *image.manifest.layers) if has_blobs else ()
        try:
            store.resolve(name)
        except ImageNotFound:
            assert name == "new"
            state = "absent"
        else:
            check_bytes(store, name, image, blobs)
            state = "whole"
    store.prune()
    check_consistent(root, store)
    expected = {*OLD.layer_ids, *(NEW.layer_ids if state == "whole" else ())}
    assert set(store.driver.layers()) == expected
    return state


def check_consistent(root: Path, store: Store) -> None:
    """Each file has a row, each row a file; each layer is made, and the driver's are the catalog's."""
    with Catalog(root / "catalog.db").reading() as records:
        blobs, layers = records.blobs(), records.layers()
        assert not records.leases()
        assert not records.held()
    files = {path.name: path for path in (root / "blobs").rglob("*") if path.is_file()}
    assert {digest.hex: size for digest, size in blobs.items()} == {
        name: path.stat().st_size for name, path in files.items()
    }
    assert all(row.is_made and row.is_ours for row in layers)
    assert [row.layer_id for row in layers] == store.driver.layers()


def is_within(call: Call) -> bool:
    """Whether a call is within something that nobody sees before it is whole: an index, or a transaction."""
    if not call.name.startswith("sqlite.exec"):
        return call.name.startswith("sqlite.") and "index.db" in getattr(call.args[0], "path", "")
    is_border = str(call.args[1]).startswith(("BEGIN", "COMMIT"))
    return "index.db" in call.args[0].path or not is_border


def is_unseen(call: Call) -> bool:
    """Whether it makes no difference to other processes if they come before or after a call."""
    is_border = call.name == "sqlite.execute" or call.name in (
        "replace",
        "rename",
        "unlink",
        "mkdir",
    )
    return is_within(call) or call.is_done or not is_border


def run(
    story: Story,
    root: Path,
    act: Callable[[Call], None],
    leaving_out: Callable[[Call], bool] = is_within,
) -> int:
    with Points(act, leaving_out=leaving_out) as points:
        story(root)
    return points.count


def do_nothing(call: Call) -> None:
    """Happens at points where nothing is to happen."""


def in_parts(count: int, part: Callable[..., list[Any]], *args: Any) -> list[Any]:
    """Share the numbers from 1 to a count among some processes; what each number gave, in order."""
    width = min(os.cpu_count() or 1, 4)
    parts = [range(first, count + 1, width) for first in range(1, width + 1)]
    actors = [Actor(part, numbers, count, *args) for numbers in parts]
    given = zip(parts, [actor.get(10 * PATIENCE_SECONDS) for actor in actors], strict=True)
    found = {
        number: one for numbers, gave in given for number, one in zip(numbers, gave, strict=True)
    }
    return [found[number] for number in range(1, count + 1)]


def copy_of(template: Path, number: int) -> Path:
    """A copy of a store, for one point."""
    root = template.with_name(f"root{number}")
    shutil.copytree(template, root)
    return root


def prepare(template: Path, before: tuple[Story, ...]) -> Path:
    """Make the store that is copied, and a first copy of it."""
    for one in (make, *before):
        Actor(one, template).get()
    return copy_of(template, 0)


def sweep(
    template: Path, before: tuple[Story, ...], story: Story, action: str, has_blobs: bool
) -> list[tuple[Outcome, str]]:
    """Run a story again and again, with something in its way at each of its points in turn."""
    count = Actor(run, story, prepare(template, before), do_nothing).get()
    return in_parts(count, sweep_some, template, story, action, has_blobs)


def sweep_some(
    numbers: range, count: int, template: Path, story: Story, action: str, has_blobs: bool
) -> list[tuple[Outcome, str]]:
    steps = []
    for number in numbers:
        root = copy_of(template, number)
        act = kill_at(number) if action == "kill" else full_from(number)
        outcome = Actor(run, story, root, act).outcome()
        found = Actor(look_at, root, has_blobs).outcome()
        assert found.is_good, f"at {number} of {count}, {outcome}: {found.trace}"
        steps.append((outcome, found.value))
        shutil.rmtree(root)
    return steps


def look_at(root: Path, has_blobs: bool) -> str:
    return look(root, has_blobs=has_blobs)


SWEEPS = {
    "pull": ((), pull, ["absent", "whole"], 100, True),
    "pull after one that was cut off": ((pull_in_part,), pull, ["absent", "whole"], 30, True),
    "untag": ((pull,), untag, ["whole", "absent"], 40, True),
    "give compressed blobs back": ((pull,), prune_compressed, ["whole"], 10, False),
    "open after a pull that was cut off": ((pull_in_part,), reopen, ["absent"], 10, True),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_killed_at_each_point_leaves_all_or_nothing(
    nursery: Nursery, quick: Path, name: str
) -> None:
    before, story, states, least, has_blobs = SWEEPS[name]
    steps = nursery.run(sweep, quick / "template", before, story, "kill", has_blobs)
    assert len(steps) >= least
    assert {outcome.signal for outcome, _ in steps} == {signal.SIGKILL}
    assert [state for state, _ in itertools.groupby(state for _, state in steps)] == states


def test_full_disk_at_each_point_leaves_all_or_nothing(nursery: Nursery, quick: Path) -> None:
    steps = nursery.run(sweep, quick / "template", (), pull, "full", True)
    assert len(steps) >= 100
    for outcome, _ in steps:
        is_told = outcome.error in ("", "NoSpace") or os.strerror(errno.ENOSPC) in outcome.message
        assert is_told, outcome
    assert {state for _, state in steps} == {"absent", "whole"}


# -- two processes -----------------------------------------------------------------------------------


def meet(template: Path, before: tuple[Story, ...], first: Story, second: Story) -> list[str]:
    """Stop one story at each of its points in turn, and run another meanwhile; how "new" is found."""
    count = Actor(run, first, prepare(template, before), do_nothing, is_unseen).get()
    return in_parts(count, meet_at_some, template, first, second)


def meet_at_some(
    numbers: range, count: int, template: Path, first: Story, second: Story
) -> list[str]:
    states = []
    for number in numbers:
        root = copy_of(template, number)
        there, go_on = Bell(), Bell()

        def stop(
            call: Call, number: int = number, there: Bell = there, go_on: Bell = go_on
        ) -> None:
            if call.number == number:
                there.ring()
                assert go_on.wait()

        held_up = Actor(run, first, root, stop, is_unseen)
        assert there.wait()
        other = Actor(second, root)
        other.is_done(within_seconds=0.05)  # or it waits for the first
        go_on.ring()
        for actor in (held_up, other):
            outcome = actor.outcome()
            assert outcome.is_good, f"at {number} of {count}: {outcome.trace}"
        there.close()
        go_on.close()
        states.append(Actor(look, root).get())
        shutil.rmtree(root)
    return states


def prune(root: Path) -> None:
    open_unrecovered(root).prune()


@pytest.mark.parametrize("second", [pull, prune, reopen], ids=["pull", "prune", "reopen"])
def test_pull_with_another_process_at_work(nursery: Nursery, quick: Path, second: Story) -> None:
    states = nursery.run(meet, quick / "template", (), pull, second)
    assert len(states) >= 50
    assert set(states) == {"whole"}


def test_untag_with_a_pull_of_the_same_image(nursery: Nursery, quick: Path) -> None:
    states = nursery.run(meet, quick / "template", (pull,), untag, pull)
    assert len(states) >= 20
    assert set(states) <= {"absent", "whole"}


def wait_while_another_pulls(root: Path) -> tuple[list[str], str]:
    """Pull in one process while another that has begun is killed."""
    Actor(make, root).get()
    bell = Bell()

    def stop(call: Call) -> None:
        if "layer.tar" in call.label and call.is_done:
            bell.ring()
            time.sleep(60)

    dying = Actor(run, pull, root, stop)
    assert bell.wait()
    living = Actor(pull, root)
    assert not living.is_done(within_seconds=0.2)
    dying.kill()
    assert dying.outcome().signal == signal.SIGKILL
    living.get()
    bell.close()
    left = sorted(path.name for path in (root / "blobs" / "locks").iterdir())
    return left, Actor(look, root).get()


def test_pull_takes_over_from_one_that_was_killed(nursery: Nursery, quick: Path) -> None:
    left, state = nursery.run(wait_while_another_pulls, quick / "root")
    assert state == "whole"
    assert left == []
