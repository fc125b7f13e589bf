/* patchgauge ls: the cells of the store, one a line. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/cmd/command.h"
#include "harness/cmd/print.h"
#include "harness/plan/keys.h"
#include "db/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(ls)

enum { HANG = 13 }; /* on narrow terminals settings go on beside the ids */

static void add_share(int64_t count, int64_t n, pg_buf *out)
{
    if (n > 0)
        pg_buf_printf(out, " %7.2f", 100.0 * (double)count / (double)n);
    else
        pg_buf_printf(out, " %7s", "-");
}

/* Options of the defense, as "threshold=0.2 feature=logits". */
static void add_options(const pg_cell_result *r, const char *module, pg_buf *out)
{
    size_t length = strlen(module);
    for (size_t i = 0; i < r->n_settings; i++)
        if (strncmp(r->settings[i].key, module, length) == 0 && r->settings[i].key[length] == '.' &&
            strcmp(r->settings[i].key + length + 1, "version") != 0)
            pg_buf_printf(out, " %s=%s", r->settings[i].key + length + 1, r->settings[i].value);
}

/* Options of the attack that are not the default. */
static void add_attack_options(const pg_cell_result *r, const char *name, pg_buf *out)
{
    char key[160];
    for (size_t i = 0; pg_attacks[i]; i++) {
        const pg_option *row = pg_attacks[i]->module.options;
        for (; strcmp(pg_attacks[i]->module.name, name) == 0 && row->name; row++) {
            snprintf(key, sizeof key, "%s.%s", name, row->name);
            const char *value = pg_cell_result_setting(r, key);
            if (*value && strcmp(value, row->fallback) != 0)
                pg_buf_printf(out, " %s=%s", row->name, value);
        }
    }
}

/* What tells a cell from others and is not the default: " batch=8 seed=1 images=8:16". */
static void add_others(const pg_cell_result *r, pg_buf *out)
{
    static const pg_key_id ids[] = {PG_KEY_ATTACK, PG_KEY_PATCH_SPACE, PG_KEY_BATCH, PG_KEY_DELTA, PG_KEY_DTYPE, PG_KEY_SEED};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const char *value = pg_cell_result_setting(r, pg_keys[ids[i]].name);
        bool number = ids[i] == PG_KEY_DELTA && strcmp(value, "any-batch") != 0; /* cells of before have one of that name */
        if (!*value || number || strcmp(value, pg_keys[ids[i]].fallback) == 0)
            continue;
        pg_buf_printf(out, " %s=%s", pg_keys[ids[i]].name, value);
        if (ids[i] == PG_KEY_ATTACK)
            add_attack_options(r, value, out);
    }
    if (r->first > 0) /* from the start on, the number of images says it */
        pg_buf_printf(out, " images=%" PRId64 ":%" PRId64, r->first, r->first + r->images);
}

static int print_cell(const pg_cell_result *r, void *context)
{
    int64_t *rows = context;
    pg_buf line;
    if ((*rows)++ == 0)
        pg_print_hanging(HANG, "%-12s %-7s %13s %7s %7s %7s  %s\n", "cell", "state", "images", "clean%", "att%", "cert%",
                         "settings");
    const char *defense = pg_cell_result_setting(r, "defense");
    pg_buf_init(&line);
    pg_buf_printf(&line, "%.12s %-7s %6" PRId64 "/%-6" PRId64, r->cell_id, pg_cell_state_name(r->state), r->n, r->images);
    add_share(r->clean, r->n, &line);
    add_share(r->attacked, r->attacked_n, &line);
    add_share(r->certified, r->n, &line);
    pg_buf_printf(&line, "  %s patch=%s", defense, pg_cell_result_setting(r, "patch"));
    add_options(r, defense, &line);
    add_others(r, &line);
    pg_buf_printf(&line, " %s %s%s\n", pg_cell_result_setting(r, "dataset"), pg_cell_result_setting(r, "weights"),
                  r->has_delta ? "" : " (locality not measured)");
    int code = pg_buf_check(&line);
    if (code == PG_OK)
        pg_print_hanging(HANG, "%s", line.data);
    pg_buf_release(&line);
    return code;
}

typedef struct arguments {
    int state; /* pg_cell_state, -1: any */
    int64_t most;
} arguments;

static const char *const states[PG_CELL_STATES + 1] = {
    [PG_CELL_NEW] = "new", [PG_CELL_PARTIAL] = "partial", [PG_CELL_DONE] = "done", [PG_CELL_FAILED] = "failed"};

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, "state", "STATE", "only cells in this state", NULL, AT(state), PG_CHOICE(states), .absent = -1},
    {'n', "most", "N", "the newest N of them; 0: all", "500", AT(most), PG_INT(0, INT64_MAX)},
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    pg_store *store = NULL;
    int64_t rows = 0, matching = 0;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_list(store, a->state, a->most, print_cell, &rows, &matching);
    pg_store_close(store);
    if (code == PG_OK && (ferror(stdout) || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write to standard output");
    if (code == PG_OK && rows < matching)
        pg_info("the newest %" PRId64 " of %" PRId64 " cells; --most 0 lists all", rows, matching);
    return code;
}

const pg_command pg_command_ls = {
    .name = "ls",
    .synopsis = "ls [options]",
    .summary = "list the cells of the database",
    .help =
        "One line a cell: the first digits of its id, its state (new, partial, done, failed), images with outcomes, clean "
        "accuracy, accuracy under attack and certified accuracy so far in percent, defense, patch and options, and of attack, "
        "patch space, batch, dtype, seed and images what is not the default. Cells stand in the order in which they were "
        "planned.\n",
    .examples = "  patchgauge ls --db try.db\n  patchgauge ls --state failed\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
