"""Makes the descriptor set of containerd's API that ``winlayers.services.containerd`` is shipped with.

    python tools/containerdapi.py FOLDER

FOLDER has containerd's sources as ``github.com/containerd/containerd/api/...``, as Debian's package
golang-github-containerd-containerd-dev has below ``usr/share/gocode/src``. It needs grpcio-tools, whose protoc reads the
definitions, and whose own are those of google/protobuf. The set has no comments, and nothing but what the services of
``NEEDED`` name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src/winlayers/services/containerd/_proto/api.binpb"
_API = "github.com/containerd/containerd/api/services"
NEEDED = tuple(
    f"{_API}/{name}"
    for name in (
        "snapshots/v1/snapshots.proto",
        "diff/v1/diff.proto",
        "content/v1/content.proto",
        "leases/v1/leases.proto",
    )
)


def main(arguments: list[str]) -> int:
    """Make it; the exit status."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "grpc_tools.protoc", "--include_imports"]
    command += ["-I", arguments[0], f"--descriptor_set_out={TARGET}", *NEEDED]
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
