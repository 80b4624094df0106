/* A stand-in for virtdisk, for what kernel32 knows of volumes, and for the Restart Manager.
 *
 * A disk is a file, sandbox.vhdx or another, with the text "vhdx <bytes>\n". While it is attached, its volume is the
 * folder "Volume" beside it: made if it is not there, removed again if it is empty. An attachment ends with the handle
 * that made it, unless it is permanent; "fake.state" beside the disk says that a layer call has attached it. Under
 * Windows a handle is one of the file; CloseHandle there is real, and whoever calls it calls fake_close_disk, too. Settings:
 *   FAKE_FS=name              the file system of every volume; NTFS otherwise
 *   FAKE_VOLUME_BYTES=number  how large every volume is; 20 GiB less 16 MiB otherwise
 *   FAKE_HOLDERS=list         who holds files: "number name[|number name..]"
 *   FAKE_HOLDERS_MORE=number  that many times RmGetList finds one more than there was room for
 */
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
__declspec(dllimport) void *CreateFileW(const wc *, uint32_t, uint32_t, void *, uint32_t, uint32_t, void *);
__declspec(dllimport) int32_t CreateDirectoryW(const wc *, void *);
__declspec(dllimport) int32_t RemoveDirectoryW(const wc *);
__declspec(dllimport) void SetLastError(uint32_t);
#  define SEP '\\'
#else
#  include <errno.h>
#  include <sys/stat.h>
#  include <unistd.h>
#  define SEP '/'
#endif

#define PMAX 4096
enum { W_FNF = 2, W_DENIED = 5, W_BADHANDLE = 6, W_SHARING = 32, W_INVAL = 87, W_EXISTS = 80, W_MORE = 234, W_NOT_ATTACHED = 55 };
static int32_t last(uint32_t code, int32_t value) {
#ifdef _WIN32
    SetLastError(code);
#else
    errno = (int)code;
#endif
    return value;
}
/* Faults: of calls that return a code, and of those that leave a last error. */
#define ENTER(name, ...) do { hr_t e_; fake_logf(name " " __VA_ARGS__); \
    if (fake_faulty(name, &e_)) { fake_logf("  -> %u (injected)", (unsigned)e_); return (uint32_t)e_; } } while (0)
#define ENTER_BOOL(name, ...) do { hr_t e_; fake_logf(name " " __VA_ARGS__); \
    if (fake_faulty(name, &e_)) { fake_logf("  -> %u (injected)", (unsigned)e_); return last((uint32_t)e_, 0); } } while (0)

/* ---- disks ---------------------------------------------------------------------------- */
typedef struct { uint8_t b[16]; } guid_t;
typedef struct { uint32_t device; guid_t vendor; } storage_type;
typedef struct { uint32_t version; int32_t get_info_only, read_only; guid_t resiliency; } open_params;
typedef struct { uint32_t version, pad; guid_t id; uint64_t size; uint32_t block, sector, physical; const wc *parent, *source; uint32_t flags;
                 storage_type parent_type, source_type; guid_t resiliency; } create_params;
typedef struct { uint32_t version, pad; int32_t is_loaded; uint8_t others[20]; } disk_info;
_Static_assert(sizeof(storage_type) == 20 && sizeof(open_params) == 28 && sizeof(create_params) == 128 && sizeof(disk_info) == 32, "virtdisk");

/* A disk of no file, which is always open and can be attached. */
#define NO_FILE ((void *)(uintptr_t)0x76543210FFull)
#define FIRST 0x7654321100ull
#define DISKS 32
static struct { void *handle; char path[PMAX]; int attached, info_only; } opened[DISKS];
static char permanent[DISKS][PMAX];               /* attached, whoever has them open */

