"""Puts the parts of a store together; the one place that knows which parts there are."""

from __future__ import annotations

from winlayers.backends.portable.backend import PortableBackend
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.driver.importing import ChildImporter, Importer, InlineImporter
from winlayers.errors import InvalidArgument

BACKENDS = ("auto", "portable")


def open_driver(config: Config) -> Driver:
    """The driver over the store that a configuration names, recovered from any crash.

    Args:
        config: where and how.
    Returns:
        The driver. What crashed imports and removals left is gone.
    Raises:
        InvalidArgument: no such backend.
        UnknownOption: a storage option that does not parse.
    """
    if config.backend not in BACKENDS:
        raise InvalidArgument(
            f"there is no backend {config.backend!r}; choose one of {', '.join(BACKENDS)}"
        )
    backend = PortableBackend(config.root, tmpdir=config.tmpdir)
    importer: Importer = InlineImporter(backend)
    if config.reexec:
        importer = ChildImporter(config.root, config.tmpdir)
    driver = Driver(config.root, backend, importer, config.options)
    driver.cleanup()
    return driver
