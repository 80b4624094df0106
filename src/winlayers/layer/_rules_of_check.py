"""The rules that a check looks for beyond those of an import: what Windows refuses or takes otherwise.

Text alone; who looks for it is in ``layer.checks``.
"""

from __future__ import annotations

from winlayers.layer._rule import Rule, Severity

_E, _W, _L = Severity.ERROR, Severity.WARNING, Severity.LOSS

RULES_OF_CHECK: dict[str, Rule] = {
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
    "hive-damaged": Rule(
        _W,
        "hive with keys that cannot be read",
        "Its base block is sound, but what the build of Windows is read from is not; Windows may not load it.",
        "Have the layer built again; load the hive on Windows to see whether it can be repaired.",
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
}
