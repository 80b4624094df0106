"""``winlayers store info``: where the store is and what it holds."""

from __future__ import annotations

import ssl

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session


@command("info", examples=["winlayers store info"])
@json_option
@pass_session
def run(session: Session) -> None:
    """Print the root of the store, its layers and sizes, and the libraries in use."""
    driver = session.open_driver()
    usages = [driver.usage(layer_id) for layer_id in driver.layers()]
    facts = {
        "root": str(session.home),
        "driver": str(driver),
        "layers": len(usages),
        "size": sum(usage.summary.size for usage in usages),
        "disk_size": sum(usage.disk_size for usage in usages),
        "digests": ssl.OPENSSL_VERSION,
    }
    if session.is_json:
        session.out.document(facts)
    else:
        session.out.lines(f"{name}: {value}" for name, value in facts.items())
