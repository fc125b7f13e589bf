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
void pg_say(bool warning, const char *format, ...) PG_PRINTF(2, 3);
#define pg_info(...) pg_say(false, __VA_ARGS__)
#define pg_warn(...) pg_say(true, __VA_ARGS__)

bool pg_log_is_quiet(void);

/* "26s", "12m05s", "2h30m" */
void pg_duration_format(double seconds, char out[32]);
/* "340 images/s", "12 images/min": per the unit of time that makes it a number from 1 on, "48k" above 999. unit "": "340/s" */
void pg_rate_format(double per_s, const char *unit, char out[64]);

/* A bar on a terminal, drawn at most ten times a second, else a line at most twice a minute where something has changed:
 * "images 1200/10000 12% 340 images/s eta 26s". */
typedef struct pg_progress {
    const char *label; /* ends with what is counted */
    int64_t total, done, first;
    double part; /* of the caller: done so far of what is in hand, units */
    double start_s, drawn_s;
    double drawn;  /* how far it was then */
    double left_s; /* the caller's estimate; negative: by the mean speed so far */
} pg_progress;
void pg_progress_start(pg_progress *progress, const char *label, int64_t done, int64_t total);
void pg_progress_update(pg_progress *progress, int64_t done, const char *note /* may be NULL */);
void pg_progress_finish(pg_progress *progress);

double pg_now_s(void); /* monotonic seconds */

#endif
