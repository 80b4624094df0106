"""Tars: entries read, and written byte for byte as Go's archive/tar lays them out.

The public names of the codec, which lives in ``tarblock`` (header blocks and their values), ``tarread``
with ``tarsource``, ``tarplain`` and ``tarsparse``, and ``tarwrite`` with ``tarchoice``; PAX records are in ``pax``. None
of them knows what the entries are for.
"""

from __future__ import annotations

from winlayers.formats.tarblock import BLOCK_SIZE, TarFormat, TarHeader
from winlayers.formats.tarread import TarReader
from winlayers.formats.tarsource import TarSource
from winlayers.formats.tarwrite import TarTarget, TarWriter

__all__ = [
    "BLOCK_SIZE",
    "TarFormat",
    "TarHeader",
    "TarReader",
    "TarSource",
    "TarTarget",
    "TarWriter",
]