static int find(const void *h) { for (int i = 0; i < DISKS; i++) if (h && opened[i].handle == h) return i + 1; return 0; }
static int find_permanent(const char *path) { for (int i = 0; i < DISKS; i++) if (!strcmp(permanent[i], path)) return i + 1; return 0; }
/* A path is one of a file whether it begins with \\?\ or not. */
static void native(char *p) {
    for (char *c = p; *c; c++) if (*c == '/' || *c == '\\') *c = SEP;
    if (SEP == '\\' && !strncmp(p, "\\\\?\\", 4)) memmove(p, p + 4, strlen(p + 4) + 1);
}
static void volume_of(const char *disk, char *out) {
    snprintf(out, PMAX - 8, "%s", disk); char *name = strrchr(out, SEP); name = name ? name + 1 : out;
    snprintf(name, PMAX - (size_t)(name - out), "Volume");
}
static void folder(const char *path, int made) {
#ifdef _WIN32
    wc w[PMAX]; fake_u16(path, w, PMAX); if (made) CreateDirectoryW(w, NULL); else RemoveDirectoryW(w);
#else
    int unused = made ? mkdir(path, 0777) : rmdir(path); (void)unused;
#endif
}
static void state_of(const char *disk, char *out) { volume_of(disk, out); strcpy(out + strlen(out) - 6, "fake.state"); }
int fake_disk_attached(const char *path) {
    char s[PMAX + 8]; state_of(path, s); FILE *f = fopen(s, "rb"); if (f) { fclose(f); return 1; }
    if (find_permanent(path)) return 1;
    for (int i = 0; i < DISKS; i++) if (opened[i].handle && opened[i].attached && !strcmp(opened[i].path, path)) return 1;
    return 0;
}
static void detached(const char *path) { char v[PMAX]; volume_of(path, v); if (!fake_disk_attached(path)) folder(v, 0); }
static uint32_t session, files, more;             /* of the Restart Manager, see below */
void fake_reset_disks(void) { memset(opened, 0, sizeof opened); memset(permanent, 0, sizeof permanent); session = 0; }
API int fake_close_disk(void *h) {
    int at = find(h); char path[PMAX]; if (!at) return 0;
    memcpy(path, opened[at - 1].path, PMAX); opened[at - 1].handle = NULL; fake_count_handle(-1); detached(path); return 1;
}
const char *fake_disk_volume(void *h) {           /* NULL for none: not open, or not attached */
    static char v[PMAX]; int at = find(h); if (!at || !fake_disk_attached(opened[at - 1].path)) return NULL;
    volume_of(opened[at - 1].path, v); return v;
}
static uint32_t open_disk(const char *path, int info_only, void **h) {
#ifdef _WIN32
    wc w[PMAX]; fake_u16(path, w, PMAX);
    void *handle = CreateFileW(w, 0x80000000u, 7, NULL, 3, 0, NULL);
    if (handle == (void *)(intptr_t)-1) return W_FNF;
#else
    void *handle = NULL; struct stat st; if (stat(path, &st) || !S_ISREG(st.st_mode)) return W_FNF;
#endif
    for (int i = 0; i < DISKS; i++) if (!opened[i].handle) {
#ifndef _WIN32
        handle = (void *)(uintptr_t)(FIRST + (unsigned)i);
#endif
        fake_count_handle(1); opened[i].handle = handle; opened[i].attached = 0; opened[i].info_only = info_only;
        snprintf(opened[i].path, PMAX, "%s", path); *h = handle; return 0; }
    return W_DENIED;
}
API uint32_t OpenVirtualDisk(const storage_type *t, const wc *path, uint32_t access, uint32_t flags, const open_params *p, void **h) {
    char s[PMAX]; fake_u8(path, s, PMAX); native(s);
    ENTER("OpenVirtualDisk", "%s access=%x flags=%x version=%u info=%d", s, access, flags, p ? p->version : 0, p ? p->get_info_only : 0);
    if (!t || !h || (p && p->version == 2 && access)) return W_INVAL;   /* version 2: the mask must be 0 */
    return open_disk(s, p && p->get_info_only, h);
}
API uint32_t CreateVirtualDisk(const storage_type *t, const wc *path, uint32_t access, void *sd, uint32_t flags, uint32_t provider,
                               const create_params *p, void *overlapped, void **h) {
    char s[PMAX]; fake_u8(path, s, PMAX); native(s);
    ENTER("CreateVirtualDisk", "%s access=%x flags=%x size=%llu block=%u", s, access, flags, (unsigned long long)(p ? p->size : 0), p ? p->block : 0);
    if (!t || !h || !p || p->version != 2 || access || sd || provider || overlapped || !p->size || p->size % 512 || p->parent || p->source) return W_INVAL;
    FILE *f = fopen(s, "rb"); if (f) { fclose(f); return W_EXISTS; }
    if (!(f = fopen(s, "wb"))) return W_FNF;
    fprintf(f, "vhdx %llu\n", (unsigned long long)p->size); fclose(f); return open_disk(s, 0, h);
}
API uint32_t AttachVirtualDisk(void *h, void *sd, uint32_t flags, uint32_t provider, const void *p, void *overlapped) {
    ENTER("AttachVirtualDisk", "flags=%x", flags);
    if (sd || provider || p || overlapped) return W_INVAL;
    if (h == NO_FILE) return 0;
    int at = find(h); char v[PMAX]; if (!at) return W_BADHANDLE;
    if (opened[at - 1].info_only) return W_DENIED;
    if (fake_disk_attached(opened[at - 1].path)) return W_SHARING;
    if (!(flags & 4)) opened[at - 1].attached = 1;
    else { int free_ = find_permanent(""); if (!free_) return W_DENIED; snprintf(permanent[free_ - 1], PMAX, "%s", opened[at - 1].path); }
    volume_of(opened[at - 1].path, v); folder(v, 1); return 0;
}
API uint32_t DetachVirtualDisk(void *h, uint32_t flags, uint32_t provider) {
    ENTER("DetachVirtualDisk", "flags=%x", flags);
    if (flags || provider) return W_INVAL;
    if (h == NO_FILE) return 0;
    int at = find(h); if (!at) return W_BADHANDLE;
    const char *path = opened[at - 1].path; char s[PMAX + 8];
    if (!fake_disk_attached(path)) return W_NOT_ATTACHED;
    state_of(path, s); remove(s);
    for (int i = 0; i < DISKS; i++) if (opened[i].handle && !strcmp(opened[i].path, path)) opened[i].attached = 0;
    if (find_permanent(path)) permanent[find_permanent(path) - 1][0] = 0;
    detached(path); return 0;
}
API uint32_t GetVirtualDiskInformation(void *h, uint32_t *size, disk_info *info, uint32_t *used) {
    ENTER("GetVirtualDiskInformation", "version=%u size=%u", info->version, *size);
    int at = find(h); if (!at) return W_BADHANDLE;
    if (*size != sizeof *info || info->version != 13) return W_INVAL;
    info->is_loaded = fake_disk_attached(opened[at - 1].path); if (used) *used = 12;
    return 0;
}

