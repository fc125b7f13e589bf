/* patchgauge submit: runs a matrix as one job array of a Slurm cluster. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cmd/print.h"
#include "harness/cmd/submission.h"
#include "harness/plan/tasks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

PG_COMMAND(submit)

enum { TASKS_MAX = 10000, FROZEN_BYTES_MAX = INT32_MAX, JOB_MAX = 24 };

typedef struct session {
    pg_submission s;
    const char *folder; /* as given, NULL: to be chosen */
    bool print;
    pg_plan *plan;
    pg_folder scratch;          /* on a local disk */
    char *frozen;               /* store in it */
    bool made;                  /* the folder of the submission */
    char *parent, *parent_made; /* what it lies in, and the first of these folders that was not there */
} session;

#define AT(field) offsetof(session, field)
static const pg_cli_row options[] = {
    PG_MATRIX_ROW(AT(s.matrix)),
    {0, "tasks", "N", "tasks of the array; each runs every N-th task of the plan", NULL, AT(s.tasks), PG_INT(1, TASKS_MAX),
     PG_REQUIRED},
    {0, "max-parallel", "M", "of them at a time", NULL, AT(s.parallel), PG_INT(1, TASKS_MAX)},
    {0, "sbatch-arg", "ARG",
     "an option of sbatch, for both jobs, as --sbatch-arg=--time=2:00:00; --sbatch-arg=--signal=B:USR1@900 drains a quarter of "
     "an hour before the limit",
     NULL, AT(s.args), PG_TEXTS},
    {0, "print", NULL, "show the scripts and the commands; write and submit nothing", NULL, AT(print), PG_FLAG},
    {'o', "output", "DIR", "folder of the submission, a new one; default NAME.slurm, NAME.slurm-2, ...", NULL, AT(folder),
     PG_TEXT_FULL},
    {0, "save-every", "S", "seconds between two copies from a node's disk", "600", AT(s.save_s), PG_INT(1, 1000000)},
    {0, "threads", "N",
     "cores of a forward pass, 0: all of the node; default: what Slurm gives (--sbatch-arg=--cpus-per-task=8)", NULL,
     AT(s.threads), PG_INT(0, 1024), .absent = -1},
    PG_JOBS_ROW(AT(s.workers)),
    PG_DEVICE_ROW(AT(s.device)),
    PG_TASK_IMAGES_ROW(AT(s.task_images)),
    PG_MATRIX_SET_ROW(AT(s.matrix)),
    PG_CLI_END,
};

static int check_sbatch_args(const pg_texts *args)
{
    for (size_t i = 0; i < args->n; i++)
        if (args->items[i][0] != '-')
            return pg_fail(PG_EUSAGE,
                           "submit: --sbatch-arg %s: right would be one option of sbatch, as --sbatch-arg=--time=2:00:00",
                           args->items[i]);
    return PG_OK;
}

/* ---- What is open, frozen in a store on a local disk ---- */

/* *open: tasks that are not done in the database. */
static int freeze(session *x, int64_t *open)
{
    pg_store *done = NULL, *frozen = NULL;
    pg_store_progress progress;
    const char *db = x->s.context->db_path;
    int code = access(db, F_OK) == 0 ? pg_store_open(db, PG_STORE_READ, &done) : PG_OK;
    if (code == PG_EMISSING) /* an empty file */
        code = PG_OK;
    if (code == PG_OK)
        code = pg_store_open(x->frozen, PG_STORE_WRITE, &frozen);
    if (code == PG_OK)
        code = pg_plan_record_shard(x->plan, frozen, x->s.task_images, &(pg_shard){.done = done});
    if (code == PG_OK)
        code = pg_store_progress_of(frozen, &progress);
    if (code == PG_OK)
        *open = progress.tasks;
    pg_store_close(frozen);
    pg_store_close(done);
    return code;
}

/* ---- The plan in the database, so that it takes the shards ---- */

