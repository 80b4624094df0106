"""Whether this system has what the native backend needs."""

from __future__ import annotations

from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._generations import generation
from winlayers.errors import Unsupported, WrongPlatform


def check_layer_calls() -> None:
    """See that this is a Windows that has calls for layers.

    Raises:
        WrongPlatform: it is no Windows.
        Unsupported: this Windows has none; says what it needs.
    """
    generation(Libraries())


def has_layer_calls() -> bool:
    """Whether this is a Windows that has calls for layers."""
    try:
        check_layer_calls()
    except (WrongPlatform, Unsupported):
        return False
    return True
