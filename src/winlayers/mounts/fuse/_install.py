"""What to install for mounts. Apart from what needs it, since most runs mount nothing and start sooner so."""

from __future__ import annotations

INSTALL = (
    "to mount layers, install the extra and libfuse: pip install 'winlayers[fuse]', and on Debian or "
    "Ubuntu apt install fuse3, on Fedora dnf install fuse3, on macOS macFUSE, on Windows WinFsp"
)
