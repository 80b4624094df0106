"""Targets of ``winlayers.backends.portable``: whole layers, as they come from a stranger."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from functools import cache, partial

from tests.fuzz import seeds
from tests.fuzz.entries import entries_of, tar_of
from tests.fuzz.registry import target
from tests.fuzz.repair import repair_tar
from tests.fuzz.sources import outcome, read_some
from tests.fuzz.workplace import contents, empty, workplace
from tests.support.builders import layer_tar
from winlayers.assembly import open_driver
from winlayers.backends.contract import ImportPolicy
from winlayers.backends.portable.loose import open_loose
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.layer.check import check_layer, guess_is_base
from winlayers.layer.findings import Finding
from winlayers.layer.resolving import resolve_path
from winlayers.layer.view import View, walk

_QUICK = ImportPolicy(sync=False)
_MAX_NODES = 2000


@cache
def _driver() -> Driver:
    """The driver over a store with one base layer in it."""
    driver = open_driver(Config(empty(workplace("store")), reexec=False))
    driver.import_layer("base", "", io.BytesIO(layer_tar(seeds.base_layer())), policy=_QUICK)
    # Once there and back makes the files that a store has when it was used.
    driver.import_layer("new", "base", io.BytesIO(bytes(1024)), policy=_QUICK)
    driver.remove("new")
    return driver


def _sources() -> Iterator[bytes]:
    yield from seeds.layer_tars()
    yield gzip.compress(next(iter(seeds.layer_tars())), mtime=0)


def _entries() -> Iterator[bytes]:
    for tar in seeds.layer_tars():
        made = outcome(partial(entries_of, tar))
        if isinstance(made, bytes):
            yield made


@target(_sources, repair=repair_tar)
def import_layer(data: bytes) -> None:
    """An import leaves a layer that can be read and comes out bit for bit, or nothing at all."""
    _import(data)


@target(_entries)
def import_entries(data: bytes) -> None:
    """The same of a tar that is sound but for what its entries say; see ``entries``."""
    _import(tar_of(data))


def _import(data: bytes) -> None:
    driver = _driver()
    before = contents(workplace("store"))
    findings: list[Finding] = []
    importing = partial(
        driver.import_layer, "new", "base", io.BytesIO(data), policy=_QUICK, report=findings.append
    )
    if not isinstance(outcome(importing), tuple):
        with driver.diff("new") as export:
            exported = export.read()
        assert exported == data or data[:1] != exported[:1], "another tar came out"
        with driver.view("new") as view:
            _look_at(view)
        assert list(driver.changes("new")) is not None
        driver.remove("new")
    for finding in findings:
        assert str(finding)
    assert contents(workplace("store")) == before, "something was left, or is gone"


@target(_sources, repair=repair_tar)
def loose_tar(data: bytes) -> None:
    """A tar is looked at without an import: what is wrong with it, and what is in it."""
    folder = empty(workplace("loose"))
    tmpdir = folder / "tmp"
    tmpdir.mkdir()
    path = folder / "layer.tar"
    path.write_bytes(data)
    try:
        with open_loose(path, tmpdir=tmpdir) as layer:
            is_base = guess_is_base(layer.table)
            for finding in check_layer(layer.table, is_base=is_base):
                assert str(finding)
            _look_at(layer.view)
    finally:
        assert not list(tmpdir.iterdir()), "temporary files were left"


def _look_at(view: View) -> None:
    """Read all that is in a view, and follow its links."""
    for number, node in enumerate(walk(view, view.root())):
        if number > _MAX_NODES:
            return
        outcome(partial(view.entry, node))
        for part in view.parts(node):
            with view.open(node, part.name) as file:
                assert len(read_some(file, 1 << 14)) == min(part.size, 1 << 14)
        outcome(partial(resolve_path, view, node.path, start=""))
