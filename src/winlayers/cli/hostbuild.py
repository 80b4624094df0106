"""The build of the Windows that runs this program, for which an image of an index is chosen where nobody says which."""

from __future__ import annotations

import sys


def host_build() -> int | None:
    """The number of the build, as Docker and containerd go by it; None on other systems.

    Source: ``sys.getwindowsversion`` of the Python documentation: ``platform_version`` is that of Windows itself, and
    not the one that suits a program.
    """
    build: int | None = None
    if sys.platform == "win32":
        build = sys.getwindowsversion().platform_version[2]
    return build
