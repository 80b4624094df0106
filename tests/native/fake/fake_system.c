/* A stand-in for the parts of kernel32, ntdll and advapi32 that open files, hold privileges and tell texts.
 *
 * Only for systems that have none of their own. A handle is the number of a descriptor, or of a token, with bits above
 * 4 GiB set, so that a caller who takes it for an int shows. The last error is errno. Privileges belong to the thread
 * that impersonates, as in Windows. Settings:
 *   FAKE_BUILD=number         of Windows; 17763 otherwise
 *   FAKE_OLD=1                a Windows that does not know class 64 of NtSetInformationFile
 *   FAKE_LACKS=name           a privilege that the account does not have
 */
#include "fake.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PMAX 4096
#define FILE_BITS 0x4500000000ull
#define TOKEN 0x6700000008ull
#define INVALID ((void *)(intptr_t)-1)
enum { E_FNF = 2, E_DENIED = 5, E_BADHANDLE = 6, E_END = 38, E_INVAL = 87, E_EXISTS = 183, E_NO_TOKEN = 1008,
       E_NOT_ALL = 1300, E_NO_PRIVILEGE = 1313, E_NO_TEXT = 317 };

#define OPENED 256
static uint64_t opened[OPENED];
static char paths[OPENED][PMAX];          /* of what was opened, by the same index */
static DIR *listed[OPENED];

enum { S_NO_CLASS = (int)0xC0000002u, S_BAD_HANDLE = (int)0xC0000008u, S_INVAL = (int)0xC000000Du, S_DENIED = (int)0xC0000022u,
       S_NOT_FOUND = (int)0xC0000034u, S_COLLISION = (int)0xC0000035u, S_NO_PATH = (int)0xC000003Au, S_NOT_EMPTY = (int)0xC0000101u,
       S_NO_FOLDER = (int)0xC0000103u, S_CANNOT_DELETE = (int)0xC0000121u, S_REPARSE = (int)0xC000050Bu };

static int last(int code, int value) { errno = code; return value; }
static pthread_mutex_t giving = PTHREAD_MUTEX_INITIALIZER;
static void *give(uint64_t h) {
    void *given = INVALID;
    pthread_mutex_lock(&giving);
    for (int i = 0; i < OPENED; i++) if (!opened[i]) { opened[i] = h; paths[i][0] = 0; fake_count_handle(1); given = (void *)(uintptr_t)h; break; }
    pthread_mutex_unlock(&giving);
    return given;
}
static int is_open(const void *h) {
    for (int i = 0; i < OPENED; i++) if (opened[i] && opened[i] == (uintptr_t)h) return i + 1;
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
    void *h = give(FILE_BITS | (uint64_t)fd);
    if (is_open(h)) snprintf(paths[is_open(h) - 1], PMAX, "%s", p);
    return h;
}
API int32_t CloseHandle(void *h) {
    ENTER("CloseHandle", "%#llx", (unsigned long long)(uintptr_t)h);
    if (fake_close_disk(h)) return last(0, 1);
    pthread_mutex_lock(&giving);
    int at = is_open(h);
    if (at) { if (listed[at - 1]) { closedir(listed[at - 1]); listed[at - 1] = NULL; } opened[at - 1] = 0; fake_count_handle(-1); }
    pthread_mutex_unlock(&giving);
    if (!at) return last(E_BADHANDLE, 0);
    if ((uintptr_t)h != TOKEN) close((int)(intptr_t)h);
    return last(0, 1);
}

typedef struct { uint64_t internal, internal_high; uint32_t offset, offset_high; void *event; } overlapped;
_Static_assert(sizeof(overlapped) == 32, "as in Windows");
API int32_t ReadFile(void *h, void *buf, uint32_t n, uint32_t *got, const overlapped *where) {
    ENTER("ReadFile", "%#llx n=%u at=%u:%u event=%d", (unsigned long long)(uintptr_t)h, n, where->offset_high, where->offset, where->event != NULL);
    int at = is_open(h); if (!at || (uintptr_t)h == TOKEN) return last(E_BADHANDLE, 0);
    ssize_t read = pread((int)(intptr_t)h, buf, n, (off_t)((uint64_t)where->offset_high << 32 | where->offset));
    if (read < 0) return last(E_DENIED, 0);
    *got = (uint32_t)read; return n && !read ? last(E_END, 0) : last(0, 1);
}

