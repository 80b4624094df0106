/* A stand-in for the parts of kernel32, ntdll and advapi32 that open files, hold privileges and tell texts.
 *
 * Only for systems that have none of their own. A handle is the number of a descriptor, or of a token, with bits above
 * 4 GiB set, so that a caller who takes it for an int shows. The last error is errno. Privileges belong to the thread
 * that impersonates, as in Windows. Settings:
 *   FAKE_BUILD=number         of Windows; 17763 otherwise
 *   FAKE_LACKS=name           a privilege that the account does not have
 */
#include "fake.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PMAX 4096
#define FILE_BITS 0x4500000000ull
#define TOKEN 0x6700000008ull
#define INVALID ((void *)(intptr_t)-1)
enum { E_FNF = 2, E_DENIED = 5, E_BADHANDLE = 6, E_INVAL = 87, E_EXISTS = 183, E_NO_TOKEN = 1008,
       E_NOT_ALL = 1300, E_NO_PRIVILEGE = 1313, E_NO_TEXT = 317 };

static uint64_t opened[64];

static int last(int code, int value) { errno = code; return value; }
static void *give(uint64_t h) {
    for (int i = 0; i < 64; i++) if (!opened[i]) { opened[i] = h; fake_count_handle(1); return (void *)(uintptr_t)h; }
    return INVALID;
}
static int is_open(const void *h) {
    for (int i = 0; i < 64; i++) if (opened[i] && opened[i] == (uintptr_t)h) return i + 1;
    return 0;
}
/* Faults of calls that leave a last error: what fake_fail was given is that error. */
#define ENTER(name, ...) do { hr_t e_; fake_logf(name " " __VA_ARGS__); \
    if (fake_faulty(name, &e_)) { fake_logf("  -> %u (injected)", (unsigned)e_); return last(e_, 0); } } while (0)

/* ---- files --------------------------------------------------------------------- */
API void *CreateFileW(const wc *path, uint32_t access, uint32_t share, void *sa, uint32_t disposition, uint32_t flags, void *template_) {
    char p[PMAX]; hr_t e; struct stat st;
    fake_logf("CreateFileW %s access=%08x share=%u sa=%d disposition=%u flags=%08x template=%d", fake_u8(path, p, PMAX),
              access, share, sa != NULL, disposition, flags, template_ != NULL);
    if (fake_faulty("CreateFileW", &e)) { errno = e; return INVALID; }
    int how = access & 0x40000000u ? O_RDWR : O_RDONLY;
    if (!lstat(p, &st) && S_ISDIR(st.st_mode)) { how = O_RDONLY; if (!(flags & 0x02000000u)) { errno = E_DENIED; return INVALID; } }
    if (disposition != 3) how |= O_CREAT;
    int fd = open(p, how | O_CLOEXEC, 0666);
    if (fd < 0) { errno = errno == ENOENT ? E_FNF : E_DENIED; return INVALID; }
    return give(FILE_BITS | (uint64_t)fd);
}
API int32_t CloseHandle(void *h) {
    ENTER("CloseHandle", "%#llx", (unsigned long long)(uintptr_t)h);
    int at = is_open(h); if (!at) return last(E_BADHANDLE, 0);
    opened[at - 1] = 0; fake_count_handle(-1);
    if ((uintptr_t)h != TOKEN) close((int)(intptr_t)h);
    return last(0, 1);
}

/* ---- privileges ------------------------------------------------------------------ */
static __thread int impersonating, enabled;
static const struct { const char *name; uint64_t luid; } known[] = {
    { "SeBackupPrivilege", 0x500000011ull }, { "SeRestorePrivilege", 0x500000012ull }, { "SeSecurityPrivilege", 0x500000008ull } };

