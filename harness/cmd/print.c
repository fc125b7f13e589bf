/* See print.h. */
#include "harness/cmd/print.h"

#include "harness/base/buf.h"
#include "plots/table.h"

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

void pg_print(const char *format, ...)
{
    char room[1024], *text = room, *longer = NULL;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    if (length >= (int)sizeof room) {
        va_start(args, format);
        length = vasprintf(&longer, format, args);
        va_end(args);
        text = longer;
    }
    if (length < 0) {
        lose_output();
        return;
    }
    for (char *p = text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
            *p = '?';
    fputs(text, stdout);
    free(longer);
}

/* ---- Lines that fit a terminal ---- */

/* Columns of a terminal, 0: it is none, or says nothing. */
static size_t width_of(FILE *stream)
{
    struct winsize size;
    return isatty(fileno(stream)) && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 0;
}

/* Columns of a piece of UTF-8 in which no character is wide. */
static size_t columns_of(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* The column where what a line says begins. `gap`: there is one of two blanks, behind a name. */
static size_t hang_of(const char *line, size_t size, bool *gap)
{
    size_t lead = strspn(line, " "), at = lead;
    while (at + 1 < size && !(line[at] == ' ' && line[at + 1] == ' '))
        at++;
    *gap = at + 1 < size;
    return *gap ? columns_of(line, at + strspn(line + at, " ")) : lead;
}

/* Prints the words of a piece behind column `at`, after a blank where it is not 0; the column behind them. */
static size_t put_words(const char *text, size_t size, size_t at, size_t hang, size_t width, FILE *stream)
{
    const char *end = text + size;
    for (bool first = at > 0; text < end; first = false) {
        size_t blanks = strspn(text, " "), length = strcspn(text + blanks, " \n"), columns = columns_of(text + blanks, length);
        text += blanks;
        blanks = first ? 1 : blanks;
        if (at > hang && at + blanks + columns > width) {
            fputc('\n', stream);
            at = 0;
            blanks = hang;
        }
        fprintf(stream, "%*s%.*s", (int)blanks, "", (int)length, text);
        at += blanks + columns;
        text += length;
    }
    return at;
}

void pg_print_fitted(const char *text, FILE *stream)
{
    size_t width = width_of(stream);
    while (width && *text) {
        size_t size = strcspn(text, "\n");
        bool gap, broken = columns_of(text, size) > width;
        size_t hang = hang_of(text, size, &gap);
        hang = hang < width / 2 ? hang : strspn(text, " ") + 4;
        size_t at = put_words(text, size, 0, hang, width, stream);
        text += size + (text[size] == '\n');
        for (; broken && *text; text += size + (text[size] == '\n')) { /* what goes on with a broken line is joined to it */
            bool named;
            size = strcspn(text, "\n");
            if (size == 0 || strspn(text, " ") != hang || hang_of(text, size, &named) != hang || named)
                break;
            at = put_words(text + hang, size - hang, at, hang, width, stream);
        }
        fputc('\n', stream);
    }
    fputs(text, stream);
}

json_t *pg_json_text(const char *text)
{
    pg_buf flat;
    pg_buf_init(&flat);
    pg_text_flat(text, "\n", false, &flat);
    json_t *string = flat.failed ? NULL : json_string(flat.data);
    pg_buf_release(&flat);
    return string;
}
