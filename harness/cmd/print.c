/* See print.h. */
#include "harness/cmd/print.h"
#include "plots/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void pg_print(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        fprintf(stderr, "warning: out of memory; a line of the output is missing\n");
        return;
    }
    for (char *p = text; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
            *p = '?';
    fputs(text, stdout);
    free(text);
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
