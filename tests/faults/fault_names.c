/* Hostile names: text of the user's that would be a command to SQL, a shell, gnuplot or a browser, were it not kept as text. It
 * stands in the name of the matrix, of the weights file and of the folders, and goes through every command that reads or prints
 * it. */
#include "tests/faults/faults.h"

static const char *const payloads[] = {
    "x'); DROP TABLE cell; --",
    "\"; DELETE FROM outcome; --",
    "' OR '1'='1",
    "$(touch PWNED)",
    "`touch PWNED`",
    "; touch PWNED;",
    "| touch PWNED",
    "&& touch PWNED #",
    "' ; touch PWNED ; '",
    "\" ; touch PWNED ; \"",
    "\n touch PWNED \n",
    "\"; system('touch PWNED'); \"",
    "'; system(\"touch PWNED\"); '",
    "\n!touch PWNED\n",
    "@PWNED {/=99 x} ^{y} _z & %s%n%n \\a",
    "x\"; set output 'PWNED'; replot; #",
    "<script>touch('PWNED')</script>",
    "\"><img src=x onerror=alert(1)>",
    "]]><svg onload=alert(1)>",
    "&lt;b&gt; &#60; &amp; <!-- --> <![CDATA[",
    "-o PWNED",
    "--db=PWNED",
    "../../PWNED",
    "a|b\\|c\\\\",
    "\\input{PWNED} $x$ % & # _",
};
enum { N = sizeof payloads / sizeof *payloads };

static const char axes[] =
    "[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:4\"\nbatch = 4\n[axes]\ndefense = [\"mean\", \"ds\"]\npatch = [2]\n";
static char program[4096], zoo[4096], *results;

/* A string of TOML. */
static void quote(const char *text, pg_buf *out)
{
    pg_buf_puts(out, "\"");
    for (; *text; text++)
        pg_buf_printf(out, *text == '"' || *text == '\\' ? "\\%c" : *text == '\n' ? "\\n" : "%c", *text);
    pg_buf_puts(out, "\"");
}

