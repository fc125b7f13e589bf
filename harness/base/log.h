/* Messages to standard error, and progress with an estimate. Results go to standard output and never through here. */
#ifndef PG_BASE_LOG_H
#define PG_BASE_LOG_H

#include "harness/base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

void pg_log_quiet(bool quiet); /* set once by main before threads start: drops info and progress, keeps warnings and errors */
/* Before a fork: where processes that share a terminal note whether a bar stands on it, so that a message wipes it first. */
void pg_log_share(atomic_bool *bar_open);
void pg_info(const char *format, ...) PG_PRINTF(1, 2);
void pg_warn(const char *format, ...) PG_PRINTF(1, 2);

/* A bar on a terminal, else a line every few seconds: "label 1200/10000 12% 340/s eta 26s". Drawn at most ten times a second.
 */
typedef struct pg_progress {
    const char *label;
    int64_t total, done, first;
    double start_s, drawn_s;
    double left_s; /* the caller's estimate; negative: by the mean speed so far */
} pg_progress;
void pg_progress_start(pg_progress *progress, const char *label, int64_t done, int64_t total);
void pg_progress_update(pg_progress *progress, int64_t done, const char *note /* may be NULL */);
void pg_progress_finish(pg_progress *progress);

double pg_now_s(void); /* monotonic seconds */

#endif
