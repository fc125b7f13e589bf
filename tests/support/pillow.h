/* For tests: Pillow as a reference, a Python process that answers requests (tests/support/pillow.py). */
#ifndef PG_TESTS_PILLOW_H
#define PG_TESTS_PILLOW_H

#include "harness/data/image.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *pillow_in, *pillow_out;
static pid_t pillow_child;

/* A cmocka setup. The first python3 that has Pillow: the one in PATH, else Debian's own. */
static inline int pillow_start(void **state)
{
    (void)state;
    int to[2], from[2];
    if (pipe(to) || pipe(from))
        return -1;
    signal(SIGPIPE, SIG_IGN);
    pillow_child = fork();
    if (pillow_child == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[0]), close(to[1]), close(from[0]), close(from[1]);
        execl("/bin/sh", "sh", "-c",
              "for p in python3 /usr/bin/python3; do"
              " $p -c 'import PIL' 2>/dev/null && { echo ready; exec $p tests/support/pillow.py; }; done; echo none",
              (char *)NULL);
        _exit(127);
    }
    close(to[0]), close(from[1]);
    pillow_in = fdopen(to[1], "wb");
    pillow_out = fdopen(from[0], "rb");
    return pillow_in && pillow_out ? 0 : -1;
}

static inline int pillow_stop(void **state)
{
    (void)state;
    fclose(pillow_in);
    fclose(pillow_out);
    return waitpid(pillow_child, NULL, 0) == pillow_child ? 0 : -1;
}

/* Whether there is a Pillow: asked once, before the first request. */
static inline bool pillow_ready(void)
{
    static char line[16];
    if (!*line && !fgets(line, sizeof line, pillow_out))
        abort();
    return strcmp(line, "ready\n") == 0;
}

/* Sends a request and its bytes; the answer is *new*, without pixels where Pillow cannot read the file. */
static inline pg_image pillow_ask(const void *bytes, size_t size, const char *format, ...)
{
    pg_image image = {0};
    va_list args;
    va_start(args, format);
    vfprintf(pillow_in, format, args);
    va_end(args);
    fputc('\n', pillow_in);
    fwrite(bytes, 1, size, pillow_in);
    if (fflush(pillow_in) || fscanf(pillow_out, "%d %d", &image.width, &image.height) != 2 || fgetc(pillow_out) != '\n')
        abort();
    size_t n = (size_t)image.width * (size_t)image.height * 3;
    image.pixels = n ? malloc(n) : NULL;
    if (n && fread(image.pixels, 1, n, pillow_out) != n)
        abort();
    return image;
}

#endif
