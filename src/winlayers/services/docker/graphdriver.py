"""The calls of a graph driver plugin: objects of JSON in and out, answered by the driver.

    Init, Status, Capabilities, Cleanup               of the driver
    Create, CreateReadWrite, Remove, Exists           layers by id
    Get, Put, GetMetadata                             where one is
    Diff, ApplyDiff, Changes, DiffSize                what it holds

Docker on Linux makes two writable layers for a container: ``<id>-init``, which it puts a few files into and then never
changes again, and the container's own on top of that. A scratch cannot be stood on, so the first is committed when the
second is made: to a sealed layer of a name of ours, which goes when the first goes.

This module knows nothing of HTTP and sockets.

Source: moby/moby daemon/graphdriver/proxy.go, pkg/plugins; docker/go-plugins-helpers graphdriver/api.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from winlayers.driver.driver import Driver
from winlayers.errors import InvalidArgument
from winlayers.layer.names import FILES

#: What a sealed layer is called that a scratch was committed to; Docker's own ids are of hexadecimal digits.
SEALED = "-sealed"
_FILES = FILES + "/"
# Without it Docker makes tars again from names and files. Its documents have it as it is, its code below a name.
_EXACT = {"ReproducesExactDiffs": True}
_CAPABILITIES = {**_EXACT, "Capabilities": _EXACT}

Answer = Mapping[str, Any]


class GraphDriver:
    """Answers the calls of one Docker.

    Args:
        driver: has the layers.
        status: rows that ``docker info`` shows besides the driver's own.
    """

    def __init__(self, driver: Driver, status: Callable[[], list[tuple[str, str]]] = list) -> None:
        self._driver = driver
        self._status = status
        self._calls: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "Init": lambda request: {},
            "Capabilities": lambda request: _CAPABILITIES,
            "Status": self._tell_status,
            "Cleanup": self._clean_up,
            "Create": self._create,
            "CreateReadWrite": self._create_read_write,
            "Remove": self._remove,
            "Exists": lambda request: {"Exists": self._driver.exists(_id(request))},
            "Get": self._get,
            "Put": self._put,
            "GetMetadata": lambda request: {
                "Metadata": dict(self._driver.get_metadata(_id(request)))
            },
            "Changes": self._changes,
            "DiffSize": lambda request: {
                "Size": self._driver.diff_size(_id(request), self._base(_text(request, "Parent")))
            },
        }

    @property
    def names(self) -> frozenset[str]:
        """The calls that ``call`` takes; ``diff`` and ``apply_diff`` are two more, of bytes."""
        return frozenset(self._calls)

    def call(self, name: str, request: Mapping[str, Any]) -> Answer:
        """Answer a call.

        Args:
            name: one of ``names``.
            request: as Docker says it.
        Returns:
            What Docker shall hear, without ``Err``.
        Raises:
            InvalidArgument: there is no such call, or something in it is missing or of another type.
            WinlayersError: as of the driver.
        """
        if name not in self._calls:
            raise InvalidArgument(f"there is no call {name[:100]!r} of a graph driver")
        return self._calls[name](request)

    def diff(self, layer_id: str, parent: str) -> BinaryIO:
        """A layer as its tar; see ``Driver.diff``."""
        return self._driver.diff(layer_id, parent)

    def apply_diff(self, layer_id: str, parent: str, diff: BinaryIO) -> int:
        """Fill a layer from its tar; see ``Driver.apply_diff``."""
        return self._driver.apply_diff(layer_id, self._base(parent), diff)

    # -- the driver ----------------------------------------------------------------------------------

    def _tell_status(self, request: Mapping[str, Any]) -> Answer:
        return {"Status": [list(row) for row in (*self._driver.status(), *self._status())]}

    def _clean_up(self, request: Mapping[str, Any]) -> Answer:
        self._driver.cleanup()
        return {}

    # -- layers --------------------------------------------------------------------------------------

    def _create(self, request: Mapping[str, Any]) -> Answer:
        self._driver.create(_id(request), self._base(_text(request, "Parent")))
        return {}

    def _create_read_write(self, request: Mapping[str, Any]) -> Answer:
        parent = self._base(_text(request, "Parent"))
        self._driver.create_read_write(_id(request), parent, _options(request))
        return {}

    def _remove(self, request: Mapping[str, Any]) -> Answer:
        layer_id = _id(request)
        # First what stands on it, as far as it is ours.
        self._driver.remove(layer_id + SEALED)
        self._driver.remove(layer_id)
        return {}

    def _base(self, parent: str) -> str:
        """What a layer can stand on in place of a parent: itself, or what it was committed to, now or before."""
        if not parent or not self._driver.exists(parent):
            return parent
        if self._driver.usage(parent).kind != "scratch":
            return parent
        sealed = parent + SEALED
        if not self._driver.exists(sealed):
            chain = self._driver.chain(parent)
            with self._driver.diff(parent) as tar:
                self._driver.import_layer(sealed, chain.parent or "", tar)
        return sealed

    # -- where they are ------------------------------------------------------------------------------

    def _get(self, request: Mapping[str, Any]) -> Answer:
        layer_id = _id(request)
        is_scratch = self._driver.usage(layer_id).kind == "scratch"
        # Docker goes on using what it got when this process is gone.
        path = self._driver.mount(layer_id, read_only=not is_scratch, detached=True)
        return {"Dir": str(path)}

    def _put(self, request: Mapping[str, Any]) -> Answer:
        self._driver.put(_id(request))
        return {}

    # -- what they hold ------------------------------------------------------------------------------

    def _changes(self, request: Mapping[str, Any]) -> Answer:
        layer_id, parent = _id(request), self._base(_text(request, "Parent"))
        told = [
            {"Path": change.path[len(FILES) :], "Kind": int(change.kind)}
            for change in self._driver.changes(layer_id, parent)
            # What is beside the files of the container, nobody finds in it.
            if change.path.startswith(_FILES)
        ]
        return {"Changes": told}


def _id(request: Mapping[str, Any]) -> str:
    layer_id = _text(request, "ID")
    if not layer_id:
        raise InvalidArgument("a call of a graph driver names no layer (ID)")
    return layer_id


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"{name} of a call of a graph driver is no text")
    return value


def _options(request: Mapping[str, Any]) -> Mapping[str, str]:
    """``StorageOpt``, which old engines leave out, or give as null."""
    options = request.get("StorageOpt") or {}
    if not isinstance(options, dict) or not all(isinstance(one, str) for one in options.values()):
        raise InvalidArgument("StorageOpt of a call of a graph driver is no object of texts")
    return options
