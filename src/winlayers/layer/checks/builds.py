"""Whether a host runs an image of another build of Windows.

Source: containerd/platforms and microsoft/hcsshim osversion (which builds go together); microsoft/hcsshim
issue 2553 (how the wrong ones fail).
"""

from __future__ import annotations

from winlayers.layer.findings import Finding

#: Builds of long-term releases whose hosts run containers of older builds down to the release before.
LONG_TERM_BUILDS = (20348, 26100)


def check_build(image_build: int, host_build: int) -> Finding | None:
    """Compare the third number of ``os.version`` of an image and a host.

    Args:
        image_build: that of the image, for example 20348.
        host_build: that of the host.
    Returns:
        The finding, or None where containers of the image run with process isolation.
    """
    detail = f"the image is of build {image_build}, the host of build {host_build}"
    if image_build > host_build:
        return Finding("build-newer", "", detail)
    if image_build < oldest_build(host_build):
        return Finding("build-older", "", detail)
    return None


def oldest_build(host_build: int) -> int:
    """The oldest build whose containers share the kernel of a host."""
    if host_build < LONG_TERM_BUILDS[0]:
        return host_build
    earlier = [build for build in LONG_TERM_BUILDS if build < host_build]
    return max(earlier, default=host_build)
