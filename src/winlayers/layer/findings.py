"""Findings: what is wrong with a layer, or lost by a conversion, each under a stable code.

The same codes stand in the output of ``winlayers check``, in the errors of an import and in loss reports.
``CATALOG`` is the one list of them; ``docs/reference/findings.md`` is checked against it. This module
refuses to know how findings are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is.

    ``ERROR``: Windows refuses the layer, or it means something else there. ``WARNING``: it works, but
    not everywhere or not as was meant. ``LOSS``: something that was there is not carried over.
    """

    ERROR = "error"
    WARNING = "warning"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means.

    Attributes:
        severity: how bad it is.
        title: what it is, a few words.
        cause: why it matters, and what Windows makes of it.
        remedy: what to do next.
    """

    severity: Severity
    title: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        code: key of ``CATALOG``.
        entry: path of the entry concerned, or ``""`` for the layer as a whole.
        detail: what exactly, of this entry.
        layer_id: the layer, or ``""`` where there is only one.
        offset: byte of the uncompressed tar, or None.
    """

    code: str
    entry: str
    detail: str
    layer_id: str = ""
    offset: int | None = None

    @property
    def rule(self) -> Rule:
        return CATALOG[self.code]

    @property
    def severity(self) -> Severity:
        return CATALOG[self.code].severity

    def __str__(self) -> str:
        where = f"{self.entry}: " if self.entry else ""
        return f"{self.severity} {self.code}: {where}{self.detail}"


_E, _W, _L = Severity.ERROR, Severity.WARNING, Severity.LOSS

