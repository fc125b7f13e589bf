/* Error table and the thread's last message. See error.h. */
#include "harness/base/error.h"

#include "harness/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static _Thread_local char message[PG_MESSAGE_MAX];

static const struct {
    int code;
    const char *text;
    int exit_code;
} errors[] = {
#define PG_ERROR_ROW(name, value, text, exit_code) {value, text, exit_code},
    PG_ERRORS(PG_ERROR_ROW)
#undef PG_ERROR_ROW
};
static const size_t n_errors = sizeof errors / sizeof *errors;

/* Names from files and the command line reach messages: no control character of theirs reaches a terminal. */
static void keep(const char *fresh)
{
    snprintf(message, sizeof message, "%.*s", (int)sizeof message - 1, fresh);
    pg_text_clean(message);
}

int pg_fail(int code, const char *format, ...)
{
    /* Formatted aside: the arguments may point into the message that is being replaced. */
    char fresh[PG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    keep(fresh);
    return code;
}

int pg_fail_at(int code, const char *format, ...)
{
    char prefix[PG_MESSAGE_MAX], fresh[2 * PG_MESSAGE_MAX + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    snprintf(fresh, sizeof fresh, "%s: %s", prefix, message);
    keep(fresh);
    return code;
}

const char *pg_error_message(void) { return message; }

static size_t find(int code)
{
    for (size_t i = 0; i < n_errors; i++)
        if (errors[i].code == code)
            return i;
    return n_errors;
}

const char *pg_error_text(int code)
{
    size_t i = find(code);
    return i < n_errors ? errors[i].text : "unknown error";
}

int pg_error_exit_code(int code)
{
    size_t i = find(code);
    return i < n_errors ? errors[i].exit_code : 4;
}

void pg_limit_note(char out[PG_LIMIT_NOTE_MAX])
{
    struct rlimit limit;
    out[0] = 0;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(out, PG_LIMIT_NOTE_MAX, "; ulimit -v leaves it %llu MiB of memory, which may be why",
                 (unsigned long long)limit.rlim_cur >> 20);
}
