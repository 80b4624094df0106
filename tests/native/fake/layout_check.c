/* Compiled for 64-bit Windows, asserts every line of layouts.h against the headers of mingw-w64.
 *
 * Structures that these headers do not have, or have wrong, are declared here, from their published C form.
 */
#define _WIN32_WINNT 0x0A00
#define NTDDI_VERSION 0x0A000007
#include <stddef.h>
#include <stdio.h>
#include <windows.h>
#include <winternl.h>
#include <aclapi.h>
#include <virtdisk.h>
#include <winioctl.h>
#include <restartmanager.h>

typedef struct { int Flavour; const WCHAR *HomeDir; } DRIVER_INFO;                       /* enum, LPCWSTR */
typedef struct { GUID LayerId; ULONG Flags; const WCHAR *Path; } WC_LAYER_DESCRIPTOR;
typedef struct { ULONG Flags; } DISPOSITION_EX;                                          /* class 64 */
typedef struct { ULONG ReparseTag; USHORT ReparseDataLength, Reserved; USHORT SubstituteNameOffset, SubstituteNameLength, PrintNameOffset, PrintNameLength; ULONG Flags; WCHAR PathBuffer[1]; } REPARSE_SYMLINK;
typedef struct { ULONG ReparseTag; USHORT ReparseDataLength, Reserved; USHORT SubstituteNameOffset, SubstituteNameLength, PrintNameOffset, PrintNameLength; WCHAR PathBuffer[1]; } REPARSE_MOUNT;
typedef struct { ULONG NextEntryOffset; UCHAR Flags, EaNameLength; USHORT EaValueLength; CHAR EaName[1]; } FULL_EA;

/* One version of a union; it is as long as the others need in newer headers. */
typedef struct { OPEN_VIRTUAL_DISK_VERSION Version; struct { BOOL GetInfoOnly, ReadOnly; GUID ResiliencyGuid; } Version2; } OPEN_VHD;

/* The declaration of mingw-w64 lacks PhysicalSectorSizeInBytes, so its later offsets are wrong. */
typedef struct { CREATE_VIRTUAL_DISK_VERSION Version; struct { GUID UniqueId; ULONGLONG MaximumSize; ULONG BlockSizeInBytes, SectorSizeInBytes, PhysicalSectorSizeInBytes; PCWSTR ParentPath, SourcePath; ULONG OpenFlags; VIRTUAL_STORAGE_TYPE ParentVirtualStorageType, SourceVirtualStorageType; GUID ResiliencyGuid; } Version2; } CREATE_VHD;

#define S(s, n) _Static_assert(sizeof(s) == (n), #s " size");
#define F(s, f, n) _Static_assert(offsetof(s, f) == (n), #s "." #f);
#include "layouts.h"
#undef S
#undef F
_Static_assert(sizeof(void *) == 8 && sizeof(WCHAR) == 2 && sizeof(long) == 4, "64-bit Windows");
_Static_assert(FileBasicInfo == 0 && FileStandardInfo == 1 && FileAttributeTagInfo == 9 && FileIdInfo == 18, "information classes");
_Static_assert(BACKUP_DATA == 1 && BACKUP_EA_DATA == 2 && BACKUP_SECURITY_DATA == 3 && BACKUP_ALTERNATE_DATA == 4 &&
               BACKUP_LINK == 5 && BACKUP_OBJECT_ID == 7 && BACKUP_REPARSE_DATA == 8 && BACKUP_SPARSE_BLOCK == 9, "backup streams");
_Static_assert(FILE_FLAG_BACKUP_SEMANTICS == 0x02000000 && FILE_FLAG_OPEN_REPARSE_POINT == 0x00200000 &&
               FILE_FLAG_SEQUENTIAL_SCAN == 0x08000000 && OPEN_EXISTING == 3 && ACCESS_SYSTEM_SECURITY == 0x01000000, "CreateFileW");
_Static_assert((FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS) == 0x1200, "FormatMessageW");
_Static_assert(SecurityImpersonation == 2 && (TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY) == 0x28 && SE_PRIVILEGE_ENABLED == 2, "privileges");
_Static_assert(ERROR_ACCESS_DENIED == 5 && ERROR_SHARING_VIOLATION == 32 && ERROR_PROC_NOT_FOUND == 127 &&
               ERROR_NOT_FOUND == 0x490 && ERROR_NOT_ALL_ASSIGNED == 1300, "errors");
_Static_assert(IOCTL_DISK_GET_LENGTH_INFO == 0x7405C && FSCTL_EXTEND_VOLUME == 0x900F0, "DeviceIoControl");
_Static_assert(CREATE_VIRTUAL_DISK_VERSION_2 == 2 && OPEN_VIRTUAL_DISK_VERSION_2 == 2 && OPEN_VIRTUAL_DISK_FLAG_CACHED_IO == 8 &&
               ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER == 2 && ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME == 4 &&
               GET_VIRTUAL_DISK_INFO_IS_LOADED == 13, "virtual disks");
_Static_assert(CCH_RM_SESSION_KEY == 32 && ERROR_MORE_DATA == 234, "the Restart Manager");