/* A submission is open while its folder is there and its last job, the one that merges, has not begun to write there. */
static int warn_of(const char *folder, int64_t cells, void *context PG_UNUSED)
{
    char path[PATH_MAX + 16], *job = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/merge.txt", folder);
    if (access(path, F_OK) == 0)
        return PG_OK;
    snprintf(path, sizeof path, "%s/job.txt", folder);
    if (pg_file_read(path, 64, &job, &size) == PG_OK)
        pg_warn("job %s, in %s, has not been merged and has %" PRId64
                " of these cells too: both compute them, unless one is ended with scancel",
                job, folder, cells);
    free(job);
    return PG_OK;
}

static int record_in(session *x, const char *path)
{
    pg_store *store = NULL;
    int code = pg_store_open(path, PG_STORE_WRITE, &store);
    if (code == PG_OK)
        code = pg_plan_record(x->plan, store, x->s.task_images);
    if (code == PG_OK)
        code = pg_store_submit(store, x->s.folder);
    if (code == PG_OK)
        code = pg_store_each_submission(store, x->s.folder, warn_of, NULL);
    pg_store_close(store);
    return code;
}

/* On a network file system a database is only replaced whole, under a lock that the merging job takes as well. */
static int record_remote(session *x)
{
    const char *db = x->s.context->db_path;
    char copy[PATH_MAX + 16], lock[PATH_MAX];
    snprintf(copy, sizeof copy, "%s/main.db", x->scratch.path);
    if (snprintf(lock, sizeof lock, "%s.lock", db) >= (int)sizeof lock)
        return pg_fail(PG_EINPUT, "%s: the name is too long", db);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int code = fd >= 0 && flock(fd, LOCK_EX) == 0 ? PG_OK : pg_fail(PG_EIO, "%s: cannot be locked: %s", lock, strerror(errno));
    if (code == PG_OK && access(db, F_OK) == 0)
        code = pg_store_backup(db, copy, false);
    if (code == PG_OK)
        code = record_in(x, copy);
    if (code == PG_OK)
        code = pg_store_backup(copy, db, true);
    if (fd >= 0)
        close(fd);
    return code;
}

/* ---- The folder of the submission ---- */

static char *absolute(const char *cwd, const char *path)
{
    char *out = NULL;
    int length = *path == '/' ? asprintf(&out, "%s", path) : asprintf(&out, "%s/%s", cwd, path);
    while (length > 1 && out[length - 1] == '/')
        out[--length] = 0;
    return length < 0 ? NULL : out;
}

/* The name given, or the first of NAME.slurm, NAME.slurm-2, ... that is free. */
static int choose_folder(session *x)
{
    char name[NAME_MAX + 1], plain[64];
    snprintf(plain, sizeof plain, "%s", pg_plan_name(x->plan));
    for (char *c = plain; *c; c++)
        if (*c == '/' || (unsigned char)*c < ' ' || (c == plain && *c == '.'))
            *c = '-';
    snprintf(name, sizeof name, "%s.slurm", plain);
    for (int i = 2; !x->folder && access(name, F_OK) == 0; i++)
        snprintf(name, sizeof name, "%s.slurm-%d", plain, i);
    const char *folder = x->folder ? x->folder : name;
    int code = x->folder ? pg_output_folder_check(folder) : PG_OK;
    if (code != PG_OK)
        return code;
    x->s.folder = absolute(x->s.cwd, folder);
    return x->s.folder ? PG_OK : pg_fail(PG_ENOMEM, "out of memory");
}

static int write_in(const session *x, const char *name, const char *text, size_t size)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", x->s.folder, name) < 0)
        return pg_fail(PG_ENOMEM, "out of memory");
    int code = pg_file_write(path, text, size);
    free(path);
    return code;
}

static int write_script(const session *x, const char *name, void (*script)(const pg_submission *, pg_buf *))
{
    pg_buf text = PG_BUF_EMPTY;
    script(&x->s, &text);
    int code = pg_buf_check(&text);
    if (code == PG_OK)
        code = write_in(x, name, text.data, text.size);
    pg_buf_release(&text);
    return code;
}

