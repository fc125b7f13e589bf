/* `submit` before a Slurm of one machine, a script that runs at once what it is given: what is frozen, what the scripts do,
 * what is refused, names that are hostile. Before a real one: tests/slurm.sh. */
#include "tests/support/program.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char matrix[] =
    "name = \"parts\"\n[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:120\"\nbatch = 8\n"
    "[axes]\ndefense = [\"mean\", \"ds\", \"robust-masking\"]\npatch = [2, 5]\n";

static const char sbatch[] =
    "#!/bin/sh\n"
    "[ \"$1\" != --version ] || exec echo fake\n"
    "[ ! -e \"$FAKE/refuses\" ] || { echo no such partition >&2; exit 1; }\n"
    "echo \"$@\" | tr '\\n' ' ' >>\"$FAKE/calls\"; echo >>\"$FAKE/calls\"\n"
    "dir= array=\n"
    "for word; do case $word in --chdir=*) dir=${word#*=} ;; --array=0-*) array=${word#*=0-} ;; esac; done\n"
    "cd \"$dir\" || exit 1\n"
    "[ ! -e \"$FAKE/waits\" ] || exec echo 17\n"
    "[ -n \"$array\" ] || [ ! -e \"$FAKE/says\" ] || exec cat \"$FAKE/says\"\n"
    "[ -n \"$array\" ] || { sh \"$word\"; echo $? >>\"$FAKE/merged\"; exec echo 18; }\n"
    "[ ! -e \"$FAKE/says\" ] || exec cat \"$FAKE/says\"\n"
    "[ ! -e \"$FAKE/dies\" ] || { kill -9 $$; sleep 9; }\n"
    "i=0\n"
    "while [ $i -le ${array%\\%*} ]; do SLURM_JOB_ID=17 SLURM_ARRAY_TASK_ID=$i sh \"$word\"; i=$((i + 1)); done\n"
    "echo '17;cluster'\n";

/* A folder whose name tries to break out, and the same for the database. */
static const char hostile[] = "a ' \" %j $(touch owned) `touch owned` \\ \n#SBATCH --hold\n;",
                  database[] = "m'ain $(touch owned).db";

static char root[PATH_MAX], path[PATH_MAX + 600];

static int make(void **state)
{
    char program[PATH_MAX];
    if (scratch_make(state) != 0 || !realpath(program_path(), program) || !realpath(".", root))
        return -1;
    scratch_write("sbatch", sbatch, strlen(sbatch));
    chmod(scratch_path("sbatch"), 0755);
    snprintf(path, sizeof path, "%s:%s", scratch_folder, getenv("PATH"));
    setenv("PATCHGAUGE", program, 1);
    setenv("PATH", path, 1);
    setenv("FAKE", scratch_folder, 1);
    setenv("DB", database, 1);
    return 0;
}

