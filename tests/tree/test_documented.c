/* Documented commands work. The commands are those of the pages: blocks marked `sh` in README, the manual and the tutorial, and
 * the indented lines that begin with the program's name at the end of its help pages. The commands of a page run one after the
 * other in a folder of its own, each has to succeed, and the block marked `text` below a block of commands has to be what they
 * print: its lines in this order, whatever the numbers, with "..." for lines left out. tests/documented-not-run lists the
 * commands that are not run, with reasons; of all commands the name and the options have to exist. Needs libtorch; the tutorial
 * also a Python with PyTorch and Pillow. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "tests/support/command_options.h"
#include "tests/support/image_fixture.h"
#include "tests/support/program.h"
#include "tests/support/tidy.h"

#include <ctype.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { COMMANDS_MAX = 160, TEXT_MAX = 7000, REASONS_MAX = 40, LINE_SIZE = 512 };

/* One command with its continuation lines and its here-document; `block` counts the blocks of its page. */
typedef struct {
    char text[TEXT_MAX];
    int block;
    bool run;
} command;

static command commands[COMMANDS_MAX];                                     /* of the page in hand */
static char shown[COMMANDS_MAX][TEXT_MAX], printed[COMMANDS_MAX][1 << 15]; /* by block */
static int command_count, block_count;

/* tests/documented-not-run: the beginnings of commands. */
static char *not_run[REASONS_MAX];
static bool not_run_used[REASONS_MAX];
static int not_run_count;

static int read_not_run(void **state)
{
    char *text, *rest;
    size_t size;
    if (scratch_make(state) || pg_file_read("tests/documented-not-run", 1 << 16, &text, &size))
        return -1;
    rest = text; /* kept: the beginnings point into it */
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        char *reason = strchr(line, '#');
        if (*line == '#' || *line == '\0')
            continue;
        if (reason == NULL || reason == line || not_run_count == REASONS_MAX)
            return -1;
        while (reason > line && reason[-1] == ' ')
            reason--;
        *reason = '\0';
        not_run[not_run_count++] = line;
    }
    return 0;
}

static bool is_run(const char *text)
{
    const char *name = strncmp(text, "build/", 6) == 0 ? text + 6 : text;
    bool run = true;
    for (int i = 0; i < not_run_count; i++)
        if (strncmp(name, not_run[i], strlen(not_run[i])) == 0)
            run = false, not_run_used[i] = true;
    return run;
}

static void append(char *text, const char *line)
{
    size_t used = strlen(text);
    if (used + strlen(line) + 2 > TEXT_MAX)
        fail_msg("longer than %d bytes: %s", TEXT_MAX, text);
    sprintf(text + used, "%s\n", line);
}

/* Adds a line to the command in hand, or begins the next one; `open` is the end of a here-document, "" outside. */
static void add_line(const char *line, char open[64])
{
    command *last = command_count > 0 ? &commands[command_count - 1] : NULL;
    size_t size = last != NULL ? strlen(last->text) : 0;
    bool more = *open != '\0' || (last != NULL && last->block == block_count - 1 && size > 1 && last->text[size - 2] == '\\');
    if (!more) {
        if (*line == '\0' || *line == '#')
            return;
        assert_true(command_count < COMMANDS_MAX);
        last = &commands[command_count++];
        *last = (command){.block = block_count - 1};
    }
    append(last->text, line);
    const char *here = strstr(line, "<<'");
    if (*open != '\0' && strcmp(line, open) == 0)
        *open = '\0';
    else if (*open == '\0' && here != NULL)
        snprintf(open, 64, "%.*s", (int)strcspn(here + 3, "'"), here + 3);
}

static void begin_page(void)
{
    command_count = block_count = 0;
    memset(shown, 0, sizeof shown);
    memset(printed, 0, sizeof printed);
}

static void read_markdown(const char *page)
{
    enum { PROSE, CODE, COMMANDS, OUTPUT } in = PROSE, last = PROSE;
    char *text, *rest, open[64] = "";
    size_t size;
    begin_page();
    assert_int_equal(pg_file_read(page, 1 << 20, &text, &size), PG_OK);
    rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (strncmp(line, "```", 3) == 0) {
            last = in == PROSE ? last : in;
            in = in != PROSE ? PROSE : strcmp(line, "```sh") == 0 ? COMMANDS : strcmp(line, "```text") == 0 ? OUTPUT : CODE;
            block_count += in == COMMANDS;
            if (in == OUTPUT && last != COMMANDS)
                in = CODE;
        } else if (in == COMMANDS) {
            add_line(line, open);
        } else if (in == OUTPUT) {
            append(shown[block_count - 1], line);
        }
    }
    free(text);
    assert_true(command_count > 0);
}

/* Adds the examples of a help page: lines that begin with the program's name, and those that they continue on. */
static void read_help(const char *topic)
{
    char *text = help_of(topic), *rest = text, open[64] = "";
    bool more = false;
    block_count++;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (!more && strncmp(line, "  patchgauge ", 13) != 0)
            continue;
        add_line(line + strspn(line, " "), open);
        more = line[strlen(line) - 1] == '\\';
    }
    free(text);
}

