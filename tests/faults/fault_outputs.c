/* System calls that fail under commands that leave something behind: what they merge, submit, import, cache, copy, draw and
 * print. strace makes writes, syncs, renames and unlinks answer EIO or ENOSPC, or kills the process there. Each file is then
 * what it was before or what it should become; a failure is told in one line and leaves nothing; success is the whole result;
 * and the same command, undisturbed, ends in the same bytes with nothing left over. Of each kind a few calls, or with
 * PG_FAULTS=all each. */
#include "tests/faults/faults.h"

#include "harness/pipeline/cache.h"
#include "tests/support/cifar_fixture.h"
#include "tests/support/image_fixture.h"

#include <limits.h>

static const struct {
    const char *name, *calls;
} kinds[] = {{"write", "write,pwrite64,writev"},
             {"sync", "fsync,fdatasync"},
             {"rename", "rename,renameat,renameat2"},
             {"unlink", "unlink,unlinkat"}};
static const char *const faults[] = {"error=EIO", "error=ENOSPC", "signal=KILL"};
enum { WRITE, SYNC, RENAME, UNLINK, KINDS, FAULTS = 3, EACH = 5, ALL = 100000 };

/* A command that is disturbed; it runs in the folder `w`. */
typedef struct victim {
    const char *name, *arguments;
    const char *before; /* makes, in the current folder, what is there before */
    const char *db;     /* the store that it changes: what it says counts, not its bytes; NULL: none */
    const char *shell;  /* words before the command, and options of strace */
    const char *strace;
    bool cache;   /* what cannot be kept is not, and what a kill leaves counts as room and goes by age */
    bool own;     /* not of patchgauge: a part of this program */
    bool partly;  /* the store may be between before and after */
    bool db_only; /* other files are made on the way, and differ */
    unsigned kinds;
} victim;

static const char matrix[] = "[fixed]\ndataset = \"synthetic:test\"\nweights = \"null\"\nimages = \"0:16\"\nbatch = 8\n"
                             "[axes]\ndefense = [\"ds\", \"robust-masking\"]\npatch = [2, 5]\n";
static const char sbatch[] =
    "#!/bin/sh\n[ \"$1\" != --version ] || exec echo fake\ndir= array=\n"
    "for word; do case $word in --chdir=*) dir=${word#*=} ;; --array=0-*) array=${word#*=0-} ;; esac; done\n"
    "cd \"$dir\" || exit 1\n[ -n \"$array\" ] || { sh \"$word\"; exec echo 18; }\ni=0\n"
    "while [ $i -le $array ]; do SLURM_JOB_ID=17 SLURM_ARRAY_TASK_ID=$i sh \"$word\"; i=$((i + 1)); done\n"
    "echo 17\n";

#define COPIES "-e inject=linkat:error=EXDEV" /* a data folder on another disk than the source */

