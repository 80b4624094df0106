/* A stand-in for vmcompute and computestorage, and for BackupRead and BackupWrite.
 *
 * With fake_disks.c for two targets: a library for ctypes on Linux and macOS, and vmcompute.dll, computestorage.dll and
 * virtdisk.dll for a Python of Windows under Wine (mingw-w64). Every call is checked for its arguments, logged, can be
 * made to fail, and does a plausible thing to layer folders on disk:
 *
 *   <layer>/Files             the whole tree of a read-only layer: what it adds and its parents' files (Windows
 *                             keeps placeholders for the latter, this copies)
 *   <layer>/sandbox.vhdx      marks a scratch; text "vhdx <size>\n"
 *   <layer>/fake.state        "A" activated, "P" activated and prepared
 *   <layer>/Volume            what the scratch shows while and after it was prepared
 *
 * Control: fake.h. Settings, by fake_set or in the environment at the start:
 *   FAKE_HCS_LOG=path         append every line of the log to that file, too
 *   FAKE_HCS_SYSTEMS=json     what HcsEnumerateComputeSystems answers
 *   FAKE_HCS_RESULT=json      what calls on compute systems give as their result, when made to fail or not
 *   FAKE_HCS_LENGTH=no-nul    GetLayerMountPath counts no NUL, and writes none; =huge: it says 1 << 40
 *   FAKE_HCS_EXIT=never       terminated systems never tell that they exited; =gone: the service goes away
 *   FAKE_BARE=1               layers may lack what Windows needs: hives, Files, the boot configuration of a utility VM
 *   FAKE_BACKUP_DIR=folder    where all but the data of files is kept; without it, nothing but the data is
 */
#include "fake.h"
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#ifdef _WIN32
#  define WIN32_LEAN_AND_MEAN
#  define BackupRead        hdr_BackupRead
#  define BackupWrite       hdr_BackupWrite
#  include <windows.h>
#  include <objbase.h>
#  undef BackupRead
#  undef BackupWrite
#  define SEP '\\'
#else
#  include <dirent.h>
#  include <fcntl.h>
#  include <sys/stat.h>
#  include <unistd.h>
#  include <errno.h>
#  include <pthread.h>
#  define SEP '/'
#endif

typedef struct { uint8_t b[16]; } guid_t;
typedef struct { int32_t Flavour; const wc *HomeDir; } driver_info;
typedef struct { guid_t LayerId; uint32_t Flags; const wc *Path; } layer_descriptor;
_Static_assert(sizeof(driver_info) == 16 && offsetof(driver_info, HomeDir) == 8, "DriverInfo");
_Static_assert(sizeof(layer_descriptor) == 32 && offsetof(layer_descriptor, Path) == 24, "descriptor");

#define HR(e) ((hr_t)(0x80070000u | (e)))
enum { E_FNF = 2, E_PNF = 3, E_INVAL = 87, E_EXISTS = 183, E_NOTREADY = 21, E_BADHANDLE = 6 };
#define PMAX 4096

/* ---- settings: fake_set() beats the environment (a DLL's C runtime has its own copy of that) --- */
static struct { char key[32], *val; } sets[32];
API void fake_set(const char *key, const char *val) {
    for (int i = 0; i < 32; i++) if (!sets[i].key[0] || !strcmp(sets[i].key, key)) {
        snprintf(sets[i].key, sizeof sets[i].key, "%s", key); free(sets[i].val); sets[i].val = val ? strdup(val) : NULL; return; }
}
const char *fake_setting(const char *key) {
    for (int i = 0; i < 32; i++) if (sets[i].key[0] && !strcmp(sets[i].key, key)) return sets[i].val;
    return getenv(key);
}

/* ---- log and faults ------------------------------------------------------ */
static int live_strings, live_handles;                             /* given out and not given back */
static char logbuf[1 << 18]; static size_t loglen;
static struct { char name[48]; hr_t hr; int left; } faults[32];

#ifndef _WIN32
static pthread_mutex_t logging = PTHREAD_MUTEX_INITIALIZER;
#endif
void fake_logf(const char *fmt, ...) {
    char line[4096]; va_list ap; va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, ap); va_end(ap);
    if (n < 0) return;
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
#ifndef _WIN32
    pthread_mutex_lock(&logging);
#endif
    if (loglen + n < sizeof logbuf) { memcpy(logbuf + loglen, line, n); loglen += n; }
    const char *p = fake_setting("FAKE_HCS_LOG");
    FILE *f = p ? fopen(p, "ab") : NULL;
    if (f) { fwrite(line, 1, n, f); fclose(f); }
#ifndef _WIN32
    pthread_mutex_unlock(&logging);
#endif
}
API void fake_note(const char *line) { fake_logf("%s", line); }
API void fake_fail(const char *name, hr_t hr, int times) {
    for (int i = 0; i < 32; i++)
        if (!faults[i].left || !strcmp(faults[i].name, name)) {
            snprintf(faults[i].name, sizeof faults[i].name, "%s", name);
            faults[i].hr = hr; faults[i].left = times; return;
        }
}
API size_t fake_log(char *buf, size_t n) {
    if (buf && n) { size_t k = loglen < n - 1 ? loglen : n - 1; memcpy(buf, logbuf, k); buf[k] = 0; }
    return loglen;
}
static int live_contexts;
API void fake_reset(void) { loglen = 0; memset(faults, 0, sizeof faults); live_strings = live_handles = live_contexts = 0; fake_reset_disks(); }
API int fake_live_strings(void) { return live_strings; }
API int fake_live_handles(void) { return live_handles; }
void fake_count_handle(int change) { __atomic_add_fetch(&live_handles, change, __ATOMIC_SEQ_CST); }
int fake_faulty(const char *name, hr_t *hr) {
    for (int i = 0; i < 32; i++)
        if (faults[i].left > 0 && !strcmp(faults[i].name, name)) { faults[i].left--; *hr = faults[i].hr; return 1; }
    return 0;
}
#define ENTER(name, ...) do { hr_t h_; fake_logf(name " " __VA_ARGS__); \
    if (fake_faulty(name, &h_)) { fake_logf("  -> %08x (injected)", (unsigned)h_); return h_; } } while (0)

