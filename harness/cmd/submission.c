/* The scripts and arguments of a submission. See submission.h.
 *
 * Text of the user stands in single quotes only, behind the first command: in no comment and in no line that sbatch reads. What
 * sbatch has to know goes to it as arguments. */
#include "harness/cmd/submission.h"
#include "harness/base/text.h"

#include "harness/plan/modules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add_variable(pg_buf *out, const char *name, const char *value)
{
    pg_buf_printf(out, "%s=", name);
    pg_shell_word(out, value);
    pg_buf_puts(out, "\n");
}

static void add_option(pg_buf *out, const char *option, const char *value)
{
    pg_buf_printf(out, " %s ", option);
    pg_shell_word(out, value);
}

/* `log`: a file in the folder; its name is given here since sbatch would look for patterns in the whole path. */
static void add_head(const pg_submission *s, const char *what, const char *log, pg_buf *out)
{
    pg_buf_printf(out, "#!/bin/sh\n# %s Made by patchgauge submit.\nset -u\n", what);
    add_variable(out, "program", s->program);
    add_variable(out, "folder", s->folder);
    pg_buf_printf(out, "exec >>\"$folder/%s.txt\" 2>&1 || exit 4\n", log);
    pg_buf_puts(out, "cd ");
    pg_shell_word(out, s->cwd);
    pg_buf_puts(out, " || exit 4\n");
}

static const char node_folder[] = "node=$(mktemp -d \"${TMPDIR:-/tmp}/patchgauge-XXXXXX\") || exit 4\n"
                                  "trap 'rm -rf \"$node\"' EXIT\n";

static void add_run(const pg_submission *s, pg_buf *out)
{
    pg_buf_puts(out, "\"$program\" run \"$folder/matrix.toml\"");
    for (size_t i = 0; i < s->matrix.overrides.n; i++)
        add_option(out, "-S", s->matrix.overrides.items[i]);
    pg_buf_printf(out, " --shard \"$SLURM_ARRAY_TASK_ID/%" PRId64 "\" --db \"$node/shard.db\"", s->tasks);
    add_option(out, "--data", s->context->data_dir);
    add_option(out, "--cache", s->context->cache_dir);
    pg_buf_printf(out, " --cache-size %" PRId64, s->context->cache_bytes);
    for (size_t i = 0; pg_plugin_at(i); i++)
        add_option(out, "--plugin", pg_plugin_at(i)->path);
    if (getenv("PATCHGAUGE_TRUST"))
        pg_buf_puts(out, " --trust");
    add_option(out, "--device", s->device);
    if (s->threads < 0)
        pg_buf_puts(out, " --threads \"${SLURM_CPUS_PER_TASK:-0}\"");
    else
        pg_buf_printf(out, " --threads %" PRId64, s->threads);
    pg_buf_printf(out, " -j %" PRId64 " --task-images %" PRId64 " &\nrun=$!\n", s->workers, s->task_images);
}

void pg_submission_task(const pg_submission *s, pg_buf *out)
{
    add_head(s, "One task of the array: runs its share of the plan into a database on the disk of its node.",
             "log-$SLURM_ARRAY_TASK_ID", out);
    pg_buf_puts(out, "shard=$folder/shard-$SLURM_ARRAY_TASK_ID.db\n");
    pg_buf_puts(out, node_folder);
    pg_buf_puts(out, "\n"
                     "# A task that was requeued goes on with what is in place.\n"
                     "from=$folder/plan.db\n"
                     "[ ! -e \"$shard\" ] || from=$shard\n"
                     "cp \"$from\" \"$node/shard.db\" || exit 4\n"
                     "\n"
                     "# Into place, whole or not at all: now and then, and at the end.\n"
                     "save() { \"$program\" --quiet --db \"$node/shard.db\" db backup --force \"$shard\"; }\n"
                     "\n"
                     "# USR1 comes before the time limit, TERM before a preemption: images that are whole are kept.\n"
                     "run='' time_is_up=''\n"
                     "trap 'time_is_up=yes; [ -z \"$run\" ] || kill -s USR1 \"$run\"' USR1\n"
                     "trap '[ -z \"$run\" ] || kill -s USR1 \"$run\"' TERM INT\n"
                     "trap save ALRM\n"
                     "\n");
    add_run(s, out);
    pg_buf_printf(out, "while sleep %" PRId64 " && kill -s ALRM $$; do :; done &\ntimer=$!\n", s->save_s);
    pg_buf_puts(out, "while :; do\n"
                     "    wait \"$run\"\n"
                     "    code=$?\n"
                     "    { [ \"$code\" -gt 128 ] && kill -0 \"$run\" 2>/dev/null; } || break # it was a signal to this shell\n"
                     "done\n"
                     "kill \"$timer\"\n"
                     "trap '' ALRM\n"
                     "save || exit 4\n"
                     "if [ \"$code\" = 3 ] && [ -n \"$time_is_up\" ] && [ \"${SLURM_RESTART_COUNT:-0}\" -lt 100 ]; then\n"
                     "    scontrol requeue \"$SLURM_JOB_ID\" && exit 0\n"
                     "fi\n"
                     "exit \"$code\"\n");
}

