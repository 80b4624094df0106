/* NtCreateFile for a Windows whose file system has no named streams: Wine. A stream opens for reading, as a file that
 * has what BackupWrite kept of it and goes with its handle; all else goes to the NtCreateFile that is there.
 */
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PMAX 4096
#define FAILED_WITH(code) ((int32_t)0xC0000000u + (code))
enum { S_INVAL = 0x0D, S_DENIED = 0x22, S_NOT_FOUND = 0x34 };
typedef struct { uint16_t bytes, room; const wc *text; } unicode_string;
typedef struct { uint32_t size; void *root; const unicode_string *name; uint32_t attributes; void *sd, *quality; } object_attributes;
typedef int32_t (*create_fn)(void **, uint32_t, const object_attributes *, void *, int64_t *, uint32_t, uint32_t, uint32_t, uint32_t, void *, uint32_t);
typedef int32_t (*close_fn)(void *);

static void *real(const char *name) { return (void *)(uintptr_t)GetProcAddress(GetModuleHandleA("ntdll.dll"), name); }
static int32_t file_of(const uint8_t *bytes, size_t n, void **out) {
    char path[PMAX]; wc wide[PMAX]; DWORD done; static LONG number;
    snprintf(path, sizeof path, "%s\\stream%ld", fake_setting("FAKE_BACKUP_DIR"), (long)InterlockedIncrement(&number));
    fake_u16(path, wide, PMAX);
    HANDLE h = CreateFileW((const WCHAR *)wide, GENERIC_READ | GENERIC_WRITE, 7, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (h == INVALID_HANDLE_VALUE) return FAILED_WITH(S_DENIED);
    if (!WriteFile(h, bytes, (DWORD)n, &done, NULL) || done != n) { CloseHandle(h); return FAILED_WITH(S_DENIED); }
    *out = h; return 0;
}
API int32_t NtCreateFile(void **out, uint32_t access, const object_attributes *oa, void *block, int64_t *allocation, uint32_t attributes,
                         uint32_t share, uint32_t disposition, uint32_t options, void *ea, uint32_t ea_size) {
    char u8[PMAX]; wc name[PMAX]; hr_t e; size_t at = 0, n; uint32_t units = oa->name->bytes / 2;
    if (units < PMAX) { memcpy(name, oa->name->text, 2 * units); name[units] = 0; fake_u8(name, u8, PMAX);
        fake_logf("NtCreateFile %s access=%08x attributes=%x share=%u disposition=%u options=%x", u8, access, oa->attributes, share, disposition, options); }
    else fake_logf("NtCreateFile units=%u", units);
    if (fake_faulty("NtCreateFile", &e)) return e;
    create_fn create = (create_fn)real("NtCreateFile"); close_fn close_ = (close_fn)real("NtClose");
    while (at < units && oa->name->text[at] != ':') at++;
    if (at == units) return create(out, access, oa, block, allocation, attributes, share, disposition, options, ea, ea_size);
    if (units >= PMAX || !at) return FAILED_WITH(S_INVAL);
    unicode_string bare = { (uint16_t)(2 * at), (uint16_t)(2 * at), oa->name->text }; object_attributes of = *oa; of.name = &bare;
    void *h; int32_t status = create(&h, 0x100080u, &of, block, NULL, 0, 7, 1, options, NULL, 0);
    if (status) return status;
    uint64_t key = fake_key_of(h); close_(h);
    uint8_t *kept = fake_stream(key, strchr(u8, ':'), &n); if (!kept) return FAILED_WITH(S_NOT_FOUND);
    status = disposition == 1 && !(access & 0x40000000u) ? file_of(kept, n, out) : FAILED_WITH(S_DENIED);
    free(kept); return status;
}
