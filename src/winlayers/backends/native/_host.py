"""Which Windows this is.

``sys.getwindowsversion`` and the calls behind it answer with a version that suits the program, so ntdll is asked.
Source: RtlGetVersion of the WDK reference; the numbers of builds from the release history of Windows.
"""

from __future__ import annotations

import ctypes
from typing import Final

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._structures import OsVersionInfo

VERSION_1709: Final = 16299
VERSION_1809: Final = 17763


def build_number(api: Libraries) -> int:
    """The number of the build of Windows.

    Raises:
        WindowsCallFailed: Windows does not tell.
        WrongPlatform: it is no Windows.
    """
    version = OsVersionInfo()
    version.os_version_info_size = ctypes.sizeof(version)
    api.call("RtlGetVersion", ctypes.byref(version))
    return version.build_number
