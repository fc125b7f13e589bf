/* harness/base/cli: what a table takes, what it says of anything else, and how it is printed. */
#include "harness/base/cli.h"

#include "harness/base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *const colours[] = {"red", "green", "blue", NULL};
typedef struct inner {
    int64_t depth;
    double rate;
} inner;
static const pg_option inner_table[] = {
    {.name = "depth",
     .type = PG_OPTION_INT,
     .offset = offsetof(inner, depth),
     .fallback = "3",
     .min = 1,
     .max = 9,
     .help = "d"},
    {.name = "rate", .type = PG_OPTION_DECIMAL, .offset = offsetof(inner, rate), .fallback = "0.5", .help = "r"},
    {0},
};

typedef struct request {
    const char *first, *file, *out, *word;
    pg_texts more, sets;
    int64_t most, delta;
    int size[2], colour, mood, even;
    bool force, slow, wrapped;
    inner in;
} request;

static int set_even(const char *text, void *field)
{
    int64_t number;
    if (!text)
        number = 0;
    else if (strcmp(text, "broken") == 0)
        return pg_fail(PG_EIO, "a reason of its own");
    else if (pg_parse_int(text, &number) != PG_OK || number % 2)
        return PG_EUSAGE;
    *(int *)field = (int)number;
    return PG_OK;
}

#define AT(field) offsetof(request, field)
static const pg_cli_row rows[] = {
    {0, NULL, "FIRST", NULL, NULL, AT(first), PG_TEXT},
    {0, NULL, "FILE", "the file", NULL, AT(file), PG_TEXT_FULL, PG_REQUIRED},
    {'o', "out", "DIR", "where to", NULL, AT(out), PG_TEXT_FULL},
    {0, "outer", "WORD", "a word", "none", AT(word), PG_TEXT},
    {'S', "set", "KEY=VALUE", "a pair", NULL, AT(sets), PG_TEXTS},
    {'n', "most", "N", "lines", "10", AT(most), PG_INT(0, 1000)},
    {0, "delta", "D", "a change", NULL, AT(delta), PG_INT(0, INT64_MAX), .absent = -1},
    {0, "size", "HxW", "a size", NULL, AT(size), PG_SIZE(64)},
    {'c', "colour", "C", "a colour", "green", AT(colour), PG_CHOICE(colours)},
    {0, "mood", "C", "another", NULL, AT(mood), PG_CHOICE(colours), .absent = -1},
    {'e', "even", "N", "an even number", NULL, AT(even), PG_CALL(set_even, "an even number"), .bare = true},
    {'f', "force", NULL, "over it", NULL, AT(force), PG_FLAG},
    {0, "slow", NULL, "slowly", NULL, AT(slow), PG_FLAG},
    {0, "fast", NULL, "not slowly", NULL, AT(slow), PG_UNFLAG},
    {0, "depth-and-rate", NULL, NULL, NULL, AT(in), PG_TABLE(inner_table)},
    PG_CLI_END,
};
static const pg_cli_row globals[] = {{0, "data", "DIR", "data", NULL, 0, PG_TEXT}, PG_CLI_END};
static const pg_cli cli = {.name = "paint it", .usage = "paint it [FIRST] FILE [options]", .rows = rows, .globals = globals};

enum { WORDS = 32 };

/* Parses a line of words with blanks between them; "_" is an empty word. */
static int parse(const char *line, request *r)
{
    static char text[1024];
    char *words[WORDS];
    int n = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[n++] = strcmp(word, "_") == 0 ? word + 1 : word;
    *r = (request){0};
    return pg_cli_parse(&cli, n, words, r);
}

static void expect_error(const char *line, const char *message)
{
    request r;
    int code = parse(line, &r);
    if (code != PG_EUSAGE || strcmp(pg_error_message(), message) != 0)
        fail_msg("%s: code %d: %s", line, code, pg_error_message());
    pg_cli_release(rows, &r);
}

static void values_reach_their_fields(void **state)
{
    request r;
    (void)state;
    assert_int_equal(parse("file", &r), PG_OK);
    assert_true(r.first == NULL && strcmp(r.file, "file") == 0 && r.out == NULL && strcmp(r.word, "none") == 0);
    assert_true(r.most == 10 && r.delta == -1 && r.size[0] == 0 && r.colour == 1 && r.mood == -1 && r.sets.n == 0);
    assert_true(!r.force && r.in.depth == 3 && r.in.rate == 0.5);
    assert_int_equal(parse("one -fc blue --set=a=1 two -Sb=2,3 -n 7 -S c --delta 0 --size 5x8 --out x=y --slow --mood red "
                           "--depth 4 --even=6 --outer=",
                           &r),
                     PG_OK);
    assert_string_equal(r.first, "one");
    assert_string_equal(r.file, "two");
    assert_string_equal(r.out, "x=y");
    assert_string_equal(r.word, "");
    assert_true(r.sets.n == 3 && strcmp(r.sets.items[0], "a=1") == 0 && strcmp(r.sets.items[1], "b=2,3") == 0);
    assert_string_equal(r.sets.items[2], "c");
    assert_true(r.most == 7 && r.delta == 0 && r.size[0] == 5 && r.size[1] == 8 && r.colour == 2 && r.mood == 0);
    assert_true(r.force && r.slow && r.even == 6 && r.in.depth == 4);
    pg_cli_release(rows, &r);
}

