/* Error codes and messages.
 *
 * Every function that can fail returns one of these codes: PG_OK (0) or a negative one. The message of the last
 * failure of a thread is kept in a fixed-size buffer of that thread and says what was wrong, where, and what would be right.
 * Thread-safe: nothing is shared between threads. */
#ifndef PG_BASE_ERROR_H
#define PG_BASE_ERROR_H

/* name, value, text, exit code of the program when this is the reason it stops */
#define PG_ERRORS(X)                                        \
    X(PG_OK, 0, "ok", 0)                                    \
    X(PG_EUSAGE, -1, "usage error", 2)                      \
    X(PG_EINPUT, -2, "bad input", 2)                        \
    X(PG_EMISSING, -3, "not found", 2)                      \
    X(PG_EDAMAGED, -4, "damaged file", 2)                   \
    X(PG_EUNSUPPORTED, -5, "not supported", 2)              \
    X(PG_ECELLS, -6, "some cells failed", 1)                \
    X(PG_EINTERRUPTED, -7, "interrupted", 3)                \
    X(PG_EIO, -8, "input/output error", 4)                  \
    X(PG_ENOMEM, -9, "out of memory", 4)                    \
    X(PG_EDB, -10, "database error", 4)                     \
    X(PG_ETORCH, -11, "libtorch error", 4)                  \
    X(PG_ESHAPE, -12, "tensor shape error", 4)              \
    X(PG_EDEVICEMEM, -13, "out of device memory", 4)        \
    X(PG_EBROKEN, -14, "a sound certificate was broken", 5) \
    X(PG_ECLOSED, -15, "nobody reads standard output", 141)

#define PG_ERROR_ENUM(name, value, text, exit_code) name = (value),
typedef enum pg_error { PG_ERRORS(PG_ERROR_ENUM) } pg_error;
#undef PG_ERROR_ENUM

#define PG_MUST_USE          __attribute__((warn_unused_result))
#define PG_UNUSED            __attribute__((unused)) /* a parameter that a hook has and does not need */
#define PG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum { PG_MESSAGE_MAX = 1024 };

/* Records the message of this thread and returns `code`, so that `return pg_fail(PG_EINPUT, "...")` is one line. */
int pg_fail(int code, const char *format, ...) PG_PRINTF(2, 3);

/* Puts "prefix: " before the recorded message (a file name, a line number) and returns `code`. */
int pg_fail_at(int code, const char *format, ...) PG_PRINTF(2, 3);

/* The message recorded last by this thread; "" if none. Borrowed, valid until the thread's next failure. */
const char *pg_error_message(void);

/* "; ulimit -v leaves it ... MiB of memory, which may be why", "" where nothing limits a process's memory: for what a library
 * did that does not say that memory ran out. */
enum { PG_LIMIT_NOTE_MAX = 96 };
void pg_limit_note(char out[PG_LIMIT_NOTE_MAX]);

/* Text ("bad input") and exit code of an error code; unknown codes read as system errors. */
const char *pg_error_text(int code);
int pg_error_exit_code(int code);

#endif