/* It was free when it was chosen; whoever took it since keeps it. */
static int make_folder(session *x)
{
    x->parent = strndup(x->s.folder, (size_t)(strrchr(x->s.folder, '/') - x->s.folder));
    int code = x->parent ? pg_folders_begin(x->parent, &x->parent_made) : pg_fail(PG_ENOMEM, "out of memory");
    if (code != PG_OK)
        return code;
    x->made = mkdir(x->s.folder, 0777) == 0;
    if (x->made)
        return PG_OK;
    return errno == EEXIST ? pg_fail(PG_EINPUT, "%s: is there already; -o names a new folder", x->s.folder)
                           : pg_fail(PG_EIO, "%s: folder cannot be made: %s", x->s.folder, strerror(errno));
}

static int fill_folder(session *x)
{
    char *frozen = NULL;
    size_t size = 0;
    int code = make_folder(x);
    if (code == PG_OK)
        code = pg_file_read(x->frozen, FROZEN_BYTES_MAX, &frozen, &size);
    if (code == PG_OK)
        code = write_in(x, "plan.db", frozen, size);
    if (code == PG_OK)
        code = write_in(x, "matrix.toml", pg_plan_matrix_text(x->plan), strlen(pg_plan_matrix_text(x->plan)));
    if (code == PG_OK)
        code = write_script(x, "task.sh", pg_submission_task);
    if (code == PG_OK)
        code = write_script(x, "merge.sh", pg_submission_merge);
    free(frozen);
    return code;
}

/* ---- sbatch ---- */

enum { SAID_MAX = 1 << 16 };

/* What came of a command: UNSENT is certain, and so is SENT. */
typedef enum sending { UNSENT, SENT, UNCERTAIN } sending;

/* Runs a command (`n` words with zero bytes between them); what it prints in `said`. What it says on standard error goes to
 * ours. PG_OK: it ended with exit code 0. */
static int run_command(const pg_buf *words, size_t n, pg_buf *said, sending *what)
{
    char **argv = calloc(n + 1, sizeof *argv), some[1024];
    int ends[2] = {-1, -1}, status = 0;
    *what = UNSENT;
    if (!argv || pg_buf_check(words) != PG_OK || pipe2(ends, O_CLOEXEC) != 0) {
        free(argv);
        return pg_fail(PG_ENOMEM, "sbatch cannot be started: %s", strerror(errno));
    }
    const char *at = words->data;
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
        argv[i] = (char *)at;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t size; child > 0 && ((size = read(ends[0], some, sizeof some)) > 0 || (size < 0 && errno == EINTR));)
        if (size > 0 && said->size < SAID_MAX)
            pg_buf_add(said, some, (size_t)size);
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    free(argv);
    if (child < 0)
        return pg_fail(PG_EIO, "sbatch cannot be started: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return pg_fail(PG_EMISSING, "sbatch is not there: submit on a machine of a Slurm cluster, or look with --print");
    *what = status == 0 ? SENT : WIFEXITED(status) ? UNSENT : UNCERTAIN;
    return status == 0         ? PG_OK
           : WIFEXITED(status) ? pg_fail(PG_EIO, "sbatch refused the job; see what it says above")
                               : pg_fail(PG_EIO, "sbatch died of signal %d", WTERMSIG(status));
}

/* Said before anything is written. */
static int check_sbatch(void)
{
    static const char words[] = "sbatch\0--version";
    sending what;
    pg_buf buf = PG_BUF_EMPTY, said = PG_BUF_EMPTY;
    pg_buf_add(&buf, words, sizeof words);
    int code = run_command(&buf, 2, &said, &what);
    pg_buf_release(&buf);
    pg_buf_release(&said);
    return code;
}

/* "17", "17;cluster", "Submitted batch job 17", with blanks around; "": none of these. */
static void number_in(const char *line, size_t size, char job[JOB_MAX])
{
    static const char sentence[] = "Submitted batch job ";
    for (; size > 0 && isspace((unsigned char)*line); size--)
        line++;
    bool told = size > sizeof sentence - 1 && memcmp(line, sentence, sizeof sentence - 1) == 0;
    size_t from = told ? sizeof sentence - 1 : 0, end = from;
    while (end < size && isdigit((unsigned char)line[end]))
        end++;
    size_t behind = end;
    while (behind < size && isspace((unsigned char)line[behind]))
        behind++;
    if (end == from || end - from >= JOB_MAX || !(told || behind == size || line[end] == ';'))
        return;
    memcpy(job, line + from, end - from);
    job[end - from] = 0;
}

