"""Import, keep, read and export the layers of Windows container images, bit-exact, on any OS."""

from winlayers._version import __version__

__all__ = ["__version__"]
