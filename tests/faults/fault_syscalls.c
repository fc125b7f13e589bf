/* System calls that fail: every write, sync, rename and unlink of small commands answers EIO or ENOSPC, or is where the process
 * dies, in turn. strace injects the faults and says whether they fired. After each one the results that are there are whole,
 * and the same command, undisturbed, completes them. */
#include "tests/faults/faults.h"

static const struct {
    const char *name, *calls;
} kinds[] = {{"write", "write,pwrite64,writev"},
             {"sync", "fsync,fdatasync"},
             {"rename", "rename,renameat,renameat2"},
             {"unlink", "unlink,unlinkat"}};
static const char *const faults[] = {"error=EIO", "error=ENOSPC", "signal=KILL"};
enum { KINDS = sizeof kinds / sizeof *kinds, FAULTS = 3, MOST = 4000 };

/* A command that is disturbed. `whole` evaluates what is there: true where it is all there, undamaged; fails the test where
 * something is there that is damaged. */
typedef struct victim {
    const char *name, *command;
    bool (*whole)(void);
    const char *remove; /* what it made, for a fresh start: names in the scratch folder */
    unsigned kinds;     /* bits: that it has to have */
} victim;

static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:16\"\nbatch = 8\n"
                             "[axes]\ndefense = [\"ds\", \"robust-masking\"]\npatch = [2, 5]\n";
static char *whole_store;

static bool whole_run(void)
{
    if (access(scratch_path("s.db"), F_OK) != 0)
        return false;
    pg_store *store = NULL;
    int code = pg_store_open(scratch_path("s.db"), PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_check(store);
    pg_store_close(store);
    if (code == PG_EMISSING)
        return false;
    if (code != PG_OK)
        fail_msg("%s", pg_error_message());
    if (fault_number("s.db", "SELECT count(*) FROM task WHERE state = 'done'") != 2)
        return false;
    fault_expect("s.db", whole_store);
    return true;
}

static bool same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool there = pg_file_read(scratch_path(a), 1 << 24, &x, &n) == PG_OK;
    assert_int_equal(pg_file_read(scratch_path(b), 1 << 24, &y, &m), PG_OK);
    if (there && (n != m || memcmp(x, y, n) != 0))
        fail_msg("%s is there and differs from the right one", a);
    free(x);
    free(y);
    return there;
}

static bool whole_features(void)
{
    bool all = true;
    static const char *const names[][2] = {{"out/features.npy", "whole/features.npy"},
                                           {"out/labels.npy", "whole/labels.npy"},
                                           {"out/meta.json", "whole/meta.json"}};
    for (int i = 0; i < 3; i++)
        all = same_file(names[i][0], names[i][1]) && all;
    return all;
}

static bool whole_backup(void)
{
    if (access(scratch_path("copy.db"), F_OK) != 0)
        return false;
    fault_expect("copy.db", whole_store);
    return true;
}

static const victim victims[] = {
    {"run", "run m.toml --task-images 8 --quiet --db s.db", whole_run, "s.db*", 1 | 2 | 8},
    {"features", "features --weights null --dataset synthetic:test --images 0:8 --batch 8 --quiet -o out", whole_features,
     "out", 1 | 2 | 4},
    {"db backup", "db backup copy.db --force --quiet --db whole.db", whole_backup, "copy.db*", 1 | 2 | 4},
};

static int shell(const char *format, ...)
{
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *program(void)
{
    static char path[4096];
    if (!*path && !realpath(program_path(), path))
        abort();
    return path;
}

static int make(void **state)
{
    if (fault_make(state) != 0)
        return -1;
    fault_write("m.toml", matrix);
    const char *p = program();
    if (shell("cd '%s' && %s %s && mv s.db whole.db && %s %s && mv out whole", scratch_folder, p, victims[0].command, p,
              victims[1].command) != 0)
        return -1;
    whole_store = fault_dump("whole.db");
    return whole_store ? 0 : -1;
}

static int clean(void **state)
{
    free(whole_store);
    return scratch_remove(state);
}

/* What strace may not do everywhere. */
static bool can_trace(void) { return shell("strace -qq -e trace=none true 2>/dev/null") == 0; }

/* Disturbs call number n of a kind. False: the command has no such call (in any thread). */
static bool disturb(const victim *v, int kind, int fault, int n, int *ends)
{
    const char *p = program();
    assert_int_equal(shell("cd '%s' && rm -rf %s", scratch_folder, v->remove), 0);
    int code = shell("cd '%s' && strace -f -qq -o strace.log -e trace=%s -e inject=%s:%s:when=%d %s %s >said 2>&1",
                     scratch_folder, kinds[kind].calls, kinds[kind].calls, faults[fault], n, p, v->command);
    bool killed = strstr(faults[fault], "KILL") != NULL;
    bool fired = shell("grep -qE 'INJECTED|killed by SIGKILL' '%s'", scratch_path("strace.log")) == 0;
    bool whole = v->whole();
    if (!fired && !(code == 0 && whole))
        fail_msg("%s, %s %d, %s: undisturbed, and ended with %d", v->name, kinds[kind].name, n, faults[fault], code);
    if (code == 0 && !whole)
        fail_msg("%s, %s %d, %s: said that all is well, and something is missing", v->name, kinds[kind].name, n, faults[fault]);
    if (code != 0 && code != 1 && code != 4 && !(killed && code == 128 + SIGKILL))
        fail_msg("%s, %s %d, %s: ended with %d", v->name, kinds[kind].name, n, faults[fault], code);
    if ((code == 1 || code == 4) && kind != 0 && pg_file_size(scratch_path("said")) == 0)
        fail_msg("%s, %s %d, %s: failed without a message", v->name, kinds[kind].name, n, faults[fault]);
    ends[code == 0 ? 0 : code == 128 + SIGKILL ? 2 : 1]++;
    if (fired && (shell("cd '%s' && %s %s >said 2>&1", scratch_folder, p, v->command) != 0 || !v->whole()))
        fail_msg("%s, %s %d, %s: the next run does not get through", v->name, kinds[kind].name, n, faults[fault]);
    return fired;
}

static void test_failing_calls(void **state)
{
    (void)state;
    if (!can_trace())
        skip();
    for (size_t v = 0; v < sizeof victims / sizeof *victims; v++) {
        int total = 0, fired[KINDS] = {0}, ends[3] = {0};
        for (int k = 0; k < KINDS; k++)
            for (int f = 0; f < FAULTS; f++)
                for (int n = 1; n < MOST && disturb(&victims[v], k, f, n, ends); n++, total++)
                    fired[k]++;
        fault_count(
            "%s: %d faults fired (write %d, sync %d, rename %d, unlink %d): %d failed with a message, %d killed, %d went "
            "on; 0 damaged, 0 lost",
            victims[v].name, total, fired[0], fired[1], fired[2], fired[3], ends[1], ends[2], total - ends[1] - ends[2]);
        for (int k = 0; k < KINDS; k++)
            assert_true(!(victims[v].kinds >> k & 1) || fired[k] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_calls)};
    return cmocka_run_group_tests_name("system calls", tests, make, clean);
}