static void words_are_read_as_getopt_reads_them(void **state)
{
    request r;
    (void)state;
    assert_int_equal(parse("-f -- --force", &r), PG_OK); /* an operand behind "--" */
    assert_string_equal(r.file, "--force");
    assert_int_equal(parse("- -n-0", &r), PG_OK); /* "-" is one, too */
    assert_string_equal(r.file, "-");
    assert_int_equal(parse("--colo blue x", &r), PG_OK); /* a name that is cut */
    assert_int_equal(r.colour, 2);
    assert_int_equal(parse("--out d x", &r), PG_OK); /* the whole name, not the start of --outer */
    assert_string_equal(r.out, "d");
    assert_int_equal(parse("--slow --fast x", &r), PG_OK); /* of two on one field the last counts */
    assert_false(r.slow);
    assert_int_equal(parse("--even 7", &r), PG_OK); /* a bare option takes no word */
    assert_string_equal(r.file, "7");
    assert_int_equal(parse("-e8 x", &r), PG_OK);
    assert_int_equal(r.even, 8);
    assert_int_equal(parse("--out --force x", &r), PG_OK); /* a value may look like an option */
    assert_string_equal(r.out, "--force");
    assert_false(r.force);
}

static void errors_say_what_would_be_right(void **state)
{
    (void)state;
    expect_error("", "paint it: FILE is missing; usage: patchgauge paint it [FIRST] FILE [options]");
    expect_error("a b c", "paint it: one argument too many, 'c'; usage: patchgauge paint it [FIRST] FILE [options]");
    expect_error("x --forse", "paint it: unknown option '--forse': did you mean '--force'?");
    expect_error("x --dta", "paint it: unknown option '--dta': did you mean '--data'?");
    expect_error("x --dept=3 --rte 1", "paint it: unknown option '--rte': did you mean '--rate'?");
    expect_error("x -x", "paint it: unknown option '-x': `patchgauge help paint` lists the options");
    expect_error("x --zzzzzz=1", "paint it: unknown option '--zzzzzz=1': `patchgauge help paint` lists the options");
    expect_error("x --ou d", "paint it: unknown option '--ou': did you mean '--out'?"); /* or --outer */
    expect_error("x --out", "paint it: option '--out' requires a value: see `patchgauge help paint`");
    expect_error("x -fo", "paint it: option '-o' requires a value: see `patchgauge help paint`");
    expect_error("x --force=1", "paint it: option '--force' takes no value: see `patchgauge help paint`");
    expect_error("x -n 3 --most=4", "paint it: one option is given twice, as '-n 3' and '--most 4': leave one of them out");
    expect_error("x -ff", "paint it: one option is given twice, as '-f' and '-f': leave one of them out");
    expect_error("x --rate 1 --rate 2",
                 "paint it: one option is given twice, as '--rate 1' and '--rate 2': leave one of them out");
    expect_error("x -n 1001", "paint it: -n 1001: right would be a whole number from 0 to 1000");
    expect_error("x --most 1.5", "paint it: --most 1.5: right would be a whole number from 0 to 1000");
    expect_error("x --delta -1", "paint it: --delta -1: right would be a whole number, 0 or more");
    expect_error("x --size 0x3", "paint it: --size 0x3: right would be one number or HxW, each from 1 to 64");
    expect_error("x --size 65", "paint it: --size 65: right would be one number or HxW, each from 1 to 64");
    expect_error("x -c rde", "paint it: -c rde: right would be red, green or blue; did you mean 'red'?");
    expect_error("x --even=3", "paint it: --even=3: right would be an even number");
    expect_error("x --out _", "paint it: --out : right would be a text that is not empty");
    expect_error("_", "paint it: FILE : right would be a text that is not empty");
    request r;
    assert_int_equal(parse("x --even=broken", &r), PG_EIO);
    assert_string_equal(pg_error_message(), "a reason of its own");
    assert_int_equal(parse("x --depth 10", &r), PG_EINPUT); /* as option.h has it */
    assert_non_null(strstr(pg_error_message(), "paint it: option depth=10"));
}