/* ---- UTF-16 <-> UTF-8 (lone surrogates kept as 3-byte WTF-8) --------------- */
char *fake_u8(const wc *s, char *out, size_t n) {
    size_t o = 0;
    for (; s && *s && o + 5 < n; s++) {
        uint32_t c = *s;
        if (c >= 0xD800 && c < 0xDC00 && s[1] >= 0xDC00 && s[1] < 0xE000) { c = 0x10000 + ((c - 0xD800) << 10) + (s[1] - 0xDC00); s++; }
        if (c < 0x80) out[o++] = (char)c;
        else if (c < 0x800) { out[o++] = (char)(0xC0 | c >> 6); out[o++] = (char)(0x80 | (c & 63)); }
        else if (c < 0x10000) { out[o++] = (char)(0xE0 | c >> 12); out[o++] = (char)(0x80 | (c >> 6 & 63)); out[o++] = (char)(0x80 | (c & 63)); }
        else { out[o++] = (char)(0xF0 | c >> 18); out[o++] = (char)(0x80 | (c >> 12 & 63)); out[o++] = (char)(0x80 | (c >> 6 & 63)); out[o++] = (char)(0x80 | (c & 63)); }
    }
    out[o] = 0; return out;
}
size_t fake_u16(const char *s, wc *out, size_t n) {          /* returns units, NUL not counted */
    size_t o = 0; const uint8_t *p = (const uint8_t *)s;
    while (*p && o + 2 < n) {
        uint32_t c = *p++; int more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if (more) { c &= 0x3F >> more; while (more-- && (*p & 0xC0) == 0x80) c = c << 6 | (*p++ & 63); }
        if (c >= 0x10000) { c -= 0x10000; out[o++] = (wc)(0xD800 + (c >> 10)); out[o++] = (wc)(0xDC00 + (c & 0x3FF)); }
        else out[o++] = (wc)c;
    }
    out[o] = 0; return o;
}
static void *com_alloc(size_t n) {
    live_strings++;
#ifdef _WIN32
    return CoTaskMemAlloc(n);
#else
    return malloc(n);
#endif
}
#ifndef _WIN32
API void CoTaskMemFree(void *p) { if (p) live_strings--; fake_logf("CoTaskMemFree %d", p != NULL); free(p); }
#endif
static hr_t give_string(const char *s, wc **out) {
    wc *w = com_alloc(2 * (strlen(s) + 1)); fake_u16(s, w, strlen(s) + 3); *out = w; return 0;
}

/* ---- files: paths are UTF-8 here, with the platform's separator ------------ */
static void native(char *p) { for (; *p; p++) if (*p == '/' || *p == '\\') *p = SEP; }
#ifdef _WIN32
static const WCHAR *W(const char *p, WCHAR *b) { fake_u16(p, (wc *)b, PMAX); return b; }
#endif
static int kind(const char *p) {                     /* 0 absent, 1 file, 2 folder */
#ifdef _WIN32
    WCHAR b[PMAX]; DWORD a = GetFileAttributesW(W(p, b));
    return a == INVALID_FILE_ATTRIBUTES ? 0 : a & FILE_ATTRIBUTE_DIRECTORY ? 2 : 1;
#else
    struct stat st; return lstat(p, &st) ? 0 : S_ISDIR(st.st_mode) ? 2 : 1;
#endif
}
static int mkdir1(const char *p) {
#ifdef _WIN32
    WCHAR b[PMAX]; return CreateDirectoryW(W(p, b), NULL) ? 0 : -1;
#else
    return mkdir(p, 0777);
#endif
}
static FILE *fopen8(const char *p, const char *mode) {
#ifdef _WIN32
    WCHAR b[PMAX], m[8]; return _wfopen(W(p, b), W(mode, m));
#else
    return fopen(p, mode);
#endif
}
static int remove1(const char *p) {
#ifdef _WIN32
    WCHAR b[PMAX]; W(p, b); SetFileAttributesW(b, FILE_ATTRIBUTE_NORMAL);
    return (kind(p) == 2 ? RemoveDirectoryW(b) : DeleteFileW(b)) ? 0 : -1;
#else
    return remove(p);
#endif
}
static char *join(char *out, const char *a, const char *b) {
    char t[PMAX]; snprintf(t, PMAX, "%s%s%s", a, *a && *b && a[strlen(a) - 1] != SEP ? (SEP == '/' ? "/" : "\\") : "", b);
    native(t); return strcpy(out, t);
}
#ifndef _WIN32
static wc upcase[65536];
API void fake_set_upcase(const wc *table) { memcpy(upcase, table, sizeof upcase); }
static int same_name(const char *a, const char *b) {
    wc x[PMAX], y[PMAX]; size_t n = fake_u16(a, x, PMAX);
    if (n != fake_u16(b, y, PMAX)) return 0;
    for (size_t i = 0; i < n; i++) if (x[i] != y[i] && (!upcase[x[i]] || upcase[x[i]] != upcase[y[i]])) return 0;
    return 1;
}
char *fake_find(char *out, size_t n, const char *root, const char *rel) {
    size_t at = (size_t)snprintf(out, n, "%s", root), k;
    for (; *rel && at + 1 < n; rel += k + (rel[k] != 0)) {
        char name[PMAX]; k = strcspn(rel, "/\\"); if (!k) continue;
        snprintf(name, sizeof name, "%.*s", (int)k, rel); snprintf(out + at, n - at, "/%s", name);
        if (!kind(out)) {
            out[at] = 0; DIR *d = opendir(out); struct dirent *e;
            while (d && (e = readdir(d))) if (same_name(e->d_name, name)) { snprintf(name, sizeof name, "%s", e->d_name); break; }
            if (d) closedir(d);
            snprintf(out + at, n - at, "/%s", name); }
        at += strlen(out + at); }
    return out;
}
#else
API void fake_set_upcase(const wc *table) { (void)table; }          /* Wine has its own */
char *fake_find(char *out, size_t n, const char *root, const char *rel) { (void)n; return join(out, root, rel); }
#endif
typedef int (*walk_fn)(const char *rel, int is_dir, void *ctx);
static int list(const char *dir, char ***names) {                    /* names sorted by bytes */
    int n = 0, cap = 0; *names = NULL;
#define ADD(s) do { if (n == cap) *names = realloc(*names, (cap = cap ? 2 * cap : 16) * sizeof(char *)); (*names)[n++] = strdup(s); } while (0)
#ifdef _WIN32
    char pat[PMAX]; WCHAR b[PMAX]; WIN32_FIND_DATAW fd; join(pat, dir, "*");
    HANDLE h = FindFirstFileW(W(pat, b), &fd);
    if (h != INVALID_HANDLE_VALUE) { do { char nm[1024]; fake_u8((wc *)fd.cFileName, nm, sizeof nm);
        if (strcmp(nm, ".") && strcmp(nm, "..")) ADD(nm); } while (FindNextFileW(h, &fd)); FindClose(h); }
#else
    DIR *d = opendir(dir); struct dirent *e;
    if (d) { while ((e = readdir(d))) if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) ADD(e->d_name); closedir(d); }
