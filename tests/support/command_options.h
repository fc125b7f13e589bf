/* For tests: whether the commands and options that a document names exist, by the help pages of the program. */
#ifndef PG_TESTS_COMMAND_OPTIONS_H
#define PG_TESTS_COMMAND_OPTIONS_H

#include "tests/support/program.h"

#include <ctype.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { HELP_MAX = 1 << 16 };

/* Standard output of a command, *new*; "" where it fails. */
static inline char *output_of(const char *line)
{
    char *text = calloc(1, HELP_MAX);
    FILE *pipe = popen(line, "r");
    if (text == NULL || pipe == NULL)
        abort();
    text[fread(text, 1, HELP_MAX - 1, pipe)] = '\0';
    if (pclose(pipe) != 0)
        text[0] = '\0';
    return text;
}

/* A page of `help`; *new*. */
static inline char *help_of(const char *topic)
{
    char line[2048];
    snprintf(line, sizeof line, "'%s' help %s 2>/dev/null", program_path(), topic);
    return output_of(line);
}

/* `option` as a word of a help page. */
static inline bool help_tells(const char *help, const char *option, size_t size)
{
    for (const char *at = help; (at = strstr(at, option)) != NULL; at += size)
        if (!isalnum((unsigned char)at[size]) && at[size] != '-' && (at == help || strchr(" ,[(|\n", at[-1]) != NULL))
            return true;
    return false;
}

/* Complains of each "patchgauge COMMAND ... -x --option" in `text` without such a command or option, and returns how many. What
 * follows "  #" or a backtick is left out, and so are here-documents. */
static inline int unknown_options(const char *page, const char *text)
{
    static char *overview;
    int bad = 0;
    if (overview == NULL)
        overview = help_of("");
    for (const char *at = strstr(text, "patchgauge "); at != NULL; at = strstr(at + 1, "patchgauge ")) {
        char name[32], option[64];
        const char *end = at + strcspn(at, "`");
        if (strstr(at, "  #") != NULL && strstr(at, "  #") < end)
            end = strstr(at, "  #");
        const char *word = at + 11;
        while (strncmp(word, "--", 2) == 0) /* global options before the command: with a value, but for these three */
            for (int n = strncmp(word, "--quiet", 7) == 0 || strncmp(word, "--trust", 7) == 0 ||
                                 strncmp(word, "--version", 9) == 0
                             ? 1
                             : 2;
                 n-- > 0;)
                word += strcspn(word, " \n"), word += strspn(word, " ");
        size_t size = strspn(word, "abcdefghijklmnopqrstuvwxyz");
        if (at > text && at[-1] != '/' && at[-1] != '`' && at[-1] != ' ' && at[-1] != '\n' && at[-1] != '(')
            continue;
        if (size == 0 || size >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)size, word);
        char *help = help_of(name);
        if (help[0] == '\0') {
            print_error("%s: no such command: %s\n", page, name);
            bad++;
        }
        for (const char *dash = strstr(at, " -"); help[0] != '\0' && dash != NULL && dash < end;
             dash = strstr(dash + 1, " -")) {
            size = 1 + strcspn(dash + 2, " =`,\n");
            snprintf(option, sizeof option, "%.*s", (int)size, dash + 1);
            if (!isalpha((unsigned char)option[1]) && option[1] != '-')
                continue;
            if (!help_tells(help, option, size) && !help_tells(overview, option, size)) {
                print_error("%s: no such option of %s: %s\n", page, name, option);
                bad++;
            }
        }
        free(help);
    }
    return bad;
}

#endif
