"""Whatever is put, named, unnamed and pruned in whatever order: nothing that is needed is lost, all else goes.

The model is a dict of names, and the set of leases that are open.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.storeimages import LINUX, RealImage, a_tar, an_image, put_blobs, put_image
from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.errors import BlobNotFound, ImageNotFound
from winlayers.store.images import StoreSink
from winlayers.store.store import Store

_BASE, _UPPER = a_tar("base"), a_tar("upper", link_to="base")
IMAGES = (
    an_image([_BASE]),
    an_image([_BASE, _UPPER]),
    an_image([_BASE, _UPPER], plain=[0, 1]),
    an_image([_BASE, _UPPER], label="other config"),
    an_image([a_tar("other"), _BASE], plain=[1]),
    an_image([_BASE], platform=LINUX),
)
_NAMES = ("a:latest", "b:latest", "c:latest")

Operation = tuple[Any, ...]
_names = st.sampled_from(_NAMES)
_images = st.integers(0, len(IMAGES) - 1)
_operations = st.one_of(
    st.tuples(st.just("put"), _names, _images),
    st.tuples(st.just("begin"), _images),
    st.tuples(st.just("abandon")),
    st.tuples(st.just("tag"), _names, _names),
    st.tuples(st.just("untag"), _names),
    st.tuples(st.just("prune")),
    st.tuples(st.just("give back")),
    st.tuples(st.just("reopen")),
)


class Desk:
    """A store, and what has to be in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.store = self._open()
        self.names: dict[str, RealImage] = {}
        self.begun: list[tuple[StoreSink, RealImage]] = []

    def do(self, operation: Operation) -> None:
        """One operation, and the same in the model."""
        kind, *args = operation
        if kind == "put":
            put_image(self.store, args[0], IMAGES[args[1]])
            self.names[args[0]] = IMAGES[args[1]]
        elif kind == "begin":
            sink = self.store.open_sink("coming")
            put_blobs(sink, IMAGES[args[0]])
            self.begun.append((sink, IMAGES[args[0]]))
        elif kind == "abandon":
            while self.begun:
                self.begun.pop()[0].close()
        elif kind in ("tag", "untag"):
            self._name(kind, *args)
        elif kind == "prune":
            self.store.prune()
            self.check_nothing_else()
        elif kind == "give back":
            self.store.prune(compressed=True)
        else:
            self.store = self._open()
            self.store.recover()

    def _name(self, kind: str, name: str, new: str = "") -> None:
        try:
            if kind == "tag":
                self.store.tag(name, new)
                self.names[new] = self.names[name]
            else:
                self.store.untag(name)
                del self.names[name]
        except ImageNotFound:
            assert name not in self.names

    def check_names(self) -> None:
        """Each name leads to its image, whose layers are whole, and whose blobs are those that were put."""
        found = {row.name.rpartition("/")[2]: row.manifest for row in self.store.images()}
        assert found == {name: image.manifest.digest for name, image in self.names.items()}
        for name, image in self.names.items():
            with self.store.open_source(name) as source:
                assert source.document(source.resolve()) == image.manifest.raw
                for one in (image.manifest.config, *image.manifest.layers):
                    with suppress(BlobNotFound), source.open_blob(one) as file:
                        assert file.read() == image.blobs[one.digest]
            for layer_id, tar in self._layers(image):
                with self.store.driver.diff(layer_id) as file:
                    assert file.read() == tar

    def check_nothing_else(self) -> None:
        """There is no layer and no blob that nobody needs."""
        needed = [*self.names.values(), *(image for _, image in self.begun)]
        layers = {layer_id for image in needed for layer_id, _ in self._layers(image)}
        named = {one for image in self.names.values() for one, _ in self._layers(image)}
        # One whose blob was there already is made when its manifest comes.
        assert named <= set(self.store.driver.layers()) <= layers
        digests = {digest.hex for image in needed for digest in image.blobs}
        digests |= {image.manifest.digest.hex for image in self.names.values()}
        blobs = {path.name for path in (self._root / "blobs").rglob("*") if path.is_file()}
        assert blobs <= digests

    def check_whole(self) -> None:
        """After another put, each image gives back each byte."""
        for name, image in self.names.items():
            put_image(self.store, name, image)
            with self.store.open_source(name) as source:
                for one in (image.manifest.config, *image.manifest.layers):
                    with source.open_blob(one) as file:
                        assert file.read() == image.blobs[one.digest]

    def _open(self) -> Store:
        return Store(self._root, open_driver(Config(self._root, reexec=False)))

    def _layers(self, image: RealImage) -> list[tuple[str, bytes]]:
        if image.config.platform == LINUX:
            return []
        return list(zip(image.layer_ids, image.tars, strict=True))


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.lists(_operations, min_size=4, max_size=14))
def test_what_is_needed_stays_and_all_else_goes(operations: list[Operation]) -> None:
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        for operation in operations:
            desk.do(operation)
        desk.check_names()
        desk.do(("abandon",))
        desk.do(("prune",))
        desk.check_names()
        desk.check_whole()
        for name in list(desk.names):
            desk.do(("untag", name))
        desk.do(("prune",))
        assert desk.store.driver.layers() == []
        assert desk.store.disk_usage().blob_count == 0