CATALOG: dict[str, Rule] = {
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
    # -- the layer as a whole ---------------------------------------------------------------------
    "tops-missing": Rule(
        _E,
        "neither Files nor Hives",
        "Windows refuses a layer that has no entry for either folder, even if it changes nothing.",
        "Add entries for the folders Files and Hives, the latter empty if need be.",
    ),
    "files-missing": Rule(
        _W,
        "no entry for the folder Files",
        "Every builder whose layers Windows takes writes it; without it the layer shows nothing on C:.",
        "Add an entry for the folder Files, with its attributes and descriptor.",
    ),
    "hives-missing": Rule(
        _E,
        "layer with parents but without Hives",
        "Windows looks for the folder of registry changes and finds none: 0x3, the path was not found.",
        "Add an entry for the folder Hives; it may be empty.",
    ),
    "hives-in-base": Rule(
        _W,
        "Hives in a base layer",
        "Windows makes the folder anew, of the hives below Files/Windows/System32/config.",
        "Leave it out, or import the layer with --parent if it is none of a base.",
    ),
    "layer-linux": Rule(
        _E,
        "layer of another system",
        "Its folders are those of Linux; Windows layers have Files, Hives and UtilityVM at the top.",
        "Choose the image for windows/amd64, or give the right file.",
    ),
    "layer-image": Rule(
        _E,
        "image, not a layer",
        "The tar holds a whole image; the layers are files in it.",
        "Use the target docker-archive:FILE or oci-archive:FILE.",
    ),
    "layer-transport": Rule(
        _E,
        "tar of a transport folder",
        "Its files begin with attributes and a backup stream, which would become their content.",
        "Export the layer as a layer tar (winlayers layer export, or wclayer export).",
    ),
    "layer-cim": Rule(
        _E,
        "files of a composite image (CimFS)",
        "A CIM layer keeps its entries inside .cim and region files, which no layer tar has.",
        "Export the layer on Windows, where it can be mounted, as a layer tar.",
    ),
    "layer-vhd": Rule(
        _E,
        "virtual disks at the top",
        "blank.vhdx, sandbox.vhdx and the like are made by Windows; what they hold is not in the layer.",
        "Export the layer as a layer tar instead of packing its folder.",
    ),
    "files-prefix-missing": Rule(
        _E,
        "content outside of Files",
        "Windows, Program Files and the like belong below Files/; where they are nobody sees them.",
        "Have the builder put Files/ before every name.",
    ),
    "name-case": Rule(
        _W,
        "name that is looked for in another case",
        "A few names are compared with case: UtilityVM, UtilityVM/Files and the BCD files.",
        "Spell the name as Windows does.",
    ),
    "build-newer": Rule(
        _E,
        "image newer than the host",
        "Windows starts no container of a newer build: ActivateLayer fails with 0x20, or the pull says so.",
        "Take the image for the build of the host, or update the host.",
    ),
    "build-older": Rule(
        _W,
        "image too old for process isolation",
        "A host shares its kernel with containers of its own build, or down to the last long-term one.",
        "Run it with --isolation=hyperv, or take the image for the build of the host.",
    ),
    # -- hives and the utility VM -----------------------------------------------------------------
    "hive-config-missing": Rule(
        _E,
        "base layer without its hives",
        "ProcessBaseImage makes the registry of all containers of the five hives in System32/config.",
        "Add DEFAULT, SAM, SECURITY, SOFTWARE and SYSTEM; empty files will do for an import.",
    ),
    "hive-empty": Rule(
        _W,
        "hive of no bytes",
        "Windows imports the layer, but nothing that needs the registry starts in it.",
        "Put a hive there if containers are to run.",
    ),
    "hive-invalid": Rule(
        _E,
        "no registry hive",
        "The file has not the base block of a hive, so Windows cannot load it.",
        "Have the layer built again; such files are binary and no text tool may touch them.",
    ),
    "hive-dirty": Rule(
        _W,
        "hive that was not closed",
        "Its sequence numbers differ: changes are still in a transaction log that is not in the layer.",
        "Load and unload the hive once where its logs are, then build the layer again.",
    ),
    "hive-unknown": Rule(
        _W,
        "Hives holds something else than the five differences",
        "Windows reads System_Delta, Software_Delta, Sam_Delta, Security_Delta and DefaultUser_Delta.",
        "Leave it out; whole hives (_Base) are made by Windows.",
    ),
    "hive-misplaced": Rule(
        _W,
        "whole hive in a layer with parents",
        "The registry of a container comes from the base and from Hives/*_Delta; this file is hidden.",
        "Leave it out, and write registry changes as a difference in Hives.",
    ),
    "utilityvm-files-missing": Rule(
        _W,
        "UtilityVM without Files",
        "Windows then prepares no utility VM: the image cannot run with Hyper-V isolation.",
        "Add UtilityVM/Files, or leave out UtilityVM.",
    ),
    "utilityvm-in-child": Rule(
        _W,
        "utility VM changed by a layer with parents",
        "Windows copies the one of the nearest parent first; not every tool that unpacks layers does.",
        "Update the base image instead.",
    ),
    "utilityvm-outside": Rule(
        _E,
        "entry in UtilityVM beside Files",
        "Windows: invalid UtilityVM layer.",
        "Leave it out; templates of disks are made by Windows.",
    ),
    "utilityvm-ignored": Rule(
        _W,
        "entry in UtilityVM beside Files, in a base layer",
        "Windows makes its own disks and version file there, and exports nothing of it.",
        "Leave it out.",
    ),
    "bcd-missing": Rule(
        _E,
        "utility VM without boot configuration",
        "Windows: UtilityVM must contain EFI/Microsoft/Boot/BCD.",
        "Add the BCD hive, or leave out UtilityVM.",
    ),
    "bcd-invalid": Rule(
        _E,
        "boot configuration that is no hive",
        "ProcessUtilityImage edits the BCD, which has to be a registry hive; an empty file is none.",
        "Add a valid hive, or leave out UtilityVM.",
    ),
    # -- names and sizes --------------------------------------------------------------------------
    "path-long": Rule(
        _W,
        "path of 260 characters or more",
        "Windows keeps it, but programs without long paths cannot open it, and deleting the layer may fail.",
        "Shorten the folders above.",
    ),
    "tree-deep": Rule(
        _W,
        "folders nested more than 128 deep",
        "Many programs walk folders by recursion and fail.",
        "Nothing, if it is meant.",
    ),
    "name-wcidirs": Rule(
        _W,
        "name that Windows takes for its own",
        "Names that end in .$wcidirs$ hold the metadata of folders while a layer is imported or exported.",
        "Rename it; the next export on Windows leaves it out.",
    ),
    "recycle-bin": Rule(
        _L,
        "recycle bin",
        "The original leaves out Files/$Recycle.Bin when it exports a layer.",
        "Nothing; empty the bin before the layer is made.",
    ),
    "artefact": Rule(
        _W,
        "trace of a running container",
        "WcSandboxState and System Volume Information belong to a mounted disk, not to a layer.",
        "Leave it out.",
    ),
    "size-8gib": Rule(
        _W,
        "file of 8 GiB or more",
        "Old versions of Docker carried a tar library that could not read such sizes: 0x3 on import.",
        "Nothing for current versions; split the file for old ones.",
    ),
    # -- security, times, attributes --------------------------------------------------------------
    "security-missing": Rule(
        _W,
        "no security descriptor",
        "Windows gives the file what its folder hands on, so owner and rights are a matter of luck.",
        "Have the layer built with MSWINDOWS.rawsd.",
    ),
    "security-not-repeated": Rule(
        _W,
        "folder of the parents without its descriptor",
        "An import applies the entry to the folder again; the rights set in the parent are not repeated.",
        "Copy the descriptor of the parent layer's entry.",
    ),
    "security-no-owner": Rule(
        _W,
        "descriptor without owner",
        "Whoever unpacks the layer becomes the owner.",
        "Name an owner, as in O:BAG:SY.",
    ),
    "security-no-dacl": Rule(
        _W,
        "descriptor that says nothing of rights",
        "It has an owner but no list of who may do what; builders on Linux write O:BAG:BA or O:BUG:BU.",
        "Set the rights in a later step (icacls), or write a full descriptor.",
    ),
    "security-null-dacl": Rule(
        _W,
        "descriptor that lets everybody in",
        "A NULL list of rights lets every user change and delete the file.",
        "Write a list of rights, be it an empty one.",
    ),
    "security-owner-users": Rule(
        _W,
        "owned by all users",
        "An owner may always change the rights; with O:BU every user of the container is one.",
        "Set another owner, if users of the container are not to be trusted.",
    ),
    "time-unset": Rule(
        _W,
        "time that Windows does not set",
        "0 (the year 1601) and -1 and -2 mean 'leave as it is': the file has the time of the import.",
        "Write a real time.",
    ),
    "time-refused": Rule(
        _E,
        "negative time",
        "[MS-FSCC] 2.4.7 forbids times below -2, and Windows refuses to set them: 0x57.",
        "Write a time between 1601 and 30828.",
    ),
    "time-1754": Rule(
        _W,
        "time in the year 1754",
        "The layer once lacked access or change times; the original then sets Go's zero time.",
        "Nothing, if the time does not matter; else build with a tool that writes atime and ctime.",
    ),
    "attributes-refused": Rule(
        _E,
        "TEMPORARY on a folder",
        "Windows refuses that attribute for folders: 0x57.",
        "Clear bit 0x100 of MSWINDOWS.fileattr.",
    ),
    "attributes-unknown": Rule(
        _W,
        "attribute bits that no document names",
        "What Windows makes of them is not known.",
        "Have a look at what made the layer.",
    ),
    "attributes-offline": Rule(
        _W,
        "file whose content is said to be elsewhere",
        "OFFLINE and RECALL bits mark placeholders of cloud storage, whose content may not have been read.",
        "Make the files local before the layer is made, and compare their content.",
    ),
    "attributes-not-applied": Rule(
        _L,
        "compression or encryption not applied",
        "Windows sets these attributes by other means: the files are stored as they are.",
        "Nothing; the content is complete.",
    ),
    # -- alternate streams and extended attributes ------------------------------------------------
    "stream-sparse": Rule(
        _W,
        "sparse alternate stream",
        "The original cannot export it: tar of sparse alternate data streams is unsupported.",
        "Write the stream again without holes, if the layer is to be committed on Windows.",
    ),
    "ea-too-large": Rule(
        _E,
        "extended attributes of more than 64 KiB",
        "NTFS keeps at most 65,535 bytes of them a file, and refuses more.",
        "Remove some.",
    ),
    "ea-name": Rule(
        _E,
        "extended attribute with a name that Windows refuses",
        r'[MS-FSCC] 2.4.15: 1 to 254 characters, none of the control characters or of \ / : * ? " < > | , + = [ ] ;',
        "Rename or remove the attribute.",
    ),
    # -- reparse points and links -----------------------------------------------------------------
    "reparse-missing": Rule(
        _W,
        "said to be a reparse point, but without its data",
        "Whatever wrote the layer lost it: what was a link or placeholder is now a plain file or folder.",
        "Have the layer built again, or make the link in a later step.",
    ),
    "reparse-unsupported": Rule(
        _W,
        "reparse point that is no link",
        "The original stops at it when it exports a layer: unsupported reparse point.",
        "Remove it before a commit on Windows.",
    ),
    "reparse-wsl": Rule(
        _E,
        "symbolic link of WSL",
        "Cygwin 3.1.5 and later, MSYS2 and WSL make them; committing fails with 0x3 in ImportLayer.",
        "Set CYGWIN or MSYS to winsymlinks:nativestrict before installing, or update Docker.",
    ),
    "junction-empty": Rule(
        _W,
        "junction whose target was lost",
        "New-Item makes junctions without a print name, and only that one is carried in a layer.",
        "Make the junction with mklink /J, or again in a later step.",
    ),
    "junction-print-name": Rule(
        _L,
        "junction that will lose its target",
        "It has no print name, and the original carries nothing else when it exports.",
        "Make the junction with mklink /J, or write the tar in the full dialect.",
    ),
    "junction-on-file": Rule(
        _E,
        "junction that is no folder",
        "Windows sets mount points on folders only: 0x10B, the directory name is invalid.",
        "Set bit 0x10 of MSWINDOWS.fileattr, or make it a symbolic link.",
    ),
    "link-elsewhere": Rule(
        _W,
        "link out of the container's disk",
        "Another drive, a volume by its name or a share is not in the image.",
        "Nothing, if it is mounted there at run time.",
    ),
    "link-dangling": Rule(
        _W,
        "link that leads to nothing",
        "The target is in neither the layer nor its parents, or the links lead in a circle.",
        "Nothing, if the target is made at run time.",
    ),
    "link-kind": Rule(
        _W,
        "link of the wrong kind",
        "Windows has links to files and links to folders, and does not follow one to the other.",
        "Set or clear bit 0x10 of MSWINDOWS.fileattr; builders on Linux leave it out.",
    ),
    "link-files-prefix": Rule(
        _W,
        "link target with Files before it",
        "BuildKit puts Files/ before the targets of links too, so that they lead nowhere.",
        "Make the link in a later step, or build with another tool.",
    ),
    "link-with-data": Rule(
        _W,
        "link with data of its own",
        "The original cannot export it: write too long.",
        "Remove the data.",
    ),
    "link-across-layers": Rule(
        _W,
        "hard link to a file of a parent",
        "Windows finds the target in the parents; other tools look for it in the layer and fail.",
        "Nothing for Windows; write the file again for other tools.",
    ),
    "link-too-many": Rule(
        _E,
        "more than 1,024 names of one file",
        "NTFS refuses more hard links: 0x476.",
        "Copy the file for some of the names.",
    ),
    # -- what is removed --------------------------------------------------------------------------
    "whiteout-nothing": Rule(
        _W,
        "whiteout of what the parents do not have",
        "Windows lets it pass, but it is a sign of the wrong parents.",
        "Check the order of the layers.",
    ),
    "whiteout-utilityvm": Rule(
        _E,
        "whiteout of what the utility VM does not have",
        "Below UtilityVM/Files Windows removes at once, and fails if there is nothing.",
        "Remove the whiteout, or import on the right parents.",
    ),
    "opaque-ignored": Rule(
        _E,
        "opaque whiteout over content of the parents",
        "Windows does not know opaque folders: what was to be hidden stays visible.",
        "Write a whiteout for each name that is to go.",
    ),
    # -- conversions to forms of other systems ----------------------------------------------------
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