#endif
    for (int i = 1; i < n; i++) for (int j = i; j && strcmp((*names)[j - 1], (*names)[j]) > 0; j--) {
        char *t = (*names)[j]; (*names)[j] = (*names)[j - 1]; (*names)[j - 1] = t; }
    return n;
}
static int walk(const char *root, const char *rel, walk_fn fn, void *ctx, int post) {
    char dir[PMAX], sub[PMAX], full[PMAX]; char **names; join(dir, root, rel);
    int n = list(dir, &names), rc = 0;
    for (int i = 0; i < n; i++) {
        join(sub, rel, names[i]); join(full, root, sub); int k = kind(full);
        if (!rc && !post) rc = fn(sub, k == 2, ctx);
        if (!rc && k == 2) rc = walk(root, sub, fn, ctx, post);
        if (!rc && post) rc = fn(sub, k == 2, ctx);
        free(names[i]);
    }
    free(names); return rc;
}
static int rm_fn(const char *rel, int d, void *c) { (void)d; char p[PMAX]; return remove1(join(p, c, rel)); }
static int rmtree(const char *p) { return kind(p) == 2 ? (walk(p, "", rm_fn, (void *)p, 1) || remove1(p)) : remove1(p); }
static uint8_t *slurp(const char *p, size_t *n) {
    FILE *f = fopen8(p, "rb"); *n = 0; if (!f) return NULL;
    fseek(f, 0, SEEK_END); long k = ftell(f); rewind(f);
    uint8_t *b = malloc(k + 1); *n = fread(b, 1, k, f); b[*n] = 0; fclose(f); return b;
}
static int spit(const char *p, const void *b, size_t n) {
    FILE *f = fopen8(p, "wb"); if (!f) return -1;
    size_t k = fwrite(b, 1, n, f); fclose(f); return k == n ? 0 : -1;
}
/* ---- what is kept beside the data: FAKE_BACKUP_DIR/<key>.<what> ---------------------------
 * "info" is FILE_BASIC_INFO, "backup" the backup stream without its data, "placeholder" marks what stands for a parent's.
 */