/* ---- files below a handle: a link of this system stands for a reparse point -------------- */
typedef struct { uint16_t bytes, room; const wc *text; } unicode_string;
typedef struct { uint32_t size; void *root; const unicode_string *name; uint32_t attributes; void *sd, *quality; } object_attributes;
typedef struct { int64_t times[4]; uint32_t attributes; } basic_info;
_Static_assert(sizeof(object_attributes) == 48 && sizeof(basic_info) == 40, "as in Windows");
#ifdef O_PATH
#  define O_LINK (O_PATH | O_NOFOLLOW)
#else
#  define O_LINK O_SYMLINK
#endif
static int64_t filetime(const struct timespec *t) { return ((int64_t)t->tv_sec + 11644473600) * 10000000 + t->tv_nsec / 100; }
#ifdef __APPLE__
#  define st_mtim st_mtimespec
#  define st_atim st_atimespec
#endif
static int is_link(const char *path, const struct stat *st) { return S_ISLNK(st->st_mode) || fake_tag(path); }
static int read_info(const char *path, basic_info *info) {
    struct stat st; size_t n; memset(info, 0, sizeof *info);
    if (lstat(path, &st)) return -1;
    uint8_t *kept = fake_kept(fake_key(path), "info", &n);
    if (n == sizeof *info) memcpy(info, kept, n);
    else {
        info->attributes = S_ISDIR(st.st_mode) ? 0x10 : S_ISLNK(st.st_mode) ? 0x400 : 0x20;
        for (int i = 0; i < 4; i++) info->times[i] = filetime(i == 1 ? &st.st_atim : &st.st_mtim);
    }
    free(kept);
    if (is_link(path, &st)) info->attributes |= 0x400;
    return 0;
}
static int32_t status_of(int error) {
    switch (error) { case ENOENT: return S_NOT_FOUND; case EEXIST: return S_COLLISION; case ENOTEMPTY: return S_NOT_EMPTY;
                     case ENOTDIR: return S_NO_FOLDER; default: return S_DENIED; }
}
/* A stream opens for reading, as a file that has what is kept of it. */
static int32_t open_stream(const char *path, const char *name, uint32_t access, uint32_t disposition, void **out) {
    size_t n; uint8_t *kept = fake_stream(fake_key(path), name, &n); if (!kept) return S_NOT_FOUND;
    if (disposition != 1 || access & 0x40000000u) { free(kept); return S_DENIED; }
    FILE *made = tmpfile(); int fd = made ? dup(fileno(made)) : -1;
    if (made) fclose(made);
    ssize_t wrote = fd < 0 ? -1 : pwrite(fd, kept, n, 0); free(kept);
    if (wrote != (ssize_t)n) { if (fd >= 0) close(fd); return S_DENIED; }
    *out = give(FILE_BITS | (uint64_t)fd); if (!is_open(*out)) { close(fd); return S_DENIED; }
    snprintf(paths[is_open(*out) - 1], PMAX, "/dev/fd/%d", fd); return 0;
}
API int32_t NtCreateFile(void **out, uint32_t access, const object_attributes *oa, void *block, int64_t *allocation, uint32_t attributes,
                         uint32_t share, uint32_t disposition, uint32_t options, void *ea, uint32_t ea_size) {
    char rel[PMAX], p[2 * PMAX], kept_stream[PMAX]; wc name[PMAX]; hr_t e; struct stat st; int root = is_open(oa->root);
    uint32_t units = oa->name->bytes / 2; if (units >= PMAX) return (int32_t)0xC0000106u;
    memcpy(name, oa->name->text, 2 * units); name[units] = 0; fake_u8(name, rel, PMAX);
    fake_logf("NtCreateFile %s access=%08x attributes=%x share=%u disposition=%u options=%x", rel, access, oa->attributes, share, disposition, options);
    if (fake_faulty("NtCreateFile", &e)) return e;
    if (!root || !paths[root - 1][0]) return S_BAD_HANDLE;
    if (oa->size != 48 || !block || allocation || attributes || ea || ea_size || rel[0] == '\\' || strchr(rel, '/')) return S_INVAL;
    char *stream = strchr(rel, ':'), *end = strrchr(rel, ':');
    if (stream && (stream == rel || strchr(stream, '\\') || end == stream || strcmp(end, ":$DATA"))) return S_INVAL;
    if (stream) { memmove(kept_stream, stream, strlen(stream) + 1); *stream = 0; }
    for (char *c = rel; *c; c++) if (*c == '\\') {
        *c = 0; if (lstat(fake_find(p, sizeof p, paths[root - 1], rel), &st)) return S_NO_PATH;
        if (is_link(p, &st)) return oa->attributes & 0x1000 ? S_REPARSE : S_INVAL;
        if (!S_ISDIR(st.st_mode)) return S_NO_PATH;
        *c = '/'; }
    fake_find(p, sizeof p, paths[root - 1], rel);
    if (strlen(p) >= PMAX) return (int32_t)0xC0000106u;
    int there = !lstat(p, &st);
    if (disposition == 2) {
        if (there) return S_COLLISION;
        if (options & 1) { if (mkdir(p, 0777)) return status_of(errno); }
        else { int made = open(p, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666); if (made < 0) return status_of(errno); close(made); }
        if (lstat(p, &st)) return status_of(errno);
        fake_forget(fake_key(p));
    } else if (!there) return S_NOT_FOUND;
    if (is_link(p, &st) && !(options & 0x200000)) return S_REPARSE;
    if ((options & 1) && !S_ISDIR(st.st_mode)) return S_NO_FOLDER;
    if (stream) return open_stream(p, kept_stream, access, disposition, out);
    int how = S_ISLNK(st.st_mode) ? O_LINK : !S_ISDIR(st.st_mode) && access & 0x40000000u ? O_RDWR : O_RDONLY;
    int fd = open(p, how | O_CLOEXEC); if (fd < 0) return status_of(errno);
    *out = give(FILE_BITS | (uint64_t)fd);
    if (!is_open(*out)) { close(fd); return S_DENIED; }
    strcpy(paths[is_open(*out) - 1], p); return 0;
}
static int32_t delete_now(const char *path) {
    struct stat st; basic_info info; if (read_info(path, &info) || lstat(path, &st)) return S_NOT_FOUND;
    if (info.attributes & 1) return S_CANNOT_DELETE;
    return (S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) ? status_of(errno) : 0;
}
API int32_t NtSetInformationFile(void *h, void *block, const uint8_t *data, uint32_t size, int32_t class_) {
    hr_t e; fake_logf("NtSetInformationFile %#llx block=%d data=%d size=%u class=%d", (unsigned long long)(uintptr_t)h, block != NULL, data != NULL, size, class_);
    if (fake_faulty("NtSetInformationFile", &e)) return e;
    int at = is_open(h); if (!at || !block) return S_BAD_HANDLE;
    if (class_ == 64) return fake_setting("FAKE_OLD") ? S_NO_CLASS : size == 4 && data[0] == 1 ? delete_now(paths[at - 1]) : S_INVAL;
    if (class_ == 13) return size == 1 && data[0] == 1 ? delete_now(paths[at - 1]) : S_INVAL;
    if (class_ != 11) return S_INVAL;
    void *root; uint32_t bytes; wc name[PMAX]; char u8[PMAX], p[2 * PMAX];
    memcpy(&root, data + 8, sizeof root); memcpy(&bytes, data + 16, 4);
    int parent = is_open(root); if (!parent) return S_BAD_HANDLE;
    if (data[0] || size != (bytes < 4 ? 24 : 20 + bytes) || bytes >= 2 * PMAX) return S_INVAL;
    memcpy(name, data + 20, bytes); name[bytes / 2] = 0;
    struct stat st; if (!lstat(fake_find(p, sizeof p, paths[parent - 1], fake_u8(name, u8, PMAX)), &st)) return S_COLLISION;
    return link(paths[at - 1], p) ? status_of(errno) : 0;
}
API int32_t SetFileInformationByHandle(void *h, int32_t class_, const basic_info *data, uint32_t size) {
    ENTER("SetFileInformationByHandle", "%#llx class=%d size=%u", (unsigned long long)(uintptr_t)h, class_, size);
    int at = is_open(h); if (!at) return last(E_BADHANDLE, 0);
    basic_info info; if (class_ || size != sizeof *data || read_info(paths[at - 1], &info)) return last(E_INVAL, 0);
    for (int i = 0; i < 4; i++) if (data->times[i]) info.times[i] = data->times[i];
    if (data->attributes) info.attributes = data->attributes | (info.attributes & 0x410);
    return fake_keep(fake_key(paths[at - 1]), "info", &info, sizeof info) ? last(E_INVAL, 0) : last(0, 1);
}
API int32_t GetFileInformationByHandleEx(void *h, int32_t class_, uint8_t *data, uint32_t size) {
    ENTER("GetFileInformationByHandleEx", "%#llx class=%d size=%u", (unsigned long long)(uintptr_t)h, class_, size);
    int at = is_open(h); if (!at) return last(E_BADHANDLE, 0);
    struct stat st; const char *p = paths[at - 1]; int stream = !strncmp(p, "/dev/fd/", 8);
    if (class_ == 1 && size == 24) {
        if (stream ? fstat((int)(intptr_t)h, &st) : lstat(p, &st)) return last(E_FNF, 0);
        uint64_t end = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0; uint32_t links = S_ISDIR(st.st_mode) ? 1 : (uint32_t)st.st_nlink;
        memset(data, 0, 24); memcpy(data + 8, &end, 8); memcpy(data + 16, &links, 4); data[21] = S_ISDIR(st.st_mode) != 0; return last(0, 1); }
    basic_info info; if (stream || read_info(p, &info)) return last(E_FNF, 0);
    if (class_ == 0 && size == sizeof info) { memcpy(data, &info, size); return last(0, 1); }
    if (class_ == 9 && size == 8) { uint32_t tag = fake_tag(p); if (!tag && info.attributes & 0x400) tag = 0xA000000Cu;
        memcpy(data, &info.attributes, 4); memcpy(data + 4, &tag, 4); return last(0, 1); }
    if (lstat(p, &st)) return last(E_FNF, 0);
    if (class_ == 18 && size == 24) { uint64_t id = st.st_ino; memset(data, 0, 24); data[0] = 7; memcpy(data + 8, &id, 8); return last(0, 1); }
    if ((class_ != 14 && class_ != 15) || !(info.attributes & 0x10)) return last(E_INVAL, 0);
    if (class_ == 15 && listed[at - 1]) { closedir(listed[at - 1]); listed[at - 1] = NULL; }
    if (!listed[at - 1] && !(listed[at - 1] = opendir(paths[at - 1]))) return last(E_DENIED, 0);
    uint32_t used = 0, before = 0; struct dirent *one;      /* at most 3 in one call, so that there are more calls */
    for (int n = 0; n < 3 && (one = readdir(listed[at - 1])); n++) {
        wc name[512]; uint32_t bytes = 2 * (uint32_t)fake_u16(one->d_name, name, 512), step = used - before;
        if (used + 68 + bytes > size) return last(E_INVAL, 0);
        if (n) memcpy(data + before, &step, 4);
        memset(data + used, 0, 68); memcpy(data + used + 60, &bytes, 4); memcpy(data + used + 68, name, bytes);
        before = used; used = (used + 68 + bytes + 7) & ~7u;
    }
    return used ? last(0, 1) : last(18, 0);
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
    switch (status) {
        case S_NOT_FOUND: return E_FNF; case S_NO_PATH: return 3; case S_DENIED: case S_CANNOT_DELETE: return E_DENIED;
        case S_COLLISION: return E_EXISTS; case S_NOT_EMPTY: return 145; case S_NO_FOLDER: return 267; case S_NO_CLASS: return 1;
        case (int)0xC0000033u: return 123; case (int)0xC0000106u: return 206; case (int)0xC0000265u: return 1142;  /* name, length, links */
        case S_REPARSE: return 4395; default: return E_NO_TEXT; }
}
typedef struct { uint32_t size, major, minor, build, platform; uint16_t csd[128]; } version_info;
_Static_assert(sizeof(version_info) == 276, "OSVERSIONINFOW");
API int32_t RtlGetVersion(version_info *v) {
    hr_t e; fake_logf("RtlGetVersion %u", v->size); if (fake_faulty("RtlGetVersion", &e)) return e;
    if (v->size != sizeof *v) return (int32_t)0xC000000Du;
    const char *build = fake_setting("FAKE_BUILD");
    v->major = 10; v->minor = 0; v->build = build ? (uint32_t)atoi(build) : 17763; v->platform = 2; return 0;
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
