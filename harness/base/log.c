/* Messages and progress on standard error. Threads: a message is one write; progress belongs to one thread at a time. */
#include "harness/base/log.h"

#include "harness/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool quiet_mode; /* set once by main */
static atomic_bool own_bar;
static atomic_bool *bar_open = &own_bar; /* whether a bar stands on the terminal's last line; moved before a fork */

enum { LINE_MAX_BYTES = PG_MESSAGE_MAX + 64 };
static const double redraw_s = 0.1, line_every_s = 5;

void pg_log_quiet(bool quiet) { quiet_mode = quiet; }
void pg_log_share(atomic_bool *shared) { bar_open = shared; }

static void say(const char *prefix, const char *format, va_list args)
{
    char line[LINE_MAX_BYTES];
    int at = snprintf(line, sizeof line, "%s%s", atomic_exchange(bar_open, false) ? "\r\033[K" : "", prefix);
    vsnprintf(line + at, sizeof line - (size_t)at - 1, format, args);
    pg_text_clean(line + at);
    strcat(line, "\n");
    fputs(line, stderr);
}

void pg_info(const char *format, ...)
{
    if (quiet_mode)
        return;
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

void pg_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("warning: ", format, args);
    va_end(args);
}

double pg_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void format_duration(double seconds, char out[32])
{
    long s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long)(seconds + 0.5);
    if (s < 100)
        snprintf(out, 32, "%lds", s);
    else if (s < 6000)
        snprintf(out, 32, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, 32, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

static void draw(pg_progress *progress, double now, const char *note, bool last)
{
    double spent = now - progress->start_s;
    int64_t made = progress->done - progress->first;
    double rate = spent > 0 ? (double)made / spent : 0;
    char time_text[32] = "?", line[LINE_MAX_BYTES];
    if (last)
        format_duration(spent, time_text);
    else if (progress->left_s >= 0)
        format_duration(progress->left_s, time_text);
    else if (rate > 0)
        format_duration((double)(progress->total - progress->done) / rate, time_text);
    int percent = progress->total > 0 ? (int)(100 * (double)progress->done / (double)progress->total) : 100;
    bool terminal = isatty(STDERR_FILENO);
    snprintf(line, sizeof line, "%s%s %lld/%lld %d%% %.*f/s %s %s%s%s%s", terminal ? "\r\033[K" : "", progress->label,
             (long long)progress->done, (long long)progress->total, percent, rate < 10 ? 2 : 0, rate, last ? "in" : "eta",
             time_text, note ? " " : "", note ? note : "", terminal && !last ? "" : "\n");
    atomic_store(bar_open, terminal && !last);
    fputs(line, stderr);
    progress->drawn_s = now;
}

void pg_progress_start(pg_progress *progress, const char *label, int64_t done, int64_t total)
{
    double now = pg_now_s();
    *progress = (pg_progress){
        .label = label, .total = total, .done = done, .first = done, .start_s = now, .drawn_s = now, .left_s = -1};
}

void pg_progress_update(pg_progress *progress, int64_t done, const char *note)
{
    progress->done = done;
    if (quiet_mode)
        return;
    double now = pg_now_s();
    if (now - progress->drawn_s >= (isatty(STDERR_FILENO) ? redraw_s : line_every_s))
        draw(progress, now, note, false);
}

void pg_progress_finish(pg_progress *progress)
{
    if (!quiet_mode)
        draw(progress, pg_now_s(), NULL, true);
}
