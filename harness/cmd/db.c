/* patchgauge db: checks, backs up and queries the database. */
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cmd/db_sql.h"
#include "harness/cmd/print.h"
#include "harness/pipeline/cache.h"
#include "db/store.h"

#include <inttypes.h>
#include <string.h>

PG_COMMAND(db)

enum { FAULTS_TOLD = 50 };

static void tell(const char *fault, void *context)
{
    int64_t *told = context;
    if (++*told <= FAULTS_TOLD)
        pg_print("%s\n", fault);
    if (*told == FAULTS_TOLD + 1)
        pg_print("...\n");
}

static int check_cache(const pg_context *context, int64_t *told, pg_cache_count *cache)
{
    int code = pg_cache_check(context->cache_dir, tell, told, cache);
    if (code == PG_OK && cache->entries > 0)
        pg_print("feature cache: %" PRId64 " entries, %.1f MiB, %" PRId64 " damaged\n", cache->entries,
                 (double)cache->bytes / (1 << 20), cache->faults);
    else if (code == PG_OK)
        pg_print("feature cache: empty\n");
    return code;
}

/* Of a copy: a run goes on meanwhile. */
static int check(const pg_context *context)
{
    pg_store *store = NULL;
    pg_store_sizes sizes;
    pg_cache_count cache = {0};
    int64_t faults = 0, told = 0;
    int code = pg_store_open(context->db_path, PG_STORE_SNAPSHOT, &store);
    if (code == PG_OK)
        code = pg_store_check_all(store, tell, &told, &faults);
    if (code == PG_OK && faults == 0)
        code = pg_store_sizes_of(store, &sizes);
    if (code == PG_OK && faults == 0)
        pg_print("%s: %" PRId64 " cell%s, %" PRId64 " task%s, %" PRId64 " outcome%s, %" PRId64 " attacked image%s, %" PRId64
                 " audit%s: all is well\n",
                 context->db_path, sizes.cells, pg_plural(sizes.cells), sizes.tasks, pg_plural(sizes.tasks), sizes.outcomes,
                 pg_plural(sizes.outcomes), sizes.attacks, pg_plural(sizes.attacks), sizes.audits, pg_plural(sizes.audits));
    pg_store_close(store);
    if (code == PG_OK)
        code = check_cache(context, &told, &cache);
    if (code != PG_OK)
        return code;
    if (faults > 0)
        return pg_fail(PG_EDAMAGED, "%s: %" PRId64 " faults; restore a backup, or move the file away and run again",
                       context->db_path, faults);
    if (cache.faults > 0)
        return pg_fail(PG_EDAMAGED,
                       "the feature cache in %s has %" PRId64 " damaged entries; they are never used, and a run "
                       "computes them again",
                       context->cache_dir, cache.faults);
    return PG_OK;
}

static int run_check(const pg_context *context, void *request PG_UNUSED) { return check(context); }

typedef struct arguments {
    const char *file;
    bool force;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row backup_rows[] = {
    {0, NULL, "FILE", NULL, NULL, AT(file), PG_TEXT_FULL, PG_REQUIRED},
    {0, "force", NULL, "replace FILE", NULL, AT(force), PG_FLAG},
    PG_CLI_END,
};

static int run_backup(const pg_context *context, void *request)
{
    const arguments *a = request;
    int code = pg_store_backup(context->db_path, a->file, a->force);
    if (code == PG_OK)
        pg_info("%s: copied and checked", a->file);
    return code;
}

static const pg_command *const actions[] = {
    &(const pg_command){
        .name = "check",
        .synopsis = "db check",
        .summary =
            "Reads everything: SQLite's own structure, rows against their copies in indexes, every reference between tables, "
            "that ids are the hashes of what they name, the checksums of cells, sums, outcomes and attacks, half-written "
            "tasks, and every entry of the feature cache (--cache). Each fault is a line on standard output. Exit code 0: all "
            "is well; 2: something is damaged. A run may go on meanwhile: what is checked is a copy in SQLite's temporary "
            "folder (SQLITE_TMPDIR, TMPDIR), as large as the file.",
        .examples = "  patchgauge db check\n",
        .run = run_check},
    &(const pg_command){
        .name = "backup",
        .synopsis = "db backup FILE [--force]",
        .summary =
            "Copies the database as it is at one moment, also while a run is writing, checks the copy, and puts it in place at "
            "once. A file that exists is kept.",
        .examples = "  patchgauge db backup results-monday.db\n",
        .rows = backup_rows,
        .request_size = sizeof(arguments),
        .run = run_backup},
    &pg_db_sql,
    NULL,
};

const pg_command pg_command_db = {
    .name = "db",
    .synopsis = "db check | db backup FILE [--force] | db sql [SQL] [options]",
    .summary = "check the database and the feature cache, back the database up, or query it with SQL",
    .actions = actions,
};