/* Runs the program without a shell in the current folder; its exit code. What it says is in "out" and "err". */
static int call(const char *const *arguments)
{
    const char *argv[24] = {program};
    for (int i = 0; i < 22 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    pid_t child = fork();
    if (child == 0) {
        if (freopen("out", "w", stdout) && freopen("err", "w", stderr))
            execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    return program_wait(child);
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    if (pg_file_read(path, 1 << 24, &text, &size) != PG_OK)
        fail_msg("%s", pg_error_message());
    return text;
}

static void must(const char *const *arguments)
{
    int code = call(arguments);
    if (code == 0)
        return;
    char *said = read_text("err");
    fail_msg("%s %s ended with %d: %s", arguments[0], arguments[1], code, said);
}

static int make(void **state)
{
    if (!realpath(program_path(), program) || !realpath("models/zoo/synthetic-ds.safetensors", zoo))
        return -1;
    return fault_make(state) == 0 && chdir(scratch_folder) == 0 ? 0 : -1;
}

/* Nothing anywhere that a payload would have made, and the results are what they were. */
static void expect_no_effect(const char *payload)
{
    if (system("find . -name '*PWNED*' ! -name 'net*' ! -name 'in*' | grep -q .") == 0)
        fail_msg("an effect of \"%s\"", payload);
    fault_expect("n.db", results);
}

static void write_matrix(const char *payload, const char *weights)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_puts(&text, "name = ");
    quote(payload, &text);
    pg_buf_printf(&text, "\n%s", axes);
    pg_buf_puts(&text, "[[zip]]\nweights = [");
    quote(weights, &text);
    pg_buf_puts(&text, "]\n");
    assert_int_equal(pg_file_write("n.toml", text.data, text.size), PG_OK);
    pg_buf_release(&text);
}

/* In pictures text is escaped: no element of a browser's comes from it. */
static void expect_plain_pictures(const char *payload)
{
    char *svg = read_text("figures/accuracy.svg");
    if (strstr(payload, "<script") && !strstr(svg, "&lt;script"))
        fail_msg("the name is not drawn");
    for (const char *p = svg; (p = strchr(p, '<')); p++)
        if (strncasecmp(p, "<script", 7) == 0 || strncasecmp(p, "<img", 4) == 0 || strstr(p, "<svg onload") == p)
            fail_msg("%.80s", p);
    free(svg);
}

static void through_every_command(const char *weights, const char *payload)
{
    static const char *const formats[] = {"text", "md", "csv", "json"};
    write_matrix(payload, weights);
    must((const char *const[]){"run", "n.toml", "--db", "n.db", "--cache-size", "0", "--device", "cpu", "--quiet", NULL});
    must((const char *const[]){"plan", "n.toml", "--explain", "--db", "n.db", NULL});
    for (int i = 0; i < 4; i++)
        must((const char *const[]){"table", "n.toml", "--db", "n.db", "--rows", "weights,defense", "-f", formats[i], NULL});
    must((const char *const[]){"plot", "accuracy", "n.toml", "--db", "n.db", "--rows", "weights,defense", NULL});
    must((const char *const[]){"ls", "--db", "n.db", NULL});
    must((const char *const[]){"db", "check", "--db", "n.db", NULL});
    expect_plain_pictures(payload);
}

/* Each payload as the name of a matrix; of a file as far as a file name goes. */
static void test_hostile_names(void **state)
{
    (void)state;
    int commands = 0;
    for (int i = 0; i < N; i++) {
        char name[256] = "net", *end = name + 3;
        for (const char *p = payloads[i]; *p; p++)
            if (*p != '/' && *p != '\n') /* a weights file's name is one line */
                *end++ = *p;
        strcpy(end, ".safetensors");
        char *arguments[] = {(char *)"cp", zoo, name, NULL};
        pid_t child = fork();
        if (child == 0) {
            execvp("cp", arguments);
            _exit(127);
        }
        assert_int_equal(program_wait(child), 0);
        through_every_command(name, payloads[i]);
        if (!results) {
            results = fault_dump("n.db");
            assert_non_null(results);
            assert_non_null(strstr(results, "mean"));
        }
        commands += 9;
        free(results); /* names of files are settings, of the newest plan */
        results = fault_dump("n.db");
        assert_int_equal(fault_number("n.db", "SELECT count(*) FROM cell"), 2);
        assert_int_equal(fault_number("n.db", "SELECT count(*) FROM outcome"), 8);
        expect_no_effect(payloads[i]);
        assert_int_equal(unlink(name), 0);
    }
    fault_count("%d hostile names of matrix and weights through %d commands: 0 effects", N, commands);
}

/* Each as an argument: of a prefix, an override, a figure, a module, a folder. */
static void test_hostile_arguments(void **state)
{
    (void)state;
    int commands = 0;
    for (int i = 0; i < N; i++) {
        char override[256], folder[256], *end = folder;
        snprintf(override, sizeof override, "weights=%s", payloads[i]);
        end += sprintf(end, "in");
        for (const char *p = payloads[i]; *p; p++)
            if (*p != '/')
                *end++ = *p;
        *end = 0;
        const char *const refused[][8] = {
            {"show", "--db", "n.db", "--", payloads[i], NULL},
            {"help", "defense", payloads[i], NULL},
            {"plot", payloads[i], "n.toml", "--db", "n.db", NULL},
            {"run", "n.toml", "-S", override, "--db", "n.db", NULL},
            {"certify", payloads[i], payloads[i], "--defense", payloads[i], "--window", "2x2", NULL}};
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++, commands++)
            if (call(refused[k]) != 2)
                fail_msg("%s took \"%s\"", refused[k][0], payloads[i]);
        must((const char *const[]){"features", "--weights", "null", "--dataset", "synthetic:test", "--images", "0:4", "--quiet",
                                   "-o", folder, NULL});
        char data[512];
        snprintf(data, sizeof data, "%s/features.npy", folder);
        assert_int_equal(access(data, R_OK), 0);
        commands++;
        expect_no_effect(payloads[i]);
    }
    fault_count("%d hostile arguments of %d commands: 0 effects", N, commands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_hostile_arguments)};
    return cmocka_run_group_tests_name("names", tests, make, scratch_remove);
}
