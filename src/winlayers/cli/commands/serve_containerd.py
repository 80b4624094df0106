"""``winlayers serve containerd``: the store as a snapshotter and differ of containerd."""

from __future__ import annotations

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.serveoptions import ServeOptions, serve_options
from winlayers.cli.session import Session

ADDRESS = "/run/winlayers/containerd.sock"


@command(
    "containerd",
    examples=[
        "winlayers serve containerd --address /run/winlayers/containerd.sock",
        "winlayers serve containerd --containerd-address /run/containerd/containerd.sock --log text",
        "winlayers serve containerd --print-config containerd >> /etc/containerd/config.toml",
    ],
)
@click.option(
    "--containerd-address",
    metavar="SOCKET",
    help="Where containerd is, whose blobs are applied (/run/containerd/containerd.sock).",
)
@click.option(
    "--front",
    metavar="SOCKET",
    help="Another socket, for clients of containerd 1.6, which takes no differs of others.",
)
@serve_options(ADDRESS, ["containerd", "systemd"])
@pass_session
def run(session: Session, *, options: ServeOptions) -> None:
    """Be a snapshotter and a differ of containerd, until a signal ends it.

    containerd 1.7 and later take both by their configuration (--print-config containerd). Layers are those of the
    store: what containerd pulls is there for all other commands, and what was pulled before it does not unpack again.
    """
    options.run(session, "containerd", ADDRESS)
