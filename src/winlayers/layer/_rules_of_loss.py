"""What is lost when a layer goes from one form into another.

Text alone; who tells it is the writer of each form.
"""

from __future__ import annotations

from winlayers.layer._rule import Rule, Severity

_L = Severity.LOSS

RULES_OF_LOSS: dict[str, Rule] = {
    # -- to other forms of Windows, and to tars of the original -------------------------------------
    "stream-lost": Rule(
        _L,
        "alternate stream not carried over",
        "The original writes only streams that follow data: none of folders and of what has no data. "
        "Folders and tars of other systems have none at all.",
        "Write the tar in the full dialect.",
    ),
    "ea-lost": Rule(
        _L,
        "extended attributes, or their flags, not carried over",
        "The original keeps one value a name, no flags, and what stands before the data. "
        "Folders and tars of other systems have none at all.",
        "Write the tar in the full dialect.",
    ),
    "reparse-rebuilt": Rule(
        _L,
        "link carried over by its name alone",
        "What the system opens, the flags or the kind of link are made anew, and will differ.",
        "Write the tar in the full dialect.",
    ),
    "reparse-dropped": Rule(
        _L,
        "reparse tag of a filter driver not applied",
        "Windows would let it point a driver at content that is not in the layer.",
        "Nothing: such tags mean something only on the volume where they were made.",
    ),
    "name-replaced": Rule(
        _L,
        "lone surrogate in a name replaced by U+FFFD",
        "The original keeps names as text, which a lone surrogate is not.",
        "Read the tar in the full dialect.",
    ),
    "time-wrapped": Rule(
        _L,
        "time outside 1677 to 2262",
        "The original counts nanoseconds in 64 bits, so the time becomes another.",
        "Write the tar in the full dialect, if the time matters.",
    ),
    "part-dropped": Rule(
        _L,
        "part of a backup stream not carried over",
        "Link information, property data, object ids and transactions belong to a volume.",
        "Nothing: they are made anew where they are needed.",
    ),
    # -- to forms of other systems -----------------------------------------------------------------
    "security-lost": Rule(
        _L,
        "owner and rights not carried over",
        "Folders and tars of other systems have no place for security descriptors.",
        "Keep the layer tar beside it.",
    ),
    "attributes-lost": Rule(
        _L,
        "attributes not carried over",
        "Other systems do not know hidden, system and further attributes of Windows.",
        "Keep the layer tar beside it, if they matter.",
    ),
    "time-lost": Rule(
        _L,
        "creation or change time not carried over",
        "Other systems let only the times of writing and access be set.",
        "Nothing, if the time does not matter.",
    ),
    "reparse-lost": Rule(
        _L,
        "reparse point not carried over",
        "Other systems know symbolic links only; the file or folder is written without its tag.",
        "Keep the layer tar beside it.",
    ),
    "name-lost": Rule(
        _L,
        "name that this system cannot hold",
        "It is too long or too deep here, or equals another name, so that nothing is written for it.",
        "Extract on a file system that takes such names, or keep the layer tar beside it.",
    ),
    "link-skipped": Rule(
        _L,
        "symbolic link or junction not written",
        "It leads out of what is extracted, or links were not asked for.",
        "Ask for links, and extract all that they lead to.",
    ),
    "link-copied": Rule(
        _L,
        "hard link written as a copy",
        "The file system has no hard links, or no more of this file.",
        "Nothing, if the space does not matter.",
    ),
    "outside-files-lost": Rule(
        _L,
        "registry and utility VM not carried over",
        "The root of another system is what lies below Files; Hives and UtilityVM have no place in it.",
        "Keep the layer tar beside it.",
    ),
}
