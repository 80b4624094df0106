"""``winlayers store check``: whether the layers of the store fit together."""

from __future__ import annotations

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.errors import EXIT_PARTIAL, StoreCorrupt, WinlayersError


@command("check", examples=["winlayers store check", "winlayers store check --repair"])
@click.option(
    "--repair", is_flag=True, help="Make indexes that do not open again from their packs."
)
@json_option
@pass_session
def run(session: Session, repair: bool) -> int:
    """Check each layer's chain, index and pack; exit with 3 where something stays broken."""
    from winlayers.backends.portable.backend import PortableBackend

    driver = session.open_driver()
    backend = PortableBackend(session.home, tmpdir=session.config().tmpdir)
    broken = []
    for layer_id in driver.layers():
        try:
            try:
                driver.view(layer_id).close()
            except StoreCorrupt:
                if not repair:
                    raise
                backend.rebuild_index(layer_id, driver.chain(layer_id))
                driver.view(layer_id).close()
        except WinlayersError as error:
            broken.append({"layer": layer_id, "error": str(error)})
    if session.is_json:
        session.out.rows(broken)
    else:
        session.out.lines(f"{row['layer']}: {row['error']}" for row in broken)
    return EXIT_PARTIAL if broken else 0