#ifndef _WIN32
static uint64_t key_of(int fd, const char *path) {        /* numbers of files are given out again: when it was made, too */
#  ifdef __APPLE__
    struct stat s; if (*path ? lstat(path, &s) : fstat(fd, &s)) return 0;
    return s.st_ino * 0x9E3779B97F4A7C15ull ^ ((uint64_t)s.st_birthtimespec.tv_sec * 1000000000u + (uint64_t)s.st_birthtimespec.tv_nsec);
#  else
    struct statx s; if (statx(fd, path, AT_SYMLINK_NOFOLLOW | (*path ? 0 : AT_EMPTY_PATH), STATX_INO | STATX_BTIME, &s)) return 0;
    return s.stx_ino * 0x9E3779B97F4A7C15ull ^ ((uint64_t)s.stx_btime.tv_sec * 1000000000u + s.stx_btime.tv_nsec);
#  endif
}
uint64_t fake_key(const char *path) { return key_of(AT_FDCWD, path); }
#else
uint64_t fake_key(const char *path) {
    WCHAR b[PMAX]; BY_HANDLE_FILE_INFORMATION i; uint64_t key = 0;
    HANDLE h = CreateFileW(W(path, b), 0, 7, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (h == INVALID_HANDLE_VALUE) return 0;
    if (GetFileInformationByHandle(h, &i)) key = (uint64_t)i.nFileIndexHigh << 32 | i.nFileIndexLow;
    CloseHandle(h); return key;
}
#endif
static char *beside(char *out, uint64_t key, const char *what) {
    const char *d = fake_setting("FAKE_BACKUP_DIR"); char n[64]; if (!d || !key) return NULL;
    snprintf(n, sizeof n, "%016llx.%s", (unsigned long long)key, what); return join(out, d, n);
}
uint8_t *fake_kept(uint64_t key, const char *what, size_t *n) { char p[PMAX]; *n = 0; return beside(p, key, what) ? slurp(p, n) : NULL; }
int fake_keep(uint64_t key, const char *what, const void *b, size_t n) { char p[PMAX]; return beside(p, key, what) ? spit(p, b, n) : 0; }
static const char *const kept_kinds[] = { "info", "backup", "placeholder" };
void fake_forget(uint64_t key) { char p[PMAX]; for (int i = 0; i < 3; i++) if (beside(p, key, kept_kinds[i])) remove1(p); }
static uint64_t get(const uint8_t *p, int n) { uint64_t v = 0; while (n--) v = v << 8 | p[n]; return v; }
static void put(uint8_t *p, uint64_t v, int n) { while (n--) { *p++ = (uint8_t)v; v >>= 8; } }
static size_t record(const uint8_t *p) { return 20 + get(p + 16, 4) + get(p + 8, 8); }
uint32_t fake_tag(const char *path) {
    size_t n; uint32_t tag = 0; uint8_t *b = fake_kept(fake_key(path), "backup", &n);
    for (size_t o = 0; o + 20 <= n; o += record(b + o)) if (get(b + o, 4) == 8 && get(b + o + 8, 8) >= 4) tag = (uint32_t)get(b + o + 20, 4);
    free(b); return tag;
}
uint8_t *fake_stream(uint64_t key, const char *name, size_t *n) {
    size_t m, o = 0; uint8_t *b = fake_kept(key, "backup", &m), *out = NULL; *n = 0;
    for (; o + 20 <= m && !out; o += record(b + o)) {
        wc w[PMAX]; char u8[PMAX]; size_t bytes = get(b + o + 16, 4), size = get(b + o + 8, 8);
        if (get(b + o, 4) != 4 || bytes >= 2 * PMAX) continue;
        memcpy(w, b + o + 20, bytes); w[bytes / 2] = 0;
        if (strcmp(fake_u8(w, u8, PMAX), name)) continue;
        out = malloc(size + 1); memcpy(out, b + o + 20 + bytes, *n = size);
    }
    for (; out && o + 20 <= m && get(b + o, 4) == 9; o += record(b + o)) {       /* blocks of a sparse one */
        uint64_t at = get(b + o + 20, 8), size = get(b + o + 8, 8) - 8;
        if (at + size > *n) { out = realloc(out, at + size + 1); memset(out + *n, 0, at + size - *n); *n = at + size; }
        memcpy(out + at, b + o + 28, size); }
    free(b); return out;
}
static int f_info(void *h, uint64_t *key, uint64_t *size, int *dir) {
#ifdef _WIN32
    BY_HANDLE_FILE_INFORMATION b; if (!GetFileInformationByHandle(h, &b)) return -1;
    *key = (uint64_t)b.nFileIndexHigh << 32 | b.nFileIndexLow; *size = (uint64_t)b.nFileSizeHigh << 32 | b.nFileSizeLow;
    *dir = !!(b.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
#else
    struct stat s; if (fstat((int)(intptr_t)h, &s)) return -1;
    *key = key_of((int)(intptr_t)h, ""); *size = S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0; *dir = S_ISDIR(s.st_mode);
#endif
    return 0;
}
uint64_t fake_key_of(void *h) { uint64_t key, size; int dir; return f_info(h, &key, &size, &dir) ? 0 : key; }
static int f_io(void *h, int wr, uint64_t off, void *p, size_t n) {
#ifdef _WIN32
    LARGE_INTEGER o; DWORD k; o.QuadPart = (LONGLONG)off;
    return SetFilePointerEx(h, o, NULL, FILE_BEGIN) && (wr ? WriteFile(h, p, (DWORD)n, &k, NULL) : ReadFile(h, p, (DWORD)n, &k, NULL)) && k == n ? 0 : -1;
#else
    return (wr ? pwrite((int)(intptr_t)h, p, n, off) : pread((int)(intptr_t)h, p, n, off)) == (ssize_t)n ? 0 : -1;
#endif
}
static int f_size(void *h, uint64_t n) {
#ifdef _WIN32
    LARGE_INTEGER o; o.QuadPart = (LONGLONG)n; return SetFilePointerEx(h, o, NULL, FILE_BEGIN) && SetEndOfFile(h) ? 0 : -1;
#else
    return ftruncate((int)(intptr_t)h, n);
#endif
}
static void *f_open(const char *p) {
#ifdef _WIN32
    WCHAR b[PMAX]; HANDLE h = CreateFileW(W(p, b), GENERIC_READ | (kind(p) == 2 ? 0 : GENERIC_WRITE), 7, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    return h == INVALID_HANDLE_VALUE ? NULL : h;
#else
    int fd = open(p, (kind(p) == 2 ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW); return fd > 0 ? (void *)(intptr_t)fd : NULL;
#endif
}
static void f_close(void *h) {
#ifdef _WIN32
    CloseHandle(h);
#else
    close((int)(intptr_t)h);
#endif
}
/* A file as a backup stream: all but data and named streams, the data, named streams. NULL where it cannot be read. */
static uint8_t *make_stream(void *h, int security, size_t *n) {
    uint64_t key, size; int dir; size_t m; *n = 0;
    if (f_info(h, &key, &size, &dir)) return NULL;
    uint8_t *kept = fake_kept(key, "backup", &m), *out = malloc(m + size + 21);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t o = 0; o + 20 <= m; o += record(kept + o)) {
            uint32_t t = get(kept + o, 4);
            if ((t == 4 || t == 9) == pass && (t != 3 || security)) { memcpy(out + *n, kept + o, record(kept + o)); *n += record(kept + o); } }
        if (!pass && !dir && size) {
            put(out + *n, 1, 4); put(out + *n + 4, 0, 4); put(out + *n + 8, size, 8); put(out + *n + 16, 0, 4); *n += 20;
            if (f_io(h, 0, 0, out + *n, size)) { free(kept); free(out); return NULL; }
            *n += size; }
    }
    free(kept); return out;
}
/* The way back; the stream is whole. */
static int apply_stream(void *h, const uint8_t *b, size_t n, int security) {
    uint64_t key, size; int dir, bad = 0, named = 0; uint8_t *keep = NULL; size_t kn = 0;
    if (f_info(h, &key, &size, &dir)) return -1;
    for (size_t o = 0; !bad && o + 20 <= n; o += record(b + o)) {
        uint32_t t = (uint32_t)get(b + o, 4); size_t nm = get(b + o + 16, 4), sz = get(b + o + 8, 8); const uint8_t *d = b + o + 20 + nm;
        if (t != 9) named = t == 4;
        if (t == 1) { if (sz && f_io(h, 1, 0, (void *)d, sz)) bad = 1; }
        else if (t == 9 && !named) { uint64_t off = get(d, 8), end = off + sz - 8; if (sz > 8 ? f_io(h, 1, off, (void *)(d + 8), sz - 8) : f_size(h, end)) bad = 1; }
        else if (t != 3 || security) { keep = realloc(keep, kn + record(b + o)); memcpy(keep + kn, b + o, record(b + o)); kn += record(b + o); }
    }
    if (!bad && kn) bad = fake_keep(key, "backup", keep, kn);
    free(keep); return bad;
}
static int spits(const char *dir, const char *name, const char *s) { char p[PMAX]; return spit(join(p, dir, name), s, strlen(s)); }
struct two { const char *a, *b; };
static int copy_kept(const char *s, const char *q) {
    size_t n; uint8_t *b; int rc = 0; fake_forget(fake_key(q));
    for (int i = 0; i < 2; i++) { b = fake_kept(fake_key(s), kept_kinds[i], &n); if (b) rc |= fake_keep(fake_key(q), kept_kinds[i], b, n); free(b); }
    return rc;
}
static int copy_fn(const char *rel, int d, void *c) {      /* copy a/rel to b/rel unless there, as what stands for it */
    struct two *t = c; char s[PMAX], q[PMAX]; join(s, t->a, rel); fake_find(q, PMAX, t->b, rel);
    if (kind(q)) return 0;
    if (d) { if (mkdir1(q)) return -1; }
    else { size_t n; uint8_t *b = slurp(s, &n); int rc = b ? spit(q, b, n) : -1; free(b); if (rc) return rc; }
    return copy_kept(s, q) || fake_keep(fake_key(q), "placeholder", "1", 1);
}
static int copytree(const char *a, const char *b) { struct two t = { a, b }; if (!kind(b)) mkdir1(b); return walk(a, "", copy_fn, &t, 0); }

/* ---- layers ---------------------------------------------------------------- */
static hr_t layer(const driver_info *i, const wc *id, char *out) {   /* HomeDir\id, or id alone */
    char h[PMAX], n[PMAX];
    if (!i || i->Flavour != 1 || !i->HomeDir || !id || !*id) return HR(E_INVAL);
    fake_u8(i->HomeDir, h, PMAX); fake_u8(id, n, PMAX); join(out, h, n); return 0;
}
static hr_t chain(const layer_descriptor *d, size_t n, char *first) { /* all parents must be there */
    char p[PMAX]; if (first) *first = 0;
    if (n && !d) return HR(E_INVAL);
    for (size_t k = 0; k < n; k++) {
        static const guid_t zero; 
        if (!d[k].Path || d[k].Flags || !memcmp(&d[k].LayerId, &zero, 16)) return HR(E_INVAL);
        fake_u8(d[k].Path, p, PMAX); native(p); fake_logf("  parent %s", p);
        if (kind(p) != 2) return HR(E_PNF);
        if (!k && first) strcpy(first, p);
    }
    return 0;
}
static int is_scratch(const char *L) { char p[PMAX]; return kind(join(p, L, "sandbox.vhdx")) == 1; }
static char state(const char *L) { char p[PMAX]; size_t n; uint8_t *b = slurp(join(p, L, "fake.state"), &n); char c = n ? (char)b[0] : 0; free(b); return c; }
#define LAYER(fn) char L[PMAX], N_[PMAX]; ENTER(fn, "%s", fake_u8(id, N_, PMAX)); { hr_t h_ = layer(info, id, L); if (h_) return h_; }
#define NEED_DIR if (kind(L) != 2) return HR(E_PNF)

API hr_t CreateLayer(const driver_info *info, const wc *id, const wc *parent) {
    LAYER("CreateLayer"); char p[PMAX]; fake_logf("  parent %s", fake_u8(parent, p, PMAX));
    if (kind(L)) return HR(E_EXISTS);
    return mkdir1(L) ? HR(E_PNF) : 0;
}
API hr_t CreateSandboxLayer(const driver_info *info, const wc *id, uintptr_t parent, const layer_descriptor *d, size_t n) {
    LAYER("CreateSandboxLayer"); fake_logf("  parent id %#llx", (unsigned long long)(uintptr_t)parent);
    if (!n) return HR(E_INVAL);
    hr_t h = chain(d, n, NULL); if (h) return h;
    if (kind(L)) return HR(E_EXISTS);
    if (mkdir1(L)) return HR(E_PNF);
    return spits(L, "sandbox.vhdx", "vhdx 21474836480\n") ? HR(E_PNF) : 0;
}
API hr_t ExpandSandboxSize(const driver_info *info, const wc *id, uint64_t size) {
    LAYER("ExpandSandboxSize"); char t[64]; fake_logf("  size %llu", (unsigned long long)size);
    if (!is_scratch(L)) return HR(E_FNF);
    snprintf(t, sizeof t, "vhdx %llu\n", (unsigned long long)size); return spits(L, "sandbox.vhdx", t) ? HR(E_FNF) : 0;
}
API hr_t ActivateLayer(const driver_info *info, const wc *id) { LAYER("ActivateLayer"); NEED_DIR; return spits(L, "fake.state", "A") ? HR(E_PNF) : 0; }
API hr_t DeactivateLayer(const driver_info *info, const wc *id) {
    LAYER("DeactivateLayer"); NEED_DIR; char p[PMAX];
    if (state(L) == 'P') return HR(E_NOTREADY);                      /* must be unprepared first */
    remove1(join(p, L, "fake.state")); return 0;
}
API hr_t PrepareLayer(const driver_info *info, const wc *id, const layer_descriptor *d, size_t n) {
    LAYER("PrepareLayer"); NEED_DIR; char top[PMAX], a[PMAX], v[PMAX];
    hr_t h = chain(d, n, top); if (h) return h;
    if (!state(L)) return HR(E_NOTREADY);                            /* must be activated first */
    if (is_scratch(L)) { if (!n) return HR(E_INVAL); if (!kind(join(v, L, "Volume"))) { mkdir1(v); if (kind(join(a, top, "Files"))) copytree(a, v); } }
    return spits(L, "fake.state", "P") ? HR(E_PNF) : 0;
}
API hr_t UnprepareLayer(const driver_info *info, const wc *id) { LAYER("UnprepareLayer"); NEED_DIR; return spits(L, "fake.state", "A") ? HR(E_PNF) : 0; }
API hr_t GetLayerMountPath(const driver_info *info, const wc *id, size_t *len, wc *buf) {
    LAYER("GetLayerMountPath"); fake_logf("  buffer %s", buf ? "given" : "NULL"); NEED_DIR; if (!len) return HR(E_INVAL);
    char p[PMAX]; wc w[PMAX];
    if (is_scratch(L) && !state(L) && !fake_disk_attached(join(p, L, "sandbox.vhdx"))) { *len = 0; return 0; }   /* not mounted: empty */
    if (is_scratch(L)) join(p, L, "Volume"); else strcpy(p, L);
    size_t n = fake_u16(p, w, PMAX) + 1; const char *say = fake_setting("FAKE_HCS_LENGTH");
    if (!buf) { *len = !say ? n : !strcmp(say, "huge") ? (size_t)1 << 40 : n - 1; return 0; }
    if (say) n--;                                                    /* whether it counts the NUL is not known */
    if (*len < n) return HR(122);
    memcpy(buf, w, 2 * n); *len = n; return 0;
}
API hr_t LayerExists(const driver_info *info, const wc *id, uint32_t *exists) { LAYER("LayerExists"); if (!exists) return HR(E_INVAL); *exists = kind(L) == 2; return 0; }
API hr_t DestroyLayer(const driver_info *info, const wc *id) { LAYER("DestroyLayer"); NEED_DIR; if (state(L)) return HR(32); return rmtree(L) ? HR(5) : 0; }
API hr_t CopyLayer(const driver_info *info, const wc *id, const wc *dst, const layer_descriptor *d, size_t n) {
    LAYER("CopyLayer"); NEED_DIR; char D[PMAX]; hr_t h = layer(info, dst, D); if (h || (h = chain(d, n, NULL))) return h;
    if (kind(D)) return HR(E_EXISTS);
    return copytree(L, D) ? HR(E_PNF) : 0;
}

/* Transport format: a 4-byte attribute word, then a Win32 backup stream. */
#define WCI ".$wcidirs$"
struct imp { const char *src, *dst; };
static int take_record(const char *s, const char *q) {     /* what a record says of a file or folder that is there */
    size_t n, m, o = 4; uint8_t *b = slurp(s, &n); int rc = -1; void *h = NULL;
    while (b && o + 20 <= n && o + record(b + o) <= n) o += record(b + o);
    if (b && o == n && (h = f_open(q))) {
        fake_forget(fake_key(q));
        uint8_t *info = fake_kept(fake_key(s), "info", &m);
        if (m == 40) memcpy(info + 32, b, 4);
        rc = apply_stream(h, b + 4, n - 4, 1) || (m == 40 && fake_keep(fake_key(q), "info", info, m));
        free(info); f_close(h); }
    free(b); return rc;
}
static int import_fn(const char *rel, int d, void *c) {
    struct imp *x = c; char s[PMAX], q[PMAX]; join(s, x->src, rel); fake_find(q, PMAX, x->dst, rel);
    size_t k = strlen(q);
    if (d) return kind(q) != 2 && mkdir1(q);
    if (k > 10 && !strcmp(q + k - 10, WCI)) { q[k - 10] = 0; if (!kind(q)) mkdir1(q); return take_record(s, q); }
    return spit(q, "", 0) || take_record(s, q);
}
static hr_t import_layer(const char *L, const wc *path, const layer_descriptor *d, size_t n) {
    char P[PMAX], top[PMAX], a[PMAX], b[PMAX]; fake_logf("  from %s", fake_u8(path, P, PMAX)); native(P);
    if (!n) return HR(E_INVAL);
    hr_t h = chain(d, n, top); if (h) return h;
    if (kind(join(a, P, "Files")) != 2 && !fake_setting("FAKE_BARE")) return HR(E_PNF);
    if (kind(join(b, P, "tombstones.txt"))) return HR(E_INVAL);      /* the writer applies them itself */
    if (!kind(L)) mkdir1(L);
    struct imp x = { a, b }; join(b, L, "Files"); if (!kind(b)) mkdir1(b);
    if (walk(a, "", import_fn, &x, 0)) return HR(13);
    char c[PMAX], e[PMAX];
    if (kind(join(c, P, "Files" WCI)) && take_record(c, b)) return HR(13);
    if (kind(join(c, P, "Hives")) == 2) copytree(c, join(e, L, "Hives"));
    if (kind(join(c, top, "Files"))) copytree(c, b);                 /* stands for the placeholders */
    return 0;
}
API hr_t ImportLayer(const driver_info *info, const wc *id, const wc *path, const layer_descriptor *d, size_t n) {
    LAYER("ImportLayer"); return import_layer(L, path, d, n);
}
struct exp { const char *src, *top, *out; FILE *tomb; };
static int write_record(const char *s, const char *q) {
    void *h = f_open(s); size_t n = 0, m; uint8_t *b = h ? make_stream(h, 1, &n) : NULL; if (h) f_close(h);
    if (!b) return -1;
    uint8_t *info = fake_kept(fake_key(s), "info", &m), *w = malloc(n + 4);
    put(w, m == 40 ? get(info + 32, 4) : kind(s) == 2 ? 0x10 : 0x20, 4); memcpy(w + 4, b, n);
    int rc = spit(q, w, n + 4); fake_forget(fake_key(q));
    if (!rc && m == 40) { put(info + 32, 0x20, 4); rc = fake_keep(fake_key(q), "info", info, m); }
    free(w); free(b); free(info); return rc;
}
static int export_folders(struct exp *x, const char *rel, int all) {     /* those above, which say where it is; all: itself too */
    char part[PMAX], s[PMAX], q[PMAX], record_[PMAX + 16]; strcpy(part, rel);
    for (char *c = part; ; c++) if (*c == SEP || !*c) {
        char was = *c; if (!was && !all) return 0;
        *c = 0; join(s, x->src, part); join(q, x->out, part);
        if (*part && !kind(q)) { snprintf(record_, sizeof record_, "%s" WCI, q); if (mkdir1(q) || write_record(s, record_)) return -1; }
        if (!was) return 0;
        *c = was; }
}
static int unchanged(struct exp *x, const char *rel, int d, const char *s) {
    char t[PMAX]; size_t n, m; if (!*x->top || kind(fake_find(t, PMAX, x->top, rel)) != (d ? 2 : 1)) return 0;
    if (fake_key(s) == fake_key(t)) return 1;
    uint8_t *mark = fake_kept(fake_key(s), "placeholder", &n); free(mark);
    if (!mark && fake_setting("FAKE_BACKUP_DIR")) return 0;
    if (d) return 1;
    uint8_t *b = slurp(s, &n), *o = slurp(t, &m); int same = b && o && n == m && !memcmp(b, o, n); free(b); free(o);
    return same;
}
static int export_fn(const char *rel, int d, void *c) {
    struct exp *x = c; char s[PMAX], q[PMAX]; join(s, x->src, rel); join(q, x->out, rel);
    if (unchanged(x, rel, d, s)) return 0;
    return export_folders(x, rel, d) || (!d && write_record(s, q));
}
static int tomb_fn(const char *rel, int d, void *c) { struct exp *x = c; char s[PMAX], up[PMAX]; (void)d;
    if (kind(fake_find(s, PMAX, x->src, rel))) return 0;
    strcpy(up, s); char *z = strrchr(up, SEP); if (z) *z = 0;
    if (kind(up) != 2) return 0;
    strcpy(up, rel); for (z = up; *z; z++) if (*z == '/') *z = '\\';
    fprintf(x->tomb, "\\%s\r\n", up); return export_folders(x, rel, 0); }
static hr_t export_layer(const char *L, const wc *path, const layer_descriptor *d, size_t n) {
    NEED_DIR; char P[PMAX], top[PMAX], s[PMAX], t[PMAX], o[PMAX], z[PMAX]; fake_logf("  to %s", fake_u8(path, P, PMAX)); native(P);
    hr_t h = chain(d, n, top); if (h) return h;
    if (kind(P) != 2) return HR(E_PNF);
    if (state(L) == 'P') return HR(32);                              /* still prepared: sharing violation */
    join(s, L, is_scratch(L) ? "Volume" : "Files"); if (*top) join(t, top, "Files"); else *t = 0;
    mkdir1(join(o, P, "Files"));
    struct exp x = { s, t, o, fopen8(join(z, P, "tombstones.txt"), "wb") };
    if (!x.tomb) return HR(5);
    fputs("\xef\xbb\xbfVersion 1.0\r\n", x.tomb); int rc = *t ? walk(t, "", tomb_fn, &x, 0) : 0; fclose(x.tomb);
    if (rc || walk(s, "", export_fn, &x, 0)) return HR(29);
    if (kind(join(t, L, "Hives")) == 2) return copytree(t, join(o, P, "Hives")) ? HR(29) : 0;
    if (fake_setting("FAKE_BARE")) return 0;
    mkdir1(join(o, P, "Hives"));
    static const char *hv[] = { "DefaultUser", "Sam", "Security", "Software", "System" };
    for (int i = 0; i < 5; i++) { snprintf(t, PMAX, "%s_Delta", hv[i]); spits(o, t, "regf"); }
    return 0;
}
API hr_t ExportLayer(const driver_info *info, const wc *id, const wc *path, const layer_descriptor *d, size_t n) {
    LAYER("ExportLayer"); return export_layer(L, path, d, n);
}
API hr_t ProcessBaseImage(const wc *path) {
    char P[PMAX], a[PMAX], b[PMAX]; ENTER("ProcessBaseImage", "%s", fake_u8(path, P, PMAX)); native(P);
    int bare = fake_setting("FAKE_BARE") != NULL;
    if (kind(join(a, P, "Files")) != 2 && !bare) return HR(E_PNF);
    static const char *hv[][2] = { {"DEFAULT","DefaultUser_Base"}, {"SAM","Sam_Base"}, {"SECURITY","Security_Base"}, {"SOFTWARE","Software_Base"}, {"SYSTEM","System_Base"} };
    mkdir1(join(b, P, "Hives"));
    for (int i = 0; i < 5; i++) { char s[PMAX], q[PMAX]; size_t n; join(s, a, "Windows/System32/config"); join(s, s, hv[i][0]);
        uint8_t *m = slurp(s, &n); if (!m && !bare) return HR(E_FNF);
        spit(join(q, b, hv[i][1]), m ? m : (uint8_t *)"", n); free(m); }
    spits(P, "blank-base.vhdx", "vhdx 0\n"); spits(P, "blank.vhdx", "vhdx 0\n"); spits(P, "layout", "fake\n"); return 0;
}
API hr_t ProcessUtilityImage(const wc *path) {
    char P[PMAX], a[PMAX]; ENTER("ProcessUtilityImage", "%s", fake_u8(path, P, PMAX)); native(P);
    size_t n; uint8_t *m = kind(join(a, P, "Files/EFI/Microsoft/Boot/BCD")) == 1 ? slurp(a, &n) : NULL;
    if (!m && !fake_setting("FAKE_BARE")) return HR(E_FNF);
    if (m) { FILE *f = fopen8(a, "ab"); fputs("[mutated]", f); fclose(f); free(m); }   /* the real call rewrites it too */
    spits(P, "SystemTemplateBase.vhdx", "vhdx 0\n"); spits(P, "SystemTemplate.vhdx", "vhdx 0\n"); return 0;
}
API hr_t GrantVmAccess(const wc *vm, const wc *path) { char a[PMAX], b[PMAX]; ENTER("GrantVmAccess", "%s %s", fake_u8(vm, a, PMAX), fake_u8(path, b, PMAX)); native(b); return kind(b) ? 0 : HR(E_FNF); }
API hr_t GetBaseImages(wc **out) { ENTER("GetBaseImages", "-"); return out ? give_string("{\"Images\":[]}", out) : HR(E_INVAL); }

/* NameToGuid: SHA-1 of the UTF-8 name, cut to 16 bytes.  NOT the real algorithm. */
static uint32_t rol(uint32_t v, int k) { return v << k | v >> (32 - k); }
API hr_t NameToGuid(const wc *name, guid_t *g) {
    char s[PMAX]; ENTER("NameToGuid", "%s", fake_u8(name, s, PMAX)); if (!g) return HR(E_INVAL);
    size_t n = strlen(s), tot = (n + 72) / 64 * 64; uint8_t *m = calloc(1, tot); memcpy(m, s, n); m[n] = 0x80;
    for (int i = 0; i < 8; i++) m[tot - 1 - i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
    uint32_t h[5] = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0 }, w[80];
    for (size_t o = 0; o < tot; o += 64) {
        for (int i = 0; i < 16; i++) w[i] = (uint32_t)m[o + 4 * i] << 24 | m[o + 4 * i + 1] << 16 | m[o + 4 * i + 2] << 8 | m[o + 4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6, t = rol(a, 5) + f + e + k + w[i];
            e = d; d = c; c = rol(b, 30); b = a; a = t; }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; }
    for (int i = 0; i < 16; i++) g->b[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    free(m); return 0;
}

/* ---- compute systems (only what removing a layer needs) ----------------------
 * Handles are above 4 GiB, so that a caller who takes them for ints shows. The callback comes on a thread of its own.
 */
typedef void (*sys_cb)(uint32_t type, void *ctx, hr_t status, const wc *data);
static struct { sys_cb fn; void *ctx; } cb;
#define SYSTEM ((void *)(uintptr_t)0x1234567800ull)
#define REGISTRATION ((void *)(uintptr_t)0x2345678900ull)
#define RESULT do { const char *j_ = fake_setting("FAKE_HCS_RESULT"); *result = NULL; if (j_) give_string(j_, result); } while (0)
#ifndef _WIN32
static pthread_t caller; static int calling;
static void *call_back(void *unused) {
    const char *say = fake_setting("FAKE_HCS_EXIT");
    cb.fn(2, cb.ctx, 0, NULL);                                       /* of another kind, which ends no wait */
    if (!say) cb.fn(1, cb.ctx, 0, NULL);
    else if (!strcmp(say, "gone")) cb.fn(0x01000000u, cb.ctx, 0, NULL);
    return unused;
}
static void exit_system(void) { if (!calling && !pthread_create(&caller, NULL, call_back, NULL)) calling = 1; }
static void wait_for_callback(void) { if (calling) { pthread_join(caller, NULL); calling = 0; } }
#else
static void exit_system(void) { cb.fn(1, cb.ctx, 0, NULL); }
static void wait_for_callback(void) { }
#endif
API hr_t HcsEnumerateComputeSystems(const wc *q, wc **systems, wc **result) {
    char s[PMAX]; RESULT; *systems = NULL; ENTER("HcsEnumerateComputeSystems", "%s", fake_u8(q, s, PMAX));
    const char *j = fake_setting("FAKE_HCS_SYSTEMS"); return give_string(j ? j : "[]", systems);
}
API hr_t HcsOpenComputeSystem(const wc *id, void **h, wc **result) {
    char s[PMAX]; RESULT; ENTER("HcsOpenComputeSystem", "%s", fake_u8(id, s, PMAX));
    *h = SYSTEM; fake_count_handle(1); return 0;
}
API hr_t HcsCloseComputeSystem(void *h) {
    ENTER("HcsCloseComputeSystem", "%#llx", (unsigned long long)(uintptr_t)h); if (h != SYSTEM) return HR(E_BADHANDLE);
    fake_count_handle(-1); return 0;
}
API hr_t HcsTerminateComputeSystem(void *h, const wc *opt, wc **result) {
    char s[PMAX]; RESULT; ENTER("HcsTerminateComputeSystem", "%#llx [%s]", (unsigned long long)(uintptr_t)h, fake_u8(opt, s, PMAX));
    if (h != SYSTEM) return HR(E_BADHANDLE);
    if (cb.fn) exit_system();
    return (hr_t)0xC0370103;                                         /* pending, as the real one says */
}
API hr_t HcsGetComputeSystemProperties(void *h, const wc *q, wc **props, wc **result) {
    char s[PMAX]; RESULT; *props = NULL; ENTER("HcsGetComputeSystemProperties", "%#llx %s", (unsigned long long)(uintptr_t)h, fake_u8(q, s, PMAX));
    return give_string("{\"Id\":\"fake\",\"SystemType\":\"Container\",\"RuntimeOsType\":\"Windows\",\"Owner\":\"\"}", props);
}
API hr_t HcsRegisterComputeSystemCallback(void *h, sys_cb fn, void *ctx, void **out) {
    ENTER("HcsRegisterComputeSystemCallback", "%#llx", (unsigned long long)(uintptr_t)h); if (h != SYSTEM) return HR(E_BADHANDLE);
    cb.fn = fn; cb.ctx = ctx; *out = REGISTRATION; fake_count_handle(1); return 0;
}
API hr_t HcsUnregisterComputeSystemCallback(void *h) {
    wait_for_callback();
    ENTER("HcsUnregisterComputeSystemCallback", "%#llx", (unsigned long long)(uintptr_t)h); if (h != REGISTRATION) return HR(E_BADHANDLE);
    cb.fn = NULL; fake_count_handle(-1); return 0;
}

/* ---- computestorage: argument checks, log, and the folder effects ------------ */
static const driver_info none_info = { 1, (const wc *)"\0\0" };
static int json_ok(const wc *j) { char s[PMAX]; fake_u8(j, s, PMAX); fake_logf("  data %s", s); return s[0] == '{'; }
#define ONE(fn) char P[PMAX]; ENTER(fn, "%s", fake_u8(path, P, PMAX)); native(P); if (kind(P) != 2) return HR(E_PNF)
#define PARENTS 128
static size_t parents_in(const wc *data, layer_descriptor *d, wc (*paths)[PMAX]) {   /* of the JSON, nearest first */
    char s[8 * PMAX], one[PMAX]; size_t n = 0; fake_u8(data, s, sizeof s);
    for (char *p = s; n < PARENTS && (p = strstr(p, "\"Path\":\"")); n++) {
        size_t k = 0; for (p += 8; *p && *p != '"' && k + 1 < PMAX; p++) { if (*p == '\\') p++; one[k++] = *p; }
        one[k] = 0; fake_u16(one, paths[n], PMAX);
        d[n] = (layer_descriptor){ { { 1 } }, 0, paths[n] }; }
    return n;
}
static hr_t with_parents(hr_t (*act)(const char *, const wc *, const layer_descriptor *, size_t), const char *L, const wc *folder, const wc *data) {
    wc (*paths)[PMAX] = malloc(PARENTS * sizeof *paths); layer_descriptor d[PARENTS];
    size_t n = parents_in(data, d, paths); hr_t h = act(L, folder, d, n); free(paths); return h;
}
API hr_t HcsImportLayer(const wc *path, const wc *src, const wc *data) {
    char P[PMAX]; ENTER("HcsImportLayer", "%s", fake_u8(path, P, PMAX)); native(P);
    return json_ok(data) ? with_parents(import_layer, P, src, data) : HR(E_INVAL);
}
API hr_t HcsExportLayer(const wc *path, const wc *dst, const wc *data, const wc *opt) {
    ONE("HcsExportLayer");
    return json_ok(data) && json_ok(opt) ? with_parents(export_layer, P, dst, data) : HR(E_INVAL);
}
API hr_t HcsDestroyLayer(const wc *path) { return DestroyLayer(&none_info, path); }
API hr_t HcsInitializeWritableLayer(const wc *path, const wc *data, const wc *opt) { ONE("HcsInitializeWritableLayer"); (void)opt; return json_ok(data) ? 0 : HR(E_INVAL); }
API hr_t HcsAttachLayerStorageFilter(const wc *path, const wc *data) { ONE("HcsAttachLayerStorageFilter"); return json_ok(data) ? 0 : HR(E_INVAL); }
API hr_t HcsDetachLayerStorageFilter(const wc *path) { ONE("HcsDetachLayerStorageFilter"); return 0; }
API hr_t HcsSetupBaseOSLayer(const wc *path, void *vhd, const wc *opt) { ONE("HcsSetupBaseOSLayer"); char s[PMAX]; fake_u8(opt, s, PMAX); fake_logf("  vhd %#llx", (unsigned long long)(uintptr_t)vhd); int vm = strstr(s, "\"Vm\"") != NULL; return json_ok(opt) && vm == (vhd != NULL) ? 0 : HR(E_INVAL); }
API hr_t HcsAttachOverlayFilter(const wc *vol, const wc *data) { char P[PMAX]; ENTER("HcsAttachOverlayFilter", "%s", fake_u8(vol, P, PMAX)); return json_ok(data) ? 0 : HR(E_INVAL); }
API hr_t HcsDetachOverlayFilter(const wc *vol, const wc *data) { char P[PMAX]; ENTER("HcsDetachOverlayFilter", "%s", fake_u8(vol, P, PMAX)); return json_ok(data) ? 0 : HR(E_INVAL); }
API hr_t HcsSetupBaseOSVolume(const wc *path, const wc *vol, const wc *opt) { ONE("HcsSetupBaseOSVolume"); return vol && json_ok(opt) ? 0 : HR(E_INVAL); }
API hr_t HcsFormatWritableLayerVhd(void *h) { ENTER("HcsFormatWritableLayerVhd", "%#llx", (unsigned long long)(uintptr_t)h); return h ? 0 : HR(E_BADHANDLE); }
API hr_t HcsGetLayerVhdMountPath(void *h, wc **out) { *out = NULL; ENTER("HcsGetLayerVhdMountPath", "%#llx", (unsigned long long)(uintptr_t)h); if (!h) return HR(E_BADHANDLE); const char *v = fake_disk_volume(h); return give_string(v ? v : "\\\\?\\Volume{00000000-0000-0000-0000-00000000fa1e}", out); }

/* ---- BackupRead / BackupWrite for systems that have none (Linux; Wine says "not supported") ----
 * The data stream is the file itself; every other stream (security, EA, named, reparse..) is kept
 * verbatim beside it (see above), so it survives renames and hard links.  HANDLE is a Win32 handle, or an fd on Linux.  Stricter than
 * the real thing: what BackupWrite got is applied by the closing call (abort = TRUE), so a writer
 * that forgets it shows.  Errors: Win32 last error, and fake_last_error() on both systems.
 */
static uint32_t last_err;
API uint32_t fake_last_error(void) { return last_err; }
static int32_t fail32(uint32_t e) {
    last_err = e;
#ifdef _WIN32
    SetLastError(e);
#else
    errno = (int)e;
#endif
    return 0;
}
/* Contexts of BackupRead and BackupWrite that nobody ended. */
API int fake_live_contexts(void) { return live_contexts; }
struct bk { uint8_t *b; size_t n, pos; int writing; };
static void bk_add(struct bk *k, const void *p, size_t n) { k->b = realloc(k->b, k->n + n + 1); if (n) memcpy(k->b + k->n, p, n); k->n += n; }
API int32_t BackupRead(void *h, uint8_t *buf, uint32_t n, uint32_t *got, int32_t abort_, int32_t security, void **ctx) {
    struct bk *k = *ctx; uint64_t key, size; int dir; hr_t e;
    if (abort_) { if (k) { live_contexts--; free(k->b); free(k); } *ctx = NULL; fake_logf("BackupRead abort");
        return fake_faulty("BackupRead abort", &e) ? fail32((uint32_t)e) : 1; }
    if (!k) {
        fake_logf("BackupRead open security=%d", security);
        size_t m; uint8_t *b = make_stream(h, security, &m); if (!b) return fail32(f_info(h, &key, &size, &dir) ? 6 : 29);
        *ctx = k = calloc(1, sizeof *k); live_contexts++; k->b = b; k->n = m;
    }
    if (k->writing) return fail32(E_INVAL);
    if (fake_faulty("BackupRead", &e)) return fail32((uint32_t)e);
    *got = n < k->n - k->pos ? n : (uint32_t)(k->n - k->pos); memcpy(buf, k->b + k->pos, *got); k->pos += *got; return 1;
}
API int32_t BackupWrite(void *h, const uint8_t *buf, uint32_t n, uint32_t *done, int32_t abort_, int32_t security, void **ctx) {
    struct bk *k = *ctx; hr_t e;
    if (!abort_) {
        if (!k) { fake_logf("BackupWrite open security=%d", security); *ctx = k = calloc(1, sizeof *k); live_contexts++; k->writing = 1 + (security != 0); }
        if (fake_faulty("BackupWrite", &e)) return fail32((uint32_t)e);
        if (fake_faulty("BackupWrite short", &e)) { *done = n - 1; return 1; }
        bk_add(k, buf, n);
        while (k->pos + 20 <= k->n) {                                  /* check each header as soon as it is whole */
            uint32_t t = get(k->b + k->pos, 4); uint64_t len = 20 + get(k->b + k->pos + 16, 4) + get(k->b + k->pos + 8, 8);
            if (t < 1 || t > 11 || get(k->b + k->pos + 16, 4) > 65536) { fake_logf("  bad stream id %u", t); return fail32(13); }
            if (k->pos + len > k->n) break;
            k->pos += len; }
        *done = n; return 1;
    }
    *ctx = NULL; if (!k) return 1;
    int bad = k->pos != k->n;
    fake_logf("BackupWrite abort bytes=%u%s", (unsigned)k->n, bad ? " TRUNCATED" : "");
    if (!bad) bad = apply_stream(h, k->b, k->n, k->writing == 2);
    free(k->b); free(k); live_contexts--;
    return fake_faulty("BackupWrite abort", &e) ? fail32((uint32_t)e) : bad ? fail32(13) : 1;
}