static const victim victims[] = {
    {.name = "merge",
     .arguments = "--db s.db merge ../a.db ../b.db",
     .before = "$P --db s.db merge ../a.db --quiet",
     .db = "s.db",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << UNLINK},
    {.name = "submit",
     .arguments = "--db s.db submit ../m.toml --tasks 2 --task-images 8",
     .before = "true",
     .db = "s.db",
     .partly = true,
     .db_only = true,
     .shell = "PATH=\"$PWD/..:$PATH\"",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "submit --print",
     .arguments = "--db s.db submit ../m.toml --tasks 2 --task-images 8 --print",
     .before = "true",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << UNLINK},
    {.name = "data import cifar10",
     .arguments = "cifar10 data ../cifar",
     .before = "$OWN cifar10 data ../cifar-old",
     .strace = COPIES,
     .own = true,
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "data import pets",
     .arguments = "--data data data import pets ../pets --resize 12 --crop 12",
     .before = "$P --data data data import pets ../pets-old --resize 12 --crop 12 --quiet",
     .strace = COPIES,
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "data import archive",
     .arguments = "--data data data import pets ../bad.tar --resize 12 --crop 12 --skip-damaged",
     .before = "$P --data data data import pets ../pets-old --resize 12 --crop 12 --quiet",
     .strace = COPIES,
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "feature cache",
     .arguments = "cache . 9",
     .before = "$OWN cache . 4",
     .own = true,
     .cache = true,
     .kinds = 1 << WRITE | 1 << RENAME},
    {.name = "features",
     .arguments = "features --weights null --dataset synthetic:test --images 0:8 --batch 8 -o out",
     .before = "$P features --weights null --dataset synthetic:test --images 8:24 --batch 8 -o out --quiet",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME},
    {.name = "db backup",
     .arguments = "--db ../whole.db db backup copy.db --force",
     .before = "cp ../a.db copy.db",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME},
    {.name = "report",
     .arguments = "--db ../whole.db report ../m.toml -o page.html --force --no-figures",
     .before = "$P --db ../whole.db report -o page.html --no-figures --quiet",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "gallery",
     .arguments = "--db ../whole.db gallery ../m.toml -o page.html --force",
     .before = "$P --db ../whole.db gallery --only patch=2 -o page.html --quiet",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME},
    {.name = "export --files",
     .arguments = "--db i.db export --images --files out",
     .before = "$P --db i.db run ../m.toml -S attack=random-search -S images=0:4 --quiet && "
               "$P --db i.db export --images --only patch=2 --files out --quiet",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME | 1 << UNLINK},
    {.name = "plot",
     .arguments = "--db ../whole.db plot accuracy ../m.toml -o figures",
     .before = "$P --db ../whole.db plot accuracy ../m.toml -o figures -S patch=2 --quiet",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME},
    {.name = "table", .arguments = "--db ../whole.db table ../m.toml", .before = "true", .kinds = 1 << WRITE},
    {.name = "model import",
     .arguments = "model import ../weights.safetensors --input 32x32 -o w.safetensors --force --set mean=0 --set std=1",
     .before = "echo old >w.safetensors",
     .kinds = 1 << WRITE | 1 << SYNC | 1 << RENAME},
};

/* ---- Parts of this program as victims ---- */

enum { FLOATS = 300 };

static void fill_values(float *values, int entry)
{
    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)(entry * FLOATS + i) * 0.37f;
}

static void say_nothing(const char *fault, void *context) { (void)fault, (void)context; }

/* Entries 0 .. n - 1 of a cache, as a run takes them: what is not found is computed and written. */
static int use_cache(const char *folder, int n)
{
    static const char key[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pg_cache *cache = pg_cache_new(folder, 1 << 20);
    pg_cache_count count = {0};
    bool open = pg_cache_key(cache, key, "cpu", "libtorch 1", 1), good = open;
    for (int i = 0; i < n && good; i++) {
        float values[FLOATS], found[FLOATS];
        fill_values(values, i);
        if (pg_cache_read(cache, i * 10, 10, found, FLOATS))
            good = memcmp(values, found, sizeof found) == 0;
        else
            pg_cache_write(cache, i * 10, 10, values, FLOATS);
    }
    pg_cache_free(cache);
    good = good && pg_cache_check(folder, say_nothing, NULL, &count) == PG_OK && count.faults == 0;
    return good || !open ? 0 : 2;
}

static int be_victim(char **argv)
{
    int code = 2;
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[1], "cache") == 0)
        return use_cache(argv[2], atoi(argv[3]));
    if (strcmp(argv[1], "cifar10") == 0)
        code = pg_cifar10_import(argv[2], argv[3], FIXTURE_IMAGES);
    if (code != PG_OK)
        fprintf(stderr, "patchgauge: %s\n", pg_error_message());
    return code == PG_OK ? 0 : pg_error_exit_code(code);
}

/* ---- Folders ---- */

typedef struct listing {
    char names[256][150]; /* of files, below the folder */
    size_t n, skip;
} listing;
static listing *listing_now;

static int list_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)walk;
    if (kind == FTW_D)
        return 0;
    if (listing_now->n == 256 || strlen(path + listing_now->skip) >= 150)
        abort();
    strcpy(listing_now->names[listing_now->n++], path + listing_now->skip);
    return 0;
}

static void list_files(const char *folder, listing *out)
{
    out->n = 0;
    out->skip = strlen(scratch_path(folder)) + 1;
    listing_now = out;
    (void)nftw(scratch_path(folder), list_entry, 16, FTW_PHYS);
}

