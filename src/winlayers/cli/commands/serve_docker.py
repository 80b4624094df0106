"""``winlayers serve docker``: the driver as a plugin of Docker."""

from __future__ import annotations

from winlayers.cli.options import command, pass_session
from winlayers.cli.serveoptions import ServeOptions, serve_options
from winlayers.cli.session import Session

ADDRESS = "/run/docker/plugins/winlayers.sock"


@command(
    "docker",
    examples=[
        "winlayers serve docker --address /run/docker/plugins/winlayers.sock",
        "winlayers serve docker --metrics 127.0.0.1:9469 --log text",
        "winlayers serve docker --print-config docker > /etc/docker/daemon.json",
    ],
)
@serve_options(ADDRESS, ["docker", "systemd"])
@pass_session
def run(session: Session, *, options: ServeOptions) -> None:
    """Be the storage driver of a Docker that takes graph driver plugins, until a signal ends it.

    Docker finds it by the name of the socket, wants --experimental, and no longer takes such plugins from 28 on. Layers
    are those of the store; what Docker loads is there for all other commands.
    """
    options.run(session, "docker", ADDRESS)