/* ---- volumes --------------------------------------------------------------------------- */
static uint64_t number(const char *key, uint64_t otherwise) { const char *s = fake_setting(key); return s ? strtoull(s, NULL, 10) : otherwise; }
static int ends_in_separator(const wc *path) { size_t n = 0; while (path[n]) n++; return n && (path[n - 1] == '\\' || path[n - 1] == '/'); }
API int32_t GetVolumePathNameW(const wc *path, wc *out, uint32_t n) {
    char s[PMAX]; ENTER_BOOL("GetVolumePathNameW", "%s units=%u", fake_u8(path, s, PMAX), n);
    if (n < 3) return last(W_MORE, 0);
#ifdef _WIN32
    char root[4] = { s[0], ':', '\\', 0 };
#else
    const char *root = "/";
#endif
    fake_u16(root, out, n); return last(0, 1);
}
API int32_t GetVolumeInformationW(const wc *root, wc *name, uint32_t n, uint32_t *serial, uint32_t *longest, uint32_t *flags, wc *fs, uint32_t fs_n) {
    char s[PMAX]; ENTER_BOOL("GetVolumeInformationW", "%s", fake_u8(root, s, PMAX));
    if (!ends_in_separator(root) || name || n || serial || longest || flags || !fs || fs_n < 16) return last(W_INVAL, 0);
    const char *say = fake_setting("FAKE_FS"); fake_u16(say ? say : "NTFS", fs, fs_n); return last(0, 1);
}
API int32_t GetDiskFreeSpaceExW(const wc *volume, uint64_t *mine, uint64_t *all, uint64_t *unused) {
    char s[PMAX]; ENTER_BOOL("GetDiskFreeSpaceExW", "%s", fake_u8(volume, s, PMAX));
    if (!ends_in_separator(volume) || mine || unused || !all) return last(W_INVAL, 0);
    *all = number("FAKE_VOLUME_BYTES", (20ull << 30) - (16 << 20)); return last(0, 1);
}
/* That of the disk which is attached by its handle. */
static uint64_t partition(void) {
    unsigned long long size = 0;
    for (int i = 0; i < DISKS; i++) if (opened[i].handle && opened[i].attached) {
        FILE *f = fopen(opened[i].path, "rb"); if (!f) continue;
        if (fscanf(f, "vhdx %llu", &size) != 1) size = 0;
        fclose(f); }
    return size;
}
API int32_t DeviceIoControl(void *h, uint32_t code, const void *in, uint32_t n, void *out, uint32_t room, uint32_t *got, void *overlapped) {
    int64_t sectors = 0; if (in && n == 8) memcpy(&sectors, in, 8);
    ENTER_BOOL("DeviceIoControl", "code=%x in=%u out=%u value=%lld", code, n, room, (long long)sectors);
    uint64_t size = partition();
    if (!h || h == (void *)(intptr_t)-1) return last(W_BADHANDLE, 0);
    if (!got || overlapped || !size) return last(W_INVAL, 0);
    if (code == 0x7405C && !n && room == 8) { memcpy(out, &size, 8); *got = 8; return last(0, 1); }
    if (code == 0x900F0 && n == 8 && !room && sectors > 0 && (uint64_t)sectors * 512 <= size) { *got = 0; return last(0, 1); }
    return last(W_INVAL, 0);
}