/* Options and names of all, and which are run. */
static void check_commands(const char *page)
{
    int bad = 0;
    for (int i = 0; i < command_count; i++) {
        commands[i].run = is_run(commands[i].text);
        bad += unknown_options(page, commands[i].text);
    }
    assert_int_equal(bad, 0);
}

/* What stands beside a user who follows a page: the program, networks, matrix files, and photographs. Relative
 * names stay good. */
static void make_folder(const char *name)
{
    char line[4 * PATH_MAX], program[PATH_MAX], root[1024];
    assert_non_null(realpath(program_path(), program));
    assert_non_null(getcwd(root, sizeof root));
    snprintf(line, sizeof line,
             "exec 2>&1; cd '%s' && mkdir -p bin '%s/build' '%s/models/zoo' && ln -sf '%s' bin/patchgauge && cd '%s' && "
             "ln -s '%s' build/patchgauge && ln -s '%s/models/zoo/'* models/zoo && ln -s '%s/experiments' .",
             scratch_folder, name, name, program, name, program, root, root);
    if (program_shell(line) != 0)
        fail_msg("%s", program_output);
    for (int i = 0; i < 4; i++) {
        static const char *const classes[] = {"cat", "dog"};
        char photo[256];
        snprintf(photo, sizeof photo, "%s/photos/val/%s", name, classes[i / 2]);
        assert_int_equal(pg_make_folders(scratch_path(photo)), PG_OK);
        snprintf(photo, sizeof photo, "%s/photos/val/%s/%d.jpg", name, classes[i / 2], i);
        pg_buf file = fixture_photo(300, 280, true, 0, (unsigned)i);
        scratch_write(photo, file.data, file.size);
        pg_buf_release(&file);
    }
}

/* Runs the commands in the folder; the output of block i is in printed[i]. */
static void run_commands(const char *page, const char *folder)
{
    char line[2048];
    FILE *script = fopen(scratch_path("script"), "w");
    assert_non_null(script);
    for (int i = 0; i < command_count; i++)
        if (commands[i].run)
            fprintf(script, "printf '\\001%d\\n'\n%s", i, commands[i].text);
    assert_int_equal(fclose(script), 0);
    snprintf(line, sizeof line,
             "exec 2>&1; unset PATCHGAUGE PATCHGAUGE_DATA MAKEFLAGS MFLAGS MAKELEVEL; export XDG_CACHE_HOME='%s/cache' "
             "PATH='%s/bin':$PATH; "
             "cd '%s/%s' && exec sh -eu ../script",
             scratch_folder, scratch_folder, scratch_folder, folder);
    int code = program_shell(line), last = -1;
    for (char *part = strchr(program_output, '\001'); part != NULL;) {
        char *next = strchr(part + 1, '\001'), *text = strchr(part, '\n') + 1;
        last = atoi(part + 1);
        char *block = printed[commands[last].block];
        size_t used = strlen(block), size = next != NULL ? (size_t)(next - text) : strlen(text);
        if (used + size + 2 > sizeof printed[0])
            fail_msg("%s: prints more than %zu bytes: %s", page, sizeof printed[0], commands[last].text);
        sprintf(block + used, "%.*s\n", (int)size, text);
        part = next;
    }
    if (code != 0) {
        fprintf(stderr, "%s\n", last < 0 ? program_output : printed[commands[last].block]);
        fail_msg("%s: exit code %d of %s", page, code, last < 0 ? "the script" : commands[last].text);
    }
}

/* A line with each number and hash as '#', and runs of blanks and dashes as one. */
static void normalize(const char *line, char *out)
{
    static const char hex[] = "0123456789abcdef";
    char *start = out;
    for (const char *at = line; *at != '\0' && *at != '\n';) {
        size_t digits = strspn(at, hex), run = 0;
        bool begins = at == line || !isalnum((unsigned char)at[-1]);
        if (begins && digits >= 8 && !isalnum((unsigned char)at[digits])) {
            run = digits;
        } else if (isdigit((unsigned char)at[*at == '-' || *at == '+'])) {
            run = 1 + strspn(at + 1, "0123456789.,:");
            if (at[run] == 'e' && (at[run + 1] == '-' || at[run + 1] == '+'))
                run += 2 + strspn(at + run + 2, "0123456789");
        }
        if (run > 0)
            *out++ = '#';
        else if ((*at == ' ' || *at == '-') && out > start && out[-1] == *at)
            ;
        else
            *out++ = *at;
        at += run > 0 ? run : 1;
    }
    while (out > start && out[-1] == ' ')
        out--;
    *out = '\0';
}