static bool is_in(const listing *files, const char *name)
{
    for (size_t i = 0; i < files->n; i++)
        if (strcmp(files->names[i], name) == 0)
            return true;
    return false;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* What a file holds; of a store what it says. *new*, NULL where it is not there. A store that is empty is not there. */
static char *content(const victim *v, const char *folder, const char *name, size_t *size)
{
    char path[200], *text = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *size = 0;
    if (v->db && strcmp(name, v->db) == 0) {
        if (pg_file_size(scratch_path(path)) < 0)
            return NULL;
        text = fault_dump(path);
        if (!text && fault_number(path, "SELECT count(*) FROM sqlite_schema") != 0)
            fail_msg("%s: %s", path, pg_error_message());
        *size = text ? strlen(text) : 0;
        return text;
    }
    if (pg_file_read(scratch_path(path), 1 << 26, &text, size) != PG_OK)
        return NULL;
    static const char made[] = "/CreationDate"; /* PDF files hold a time */
    char *at = ends_in(name, ".pdf") ? memmem(text, *size, made, sizeof made - 1) : NULL;
    if (at)
        memset(at, 'x', strcspn(at, "\n"));
    return text;
}

static bool same(const victim *v, const char *a, const char *b, const char *name)
{
    size_t n = 0, m = 0;
    char *x = content(v, a, name, &n), *y = content(v, b, name, &m);
    bool equal = x && y ? n == m && memcmp(x, y, n) == 0 : !x && !y;
    free(x);
    free(y);
    return equal;
}

/* ---- Disturbing ---- */

typedef struct fault {
    const victim *v;
    int kind, number;
    const char *what; /* as strace takes it */
} fault;

/* Fails the test. */
static void broken(const fault *f, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_msg("%s, %s %d, %s: %s", f->v->name, kinds[f->kind].name, f->number, f->what, text);
}

static char paths[2][PATH_MAX]; /* of patchgauge and of this program */

/* Runs a line of the shell in the scratch folder; its exit code. */
static int shell(const char *format, ...)
{
    char line[4096];
    int at = snprintf(line, sizeof line, "cd '%s'; P='%s'; OWN='%s'; ", scratch_folder, paths[0], paths[1]);
    va_list args;
    va_start(args, format);
    vsnprintf(line + at, sizeof line - (size_t)at, format, args);
    va_end(args);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The command, behind strace with these options or undisturbed (NULL), in the folder `w`: standard output in out, messages in
 * said. */
static int run(const victim *v, const char *options)
{
    char line[1024] = "";
    if (options)
        snprintf(line, sizeof line, "strace -f -b execve -qq -o ../strace.log %s %s", v->strace ? v->strace : "", options);
    return shell("cd w && env %s %s \"$%s\" %s >../out 2>../said", v->shell ? v->shell : "", line, v->own ? "OWN" : "P",
                 v->arguments);
}

static void reset(void)
{
    if (shell("rm -rf w && cp -a before w") != 0)
        fail_msg("the state before cannot be restored");
}

static int count_lines(const char *file, const char *pattern)
{
    FILE *lines = NULL;
    char command[700];
    int n = 0;
    snprintf(command, sizeof command, "grep -cE '%s' '%s'", pattern, scratch_path(file));
    lines = popen(command, "r");
    if (!lines || fscanf(lines, "%d", &n) != 1)
        n = 0;
    if (lines)
        pclose(lines);
    return n;
}

/* Whether everything is as it should become. Fails the test where a file is neither that nor what it was, or where a command
 * that ended by itself left something. */
static bool evaluate(const fault *f, bool killed)
{
    static listing now, before, want;
    const victim *v = f->v;
    bool whole = true;
    list_files("w", &now);
    list_files("before", &before);
    list_files("want", &want);
    for (size_t i = 0; i < now.n && !v->db_only; i++) {
        const char *name = now.names[i];
        bool known = is_in(&before, name) || is_in(&want, name);
        if (!known && !killed && f->kind != UNLINK && !ends_in(name, "-journal"))
            broken(f, "left %s behind", name);
        whole = whole && (known || f->kind == UNLINK); /* what cannot be removed is left for the next run */
    }
    for (const listing *list = &want; list; list = list == &want ? &before : NULL)
        for (size_t i = 0; i < list->n; i++) {
            const char *name = list->names[i];
            bool store = v->db && strcmp(name, v->db) == 0;
            if ((v->db_only && !store) || same(v, "w", "want", name))
                continue;
            whole = false;
            if (!same(v, "w", "before", name) && !(store && v->partly))
                broken(f, "%s is neither what it was nor what it should become", name);
        }
    return whole;
}

/* Undisturbed, and with nothing left over. */
static void run_again(const fault *f)
{
    static listing now, want;
    const victim *v = f->v;
    int code = run(v, NULL);
    list_files("w", &now);
    list_files("want", &want);
    for (size_t i = 0; i < now.n && !v->db_only; i++)
        if (!is_in(&want, now.names[i]) && !(v->cache && ends_in(now.names[i], ".tmp")))
            broken(f, "the next run leaves %s", now.names[i]);
    if (code != 0 || !evaluate(&(fault){v, UNLINK, f->number, f->what}, true))
        broken(f, "the next run does not get through (%d)", code);
}

/* False: it had no such call. ends: succeeded, failed, killed. */
static bool disturb(const fault *f, int ends[3])
{
    const victim *v = f->v;
    char options[400];
    const char *calls = kinds[f->kind].calls;
    snprintf(options, sizeof options, "-e trace=%s%s -e inject=%s:%s:when=%d", calls, v->strace ? ",linkat" : "", calls,
             f->what, f->number);
    reset();
    int code = run(v, options);
    bool killed = code == 128 + SIGKILL,
         fired = count_lines("strace.log", "^[0-9]+ +(write|pwrite|f.*sync|rename|unlink).*INJECTED|killed by SIGKILL") > 0;
    bool whole = evaluate(f, killed);
    bool printed = shell("cmp -s out want.out") == 0;
    if (code == 0 && !((whole || v->cache) && printed))
        broken(f, "said that all is well, and something is missing");
    if (code != 0 && code != 1 && code != 4 && !(killed && strstr(f->what, "KILL")))
        broken(f, "ended with %d", code);
    int told = count_lines("said", "^patchgauge: ");
    if (code != 0 && !killed && (told > 1 || (told == 0 && f->kind != WRITE)))
        broken(f, "failed with %d messages", told);
    ends[code == 0 ? 0 : killed ? 2 : 1]++;
    if (fired)
        run_again(f);
    else if (code != 0)
        broken(f, "undisturbed, and ended with %d", code);
    return fired;
}

/* How many calls of a kind it makes undisturbed; what it should become is in `want` then. */
static int count_calls(const victim *v, int kind)
{
    char options[200];
    snprintf(options, sizeof options, "-e trace=%s%s", kinds[kind].calls, v->strace ? ",linkat" : "");
    reset();
    if (run(v, options) != 0)
        fail_msg("%s: fails undisturbed", v->name);
    return count_lines("strace.log", "^[0-9]+ +(write|pwrite|f.*sync|rename|unlink)");
}

/* What is there before, and what it should become. */
static void prepare(const victim *v)
{
    if (shell("rm -rf before want w && mkdir before && cd before && { %s; } >../said 2>&1", v->before) != 0)
        fail_msg("%s: what is there before cannot be made", v->name);
    reset();
    if (run(v, NULL) != 0 || shell("cp -a w want && cp out want.out") != 0)
        fail_msg("%s: does not run", v->name);
}

static void disturb_all(const victim *v)
{
    int fired[KINDS] = {0}, total = 0, ends[3] = {0}, most = getenv("PG_FAULTS") ? ALL : EACH;
    prepare(v);
    for (int kind = 0; kind < KINDS; kind++) {
        int calls = count_calls(v, kind), n = calls < most ? calls : most;
        for (int i = 0; i < n; i++)
            for (int k = 0; k < FAULTS; k++)
                fired[kind] +=
                    disturb(&(fault){v, kind, n < 2 ? 1 : 1 + (int)((int64_t)i * (calls - 1) / (n - 1)), faults[k]}, ends);
        total += n * FAULTS;
    }
    fault_count(
        "%s: %d faults fired (write %d, sync %d, rename %d, unlink %d): %d failed with a message, %d killed, %d went on; 0 "
        "damaged, 0 left over",
        v->name, fired[0] + fired[1] + fired[2] + fired[3], fired[0], fired[1], fired[2], fired[3], ends[1], ends[2], ends[0]);
    assert_true(total > 0);
    for (int k = 0; k < KINDS; k++)
        assert_true(!(v->kinds >> k & 1) || fired[k] > 0);
}

static void test_failing_calls(void **state)
{
    (void)state;
    if (shell("strace -qq -e trace=none true 2>/dev/null") != 0)
        skip();
    const char *only = getenv("PG_FAULTS_ONLY");
    for (size_t i = 0; i < sizeof victims / sizeof *victims; i++)
        if (!only || strcmp(victims[i].name, only) == 0)
            disturb_all(&victims[i]);
}

/* A disk that stays full from some write on, of gnuplot too, which does not tell. */
static void test_a_full_disk_under_gnuplot(void **state)
{
    (void)state;
    enum { FIRST = 12 };
    const victim *v = victims;
    int untold = 0;
    if (shell("strace -qq -e trace=none true 2>/dev/null") != 0)
        skip();
    while (strcmp(v->name, "plot") != 0)
        v++;
    prepare(v);
    for (int n = 1; n <= FIRST; n++) {
        fault f = {v, WRITE, n, "error=ENOSPC, and ever after"};
        reset();
        int code =
            shell("cd w && strace -f -qq -o ../strace.log -e trace=write -e inject=write:error=ENOSPC:when=%d+ \"$P\" %s "
                  ">../out 2>../said",
                  n, v->arguments);
        if (code != 4 || evaluate(&f, false))
            broken(&f, "ended with %d", code);
        untold += count_lines("said", "gnuplot did not finish") > 0;
        run_again(&f);
    }
    fault_count("plot: a disk that stays full from write 1 to %d on: %d times gnuplot did not tell; 0 damaged", (int)FIRST,
                untold);
    assert_true(untold > 0);
}

/* ---- What they work on ---- */

static void write_image(const char *source, const char *class, int seed)
{
    char name[200];
    pg_buf png = fixture_png_make(&(fixture_png){20, 24, 8, PNG_COLOR_TYPE_RGB, false, -1}, (unsigned)seed);
    snprintf(name, sizeof name, "%s/val/%s", source, class);
    assert_int_equal(pg_make_folders(scratch_path(name)), PG_OK);
    snprintf(name, sizeof name, "%s/val/%s/%d.png", source, class, seed);
    scratch_write(name, png.data, png.size);
    pg_buf_release(&png);
}

static int make(void **state)
{
    if (fault_make(state) != 0 || !realpath(program_path(), paths[0]) || !realpath("/proc/self/exe", paths[1]))
        return -1;
    fault_write("m.toml", matrix);
    fault_write("sbatch", sbatch);
    fixture_write("cifar");
    fixture_write("cifar-old");
    fixture_poke("cifar-old/data_batch_2.bin", 7, 0);
    for (int i = 0; i < 4; i++) {
        write_image("pets", i % 2 ? "cat" : "dog", i);
        write_image("pets-old", i % 2 ? "cat" : "dog", i + 2);
    }
    return shell(
        "cp -r pets bad && echo x >bad/val/cat/x.png && tar cf bad.tar bad || exit 1; "
        "chmod +x sbatch; cp '%s/models/zoo/synthetic-bagnet.safetensors' weights.safetensors && for i in 0 1; do "
        "\"$P\" run m.toml --task-images 8 --quiet --shard $i/2 --db $(echo a b | cut -d' ' -f$((i + 1))).db || exit 1; "
        "done; \"$P\" run m.toml --task-images 8 --quiet --db whole.db",
        getcwd((char[PATH_MAX]){0}, PATH_MAX));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_calls), cmocka_unit_test(test_a_full_disk_under_gnuplot)};
    return argc > 1 ? be_victim(argv) : cmocka_run_group_tests_name("system calls under outputs", tests, make, scratch_remove);
}
