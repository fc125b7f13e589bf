/* Memory that runs out: every allocation of small commands fails in turn, by whomever it is made (this program, SQLite,
 * jansson, OpenSSL, the C library). No crash, no leak, no result that is wrong: the command says that it failed, or its output
 * is the right one. Means something under the address sanitizer only, which finds what is lost and what is touched too late.
 *
 * `new` of C++ is left alone: toml++, its one user, allocates in functions that are noexcept, so that the process ends there,
 * before a command has opened anything.
 *
 * Of allocations that are made from the same place, by the same chain of calls, the first one fails; PG_FAULTS=all: each one.
 *
 * The whole program is linked in as pg_main and runs in a child for each allocation, so that one failure cannot
 * hide another. */
#include "tests/faults/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

int pg_main(int argc, char **argv);
extern void *__interceptor_malloc(size_t size);
extern void *__interceptor_calloc(size_t n, size_t size);
extern void *__interceptor_realloc(void *old, size_t size);
extern int __lsan_do_recoverable_leak_check(void);

extern void __interceptor_free(void *memory);

enum { LEAK = 97, CRASH = 99, MOST = 1 << 16, SWEEPERS = 2, FRAMES = 12, RECORD = -2 };
static const char crash_options[] = "exitcode=99:leak_check_at_exit=0:abort_on_error=0";
/* The loader of shared objects, by which libcrypto looks for modules, leaks where memory runs out; so does glibc alone. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:_dl_map_object_deps\n"; }
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return crash_options; }

/* ---- Allocation: the one with this number fails ---- */

static atomic_long made, live;
static long failing = -1; /* -1: none */
static struct sweep {
    atomic_int fired; /* in the command that ran last */
    int failed, harmless, wrong;
    long kept; /* blocks that the undisturbed command leaves: libraries keep something for themselves */
} * sweep;     /* of this process; shared with its children */
static _Thread_local bool spared;
/* Hashes of the chains of calls of the undisturbed command, by allocation: of the process itself, of its workers. Shared. */
static uint64_t (*places)[MOST];
static pid_t first_process;

__attribute__((noinline)) static void record_place(void) /* fails() is called before the sanitizer can watch a stack */
{
    void *frames[FRAMES];
    long number = atomic_fetch_add(&made, 1) + 1;
    spared = true;
    int n = backtrace(frames, FRAMES);
    spared = false;
    uint64_t hash = 1;
    for (int i = 0; i < n; i++)
        hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 0x9e3779b97f4a7c15u;
    if (number < MOST)
        places[getpid() != first_process][number] = hash;
}

static bool fails(void)
{
    if (failing == RECORD && !spared)
        record_place();
    if (failing < 0 || spared || atomic_fetch_add(&made, 1) + 1 != failing)
        return false;
    atomic_fetch_add(&sweep->fired, 1);
    errno = ENOMEM;
    return true;
}

/* The sanitizer asks this at the start of a thread and does not expect memory to run out. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *out)
{
    int (*real)(pthread_t, pthread_attr_t *) = NULL;
    void *found = dlsym(RTLD_NEXT, "pthread_getattr_np");
    memcpy(&real, &found, sizeof real);
    spared = true;
    int result = real(thread, out);
    spared = false;
    return result;
}

static void *given(void *memory)
{
    atomic_fetch_add(&live, memory != NULL);
    return memory;
}

void *malloc(size_t size) { return fails() ? NULL : given(__interceptor_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : given(__interceptor_calloc(n, size)); }
void *realloc(void *old, size_t size)
{
    if (!old)
        return malloc(size);
    return fails() ? NULL : __interceptor_realloc(old, size);
}
void free(void *memory)
{
    atomic_fetch_sub(&live, memory != NULL);
    __interceptor_free(memory);
}

char *strndup(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    char *copy = malloc(n + 1);
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    return copy;
}
char *strdup(const char *text) { return strndup(text, strlen(text)); }

/* ---- Commands ---- */

