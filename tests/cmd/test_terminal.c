/* What commands print fits the terminal, and is the same bytes in every file; escape sequences are for terminals only, and none
 * is a colour. */
#include "tests/support/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:64\"\nweights = \"null\"\n"
                             "[axes]\ndefense = [\"mean\", \"robust-masking\"]\npatch = [2, 3, 4, 5, \"4x8\"]\n"
                             "\"robust-masking.threshold\" = [0, 0.2]\n";

/* What stays the same from call to call, word by word, on terminals of any width; `blocks`: tables repeat their headings. */
typedef struct look {
    const char *command;
    bool blocks;
} look;
#define ZOO "models/zoo/synthetic-bagnet.safetensors,models/zoo/synthetic-ds.safetensors"
static const look looks[] = {
    {"table $S/m.toml", true},
    {"table $S/m.toml --rows patch --cols defense", true},
    {"table $S/m.toml --rows dataset,defense --cols patch --metrics clean,certified_published,smallest_margin", true},
    {"plan $S/m.toml", false},
    {"plan $S/m.toml --explain", false},
    {"plan $S/m.toml --explain -S weights=" ZOO, false},
    {"plan $S/m.toml --explain -S null.fail_image=3 -S images=0:8", false},
    {"status", false},
    {"ls", false},
    {"show $A", false},
    {"show $B", false},
    {"show $F", false},
    {"log $A", false},
    {"log $F", false},
    {"diff $A $B", true},
    {"list", false},
    {"db check", false},
    {"help", false},
    {"help run", false},
    {"help matrix", false},
    {"help defense robust-masking", false},
};
enum { LOOKS = sizeof looks / sizeof *looks, ROOM = 1 << 18 };

static char cells[3][13]; /* A, B: done, of two defenses; F: failed */

/* The id of a line of `ls`. */
static void take_cell(const char *rows, int skip, char out[13])
{
    assert_int_equal(program_run("t.db", "ls %s", rows), 0);
    const char *line = strchr(program_output, '\n') + 1;
    for (; skip > 0; skip--)
        line = strchr(line, '\n') + 1;
    snprintf(out, 13, "%.12s", line);
}

static int start(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    if (program_run("t.db", "run %s --quiet", scratch_path("m.toml")) != 0 ||
        program_run("t.db", "run %s --quiet -S null.fail_image=3 -S images=0:8", scratch_path("m.toml")) != 1)
        return -1;
    take_cell("--state done", 0, cells[0]);
    take_cell("--state done", 7, cells[1]);
    take_cell("--state failed", 0, cells[2]);
    return 0;
}

/* A line of the shell: the program on the database, with the names of the table above. */
static const char *line_of(const char *command, const char *before)
{
    static char line[2048];
    snprintf(line, sizeof line, "S='%s' A=%s B=%s F=%s; %s '%s' --db '%s/t.db' --data /nowhere --cache '%s/cache' %s",
             scratch_folder, cells[0], cells[1], cells[2], before, program_path(), scratch_folder, scratch_folder, command);
    return line;
}

static bool has_word(const char *text, const char *word, size_t size)
{
    for (size_t n; *(text = terminal_word(text, &n)); text += n)
        if (n == size && memcmp(text, word, n) == 0)
            return true;
    return false;
}

/* Every word of the file is on the terminal, in its order unless tables are cut into blocks. */
static void expect_words(const look *l, const char *file, const char *fitted)
{
    for (size_t m, n; *(file = terminal_word(file, &m)); file += m) {
        bool rule = file[strspn(file, "-")] == ' ' || file[strspn(file, "-")] == '\n'; /* as wide as its column */
        if (l->blocks) {
            if (!rule && !has_word(fitted, file, m))
                fail_msg("%s: '%.*s' is lost", l->command, (int)m, file);
            continue;
        }
        fitted = terminal_word(fitted, &n);
        if (m != n || memcmp(file, fitted, m) != 0)
            fail_msg("%s: '%.*s' instead of '%.*s'", l->command, (int)n, fitted, (int)m, file);
        fitted += n;
    }
}

static void check_width(const look *l, int columns, const char *file)
{
    static char fitted[ROOM];
    assert_int_equal(terminal_run(columns, line_of(l->command, ""), fitted, sizeof fitted), 0);
    const char *wide = terminal_wide_line(fitted, (size_t)columns);
    if (wide)
        fail_msg("%s: wider than %d: %.*s", l->command, columns, (int)strcspn(wide, "\n"), wide);
    if (strchr(fitted, '\033'))
        fail_msg("%s: an escape sequence", l->command);
    expect_words(l, file, fitted);
}

static void lines_fit_and_lose_nothing(void **state)
{
    static char file[ROOM];
    static const int widths[] = {40, 60, 80, 120, 200};
    (void)state;
    for (size_t i = 0; i < LOOKS; i++) {
        assert_int_equal(program_shell(line_of(looks[i].command, "")), 0);
        strcpy(file, program_output);
        assert_int_equal(program_shell(line_of(looks[i].command, "COLUMNS=50")), 0);
        assert_string_equal(program_output, file); /* a file is no terminal, whatever is said of one */
        assert_null(strchr(file, '\033'));
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            check_width(&looks[i], widths[w], file);
    }
    static char fitted[ROOM]; /* what it says differs from call to call */
    assert_int_equal(terminal_run(80, line_of("doctor", ""), fitted, sizeof fitted), 0);
    assert_non_null(strstr(fitted, "patchgauge "));
    assert_null(terminal_wide_line(fitted, 80));
}

