"""The rules whose breach an import refuses, or reports: what one entry after the other tells.

Text alone; who looks for it is elsewhere.
"""

from __future__ import annotations

from winlayers.layer._rule import Rule, Severity

_E, _W, _L = Severity.ERROR, Severity.WARNING, Severity.LOSS

RULES_OF_IMPORT: dict[str, Rule] = {
    "name-traversal": Rule(
        _E,
        "name leads out of the layer",
        "An absolute path, a drive, a UNC prefix or '..' would be written outside the layer.",
        "Do not use this layer; its maker is broken or hostile.",
    ),
    "name-nul": Rule(
        _E, "NUL in a name", "No file system can hold such a name.", "Have the layer built again."
    ),
    "name-encoding": Rule(
        _E,
        "name is not UTF-8",
        "Names of Windows are UTF-16; bytes that are not UTF-8 stand for none.",
        "Have the layer built with UTF-8 names.",
    ),
    "name-character": Rule(
        _E,
        "character that Windows does not allow in a name",
        'Win32 refuses control characters and any of " * : < > ? |',
        "Rename the file, or import with --lenient to keep the name.",
    ),
    "name-trailing": Rule(
        _E,
        "name ends in a blank or a dot",
        "Win32 strips them, so that most programs cannot open or delete the file.",
        "Rename the file, or import with --lenient to keep the name.",
    ),
    "name-reserved": Rule(
        _E,
        "name of a device",
        "Win32 takes CON, NUL, COM1 and the like for devices, with any extension.",
        "Rename the file, or import with --lenient to keep the name.",
    ),
    "name-too-long": Rule(
        _E,
        "name or path too long",
        "NTFS takes 255 UTF-16 units in a name and 32,767 in a path.",
        "Shorten the name.",
    ),
    "name-duplicate": Rule(
        _E,
        "two entries of one name",
        "Names that differ only in case are one name on Windows; creating the second fails.",
        "Keep one of the two; builders that add 'Files' or a folder twice cause this.",
    ),
    "name-surrogate": Rule(
        _W,
        "name with a lone surrogate",
        "NTFS keeps it, but it is no text: many programs cannot show or pass on the name.",
        "Rename the file if other systems are to read it.",
    ),
    "name-separator": Rule(
        _W,
        "backslash in a name of the tar",
        "Windows takes it for a separator of folders, other systems for part of the name.",
        "Have the layer built with '/' between names.",
    ),
    "root-unknown": Rule(
        _E,
        "entry outside Files, Hives and UtilityVM",
        "A Windows layer has only these three at its top; others end up in no file system.",
        "Put the content below Files/; a Linux layer is not a Windows layer.",
    ),
    "parent-missing": Rule(
        _E,
        "folder of the entry is missing",
        "Windows creates each file in a folder that must be there: 0x3, the path was not found.",
        "Add an entry for every folder on the way, before what is in it.",
    ),
    "parent-not-directory": Rule(
        _E,
        "entry below something that is no folder",
        "The path leads through a file, a link, a whiteout or a reparse point.",
        "Have the layer built again without what is below it.",
    ),
    "whiteout-in-base": Rule(
        _E,
        "whiteout in a base layer",
        "Windows: base layer cannot have tombstones.",
        "Import it with --parent, or remove the whiteouts.",
    ),
    "whiteout-outside": Rule(
        _E,
        "whiteout outside Files and UtilityVM/Files",
        "Windows: invalid tombstone; Hives and the tops cannot be removed from.",
        "Remove the whiteout.",
    ),
    "whiteout-invalid": Rule(
        _E,
        "whiteout of nothing that can be named",
        "It would remove the folder it stands in, or one above.",
        "Do not use this layer; its maker is broken or hostile.",
    ),
    "whiteout-and-entry": Rule(
        _E,
        "entry and whiteout of one name",
        "Windows removes after it adds: the entry would vanish.",
        "To replace a folder by a file, write only the file.",
    ),
    "whiteout-opaque": Rule(
        _W,
        "opaque whiteout",
        "Windows looks for a file called .wh..opq and removes nothing.",
        "Write a whiteout for each name that is to go.",
    ),
    "link-target-missing": Rule(
        _E,
        "hard link to nothing",
        "Neither the layer nor its parents have the target: failed to find link target.",
        "Import the layer on its right parents, or have it built again.",
    ),
    "link-outside": Rule(
        _E,
        "hard link from or to outside Files and UtilityVM/Files",
        "Windows: invalid hard link in layer.",
        "Have the layer built again.",
    ),
    "link-to-self": Rule(
        _E, "hard link to itself", "Nothing holds the content.", "Have the layer built again."
    ),
    "link-to-directory": Rule(
        _E, "hard link to a folder", "NTFS has no such links.", "Use a junction instead."
    ),
    "link-before-target": Rule(
        _E,
        "hard link before its target",
        "A link is made when it is read, so the target must be there.",
        "Write the links after the files.",
    ),
    "stream-orphan": Rule(
        _E,
        "alternate stream without its file before it",
        "Streams are taken in only right after their owner; else ':' is an invalid character.",
        "Write each stream right after its file.",
    ),
    "stream-duplicate": Rule(
        _E,
        "two alternate streams of one name",
        "The second would overwrite the first.",
        "Keep one of the two.",
    ),
    "type-unsupported": Rule(
        _W,
        "kind of entry that Windows does not have",
        "Devices, pipes and the like become empty files; Windows reads no content of them.",
        "Leave them out of the layer.",
    ),
    "attributes-invalid": Rule(
        _E,
        "MSWINDOWS.fileattr is no number of 32 bits",
        "Windows refuses the header.",
        "Have the layer built again.",
    ),
    "time-invalid": Rule(
        _E, "time that does not parse", "Windows refuses the header.", "Have the layer built again."
    ),
    "time-range": Rule(
        _L,
        "time outside what a FILETIME holds",
        "It is set to the nearest time that can be kept.",
        "Nothing, if the time does not matter.",
    ),
    "security-invalid": Rule(
        _E,
        "security descriptor does not parse",
        "Windows refuses to set it: 0x57 or 0x538 for the whole layer.",
        "Have the layer built with a valid MSWINDOWS.rawsd.",
    ),
    "ea-invalid": Rule(
        _E,
        "extended attributes do not parse",
        "Windows refuses to set them.",
        "Have the layer built again.",
    ),
    "reparse-invalid": Rule(
        _E,
        "reparse data does not parse",
        "Windows refuses to set it.",
        "Have the layer built again.",
    ),
    "reparse-edited": Rule(
        _L,
        "exact reparse data does not fit the link",
        "Somebody changed the target of the link, so the buffer kept beside it is out of date.",
        "Nothing, if the new target is what was meant.",
    ),
    "tar-unterminated": Rule(
        _E,
        "tar without an end marker",
        "It may have been cut at the border of an entry; nothing in it tells.",
        "Give --digest or --diff-id to prove it whole, or --allow-unterminated.",
    ),
    "tar-damaged": Rule(
        _E,
        "tar that cannot be read to its end",
        "A header is damaged, or the file is cut short; what comes after that place cannot be found.",
        "Get the file again, and compare its digest.",
    ),
    "compression-damaged": Rule(
        _E,
        "compressed file that cannot be read to its end",
        "The data or a checksum is damaged, or the file is cut short or followed by something else.",
        "Get the file again, and compare its digest.",
    ),
}
