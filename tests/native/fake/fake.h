/* What the sources of the stand-in share, and how tests steer it. */
#ifndef FAKE_H
#define FAKE_H
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#  define API __declspec(dllexport)
#else
#  define API __attribute__((visibility("default")))
#endif

typedef uint16_t wc;                     /* never wchar_t: 4 bytes outside of Windows */
typedef int32_t hr_t;

/* The next `times` calls of a function fail with `code`: what it returns, or its last error. */
API void fake_fail(const char *name, hr_t code, int times);
/* For calls that a real library takes: a line for the log, and whether this call is to fail, with which code. */
API void fake_note(const char *line);
API int fake_faulty(const char *name, hr_t *code);
/* A copy of the log so far; returns its length in bytes. */
API size_t fake_log(char *buf, size_t n);
/* Forget log, faults and counts. */
API void fake_reset(void);
/* A setting; NULL takes it back. */
API void fake_set(const char *key, const char *val);
/* Upper case of all 65536 units, by which names are compared; until then only ASCII has upper case. */
API void fake_set_upcase(const wc *table);
/* Texts and handles that were given out and not given back. */
API int fake_live_strings(void);
API int fake_live_handles(void);

/* Inside. */
void fake_logf(const char *fmt, ...);
const char *fake_setting(const char *key);
char *fake_u8(const wc *s, char *out, size_t n);
size_t fake_u16(const char *s, wc *out, size_t n);
void fake_count_handle(int change);

/* Virtual disks. */
int fake_disk_attached(const char *path);
API int fake_close_disk(void *h);                                   /* 0: it is none */
const char *fake_disk_volume(void *h);                              /* NULL: it is none that is attached */
void fake_reset_disks(void);

/* The path of what is below a folder, whatever the case of names; names that are not there stay as they are. */
char *fake_find(char *out, size_t n, const char *root, const char *rel);

/* What Windows keeps of a file beside its data, in FAKE_BACKUP_DIR. A key stands for a file, whatever its names; 0 for none. */
uint64_t fake_key(const char *path);
uint64_t fake_key_of(void *h);                                      /* of an open one */
uint8_t *fake_kept(uint64_t key, const char *what, size_t *n);      /* to be freed; NULL for nothing */
int fake_keep(uint64_t key, const char *what, const void *bytes, size_t n);
void fake_forget(uint64_t key);                                     /* a file is new: what is kept was of one before it */
uint32_t fake_tag(const char *path);                                /* of a reparse point that BackupWrite made; 0 for none */
uint8_t *fake_stream(uint64_t key, const char *name, size_t *n);    /* ":x:$DATA"; to be freed, NULL for none */

#endif