/* Each test in a hostile folder of its own. */
static int enter(void **state)
{
    (void)state;
    static int n;
    char folder[600];
    snprintf(folder, sizeof folder, "%s/%d%s", scratch_folder, n++, hostile);
    if (mkdir(folder, 0777) != 0 || chdir(folder) != 0)
        return -1;
    FILE *stream = fopen("m.toml", "w");
    return stream && fputs(matrix, stream) >= 0 && fclose(stream) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    int owned = access("owned", F_OK) == 0 || access("parts.slurm/owned", F_OK) == 0;
    static const char *const names[] = {"calls", "merged", "refuses", "waits"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(scratch_path(names[i]));
    return owned || chdir(root) != 0 ? -1 : 0;
}

/* The program on the hostile database; standard output and error in program_output. */
#define run(...) program_run(NULL, "--db \"$DB\" " __VA_ARGS__)

static void must_run(int want, int code)
{
    if (code != want)
        fail_msg("exit code %d, not %d: %s", code, want, program_output);
}

static char *content(const char *name)
{
    char *text = calloc(1, 1 << 16);
    FILE *stream = fopen(name, "r");
    if (stream) {
        size_t size = fread(text, 1, (1 << 16) - 1, stream);
        text[size] = 0;
        fclose(stream);
    }
    return text;
}

static void expect_in(const char *name, const char *text, bool there)
{
    char *all = content(name);
    if ((strstr(all, text) != NULL) != there)
        fail_msg("%s: \"%s\" %s:\n%s", name, text, there ? "is not in it" : "is in it", all);
    free(all);
}

/* The table is that of a plain run, byte for byte. */
static void expect_plain_table(void)
{
    char *want;
    must_run(0, program_run(NULL, "run m.toml --db plain.db --task-images 8 --quiet"));
    must_run(0, program_run(NULL, "table m.toml --db plain.db -f csv"));
    want = strdup(program_output);
    must_run(0, run("table m.toml -f csv"));
    assert_true(strlen(want) > 300);
    assert_string_equal(program_output, want);
    free(want);
}

/* ---- Tests ---- */

static void test_array_and_merge(void **state)
{
    (void)state;
    must_run(0, run("submit m.toml --tasks 4 --max-parallel 3 --task-images 8 --sbatch-arg=--time=5 -S seed=0"));
    assert_non_null(strstr(program_output, "job 17: 4 tasks, in "));
    assert_non_null(strstr(program_output, "job 18: merges into "));
    expect_in(scratch_path("calls"), "--array=0-3%3 ", true);
    expect_in(scratch_path("calls"), "--dependency=afterany:17 ", true);
    expect_in(scratch_path("calls"), "--time=5 ", true);
    expect_in(scratch_path("merged"), "0\n", true);
    expect_in("parts.slurm/log-3.txt", "of 3 tasks done", true); /* 15 tasks over 4 */
    expect_in("parts.slurm/merge.txt", "6 of 6 cells", true);
    expect_plain_table();
    assert_int_equal(remove(scratch_path("calls")), 0);
    must_run(0, run("submit m.toml --tasks 4"));
    assert_non_null(strstr(program_output, "all is done"));
    assert_int_equal(access(scratch_path("calls"), F_OK), -1);
    assert_int_equal(access("parts.slurm-2", F_OK), -1);
}

/* A task that fails says so in the database; submitting again takes up that task only. */
static void test_failing_task(void **state)
{
    (void)state;
    must_run(0, run("submit m.toml --tasks 4 --task-images 8 -S null.fail_image=20"));
    expect_in(scratch_path("merged"), "1\n", true);
    expect_in("parts.slurm/log-2.txt", "told to fail at image 20; given up", true);
    must_run(0, run("plan m.toml --explain"));
    assert_non_null(strstr(program_output, "failed"));
    assert_non_null(strstr(program_output, "told to fail at image 20"));
    assert_int_equal(remove(scratch_path("calls")), 0);
    must_run(0, run("submit m.toml --tasks 4 --task-images 8"));
    assert_non_null(strstr(program_output, "1 task, in "));
    assert_non_null(strstr(program_output, "parts.slurm-2"));
    expect_in(scratch_path("calls"), "--array=0-0 ", true);
    expect_plain_table();
}

/* What sites let sbatch print around the number. The last line counts that has one. */
static void test_what_sbatch_says(void **state)
{
    (void)state;
    static const struct {
        const char *says, *job; /* NULL: none is found */
    } cases[] = {
        {"4242\n", "4242"},
        {"4242", "4242"},
        {"4242;nautilus\n", "4242"},
        {" 4242 \r\n", "4242"},
        {"Welcome to the cluster. Your project has 12 hours left.\n4242\n", "4242"},
        {"Welcome.\n\n4242;nautilus\nHave a nice day.\n", "4242"},
        {"17 hours left\n4242\n", "4242"},
        {"Submitted batch job 4242\n", "4242"},
        {"Submitted batch job 4242 on cluster nautilus\n", "4242"},
        {"Your queue:\n4242\nSubmitted batch job 4243\n", "4243"},
        {"", NULL},
        {"\n", NULL},
        {"submitted\n", NULL},
        {"12 hours left\n", NULL},
        {"job-4242\n", NULL},
        {"99999999999999999999999999999999999999999\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_write("says", cases[i].says, strlen(cases[i].says));
        int code = run("submit m.toml --tasks 2 --task-images 8 -o a/b/%zu.slurm", i);
        char line[64], folder[64];
        snprintf(folder, sizeof folder, "a/b/%zu.slurm/plan.db", i);
        assert_int_equal(access(folder, F_OK), 0); /* it stays whatever was printed */
        if (cases[i].job) {
            must_run(0, code);
            snprintf(line, sizeof line, "job %s: 2 tasks, in ", cases[i].job);
            assert_non_null(strstr(program_output, line));
            snprintf(line, sizeof line, "--dependency=afterany:%s ", cases[i].job);
            expect_in(scratch_path("calls"), line, true);
        } else {
            must_run(4, code);
            assert_non_null(
                strstr(program_output, "which has no number of a job; the array is queued under an unknown number"));
            assert_non_null(strstr(program_output, "squeue --me"));
            snprintf(folder, sizeof folder, "a/b/%zu.slurm", i);
            assert_non_null(strstr(program_output, folder));
            snprintf(folder, sizeof folder, "a/b/%zu.slurm/job.txt", i);
            expect_in(folder, "of unknown number", true);
        }
        remove(scratch_path("calls"));
    }
    remove(scratch_path("says"));
    scratch_write("dies", "", 0);
    must_run(4, run("submit m.toml --tasks 2 -o c/d.slurm"));
    assert_non_null(strstr(program_output, "sbatch died of signal 9; the array may be queued under an unknown number"));
    assert_int_equal(access("c/d.slurm/plan.db", F_OK), 0);
    remove(scratch_path("dies"));
    scratch_write("refuses", "", 0);
    must_run(4, run("submit m.toml --tasks 2 -o e/f.slurm"));
    assert_int_equal(access("e", F_OK), -1);
    remove(scratch_path("refuses"));
}

static void test_print_writes_nothing(void **state)
{
    (void)state;
    char *path_before = strdup(getenv("PATH"));
    setenv("PATH", "/bin:/usr/bin:/nowhere", 1);
    must_run(0, run("submit m.toml --tasks 4 --print -o there"));
    setenv("PATH", path_before, 1);
    free(path_before);
    assert_non_null(strstr(program_output, "==> task.sh <==\n#!/bin/sh\n"));
    assert_non_null(strstr(program_output, "==> merge.sh <==\n#!/bin/sh\n"));
    assert_non_null(strstr(program_output, "\nsbatch --parsable "));
    assert_non_null(strstr(program_output, "/there"));
    assert_int_equal(scratch_count("."), 1);
    assert_int_equal(access(scratch_path("calls"), F_OK), -1);
}

/* Refused before anything is made. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *reason;
    } cases[] = {
        {"m.toml", "--tasks is missing"},
        {"m.toml --tasks 0", "right would be a whole number from 1 to 10000"},
        {"m.toml --tasks 10001", "right would be a whole number from 1 to 10000"},
        {"--tasks 2", "MATRIX.toml is missing"},
        {"m.toml --tasks 2 -S defense=maen", "nothing was done"},
        {"m.toml --tasks 2 --device gpu", "right would be auto"},
        {"m.toml --tasks 2 --sbatch-arg time=1", "one option of sbatch"},
        {"m.toml --tasks 2 -o ''", "-o : right would be a text that is not empty"},
        {"m.toml --tasks 2 -o m.toml", "is there already"},
        {"m.toml --tasks 2 --max-paralel 2", "did you mean '--max-parallel'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (run("submit %s", cases[i].arguments) != 2 || !strstr(program_output, cases[i].reason))
            fail_msg("%s: %s", cases[i].arguments, program_output);
        assert_int_equal(scratch_count("."), 1);
    }
    char *path_before = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere:/bin", 1);
    if (access("/bin/sbatch", F_OK) != 0) {
        must_run(2, run("submit m.toml --tasks 2"));
        assert_non_null(strstr(program_output, "sbatch is not there"));
        assert_int_equal(scratch_count("."), 1);
    }
    setenv("PATH", path_before, 1);
    free(path_before);
    scratch_write("refuses", "", 0);
    must_run(4, run("submit m.toml --tasks 2"));
    assert_non_null(strstr(program_output, "no such partition"));
    assert_non_null(strstr(program_output, "sbatch refused the job"));
    assert_int_equal(access("parts.slurm", F_OK), -1);
}

/* The plan is what it was when it was submitted: a matrix that changed since makes no other cells. */
static void test_frozen(void **state)
{
    (void)state;
    scratch_write("waits", "", 0);
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -o jobs"));
    FILE *stream = fopen("m.toml", "a");
    assert_true(stream && fputs("\"robust-masking.threshold\" = [0.5]\n", stream) >= 0 && fclose(stream) == 0);
    assert_int_equal(system("SLURM_ARRAY_TASK_ID=0 SLURM_JOB_ID=1 sh jobs/task.sh"), 0);
    assert_int_equal(system("mv \"$DB\" away; ! sh jobs/merge.sh"), 0);
    expect_in("jobs/merge.txt", "merge where it is", true);
    assert_int_equal(access(database, F_OK), -1);
    assert_int_equal(system("mv away \"$DB\"; sh jobs/merge.sh"), 0);
    stream = fopen("m.toml", "w");
    assert_true(stream && fputs(matrix, stream) >= 0 && fclose(stream) == 0);
    expect_plain_table();
    /* a shard that never came is told */
    must_run(0, run("submit m.toml --tasks 3 --task-images 8 -S null.seed=3 -o more"));
    assert_int_equal(system("SLURM_ARRAY_TASK_ID=1 SLURM_JOB_ID=1 sh more/task.sh && ! sh more/merge.sh"), 0);
    expect_in("more/merge.txt", "no results of tasks 0 2:", true);
    expect_in("more/merge.txt", "5 tasks merged", true);
}

/* While a job is at cells that are asked for again, its number and folder are told; not of other cells, and not afterwards. */
static void test_submitted_twice(void **state)
{
    (void)state;
    static const char told[] = "job 17, in ", rest[] = "/jobs, has not been merged and has 4 of these cells too",
                      part[] = "/jobs, has not been merged and has 2 of these cells too";
    scratch_write("waits", "", 0);
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -o jobs"));
    assert_null(strstr(program_output, told));
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -S null.seed=3 -o others"));
    assert_null(strstr(program_output, told));
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -S defense=ds -o part"));
    assert_non_null(strstr(program_output, told));
    assert_non_null(strstr(program_output, part));
    assert_int_equal(system("rm -r part"), 0);
    must_run(0, run("run m.toml --task-images 8 --quiet -S defense=ds"));
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -o twice"));
    assert_non_null(strstr(program_output, rest));
    assert_null(strstr(program_output, "/part"));
    assert_null(strstr(program_output, "/others"));
    assert_int_equal(system("! sh jobs/merge.sh"), 0); /* it has ended, without results */
    must_run(0, run("submit m.toml --tasks 1 --task-images 8 -o thrice"));
    assert_null(strstr(program_output, "/jobs,"));
    assert_non_null(strstr(program_output, "/twice,"));
    must_run(0, run("run m.toml --task-images 8 --quiet"));
    must_run(0, run("submit m.toml --tasks 1"));
    assert_null(strstr(program_output, told));
}

/* A database on a network file system is copied and replaced whole. */
static void test_network_file_system(void **state)
{
    (void)state;
    static const char shim[] = "#include <string.h>\n#include <sys/syscall.h>\n#include <sys/vfs.h>\n#include <unistd.h>\n"
                               "int statfs(const char *p, struct statfs *s) { long c = syscall(SYS_statfs, p, s);\n"
                               "if (!strstr(p, \"patchgauge-\")) s->f_type = 0x6969; return (int)c; }\n";
    scratch_write("shim.c", shim, strlen(shim));
    snprintf(path, sizeof path, "gcc -shared -fPIC -o %s/shim.so %s/shim.c", scratch_folder, scratch_folder);
    assert_int_equal(system(path), 0);
    setenv("LD_PRELOAD", scratch_path("shim.so"), 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1); /* the shim comes before it */
    int refused = run("run m.toml");
    int first = run("submit m.toml --tasks 2 --task-images 8 -S null.fail_image=20");
    int again = first == 0 ? run("submit m.toml --tasks 2 --task-images 8") : 0;
    unsetenv("LD_PRELOAD");
    unsetenv("ASAN_OPTIONS");
    assert_int_equal(refused, 2);
    must_run(0, first);
    must_run(0, again);
    expect_in(scratch_path("merged"), "1\n0\n", true);
    assert_int_equal(access("parts.slurm/job.txt", F_OK), 0);
    expect_plain_table();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_array_and_merge, enter, leave),
        cmocka_unit_test_setup_teardown(test_failing_task, enter, leave),
        cmocka_unit_test_setup_teardown(test_what_sbatch_says, enter, leave),
        cmocka_unit_test_setup_teardown(test_print_writes_nothing, enter, leave),
        cmocka_unit_test_setup_teardown(test_refused, enter, leave),
        cmocka_unit_test_setup_teardown(test_frozen, enter, leave),
        cmocka_unit_test_setup_teardown(test_submitted_twice, enter, leave),
        cmocka_unit_test_setup_teardown(test_network_file_system, enter, leave),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