/* The number of the job in what sbatch printed, where sites let it print more: that of the last line that has one. "": none
 * has. */
static void find_number(const pg_buf *said, char job[JOB_MAX])
{
    job[0] = 0;
    for (size_t at = 0; at < said->size;) {
        const char *line = said->data + at, *end = memchr(line, '\n', said->size - at);
        size_t size = end ? (size_t)(end - line) : said->size - at;
        number_in(line, size, job);
        at += size + 1;
    }
}

/* job "": sbatch took the job and did not say its number. */
static int sbatch(const session *x, const char *after, char job[JOB_MAX], sending *what)
{
    pg_buf words = PG_BUF_EMPTY, said = PG_BUF_EMPTY;
    job[0] = 0;
    size_t n = pg_submission_sbatch(&x->s, after, &words);
    int code = run_command(&words, n, &said, what);
    if (code == PG_OK)
        find_number(&said, job);
    if (code == PG_OK && !*job)
        code = pg_fail(PG_EIO, "sbatch took the job and said \"%.*s\", which has no number of a job",
                       (int)strcspn(said.data, "\n"), said.data);
    pg_buf_release(&words);
    pg_buf_release(&said);
    return code;
}

/* The array may be queued, under a number that is not known: its folder stays. */
static int fail_unknown(session *x, sending what, const char *why)
{
    static const char unknown[] = "of unknown number";
    char message[PG_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", why);
    if (write_in(x, "job.txt", unknown, strlen(unknown)) != PG_OK)
        pg_warn("%s", pg_error_message());
    pg_folders_end(x->parent, x->parent_made, true);
    return pg_fail(PG_EIO,
                   "%s; the array %s queued under an unknown number, and none that merges: `squeue --me --format=\"%%i %%Z\"` "
                   "lists jobs with their "
                   "folders, this one's is %s; merge its shards when it has ended, see `patchgauge help merge`",
                   message, what == SENT ? "is" : "may be", x->s.folder);
}

static int submit_all(session *x)
{
    char array[JOB_MAX] = "", merge[JOB_MAX], message[PG_MESSAGE_MAX];
    sending what = UNSENT;
    int code = check_sbatch();
    if (code != PG_OK)
        return code;
    code = x->s.remote ? record_remote(x) : record_in(x, x->s.context->db_path);
    if (code == PG_OK)
        code = fill_folder(x);
    if (code == PG_OK)
        code = sbatch(x, NULL, array, &what);
    if (code != PG_OK && what != UNSENT)
        return fail_unknown(x, what, pg_error_message());
    if (code == PG_OK && write_in(x, "job.txt", array, strlen(array)) != PG_OK)
        pg_warn("%s", pg_error_message());
    snprintf(message, sizeof message, "%s", pg_error_message());
    if (code != PG_OK && x->made)
        pg_folder_remove(x->s.folder);
    if (x->parent)
        pg_folders_end(x->parent, x->parent_made, code == PG_OK);
    if (code != PG_OK)
        return pg_fail(code, "%s", message);
    pg_print("job %s: %" PRId64 " task%s, in %s\n", array, x->s.tasks, pg_plural(x->s.tasks), x->s.folder);
    code = sbatch(x, array, merge, &what);
    if (code != PG_OK && what == SENT) {
        pg_warn("%s; it merges all the same", pg_error_message());
        snprintf(merge, sizeof merge, "of unknown number");
    } else if (code != PG_OK) {
        return pg_fail(code,
                       "job %s runs, but none that merges: %s; merge its shards when it has ended, see `patchgauge help merge`",
                       array, pg_error_message());
    }
    pg_print("job %s: merges into %s when job %s has ended\n", merge, x->s.context->db_path, array);
    return PG_OK;
}

static void print_command(const session *x, const char *after)
{
    pg_buf words = PG_BUF_EMPTY, line = PG_BUF_EMPTY;
    size_t n = pg_submission_sbatch(&x->s, after, &words);
    const char *at = words.data;
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1) {
        pg_buf_puts(&line, i ? " " : "");
        pg_shell_word(&line, at);
    }
    pg_print_verbatim("%s\n", line.data);
    pg_buf_release(&words);
    pg_buf_release(&line);
}