static void required_options_and_lists(void **state)
{
    static const pg_cli_row some[] = {
        {0, NULL, "SHARD", "s", NULL, AT(more), PG_TEXTS, PG_REQUIRED},
        {0, NULL, "LAST", "l", NULL, AT(file), PG_TEXT, PG_REQUIRED},
        {'o', "out", "DIR", "d", NULL, AT(out), PG_TEXT, PG_REQUIRED},
        PG_CLI_END,
    };
    const pg_cli all = {.name = "merge", .usage = "merge SHARD... LAST -o DIR", .rows = some};
    char *words[] = {"a", "b", "-o", "d", "c", "z"};
    request r = {0};
    (void)state;
    assert_int_equal(pg_cli_parse(&all, 6, words, &r), PG_OK);
    assert_true(r.more.n == 3 && strcmp(r.more.items[2], "c") == 0 && strcmp(r.file, "z") == 0);
    pg_cli_release(some, &r);
    assert_int_equal(pg_cli_parse(&all, 2, words, &r), PG_EUSAGE);
    assert_string_equal(pg_error_message(), "merge: -o is missing; usage: patchgauge merge SHARD... LAST -o DIR");
    assert_int_equal(pg_cli_parse(&all, 1, words, &r), PG_EUSAGE);
    assert_string_equal(pg_error_message(), "merge: LAST is missing; usage: patchgauge merge SHARD... LAST -o DIR");
}

static void options_of_all_commands_are_taken_out(void **state)
{
    static const pg_cli_row all[] = {{0, "out", "DIR", "d", NULL, AT(out), PG_TEXT},
                                     {'h', "force", NULL, "f", NULL, AT(force), PG_FLAG, .again = true},
                                     PG_CLI_END};
    char *words[] = {"run", "--out", "x", "-h", "--forc", "--force", "--force", "--", "--out", "y", NULL};
    int n = 10;
    request r = {0};
    (void)state;
    assert_int_equal(pg_cli_take(all, &n, words, &r), PG_OK);
    assert_int_equal(n, 6);
    static const char *const left[] = {"run", "-h", "--forc", "--", "--out", "y"};
    for (int i = 0; i < n; i++)
        assert_string_equal(words[i], left[i]);
    assert_null(words[n]);
    assert_true(r.force && strcmp(r.out, "x") == 0);
    char *first[] = {"-h", "run", NULL}, *open[] = {"run", "--out", NULL}, *twice[] = {"--out=1", "run", "--out", "2", NULL};
    r = (request){0};
    assert_int_equal(pg_cli_take(all, (n = 2, &n), first, &r), PG_OK);
    assert_true(r.force && n == 1 && strcmp(first[0], "run") == 0);
    assert_int_equal(pg_cli_take(all, (n = 2, &n), open, &r), PG_EUSAGE);
    assert_string_equal(pg_error_message(), "option '--out' requires a value: see `patchgauge help`");
    assert_int_equal(pg_cli_take(all, (n = 4, &n), twice, &r), PG_EUSAGE);
    assert_string_equal(pg_error_message(), "one option is given twice, as '--out 1' and '--out 2': leave one of them out");
}

static void tables_are_printed(void **state)
{
    pg_buf out;
    (void)state;
    pg_buf_init(&out);
    pg_cli_help(rows, 60, &out);
    assert_string_equal(out.data, "  FILE                  the file\n"
                                  "  -o, --out DIR         where to\n"
                                  "  --outer WORD          a word (default none)\n"
                                  "  -S, --set KEY=VALUE   a pair (may be given several times)\n"
                                  "  -n, --most N          lines (0 to 1000; default 10)\n"
                                  "  --delta D             a change\n"
                                  "  --size HxW            a size (1 to 64)\n"
                                  "  -c, --colour C        a colour (red, green or blue;\n"
                                  "                        default green)\n"
                                  "  --mood C              another (red, green or blue)\n"
                                  "  -e, --even[=N]        an even number\n"
                                  "  -f, --force           over it\n"
                                  "  --slow                slowly\n"
                                  "  --fast                not slowly\n"
                                  "  --depth               d (an integer from 1 to 9; default\n"
                                  "                        3)\n"
                                  "  --rate                r (a number; default 0.5)\n");
    pg_buf_clear(&out);
    pg_cli_prose("one two three four five six seven\n\n  name  what it is and what it does\n    deep and deeper\n", 20, &out);
    assert_string_equal(out.data, "one two three four\nfive six seven\n\n"
                                  "  name  what it is\n        and what it\n        does\n"
                                  "    deep and deeper\n");
    pg_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_reach_their_fields),
        cmocka_unit_test(words_are_read_as_getopt_reads_them),
        cmocka_unit_test(errors_say_what_would_be_right),
        cmocka_unit_test(required_options_and_lists),
        cmocka_unit_test(options_of_all_commands_are_taken_out),
        cmocka_unit_test(tables_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
