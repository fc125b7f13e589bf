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
static const double redraw_s = 0.1, line_every_s = 30;

void pg_log_quiet(bool quiet) { quiet_mode = quiet; }
bool pg_log_is_quiet(void) { return quiet_mode; }
void pg_log_share(atomic_bool *shared) { bar_open = shared; }

void pg_say(bool warning, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    if (quiet_mode && !warning)
        return;
    int at =
        snprintf(line, sizeof line, "%s%s", atomic_exchange(bar_open, false) ? "\r\033[K" : "", warning ? "warning: " : "");
    va_start(args, format);
    vsnprintf(line + at, sizeof line - (size_t)at - 1, format, args);
    va_end(args);
    pg_text_clean(line + at);
    strcat(line, "\n");
    fputs(line, stderr);
}

double pg_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void pg_duration_format(double seconds, char out[32])
{
    long s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long)(seconds + 0.5);
    if (s < 100)
        snprintf(out, 32, "%lds", s);
    else if (s < 6000)
        snprintf(out, 32, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, 32, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

void pg_rate_format(double per_s, const char *unit, char out[64])
{
    static const struct {
        double seconds;
        const char *name;
    } times[] = {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "day"}};
    static const char *const thousands[] = {"", "k", "M", "G", "T"};
    size_t t = 0, k = 0;
    while (t < 3 && per_s * times[t].seconds < 1)
        t++;
    double rate = per_s * times[t].seconds;
    for (; rate >= 999.5 && k < 4; k++)
        rate /= 1000;
    snprintf(out, 64, "%.*f%s%s%.40s/%s", rate < 9.95 ? 1 : 0, rate, thousands[k], *unit ? " " : "", unit, times[t].name);
}

/* What is counted, where that can be said: "images". */
static const char *unit_of(const char *label)
{
    static const char images[] = "images";
    size_t size = strlen(label), n = sizeof images - 1;
    return size >= n && strcmp(label + size - n, images) == 0 ? images : "";
}

static void draw(pg_progress *progress, double now, const char *note, bool last)
{
    double spent = now - progress->start_s, at = (double)progress->done + (last ? 0 : progress->part);
    double made = at - (double)progress->first, rate = spent > 0 && made > 0 ? made / spent : 0;
    char time_text[32] = "?", rate_text[64] = "?", line[LINE_MAX_BYTES];
    if (last)
        pg_duration_format(spent, time_text);
    else if (progress->left_s >= 0)
        pg_duration_format(progress->left_s, time_text);
    else if (rate > 0)
        pg_duration_format(((double)progress->total - at) / rate, time_text);
    if (rate > 0 || last)
        pg_rate_format(rate, unit_of(progress->label), rate_text);
    int percent = progress->total > 0 ? (int)(100 * at / (double)progress->total) : 100;
    bool terminal = isatty(STDERR_FILENO);
    snprintf(line, sizeof line, "%s%s %lld/%lld %d%% %s %s %s%s%s%s", terminal ? "\r\033[K" : "", progress->label,
             (long long)progress->done, (long long)progress->total, percent, rate_text, last ? "in" : "eta", time_text,
             note ? " " : "", note ? note : "", terminal && !last ? "" : "\n");
    atomic_store(bar_open, terminal && !last);
    fputs(line, stderr);
    progress->drawn_s = now;
    progress->drawn = at;
}

void pg_progress_start(pg_progress *progress, const char *label, int64_t done, int64_t total)
{
    double now = pg_now_s();
    *progress = (pg_progress){.label = label,
                              .total = total,
                              .done = done,
                              .first = done,
                              .start_s = now,
                              .drawn_s = now,
                              .drawn = (double)done,
                              .left_s = -1};
}

void pg_progress_update(pg_progress *progress, int64_t done, const char *note)
{
    progress->done = done;
    if (quiet_mode)
        return;
    double now = pg_now_s(), since_s = now - progress->drawn_s;
    bool moved = (double)done + progress->part != progress->drawn;
    if (isatty(STDERR_FILENO) ? since_s >= redraw_s : since_s >= line_every_s && moved)
        draw(progress, now, note, false);
}

void pg_progress_finish(pg_progress *progress)
{
    if (!quiet_mode)
        draw(progress, pg_now_s(), NULL, true);
}