static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:4\"\nbatch = 4\n"
                             "[axes]\ndefense = [\"ds\", \"robust-masking\"]\n[[zip]]\npatch = [\"5x8\"]\nseed = [1]\n";

/* `before`: what stands in the scratch folder when the command starts, by a shell. */
static const struct {
    const char *name, *before, *arguments[24];
} commands[] = {
    {"plan", "true", {"plan", "m.toml", "--explain", "--db", "done.db", NULL}},
    {"plan of bad text", "true", {"plan", "bad.toml", NULL}},
    {"plan of given patches",
     "true",
     {"plan", "m.toml", "-S", "attack=given", "-S", "given.file=p.gz", "-S", "patch=12", "--explain", "--db", "done.db", NULL}},
    {"run", "rm -f m.db*", {"run", "m.toml", "--db", "m.db", "--quiet", NULL}},
    {"table", "true", {"table", "m.toml", "--db", "done.db", "-f", "json", NULL}},
    {"ls", "true", {"ls", "--db", "done.db", NULL}},
    {"export", "true", {"export", "--db", "done.db", "-f", "json", NULL}},
    {"features",
     "rm -rf out",
     {"features", "--weights", "null", "--dataset", "synthetic:test", "--images", "0:4", "-o", "out", "--quiet", NULL}},
    {"certify",
     "true",
     {"certify", "f/features.npy", "f/labels.npy", "--defense", "robust-masking", "--window", "2x2", "-f", "csv", "--quiet",
      NULL}},
    {"model inspect", "true", {"model", "inspect", "w.safetensors", NULL}},
    {"help", "true", {"help", "defense", "robust-masking", NULL}},
};

/* Runs a command in a child with its allocation number n failing (-1: none, RECORD: none, and places are recorded); its exit
 * code, LEAK or CRASH. */
