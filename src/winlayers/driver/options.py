"""Storage options, as ``docker run --storage-opt`` and ``dockerd --storage-opt`` pass them.

The one option is ``size``, the size of a scratch, as Docker's units write it ("20GB" is 20 * 2^30). This
module refuses to know what is done with it.

Source: moby/moby daemon/graphdriver/windows/windows.go (parseStorageOpt, InitFilter).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from winlayers.base.units import ram_in_bytes
from winlayers.errors import InvalidArgument, UnknownOption

#: Size of a scratch where nobody asks for another: 127 GiB, as in Docker.
DEFAULT_SCRATCH_SIZE = 127 * 2**30


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """What the options say.

    Attributes:
        size: bytes, or 0 where it was not set.
    """

    size: int = 0


def parse_storage_options(options: Mapping[str, str]) -> StorageOptions:
    """The options of one scratch.

    Args:
        options: names to values; names are not case-sensitive.
    Returns:
        The options.
    Raises:
        UnknownOption: a name that is not known, or a size that does not parse; the text is Docker's.
    """
    size = 0
    for key, value in options.items():
        name = key.lower()
        if name != "size":
            raise UnknownOption(f"Failed to parse storage options - Unknown storage option: {name}")
        try:
            size = ram_in_bytes(value)
        except InvalidArgument as error:
            raise UnknownOption(f"Failed to parse storage options - {error}") from error
    return StorageOptions(size)


def parse_driver_options(options: Iterable[str]) -> StorageOptions:
    """The options of the driver itself: ``size=…`` sets the default for all scratches.

    Args:
        options: ``name=value`` texts; names that are not known are ignored, as in Docker.
    Returns:
        The options, with ``DEFAULT_SCRATCH_SIZE`` where ``size`` is not set.
    Raises:
        UnknownOption: no ``=``, or a size that does not parse; the text is Docker's.
    """
    size = DEFAULT_SCRATCH_SIZE
    for option in options:
        key, equals, value = option.partition("=")
        try:
            if not equals:
                raise InvalidArgument(f"unable to parse key/value option: {option}")
            if key.strip().lower() == "size":
                size = ram_in_bytes(value.strip())
        except InvalidArgument as error:
            raise UnknownOption(
                f"windowsfilter failed to parse default storage options: {error}"
            ) from error
    return StorageOptions(size)
