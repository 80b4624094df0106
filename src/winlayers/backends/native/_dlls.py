"""Every foreign function that is called, declared once: library, parameters, and how it tells of failure.

``TABLE`` is the only place with prototypes. A function is looked up when it is called for the first time, so a
host may lack those of a generation that it does not know:

    api = Libraries()
    api.call("GetDiskFreeSpaceExW", build_wide("C:\\\\"), None, byref(total), None)

``call`` gives back what the function returned, or raises ``WindowsCallFailed``. Text goes in as ``str``. On Windows
libraries come from System32 only. On other systems there are none; tests give libraries that stand in for them,
whose last error is ``errno``. This module does not know what a function is for.
Source: the Win32 and WDK references; Hcs* of the Host Compute System reference; the layer calls of vmcompute as
their published callers declare them.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winlayers.backends.native import _failures
from winlayers.backends.native._failures import Convention, fold_hresult, known_text, unsigned
from winlayers.backends.native._strings import WideText, build_wide, read_units
from winlayers.backends.native._structures import (
    CreateVirtualDiskParameters,
    DriverInfo,
    ExplicitAccess,
    GetVirtualDiskInfo,
    Guid,
    IoStatusBlock,
    ObjectAttributes,
    OpenVirtualDiskParameters,
    OsVersionInfo,
    Overlapped,
    RmProcessInfo,
    RmUniqueProcess,
    VirtualStorageType,
    WcLayerDescriptor,
)
from winlayers.errors import Unsupported, WindowsCallFailed, WrongPlatform

_SEARCH_SYSTEM32 = 0x800
_MESSAGE_FLAGS = 0x1200  # from the system's table, with nothing put in for %1
_MESSAGE_UNITS = 1024

_FEATURES = {
    "vmcompute": "the Windows feature Containers",
    "computestorage": "Windows 10 1809 or Windows Server 2019 or later, with the feature Containers",
    "offreg": "the offline registry library, which comes with Windows Server 2019 or later",
}

# Short names, as the table is easier to compare with the documents when a prototype is one line.
_W, _P, _H = WideText, ctypes.c_void_p, ctypes.c_void_p
_I32, _U32, _I64, _U64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
_U16, _BOOLEAN, _SIZE = ctypes.c_uint16, ctypes.c_uint8, ctypes.c_size_t


def _to(kind: Any) -> Any:
    return ctypes.POINTER(kind)


_INFO, _PARENTS = _to(DriverInfo), (_to(WcLayerDescriptor), _SIZE)
_OUT, _OUT32, _OUT64 = _to(_P), _to(_U32), _to(_U64)


@dataclass(frozen=True, slots=True)
class Prototype:
    """One foreign function.

    Attributes:
        library: name of the library, without ``.dll``.
        name: as it is exported.
        convention: what it returns, and when that is a failure.
        parameters: ``argtypes``.
    """

    library: str
    name: str
    convention: Convention
    parameters: tuple[Any, ...]


def _table(
    library: str, convention: Convention, **functions: tuple[Any, ...]
) -> dict[str, Prototype]:
    return {
        name: Prototype(library, name, convention, parameters)
        for name, parameters in functions.items()
    }


TABLE: dict[str, Prototype] = {
    # Layers, the first generation.
    **_table(
        "vmcompute",
        Convention.HRESULT,
        CreateLayer=(_INFO, _W, _W),
        CreateSandboxLayer=(_INFO, _W, _SIZE, *_PARENTS),
        ExpandSandboxSize=(_INFO, _W, _U64),
        ActivateLayer=(_INFO, _W),
        DeactivateLayer=(_INFO, _W),
        PrepareLayer=(_INFO, _W, *_PARENTS),
        UnprepareLayer=(_INFO, _W),
        GetLayerMountPath=(_INFO, _W, _to(_SIZE), _P),
        LayerExists=(_INFO, _W, _OUT32),
        DestroyLayer=(_INFO, _W),
        ExportLayer=(_INFO, _W, _W, *_PARENTS),
        ImportLayer=(_INFO, _W, _W, *_PARENTS),
        ProcessBaseImage=(_W,),
        ProcessUtilityImage=(_W,),
        NameToGuid=(_W, _to(Guid)),
        GetBaseImages=(_OUT,),
        GrantVmAccess=(_W, _W),
        CopyLayer=(_INFO, _W, _W, *_PARENTS),
    ),
    # Compute systems; the last parameter of most takes the address of JSON that tells of errors.
    **_table(
        "vmcompute",
        Convention.HRESULT,
        HcsEnumerateComputeSystems=(_W, _OUT, _OUT),
        HcsOpenComputeSystem=(_W, _OUT, _OUT),
        HcsGetComputeSystemProperties=(_H, _W, _OUT, _OUT),
        HcsRegisterComputeSystemCallback=(_H, _P, _P, _OUT),
        HcsUnregisterComputeSystemCallback=(_H,),
        HcsCloseComputeSystem=(_H,),
        HcsTerminateComputeSystem=(_H, _W, _OUT),
    ),
    # Layers, the second generation.
    **_table(
        "computestorage",
        Convention.HRESULT,
        HcsImportLayer=(_W, _W, _W),
        HcsExportLayer=(_W, _W, _W, _W),
        HcsDestroyLayer=(_W,),
        HcsInitializeWritableLayer=(_W, _W, _W),
        HcsAttachLayerStorageFilter=(_W, _W),
        HcsDetachLayerStorageFilter=(_W,),
        HcsAttachOverlayFilter=(_W, _W),
        HcsDetachOverlayFilter=(_W, _W),
        HcsFormatWritableLayerVhd=(_H,),
        HcsGetLayerVhdMountPath=(_H, _OUT),
        HcsSetupBaseOSLayer=(_W, _H, _W),
        HcsSetupBaseOSVolume=(_W, _W, _W),
    ),
    **_table("ole32", Convention.VALUE, CoTaskMemFree=(_P,)),
    # Files.
    **_table("kernel32", Convention.HANDLE, CreateFileW=(_W, _U32, _U32, _P, _U32, _U32, _H)),
    **_table(
        "kernel32",
        Convention.BOOL,
        CloseHandle=(_H,),
        ReadFile=(_H, _P, _U32, _OUT32, _to(Overlapped)),
        BackupRead=(_H, _P, _U32, _OUT32, _I32, _I32, _OUT),
        BackupWrite=(_H, _P, _U32, _OUT32, _I32, _I32, _OUT),
        BackupSeek=(_H, _U32, _U32, _OUT32, _OUT32, _OUT),
        GetFileInformationByHandleEx=(_H, _I32, _P, _U32),
        SetFileInformationByHandle=(_H, _I32, _P, _U32),
        GetVolumePathNameW=(_W, _P, _U32),
        GetVolumeInformationW=(_W, _P, _U32, _OUT32, _OUT32, _OUT32, _P, _U32),
        GetDiskFreeSpaceExW=(_W, _OUT64, _OUT64, _OUT64),
        DeviceIoControl=(_H, _U32, _P, _U32, _P, _U32, _OUT32, _P),
    ),
    **_table("kernel32", Convention.BOOLEAN, CreateSymbolicLinkW=(_W, _W, _U32)),
    **_table(
        "kernel32",
        Convention.COUNT,
        FormatMessageW=(_U32, _P, _U32, _U32, _P, _U32, _P),
    ),
    **_table(
        "kernel32",
        Convention.VALUE,
        GetCurrentProcess=(),
        GetCurrentThread=(),
        LocalFree=(_P,),
    ),
    **_table(
        "ntdll",
        Convention.NTSTATUS,
        NtCreateFile=(
            *(_OUT, _U32, _to(ObjectAttributes), _to(IoStatusBlock), _to(_I64)),
            *(_U32, _U32, _U32, _U32, _P, _U32),
        ),
        NtSetInformationFile=(_H, _to(IoStatusBlock), _P, _U32, _I32),
        RtlGetVersion=(_to(OsVersionInfo),),
    ),
    **_table("ntdll", Convention.VALUE, RtlNtStatusToDosError=(_I32,)),
    # Privileges and descriptors.
    **_table(
        "advapi32",
        Convention.BOOL,
        OpenProcessToken=(_H, _U32, _OUT),
        OpenThreadToken=(_H, _U32, _I32, _OUT),
        ImpersonateSelf=(_I32,),
        RevertToSelf=(),
        LookupPrivilegeValueW=(_W, _W, _OUT64),
        AdjustTokenPrivileges=(_H, _I32, _P, _U32, _P, _OUT32),
        ConvertStringSecurityDescriptorToSecurityDescriptorW=(_W, _U32, _OUT, _OUT32),
        ConvertSecurityDescriptorToStringSecurityDescriptorW=(_P, _U32, _U32, _OUT, _OUT32),
        ConvertStringSidToSidW=(_W, _OUT),
        ConvertSidToStringSidW=(_P, _OUT),
    ),
    **_table(
        "advapi32",
        Convention.WIN32,
        GetSecurityInfo=(_H, _I32, _U32, _OUT, _OUT, _OUT, _OUT, _OUT),
        SetSecurityInfo=(_H, _I32, _U32, _P, _P, _P, _P),
        SetEntriesInAclW=(_U32, _to(ExplicitAccess), _P, _OUT),
    ),
    # Disks of scratches.
    **_table(
        "virtdisk",
        Convention.WIN32,
        OpenVirtualDisk=(
            *(_to(VirtualStorageType), _W, _U32, _U32, _to(OpenVirtualDiskParameters), _OUT),
        ),
        AttachVirtualDisk=(_H, _P, _U32, _U32, _P, _P),
        DetachVirtualDisk=(_H, _U32, _U32),
        CreateVirtualDisk=(
            *(_to(VirtualStorageType), _W, _U32, _P, _U32, _U32),
            *(_to(CreateVirtualDiskParameters), _P, _OUT),
        ),
        GetVirtualDiskInformation=(_H, _OUT32, _to(GetVirtualDiskInfo), _OUT32),
    ),
    # Who holds a file.
    **_table(
        "rstrtmgr",
        Convention.WIN32,
        RmStartSession=(_OUT32, _U32, _P),
        RmRegisterResources=(_U32, _U32, _OUT, _U32, _to(RmUniqueProcess), _U32, _OUT),
        RmGetList=(_U32, _OUT32, _OUT32, _to(RmProcessInfo), _OUT32),
        RmEndSession=(_U32,),
    ),
    # Hives made from nothing.
    **_table(
        "offreg",
        Convention.WIN32,
        ORCreateHive=(_OUT,),
        ORSaveHive=(_H, _W, _U32, _U32),
        ORCloseHive=(_H,),
    ),
}


class Libraries:
    """The libraries of Windows, opened and bound as they are needed.

    Args:
        files: libraries to be used for those of the system, by name without ``.dll``.
        redirected: functions that are taken from another library than their own, by name.
    """

    def __init__(
        self,
        files: Mapping[str, Path] | None = None,
        redirected: Mapping[str, str] | None = None,
    ) -> None:
        self._files = dict(files or {})
        self._redirected = dict(redirected or {})
        self._opened: dict[str, ctypes.CDLL] = {}
        self._bound: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function of ``TABLE``.

        Args:
            name: which.
            arguments: its arguments; ``str`` for text, None for NULL.
        Returns:
            What it returned; 0 for NULL.
        Raises:
            WindowsCallFailed: it failed, or this Windows does not have it (code 127).
            InvalidArgument: a text with a NUL.
            Unsupported: this system does not have the library.
        """
        prototype = TABLE[name]
        function = self._bound.get(name) or self._bind(prototype)
        held = [build_wide(one) if isinstance(one, str) else one for one in arguments]
        value = function(*held)
        if prototype.convention.failed(value):
            raise self._failure(prototype, value)
        return value or 0

    def has(self, name: str) -> bool:
        """Whether this Windows has a function.

        Raises:
            WrongPlatform: it is no Windows.
        """
        try:
            self._bind(TABLE[name])
        except WindowsCallFailed:
            return False
        except WrongPlatform:
            raise
        except Unsupported:
            return False
        return True

    def last_error(self) -> int:
        """What the last function that this thread called has left behind, a Win32 code."""
        return _last_error()

    def text_of(self, code: int) -> str | None:
        """What Windows says of a Win32 code or an HRESULT, in the language of the system."""
        buffer = (ctypes.c_uint16 * _MESSAGE_UNITS)()
        try:
            self.call("FormatMessageW", _MESSAGE_FLAGS, None, code, 0, buffer, len(buffer), None)
        except (WindowsCallFailed, Unsupported):
            return known_text(code)
        return " ".join(read_units(buffer).split()).rstrip(".") or known_text(code)

    def _failure(self, prototype: Prototype, value: int | None) -> WindowsCallFailed:
        # First of all: every call made here changes it.
        raw = _last_error() if prototype.convention.leaves_last_error else unsigned(value or 0)
        code = raw
        if prototype.convention is Convention.HRESULT:
            code = fold_hresult(raw)
        elif prototype.convention is Convention.NTSTATUS:
            code = unsigned(self.call("RtlNtStatusToDosError", value))
        # The call that gives texts is not asked why it gave none.
        is_text = prototype.name == "FormatMessageW"
        text = known_text(code) if is_text else self.text_of(code)
        return WindowsCallFailed(call=prototype.name, raw=raw, code=code, text=text)

    def _bind(self, prototype: Prototype) -> Callable[..., Any]:
        with self._lock:
            if prototype.name in self._bound:
                return self._bound[prototype.name]
            library = self._open(self._redirected.get(prototype.name, prototype.library))
            try:
                function = getattr(library, prototype.name)
            except AttributeError:
                code = _failures.PROC_NOT_FOUND
                text = f"{prototype.library}.dll of this Windows has no such function"
                raise WindowsCallFailed(
                    call=prototype.name, raw=code, code=code, text=text
                ) from None
            function.argtypes = prototype.parameters
            function.restype = prototype.convention.restype
            bound: Callable[..., Any] = function
            self._bound[prototype.name] = bound
            return bound

    def _open(self, name: str) -> ctypes.CDLL:
        if name not in self._opened:
            self._opened[name] = _load(name, self._files.get(name))
        return self._opened[name]


if sys.platform == "win32":

    def _last_error() -> int:
        return ctypes.get_last_error()

    def _load(name: str, file: Path | None) -> ctypes.CDLL:
        if file is not None:
            return ctypes.WinDLL(str(file), use_last_error=True)
        try:
            return ctypes.WinDLL(f"{name}.dll", use_last_error=True, winmode=_SEARCH_SYSTEM32)
        except OSError as error:
            needed = _FEATURES.get(name, "a complete installation of Windows")
            raise Unsupported(
                f"{name}.dll cannot be loaded ({error}); it needs {needed}"
            ) from error

else:

    def _last_error() -> int:
        return ctypes.get_errno()

    def _load(name: str, file: Path | None) -> ctypes.CDLL:
        if file is None:
            raise WrongPlatform(
                f"the native backend calls {name}.dll of Windows, and this is {sys.platform}: it needs "
                "Windows with the feature Containers; the portable backend works here"
            )
        return ctypes.CDLL(str(file), use_errno=True)
