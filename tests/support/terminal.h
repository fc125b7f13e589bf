/* For tests: commands on a terminal of so many columns. */
#ifndef PG_TESTS_TERMINAL_H
#define PG_TESTS_TERMINAL_H

#include "tests/support/program.h"

#include <pty.h>
#include <utmp.h>

/* Runs a command of the shell on a terminal, which does not tell its size where `columns` is 0; its exit code. Both streams go
 * to `out`, with line ends as in a file. */
static inline int terminal_run(int columns, const char *command, char *out, size_t room)
{
    static const char mark[] = "END-OF-COMMAND ";
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    char line[4096];
    int fd, terminal, code = -1;
    size_t n = 0;
    if (openpty(&fd, &terminal, NULL, NULL, &size) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        snprintf(line, sizeof line, "{ %s\n}; echo %s$?.", command, mark);
        if (login_tty(terminal) == 0)
            execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    out[0] = '\0'; /* the terminal stays open here, so that nothing is lost when the child is gone */
    const char *end = NULL;
    for (ssize_t got; !(end && strchr(end, '.')) && n < room - 1 && (got = read(fd, out + n, room - 1 - n)) > 0;) {
        out[n += (size_t)got] = '\0';
        end = strstr(out, mark);
    }
    close(fd);
    close(terminal);
    if (child < 0 || program_wait(child) != 0 || !end || sscanf(end + strlen(mark), "%d", &code) != 1)
        abort();
    char *to = out;
    for (const char *from = out; from < end; from++)
        if (*from != '\r')
            *to++ = *from;
    *to = '\0';
    return code;
}

/* The first line of several words that is wider, NULL: none is. The characters are ASCII. */
static inline const char *terminal_wide_line(const char *text, size_t columns)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != '\0')) {
        size_t lead = strspn(line, " "), width = strcspn(line, "\n");
        if (width > columns && lead + strcspn(line + lead, " \n") < width)
            return line;
    }
    return NULL;
}

/* The text behind a word and the blanks before it; its length. */
static inline const char *terminal_word(const char *text, size_t *size)
{
    text += strspn(text, " \n");
    *size = strcspn(text, " \n");
    return text;
}

#endif