static size_t widest(const char *text)
{
    size_t most = 0;
    for (; *text; text += strcspn(text, "\n") + 1)
        most = strcspn(text, "\n") > most ? strcspn(text, "\n") : most;
    return most;
}

static void the_room_there_is_is_used(void **state)
{
    static char text[ROOM];
    (void)state;
    assert_int_equal(terminal_run(200, line_of("table $S/m.toml", ""), text, sizeof text), 0);
    assert_true(widest(text) > 100);
    const char *heading = strstr(text, "\n\ndefense  ");
    assert_true(heading != NULL && strstr(heading + 1, "\n\ndefense  ") == NULL); /* one block */
    assert_int_equal(terminal_run(200, line_of("ls", ""), text, sizeof text), 0);
    assert_true(widest(text) > 120);
    assert_int_equal(terminal_run(0, line_of("ls", "COLUMNS=60"), text, sizeof text), 0);
    assert_in_range(widest(text), 50, 60);
    assert_int_equal(terminal_run(0, line_of("ls", "COLUMNS=none"), text, sizeof text), 0);
    assert_in_range(widest(text), 61, 80);
    assert_int_equal(terminal_run(60, line_of("ls", "COLUMNS=200"), text, sizeof text), 0);
    assert_in_range(widest(text), 50, 60); /* the terminal knows best */
    assert_int_equal(terminal_run(20, line_of("ls", ""), text, sizeof text), 0);
    assert_in_range(widest(text), 30, 40);
}

/* Ids, hashes and paths are whole, also where there is no room for them. */
static void nothing_is_cut(void **state)
{
    static char text[ROOM];
    char id[65];
    (void)state;
    assert_int_equal(program_run("t.db", "show %s", cells[0]), 0);
    snprintf(id, sizeof id, "%.64s", strstr(program_output, cells[0]));
    assert_int_equal(terminal_run(60, line_of("show $A", ""), text, sizeof text), 0);
    assert_true(has_word(text, id, 64));
    assert_int_equal(terminal_run(40, line_of("plan $S/m.toml --explain -S weights=" ZOO, ""), text, sizeof text), 0);
    assert_non_null(strstr(text, "\nweights=models/zoo/synthetic-bagnet.safetensors\n"));
}

/* A JSON object a line stays one, and scripts stay what a shell reads. */
static void what_programs_read_is_not_broken(void **state)
{
    static char text[ROOM];
    (void)state;
    assert_int_equal(terminal_run(60, line_of("status -f json-lines", ""), text, sizeof text), 0);
    assert_true(text[0] == '{' && strchr(text, '\n') == text + strlen(text) - 1 && strlen(text) > 300);
    assert_int_equal(terminal_run(60,
                                  line_of("submit $S/m.toml --tasks 2 --print -S images=0:96 --sbatch-arg=--comment=" ZOO, ""),
                                  text, sizeof text),
                     0);
    assert_non_null(terminal_wide_line(text, 80));
}

/* Select graphic rendition: ESC [ numbers m. */
static bool has_colour(const char *text)
{
    for (; (text = strstr(text, "\033[")) != NULL; text += 2)
        if (text[2 + strspn(text + 2, "0123456789;")] == 'm')
            return true;
    return false;
}

/* Bars and the screen of `status --watch` need a terminal's help; nothing is told by colour, with NO_COLOR and without. */
static void colours_are_never_used(void **state)
{
    static const char *const commands[] = {"run $S/m.toml -S images=64:96", "status --watch", "plan $S/absent.toml", "tabel"};
    static const char *const before[] = {"", "NO_COLOR=1", "TERM=xterm-256color CLICOLOR_FORCE=1"};
    static char text[ROOM];
    (void)state;
    assert_true(has_colour("a\033[1;31mb") && has_colour("\033[m") && !has_colour("\033[K\033[2J m"));
    for (size_t b = 0; b < sizeof before / sizeof *before; b++)
        for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
            (void)terminal_run(80, line_of(commands[c], before[b]), text, sizeof text);
            assert_true(strlen(text) > 10);
            assert_false(has_colour(text));
            (void)program_shell(line_of(c == 0   ? "run $S/m.toml -S images=96:128 2>&1"
                                        : c == 1 ? "status --watch 2>&1"
                                                 : commands[c],
                                        before[b]));
            assert_null(strchr(program_output, '\033'));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_fit_and_lose_nothing),
        cmocka_unit_test(the_room_there_is_is_used),
        cmocka_unit_test(nothing_is_cut),
        cmocka_unit_test(what_programs_read_is_not_broken),
        cmocka_unit_test(colours_are_never_used),
    };
    return cmocka_run_group_tests(tests, start, scratch_remove);
}
