"""``winlayers layer mount``: a layer over its parents as a folder of the system."""

from __future__ import annotations

from pathlib import Path

import click

from winlayers.cli.layerrows import mount_of
from winlayers.cli.options import FolderPath, command, pass_session, raw_option
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.driver.mounting import mount_text
from winlayers.errors import LayerMounted


@command(
    "mount",
    examples=[
        "winlayers layer mount work                    # ROOT/mounts/work",
        "cd $(winlayers layer mount work)",
        "winlayers layer mount base /mnt/windows --read-only",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.argument(
    "folder", default=None, required=False, metavar="[DIR]", type=FolderPath(path_type=Path)
)
@click.option(
    "--read-only", is_flag=True, help="Take no writes; a layer that is no scratch never does."
)
@raw_option
@pass_session
def run(
    session: Session, layer_id: str, folder: Path | None, *, read_only: bool, raw: bool
) -> None:
    """Mount layer ID over its parents at DIR, an empty folder, and print the path alone.

    What is written into the mount of a scratch is the scratch's at once. The mount outlives this program,
    until 'winlayers layer unmount'. Asked for again, a mount that is there is shared, and has to be
    unmounted as often.
    """
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    try:
        path = driver.mount(resolved, folder, read_only=read_only, raw=raw, detached=True)
    except LayerMounted as error:
        if mount_of(session.home, resolved) is not None:
            error.add_note(f"'winlayers layer unmount {resolved}' ends that mount.")
        raise
    session.out.line(mount_text(path))
