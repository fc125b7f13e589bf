/* patchgauge db: checks and backs up the database. */
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cmd/command.h"
#include "harness/cmd/print.h"
#include "harness/pipeline/cache.h"
#include "db/store.h"

#include <getopt.h>
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

static int backup(const pg_context *context, int argc, char **argv)
{
    static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool replace = false;
    int code = PG_OK;
    optind = 0;
    for (int c; code == PG_OK && (c = pg_command_option_next(argc, argv, ":", options)) != -1;) {
        if (c == 'f')
            replace = true;
        else
            code = pg_command_option_error(argv, options, c);
    }
    if (code == PG_OK && optind + 1 != argc)
        code = pg_fail(PG_EUSAGE, "%s; usage: patchgauge db backup FILE [--force]",
                       optind >= argc ? "no file is given" : "one file only");
    if (code == PG_OK)
        code = pg_store_backup(context->db_path, argv[optind], replace);
    if (code == PG_OK)
        pg_info("%s: copied and checked", argv[optind]);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    if (argc < 2)
        return pg_fail(PG_EUSAGE, "db wants check or backup; usage: patchgauge db check | db backup FILE [--force]");
    int code = PG_OK;
    if (strcmp(argv[1], "check") == 0 && argc == 2)
        code = check(context);
    else if (strcmp(argv[1], "check") == 0)
        code = pg_fail(PG_EUSAGE, "db check takes no arguments, but was given \"%s\"", argv[2]);
    else if (strcmp(argv[1], "backup") == 0) {
        argv[1] = argv[0]; /* what errors of options are told about */
        code = backup(context, argc - 1, argv + 1);
    } else
        code = pg_fail(PG_EUSAGE, "db: unknown word \"%s\"; right would be check or backup", argv[1]);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    return code;
}

const pg_command pg_command_db = {
    .name = "db",
    .synopsis = "db check | db backup FILE [--force]",
    .summary = "check the database and the feature cache, or back the database up",
    .help =
        "check reads everything: SQLite's own structure, rows against their copies in indexes, every reference between\n"
        "tables, that ids are the hashes of what they name, the checksums of cells, sums, outcomes and attacks, half-written\n"
        "tasks, and every entry of the feature cache (--cache). Each fault is a line on standard output. Exit code 0: all is\n"
        "well; 2: something is damaged. A run may go on meanwhile: what is checked is a copy in SQLite's temporary folder\n"
        "(SQLITE_TMPDIR, TMPDIR), as large as the file.\n"
        "\n"
        "backup copies the database as it is at one moment, also while a run is writing, checks the copy, and puts it in "
        "place\n"
        "at once. A file that exists is kept.\n"
        "\n"
        "  --force   backup: replace FILE\n"
        "\n"
        "  patchgauge db check\n"
        "  patchgauge db backup results-monday.db\n",
    .run_words = run,
};