static void print_script(const session *x, const char *name, void (*script)(const pg_submission *, pg_buf *))
{
    pg_buf text = PG_BUF_EMPTY;
    script(&x->s, &text);
    pg_print_verbatim("==> %s <==\n%s\n", name, text.data);
    pg_buf_release(&text);
}

static void print_all(const session *x)
{
    print_script(x, "task.sh", pg_submission_task);
    print_script(x, "merge.sh", pg_submission_merge);
    print_command(x, NULL);
    print_command(x, "JOB");
}

static int find_places(session *x)
{
    char program[PATH_MAX + 1];
    ssize_t n = readlink("/proc/self/exe", program, PATH_MAX);
    if (n <= 0)
        return pg_fail(PG_EIO, "the program's own file cannot be found: %s", strerror(errno));
    program[n] = 0;
    x->s.program = strdup(program);
    x->s.cwd = getcwd(NULL, 0);
    if (!x->s.program || !x->s.cwd)
        return pg_fail(PG_EIO, "the current folder cannot be found: %s", strerror(errno));
    x->s.name = pg_plan_name(x->plan);
    x->s.remote = pg_store_is_remote(x->s.context->db_path);
    return choose_folder(x);
}

static int run(const pg_context *context, void *request)
{
    session *x = request;
    int64_t open = 0;
    x->s.context = context;
    int code = check_sbatch_args(&x->s.args);
    if (code == PG_OK)
        code = pg_matrix_args_open(context, &x->s.matrix, &x->plan);
    if (code == PG_OK)
        code = find_places(x);
    if (code == PG_OK)
        code = pg_scratch_make("submit", &x->scratch);
    if (code == PG_OK && asprintf(&x->frozen, "%s/plan.db", x->scratch.path) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = freeze(x, &open);
    if (x->s.tasks > open)
        x->s.tasks = open;
    if (code == PG_OK && open == 0)
        pg_info("%s: all is done, nothing is submitted", x->s.name);
    else if (code == PG_OK && x->print)
        print_all(x);
    else if (code == PG_OK)
        code = submit_all(x);
    pg_folder_end(&x->scratch);
    free(x->frozen);
    free(x->s.program);
    free(x->s.cwd);
    free(x->s.folder);
    free(x->parent);
    pg_plan_free(x->plan);
    return code;
}

const pg_command pg_command_submit = {
    .name = "submit",
    .synopsis = "submit MATRIX.toml --tasks N [options]",
    .summary = "run a matrix as a job array of a Slurm cluster",
    .help =
        "Freezes what the matrix asks for and the database has not done yet, and submits one job array and one job that merges "
        "when it has ended. Each task of the array runs its share of the plan into a database on the disk of its node "
        "($TMPDIR), and puts it into the folder of the submission, now and then and at the end. Two minutes before its time "
        "limit a task lets the work in hand finish and puts itself into the queue again; a task that Slurm requeues goes on "
        "with what is in place. Submitting again takes up what is missing, and warns of a job that is still at it.\n"
        "All nodes need to see the program, the data, the weights, the current folder and that of the submission. The database "
        "has to be seen by the node that merges; on a network file system it is copied and replaced whole. Where it cannot be "
        "seen, `patchgauge merge FOLDER/shard-*.db` does it later.\n",
    .examples = "  patchgauge submit experiments/demo.toml --tasks 8 --max-parallel 4 --sbatch-arg=--time=1:00:00 --print\n"
                "  patchgauge submit experiments/demo.toml --tasks 8 --sbatch-arg=--gres=gpu:1 --device cuda\n",
    .rows = options,
    .request_size = sizeof(session),
    .run = run,
};
