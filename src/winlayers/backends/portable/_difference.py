"""The entries that a scratch makes: what is not as in the layers below it."""

from __future__ import annotations

from winlayers.layer.difference import DifferenceReader


class OwnDifference(DifferenceReader):
    """The difference of views that were opened for it, and are closed with it."""

    def close(self) -> None:
        super().close()
        self._old.close()
        self._new.close()