/* ---- who holds files -------------------------------------------------------------------- */
typedef struct { uint32_t process, start[2]; wc name[256], service[64]; uint32_t type, status, session; int32_t restartable; } process_info;
_Static_assert(sizeof(process_info) == 668, "RM_PROCESS_INFO");
API uint32_t RmStartSession(uint32_t *handle, uint32_t flags, wc *key) {
    ENTER("RmStartSession", "flags=%u", flags);
    if (!handle || flags || !key || session) return W_INVAL;
    static const char text[] = "0123456789abcdef0123456789abcdef"; fake_u16(text, key, 40); key[32] = 0;
    *handle = session = 7; files = 0; more = (uint32_t)number("FAKE_HOLDERS_MORE", 0); fake_count_handle(1); return 0;
}
API uint32_t RmRegisterResources(uint32_t s, uint32_t n, const wc **names, uint32_t apps, const void *app, uint32_t services, const wc **service) {
    ENTER("RmRegisterResources", "files=%u", n); char u8[PMAX];
    if (!session || s != session || apps || app || services || service || !n || !names) return W_INVAL;
    for (uint32_t i = 0; i < n; i++) fake_logf("  file %s", fake_u8(names[i], u8, PMAX));
    files += n; return 0;
}
API uint32_t RmGetList(uint32_t s, uint32_t *needed, uint32_t *room, process_info *out, uint32_t *reasons) {
    ENTER("RmGetList", "room=%u", *room); uint32_t n = 0, given = 0;
    if (!session || s != session || !needed || !reasons || !files || (*room && !out)) return W_INVAL;
    const char *say = fake_setting("FAKE_HOLDERS"); char list[PMAX]; snprintf(list, PMAX, "%s", say ? say : "");
    for (char *one = list, *next; *one; one = next) {
        next = strchr(one, '|'); if (next) *next++ = 0; else next = one + strlen(one);
        char *name = strchr(one, ' '); if (!name) return W_INVAL;
        if (n++ < *room) { process_info *p = &out[given++]; memset(p, 0, sizeof *p); p->process = (uint32_t)atoi(one); fake_u16(name + 1, p->name, 256); } }
    if (more && n) { more--; n = *room + 1; }
    *needed = n; *reasons = 0; if (n > *room) return W_MORE;
    *room = given; return 0;
}
API uint32_t RmEndSession(uint32_t s) { ENTER("RmEndSession", "%u", s); if (!session || s != session) return W_INVAL; session = 0; fake_count_handle(-1); return 0; }
