"""What has to be pasted elsewhere for an engine to find us: its configuration, and units of systemd.

Source: docker daemon.json; systemd systemd.service(5), systemd.socket(5).
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from winlayers.errors import InvalidArgument


def docker_config(address: str) -> str:
    """``/etc/docker/daemon.json`` for a Docker that still takes graph driver plugins.

    Args:
        address: of the socket, whose name Docker takes for that of the driver.
    """
    path = PurePosixPath(address)
    return json.dumps({"experimental": True, "storage-driver": path.stem}, indent=2) + "\n"


def containerd_config(address: str) -> str:
    """What goes into ``/etc/containerd/config.toml`` of containerd 1.7 and later.

    The section of the diff service is that of version 2 of the file, which later ones read too.

    Args:
        address: of the socket.
    """
    return f"""\
version = 2

[plugins."io.containerd.service.v1.diff-service"]
  default = ["winlayers-diff", "walking"]

[proxy_plugins.winlayers]
  type = "snapshot"
  address = {json.dumps(address)}

[proxy_plugins.winlayers-diff]
  type = "diff"
  address = {json.dumps(address)}
"""


def systemd_service(engine: str, program: str, address: str) -> str:
    """A unit for the daemon.

    Only Docker's gets its socket from systemd: gRPC takes none that is open already.

    Args:
        engine: ``docker`` or ``containerd``.
        program: path of ``winlayers``.
        address: of the socket.
    """
    requires = f"Requires=winlayers-{engine}.socket\n" if engine == "docker" else ""
    return f"""\
[Unit]
Description=Layers of Windows container images for {engine}
Before={engine}.service
{requires}
[Service]
Type=notify
ExecStart={program} serve {engine} --address {address}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=on-failure
# What is mounted is served by processes of their own, and outlives a restart.
KillMode=process
StateDirectory=winlayers
RuntimeDirectory=winlayers
RuntimeDirectoryPreserve=yes
Environment=WINLAYERS_ROOT=/var/lib/winlayers
ProtectHome=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def systemd_socket(engine: str, address: str) -> str:
    """The socket that systemd hands over to it."""
    return f"""\
[Unit]
Description=Socket of winlayers for {engine}

[Socket]
ListenStream={address}
FileDescriptorName={engine}
SocketMode=0600

[Install]
WantedBy=sockets.target
"""


def render(what: str, engine: str, program: str, address: str) -> str:
    """One of them by name.

    Raises:
        InvalidArgument: there is no such one.
    """
    if what == "systemd":
        told = f"# winlayers-{engine}.service\n{systemd_service(engine, program, address)}"
        if engine == "docker":
            told += f"\n# winlayers-{engine}.socket\n{systemd_socket(engine, address)}"
        return told
    if what == engine == "docker":
        return docker_config(address)
    if what == engine == "containerd":
        return containerd_config(address)
    raise InvalidArgument(f"there is no configuration {what!r} for {engine}")