/* The shown lines of each block are among the printed ones, in this order. */
static void check_output(const char *page)
{
    int compared = 0;
    for (int block = 0; block < block_count; block++) {
        char *at = printed[block], *rest = shown[block];
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
            char wanted[LINE_SIZE], found[LINE_SIZE] = "\001";
            if (*line == '\0' || strcmp(line, "...") == 0)
                continue;
            if (strlen(line) >= LINE_SIZE)
                fail_msg("%s: a line of %zu bytes", page, strlen(line));
            normalize(line, wanted);
            for (; *at != '\0' && strcmp(found, wanted) != 0; at += strcspn(at, "\n"), at += *at == '\n') {
                char whole[LINE_SIZE];
                snprintf(whole, sizeof whole, "%.*s", (int)strcspn(at, "\n"), at);
                normalize(whole, found);
            }
            if (strcmp(found, wanted) != 0) {
                fprintf(stderr, "%s\n", printed[block]);
                fail_msg("%s: shown, but not printed there: %s", page, line);
            }
            compared++;
        }
    }
    assert_true(compared > 0);
}

static void run_page(const char *page, const char *folder)
{
    read_markdown(page);
    check_commands(page);
    make_folder(folder);
    run_commands(page, folder);
    check_output(page);
}

static void readme_works(void **state)
{
    (void)state;
    run_page("README.md", "readme");
    assert_int_equal(access(scratch_path("readme/figures/patch-size.svg"), R_OK), 0);
}

static void the_manual_works(void **state)
{
    (void)state;
    run_page("harness/MANUAL.md", "manual");
}

/* Those of a page rest on what pages before it made: `run` comes first, then `features`, then the others by name. */
static void examples_of_help_work(void **state)
{
    (void)state;
    char *overview = help_of(""), *rest, topic[64];
    begin_page();
    read_help("run");
    read_help("features");
    int both = command_count;
    assert_true(both > 2);
    rest = strstr(overview, "commands:\n");
    assert_non_null(rest);
    strsep(&rest, "\n");
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0'; line = strsep(&rest, "\n")) {
        snprintf(topic, sizeof topic, "%.*s", (int)strcspn(line + 2, " "), line + 2);
        if (strcmp(topic, "run") != 0 && strcmp(topic, "features") != 0)
            read_help(topic);
    }
    free(overview);
    assert_true(command_count > both);
    check_commands("help");
    make_folder("help");
    run_commands("help", "help");
}

static bool was_printed(const char *text)
{
    bool found = false;
    for (int block = 0; block < block_count; block++)
        found |= strstr(printed[block], text) != NULL;
    return found;
}

/* A "python3" with PyTorch and Pillow in front of PATH; false where there is none. */
static bool make_python(void)
{
    char line[1024];
    snprintf(
        line, sizeof line,
        "cd '%s' && mkdir -p bin && for p in $(command -v python3) /usr/bin/python3; do\n"
        "    $p -c 'import PIL, torch' 2>/dev/null && { printf '#!/bin/sh\\nexec %%s \"$@\"\\n' $p >bin/python3; break; }\n"
        "done; chmod +x bin/python3 2>/dev/null",
        scratch_folder);
    return program_shell(line) == 0;
}

static void the_tutorial_works(void **state)
{
    (void)state;
    static const char *const files[] = {"net.pt",        "data/stripes/manifest.json", "net.safetensors",
                                        "patchgauge.db", "attacked/sheet.svg",         "figures/accuracy.svg",
                                        "stripes.html"};
    static const char *const said[] = {"delta 0 grid units", "no pixel changes a position outside its stated field"};
    if (!make_python())
        skip();
    run_page("experiments/TUTORIAL.md", "tutorial");
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!was_printed(said[i]))
            fail_msg("nowhere: %s", said[i]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "tutorial/%s", files[i]);
        if (access(scratch_path(name), R_OK) != 0)
            fail_msg("%s is not there", files[i]);
    }
    /* the table: right on clean images, and a defense certifies what the mean cannot */
    char line[2048];
    snprintf(line, sizeof line,
             "cd %s/tutorial && unset PATCHGAUGE_DATA && ../bin/patchgauge --quiet table stripes.toml -f json", scratch_folder);
    assert_int_equal(program_shell(line), 0);
    assert_true(tidy_number("defense=mean patch=2 metric=clean", "value") > 80);
    assert_true(tidy_number("defense=mean patch=2 metric=certified", "value") < 20);
    assert_true(tidy_number("defense=robust-masking patch=2 metric=certified", "value") > 60);
}

/* After the others: each line of the list stands for a command of some page. */
static void the_list_of_commands_not_run_is_current(void **state)
{
    (void)state;
    int bad = 0;
    for (int i = 0; i < not_run_count; i++)
        if (!not_run_used[i]) {
            print_error("tests/documented-not-run: no page has: %s\n", not_run[i]);
            bad++;
        }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readme_works),
        cmocka_unit_test(the_manual_works),
        cmocka_unit_test(examples_of_help_work),
        cmocka_unit_test(the_tutorial_works),
        cmocka_unit_test(the_list_of_commands_not_run_is_current),
    };
    return cmocka_run_group_tests(tests, read_not_run, scratch_remove);
}
