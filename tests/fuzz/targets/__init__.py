"""The targets: one function for each decoder, by room."""

from tests.fuzz.registry import TARGETS
from tests.fuzz.targets import base, driver, formats, layer, portable

__all__ = ["TARGETS", "base", "driver", "formats", "layer", "portable"]