static void add_remote_merge(pg_buf *out)
{
    pg_buf_puts(out, "\n# The database lies on a network file system: it is copied, and replaced whole, by one job at a time.\n"
                     "exec 9>>\"$db.lock\" && flock 9 || exit 4\n");
    pg_buf_puts(out, node_folder);
    pg_buf_puts(
        out,
        "\"$program\" --quiet --db \"$db\" db backup \"$node/main.db\" || exit 4\n"
        "\"$program\" --db \"$node/main.db\" merge \"$@\"\n"
        "code=$?\n"
        "case $code in 0 | 1 | 5) \"$program\" --quiet --db \"$node/main.db\" db backup --force \"$db\" || exit 4 ;; esac\n");
}

void pg_submission_merge(const pg_submission *s, pg_buf *out)
{
    add_head(s, "Merges the shards that are in place, when all tasks of the array have ended.", "merge", out);
    add_variable(out, "db", s->context->db_path);
    pg_buf_puts(
        out, "[ -e \"$db\" ] || {\n"
             "    echo \"$db is not to be seen on $(uname -n); merge where it is: patchgauge merge $folder/shard-*.db\" >&2\n"
             "    exit 4\n"
             "}\n");
    pg_buf_printf(
        out,
        "set --\n"
        "i=0 missing=''\n"
        "while [ \"$i\" -lt %" PRId64 " ]; do\n"
        "    if [ -e \"$folder/shard-$i.db\" ]; then set -- \"$@\" \"$folder/shard-$i.db\"; else missing=\"$missing $i\"; fi\n"
        "    i=$((i + 1))\n"
        "done\n"
        "[ -z \"$missing\" ] || echo \"no results of tasks$missing: see log-*.txt in $folder\" >&2\n"
        "[ $# -gt 0 ] || exit 1\n",
        s->tasks);
    if (s->remote)
        add_remote_merge(out);
    else
        pg_buf_puts(out, "\"$program\" --db \"$db\" merge \"$@\"\ncode=$?\n");
    pg_buf_puts(out, "[ \"$code\" != 0 ] || [ -z \"$missing\" ] || code=1\nexit \"$code\"\n");
}

static size_t add_argument(pg_buf *out, const char *option, const char *value)
{
    pg_buf_puts(out, option);
    pg_buf_puts(out, value);
    pg_buf_add(out, "", 1);
    return 1;
}

/* The name of a job: what is no letter or digit of ASCII becomes a dash. */
static size_t add_name(const pg_submission *s, const char *suffix, pg_buf *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    pg_buf_puts(out, "--job-name=");
    for (const char *c = s->name; *c && c - s->name < 40; c++)
        pg_buf_printf(out, "%c", strchr(plain, *c) ? *c : '-');
    return add_argument(out, suffix, "");
}

size_t pg_submission_sbatch(const pg_submission *s, const char *after, pg_buf *out)
{
    char array[64], script[] = "/merge.sh";
    size_t n = add_argument(out, "sbatch", "") + add_argument(out, "--parsable", "") + add_argument(out, "--requeue", "");
    n += add_argument(out, "--chdir=", s->folder);
    n += add_argument(out, "--output=/dev/null", "");
    if (after) {
        n += add_name(s, "-merge", out);
        n += add_argument(out, "--dependency=afterany:", after);
    } else {
        n += add_name(s, "", out);
        snprintf(array, sizeof array, "0-%" PRId64, s->tasks - 1);
        if (s->parallel)
            snprintf(array + strlen(array), sizeof array - strlen(array), "%%%" PRId64, s->parallel);
        n += add_argument(out, "--array=", array);
        n += add_argument(out, "--signal=B:USR1@", "120");
        strcpy(script, "/task.sh");
    }
    for (size_t i = 0; i < s->args.n; i++)
        n += add_argument(out, s->args.items[i], "");
    return n + add_argument(out, s->folder, script);
}