static int run_child(const char *const *arguments, long n)
{
    atomic_store(&sweep->fired, 0);
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return program_wait(child);
    char *argv[32] = {"patchgauge"};
    int argc = 1, out = open("out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666),
        said = open("said.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    dup2(out, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    alarm(1200); /* a command that hangs ends as one that crashes */
    long before = atomic_load(&live);
    failing = n;
    first_process = getpid();
    int code = pg_main(argc, argv);
    failing = -1;
    fflush(NULL);
    if (n < 0)
        sweep->kept = atomic_load(&live) - before;
    _exit(atomic_load(&live) - before > sweep->kept && __lsan_do_recoverable_leak_check() ? LEAK : code);
}

static char *text_of(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    if (pg_file_read(path, 1 << 24, &text, &size) != PG_OK)
        abort();
    return text;
}

/* One allocation of one command. False: it has fewer. */
static bool fail_one(size_t c, long n, const char *right, int right_code)
{
    if (system(commands[c].before) != 0)
        abort();
    int code = run_child(commands[c].arguments, n);
    bool was_fired = atomic_load(&sweep->fired) > 0, harmless = code == 0 && right_code == 0;
    char *said = text_of("said.txt"), *out = text_of("out.txt");
    /* bad input ends with 2; where the input is good, the message does not blame it */
    bool told = code == 2 && (right_code == 2 || strstr(said, "memory"));
    if ((code != 0 && code != 1 && code != 4 && !told) || (harmless && strcmp(out, right) != 0)) {
        fprintf(stderr, "%s, allocation %ld: %s (%d)\n%.3000s\n", commands[c].name, n,
                code == LEAK ? "leaks"
                : harmless   ? "says that all is well, but the output differs"
                             : "ends wrongly",
                code, said);
        sweep->wrong++;
    }
    sweep->harmless += harmless && was_fired;
    free(said);
    free(out);
    return was_fired;
}

/* The numbers of the allocations to fail, and how many there are in all. */
static int choose(long *chosen, long *all)
{
    const char *wish = getenv("PG_FAULTS");
    bool each = wish && strcmp(wish, "all") == 0;
    int n = 0;
    *all = 0;
    for (long i = 1; i < MOST; i++) {
        bool fresh = false;
        for (int p = 0; p < 2; p++) {
            bool seen = places[p][i] == 0;
            for (long k = 1; !each && k < i && !seen; k++)
                seen = places[0][k] == places[p][i] || places[1][k] == places[p][i];
            fresh |= !seen;
        }
        if (places[0][i] || places[1][i])
            *all = i;
        if (fresh)
            chosen[n++] = i;
    }
    return n;
}

/* Every SWEEPERS-th of the chosen allocations of a command, in a folder of its own. */
static void sweep_command(size_t c, int which, const long *chosen, int n)
{
    if (chdir(which ? "1" : "0") != 0 || system(commands[c].before) != 0)
        abort();
    int right_code = run_child(commands[c].arguments, -1);
    char *right = text_of("out.txt");
    for (int i = which; i < n; i += SWEEPERS)
        sweep->failed += fail_one(c, chosen[i], right, right_code);
    free(right);
}

static int make(void **state)
{
    sweep = mmap(NULL, SWEEPERS * sizeof *sweep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    places = mmap(NULL, 2 * sizeof *places, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char line[400];
    void *frames[2];
    backtrace(frames, 2); /* loads what it needs */
    if (sweep == MAP_FAILED || places == MAP_FAILED || fault_make(state) != 0)
        return -1;
    write_weights("w.safetensors", "seed=1");
    fault_write("m.toml", matrix);
    snprintf(line, sizeof line, "cp tests/fuzz/corpus/patches/canvas.gz '%s/p.gz'", scratch_folder);
    if (system(line) != 0)
        return -1;
    fault_write("bad.toml",
                "[fixed]\ndataset = \"synthetic:test\"\nwieghts = \"null\"\npatch = -4\n[axes]\ndefense = [\"dss\"]\n");
    static const char *const run[] = {"run", "m.toml", "--db", "done.db", "--quiet", NULL};
    static const char *const features[] = {"features", "--weights", "null",    "--dataset", "synthetic:test", "--images", "0:4",
                                           "-o",       "f",         "--quiet", NULL};
    return chdir(scratch_folder) == 0 && run_child(run, -1) == 0 && run_child(features, -1) == 0 &&
                   system("for d in 0 1; do mkdir $d && cp -r *.toml *.gz *.safetensors done.db f $d || exit 1; done") == 0
               ? 0
               : -1;
}

static void test_failing_allocations(void **state)
{
    (void)state;
    static long chosen[MOST];
    int total = 0, wrong = 0;
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        int failed = 0, harmless = 0;
        long all = 0;
        pid_t children[SWEEPERS];
        memset(sweep, 0, SWEEPERS * sizeof *sweep);
        memset(places, 0, 2 * sizeof *places);
        assert_int_equal(system(commands[c].before), 0);
        int code = run_child(commands[c].arguments, RECORD);
        assert_true(code == 0 || code == 2);
        int n = choose(chosen, &all);
        fflush(NULL);
        for (int i = 0; i < SWEEPERS; i++)
            if ((children[i] = fork()) == 0) {
                sweep += i;
                sweep_command(c, i, chosen, n);
                _exit(0);
            }
        for (int i = 0; i < SWEEPERS; i++) {
            assert_int_equal(program_wait(children[i]), 0);
            failed += sweep[i].failed;
            harmless += sweep[i].harmless;
            wrong += sweep[i].wrong;
        }
        fault_count("%s: %ld allocations from %d places, %d failed in turn, %d of them did no harm", commands[c].name, all, n,
                    failed, harmless);
        assert_true(failed > 1);
        total += failed;
    }
    fault_count("%d failing allocations in all: %d crashes, leaks and wrong results", total, wrong);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_allocations)};
    return cmocka_run_group_tests_name("memory", tests, make, scratch_remove);
}