/* How many privileges the calling thread holds now; -1 while it does not impersonate. */
API int fake_privileges(void) { return impersonating ? enabled : -1; }
API void *GetCurrentThread(void) { return (void *)(intptr_t)-2; }
API void *GetCurrentProcess(void) { return INVALID; }
API int32_t ImpersonateSelf(int32_t level) { ENTER("ImpersonateSelf", "%d", level); impersonating = level == 2; enabled = 0; return last(0, impersonating); }
API int32_t RevertToSelf(void) { ENTER("RevertToSelf", "-"); impersonating = enabled = 0; return last(0, 1); }
API int32_t OpenThreadToken(void *thread, uint32_t access, int32_t self, void **token) {
    ENTER("OpenThreadToken", "%#llx access=%x self=%d", (unsigned long long)(uintptr_t)thread, access, self);
    if (thread != (void *)(intptr_t)-2) return last(E_BADHANDLE, 0);
    if (!impersonating) return last(E_NO_TOKEN, 0);
    *token = give(TOKEN); return last(0, 1);
}
API int32_t LookupPrivilegeValueW(const wc *system, const wc *name, uint64_t *luid) {
    char s[PMAX]; ENTER("LookupPrivilegeValueW", "%d %s", system != NULL, fake_u8(name, s, PMAX));
    for (size_t i = 0; i < 3; i++) if (!strcmp(known[i].name, s)) { *luid = known[i].luid; return last(0, 1); }
    return last(E_NO_PRIVILEGE, 0);
}
API int32_t AdjustTokenPrivileges(void *token, int32_t disable_all, const uint8_t *state, uint32_t size, void *old, uint32_t *length) {
    uint32_t count; memcpy(&count, state, 4); int all = 1;
    ENTER("AdjustTokenPrivileges", "%#llx disable=%d count=%u size=%u old=%d length=%d", (unsigned long long)(uintptr_t)token, disable_all, count, size, old != NULL, length != NULL);
    if (!is_open(token)) return last(E_BADHANDLE, 0);
    const char *lacks = fake_setting("FAKE_LACKS");
    for (uint32_t k = 0; k < count; k++) {
        uint64_t luid; uint32_t attributes; memcpy(&luid, state + 4 + 12 * k, 8); memcpy(&attributes, state + 12 + 12 * k, 4);
        for (size_t i = 0; i < 3; i++) if (known[i].luid == luid && attributes == 2) {
            fake_logf("  enable %s", known[i].name);
            if (lacks && !strcmp(lacks, known[i].name)) all = 0; else enabled++; }
    }
    return last(all ? 0 : E_NOT_ALL, 1);
}

/* ---- texts and codes ---------------------------------------------------------------- */
static const struct { uint32_t code; const char *text; } texts[] = {
    { E_FNF, "The system cannot find the file specified.\r\n" }, { E_DENIED, "Access is denied.\r\n" },
    { E_EXISTS, "Cannot create a file when\r\nthat file already exists.\r\n" } };
API uint32_t FormatMessageW(uint32_t flags, void *source, uint32_t code, uint32_t language, wc *buffer, uint32_t units, void *arguments) {
    hr_t e; if (fake_faulty("FormatMessageW", &e)) return (uint32_t)last(e, 0);
    if (flags != 0x1200 || source || language || arguments) return (uint32_t)last(E_INVAL, 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) if (texts[i].code == code) return (uint32_t)fake_u16(texts[i].text, buffer, units);
    return (uint32_t)last(E_NO_TEXT, 0);
}
API uint32_t RtlNtStatusToDosError(int32_t status) {
    switch ((uint32_t)status) { case 0xC0000034u: return E_FNF; case 0xC0000022u: return E_DENIED; default: return E_NO_TEXT; }
}
typedef struct { uint32_t size, major, minor, build, platform; uint16_t csd[128]; } version_info;
_Static_assert(sizeof(version_info) == 276, "OSVERSIONINFOW");
API int32_t RtlGetVersion(version_info *v) {
    hr_t e; fake_logf("RtlGetVersion %u", v->size); if (fake_faulty("RtlGetVersion", &e)) return e;
    if (v->size != sizeof *v) return (int32_t)0xC000000Du;
    const char *build = fake_setting("FAKE_BUILD");
    v->major = 10; v->minor = 0; v->build = build ? (uint32_t)atoi(build) : 17763; v->platform = 2; return 0;
}
API int32_t NtSetInformationFile(void *h, void *block, const void *data, uint32_t size, int32_t class_) {
    hr_t e; fake_logf("NtSetInformationFile %#llx block=%d data=%d size=%u class=%d", (unsigned long long)(uintptr_t)h, block != NULL, data != NULL, size, class_);
    return fake_faulty("NtSetInformationFile", &e) ? e : is_open(h) ? 0 : (int32_t)0xC0000008u;
}
/* What has no stand-in above, but a convention of its own: BOOLEAN is one byte, whatever is in the others. */
API uint64_t CreateSymbolicLinkW(const wc *link, const wc *target, uint32_t flags) {
    char a[PMAX], b[PMAX]; hr_t e; fake_logf("CreateSymbolicLinkW %s %s flags=%u", fake_u8(link, a, PMAX), fake_u8(target, b, PMAX), flags);
    if (fake_faulty("CreateSymbolicLinkW", &e)) { errno = e; return 0xABCDEF00u; }
    return 0xABCDEF01u;
}
/* A descriptor of one's own security, by its address above 4 GiB: nothing is behind it. */
API uint32_t GetSecurityInfo(void *h, int32_t type, uint32_t what, void **owner, void **group, void **dacl, void **sacl, void **sd) {
    hr_t e; fake_logf("GetSecurityInfo %#llx type=%d what=%u", (unsigned long long)(uintptr_t)h, type, what); (void)group; (void)sacl;
    if (fake_faulty("GetSecurityInfo", &e)) return (uint32_t)e;
    if (owner) *owner = NULL;
    *dacl = (void *)(uintptr_t)0x8900000010ull; *sd = (void *)(uintptr_t)0x8900000000ull; return 0;
}
API void *LocalFree(void *p) { fake_logf("LocalFree %#llx", (unsigned long long)(uintptr_t)p); return NULL; }
