/* See print.h. */
#include "harness/cmd/print.h"
#include "plots/table.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

json_t *pg_json_text(const char *text)
{
    pg_buf flat;
    pg_buf_init(&flat);
    pg_text_flat(text, "\n", false, &flat);
    json_t *string = flat.failed ? NULL : json_string(flat.data);
    pg_buf_release(&flat);
    return string;
}
