#include "harness/cmd/print.h"

#include "harness/base/buf.h"
#include "harness/base/option.h"
#include "harness/base/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Standard output becomes one that cannot be written, so that main ends with an error. */
static void lose_output(void)
{
    fprintf(stderr, "warning: out of memory; a line of the output is missing\n");
    fflush(stdout);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
        close(STDOUT_FILENO);
    close(fd);
}

/* ---- Lines that fit a terminal ---- */

enum { WIDTH_LEAST = 40, WIDTH_UNKNOWN = 80 };

size_t pg_print_width(FILE *stream)
{
    struct winsize size = {0};
    int64_t columns = 0;
    if (!isatty(fileno(stream)))
        return 0;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    else if (!getenv("COLUMNS") || pg_parse_int(getenv("COLUMNS"), &columns) != PG_OK || columns < 1 || columns > UINT16_MAX)
        columns = WIDTH_UNKNOWN;
    return columns > WIDTH_LEAST ? (size_t)columns : WIDTH_LEAST;
}

/* The column where what a line says begins. `gap`: there is one of two blanks, behind a name. */
static size_t hang_of(const char *line, size_t size, bool *gap)
{
    size_t lead = strspn(line, " "), at = lead;
    while (at + 1 < size && !(line[at] == ' ' && line[at + 1] == ' '))
        at++;
    *gap = at + 1 < size;
    return *gap ? pg_text_columns(line, at + strspn(line + at, " ")) : lead;
}

/* Where broken lines go on: at `hang`, or further left what does not fit there. */
typedef struct shape {
    size_t width, hang, left;
} shape;

static shape shape_of(size_t width, size_t hang, size_t lead)
{
    size_t left = lead + 4;
    hang = hang < width / 2 ? hang : left;
    return (shape){width, hang, hang < left ? hang : left};
}

/* Prints the words of a piece behind column `at`, after a blank where it is not 0; the column behind them. */
static size_t put_words(const char *text, size_t size, size_t at, shape s, FILE *stream)
{
    const char *end = text + size;
    for (bool first = at > 0; text < end; first = false) {
        size_t blanks = strspn(text, " "), length = strcspn(text + blanks, " \n"),
               columns = pg_text_columns(text + blanks, length);
        text += blanks;
        blanks = first ? 1 : blanks;
        if (at > 0 && length > 0 && at + blanks + columns > s.width) {
            fputc('\n', stream);
            at = 0;
            s.hang = s.hang + columns <= s.width ? s.hang : s.left; /* the rest too: no going back and forth */
            blanks = s.hang + columns <= s.width ? s.hang : 0;
        }
        fprintf(stream, "%*s%.*s", (int)blanks, "", (int)length, text);
        at += blanks + columns;
        text += length;
    }
    return at;
}

void pg_print_fitted(const char *text, FILE *stream)
{
    size_t width = pg_print_width(stream);
    while (width && *text) {
        size_t size = strcspn(text, "\n");
        bool gap, broken = pg_text_columns(text, size) > width;
        shape s = shape_of(width, hang_of(text, size, &gap), strspn(text, " "));
        size_t at = put_words(text, size, 0, s, stream);
        text += size + (text[size] == '\n');
        for (; broken && *text; text += size + (text[size] == '\n')) { /* what goes on with a broken line is joined to it */
            bool named;
            size = strcspn(text, "\n");
            if (size == 0 || strspn(text, " ") != s.hang || hang_of(text, size, &named) != s.hang || named)
                break;
            at = put_words(text + s.hang, size - s.hang, at, s, stream);
        }
        fputc('\n', stream);
    }
    fputs(text, stream);
}

/* ---- What commands print ---- */

/* Every line by itself. `hang` 0: behind its first gap, or four columns further in than it begins. */
static void put_lines(const char *text, size_t hang)
{
    size_t width = pg_print_width(stdout);
    while (width && *text) {
        size_t size = strcspn(text, "\n"), lead = strspn(text, " ");
        bool gap;
        size_t found = hang_of(text, size, &gap);
        put_words(text, size, 0, shape_of(width, hang ? hang : gap ? found : lead + 4, lead), stdout);
        text += size + (text[size] == '\n');
        fputc('\n', stdout);
    }
    fputs(text, stdout);
}

static void print(size_t hang, bool verbatim, const char *format, va_list args)
{
    char room[1024], *text = room, *longer = NULL;
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(room, sizeof room, format, args);
    if (length >= (int)sizeof room) {
        length = vasprintf(&longer, format, again);
        text = longer;
    }
    va_end(again);
    if (length < 0) {
        lose_output();
        return;
    }
    pg_text_clean(text);
    if (verbatim)
        fputs(text, stdout);
    else
        put_lines(text, hang);
    free(longer);
}

void pg_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(0, false, format, args);
    va_end(args);
}

void pg_print_hanging(size_t hang, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(hang, false, format, args);
    va_end(args);
}

void pg_print_verbatim(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(0, true, format, args);
    va_end(args);
}
