/* See print.h. */
#include "harness/cmd/print.h"

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
