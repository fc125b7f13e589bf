/* patchgauge export: results for other programs. */
#include "defenses/defense.h"
#include "harness/base/option.h"
#include "harness/cmd/export_images.h"
#include "harness/cmd/leaderboard.h"
#include "harness/cmd/only.h"
#include "harness/cmd/passes.h"
#include "harness/cmd/tidy.h"

#include <string.h>

PG_COMMAND(export)

typedef struct arguments {
    pg_layout_request layout; /* without a matrix: the whole database */
    pg_output output;
    bool wide, images;
    pg_images_files files;
    const char *submission; /* a cell; NULL: rows */
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "MATRIX.toml", NULL, NULL, AT(layout.matrix.matrix), PG_TEXT_FULL},
    PG_LAYOUT_METRICS_ROW(AT(layout), "as in `table`"),
    {'f', "format", "FORMAT", "of the output", "csv", AT(output.format), PG_CHOICE(pg_row_formats + PG_TABLE_CSV)},
    PG_TIDY_WIDE_ROW(AT(wide)),
    {0, "images", NULL, "a row for each image of each cell, in place of a row for each metric", NULL, AT(images), PG_FLAG},
    PG_IMAGES_FILES_ROW(AT(files)),
    PG_IMAGES_EVIDENCE_ROW(AT(files)),
    {0, "submission", "CELL", "this cell alone, by the first digits of its id, as a JSON file that `patchgauge verify` checks",
     NULL, AT(submission), PG_TEXT},
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_MATRIX_SET_ROW(AT(layout.matrix)),
    PG_MATRIX_ONLY_ROW(AT(layout.matrix)),
    PG_DEVICE_ROW(AT(files.device)),
    PG_THREADS_ROW(AT(files.threads)),
    PG_CLI_END,
};

/* ---- The whole database -------------------------------------------------------------------------------------------------- */

typedef struct listing {
    pg_store *store;
    pg_tidy tidy;
    bool unmeasured;
} listing;

static int see_key(const char *key, const char *value, void *context)
{
    return pg_tidy_keys(context, &(pg_setting){.key = key, .value = value}, 1);
}

/* All keys of the database, or those of the cells that were chosen. */
static int see_keys(listing *l, const pg_cell_set *set, bool chosen)
{
    int code = chosen ? PG_OK : pg_store_each_key(l->store, see_key, &l->tidy);
    for (size_t i = 0; code == PG_OK && chosen && i < set->n; i++)
        code = pg_store_keys_of(l->store, set->cells[i], see_key, &l->tidy);
    return code;
}

static void fill_size(const pg_cell_result *result, const char *key, int *height, int *width)
{
    if (pg_parse_size(pg_cell_result_setting(result, key), height, width) != PG_OK)
        *height = *width = 0;
}

/* Sizes as the attacker sees them; of the image they are not known of older cells. */
static void fill_sizes(const pg_cell_result *result, pg_table_entry *entry)
{
    bool input = strcmp(pg_cell_result_setting(result, "patch-space"), "network") == 0 &&
                 *pg_cell_result_setting(result, "input.px") != '\0';
    fill_size(result, "patch.px", &entry->patch_height, &entry->patch_width);
    fill_size(result, input ? "input.px" : "image.px", &entry->image_height, &entry->image_width);
}

static int show_cell(const pg_cell_result *result, void *context)
{
    listing *l = context;
    const char *attack = pg_cell_result_setting(result, "attack");
    const pg_defense *defense = pg_defense_find(pg_cell_result_setting(result, "defense"));
    pg_table_entry entry = {.unmeasured = -1};
    pg_measured measured = pg_measured_of(result);
    pg_passes passes = {.certified = result->certified};
    pg_layout_counts(result, *attack != '\0' && strcmp(attack, "none") != 0,
                     defense != NULL ? defense->masks : result->masked > 0, &entry);
    fill_sizes(result, &entry);
    int code = pg_layout_audited(l->store, result->cell_id, &entry);
    if (code == PG_OK && l->unmeasured && measured.has_delta)
        code = pg_passes_of(l->store, result->cell_id, &measured, &passes);
    entry.unmeasured = passes.certified;
    return code == PG_OK ? pg_tidy_cell(&l->tidy, result->settings, result->n_settings, &entry) : code;
}

static int export_database(const pg_context *context, const arguments *a)
{
    const pg_metric *metrics[PG_LAYOUT_METRICS];
    const pg_texts *only = &a->layout.matrix.only;
    listing l = {.tidy = {.output = &a->output, .form = "export", .metrics = metrics, .wide = a->wide}};
    pg_cell_set set = {0};
    int code = pg_layout_metrics(a->layout.metrics, metrics, &l.tidy.n_metrics);
    for (size_t m = 0; code == PG_OK && m < l.tidy.n_metrics; m++)
        l.unmeasured |= strcmp(metrics[m]->name, "unmeasured") == 0;
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_READ, &l.store);
    if (code == PG_OK)
        code = pg_only_choose_stored("--only", only, l.store, -1, &set);
    if (code == PG_OK)
        code = see_keys(&l, &set, only->n > 0);
    if (code == PG_OK)
        code = pg_store_each_cell(l.store, set.cells, set.n, show_cell, &l);
    if (code == PG_OK)
        code = pg_tidy_end(&l.tidy);
    pg_tidy_release(&l.tidy);
    pg_cell_set_release(&set);
    pg_store_close(l.store);
    return code;
}

static int export_matrix(const pg_context *context, arguments *a)
{
    pg_layout layout = {0};
    a->layout.rows = "defense"; /* labels are not shown */
    a->layout.cols = "patch";
    a->layout.likes = a->layout.each_seed = true;
    int code = pg_layout_make(context, &a->layout, &layout);
    if (code == PG_OK)
        code = pg_tidy_layout(&layout, &a->output, "export", a->wide);
    pg_layout_release(&layout);
    return code;
}

static int export_submission(const pg_context *context, const arguments *a)
{
    char cell_id[PG_HASH_HEX];
    pg_store *store = NULL;
    pg_buf text = PG_BUF_EMPTY;
    int code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_store_resolve(store, a->submission, cell_id);
    if (code == PG_OK)
        code = pg_leaderboard_write(store, cell_id, &text);
    if (code == PG_OK)
        code = pg_output_text(&a->output, &text);
    pg_buf_release(&text);
    pg_store_close(store);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    const pg_matrix_args *matrix = &a->layout.matrix;
    if (a->submission != NULL && (matrix->matrix != NULL || a->wide || a->images || matrix->only.n > 0))
        return pg_fail(PG_EUSAGE,
                       "export: --submission is one cell of the database: no matrix, --only, --wide or --images with it");
    if (matrix->matrix == NULL && matrix->overrides.n > 0)
        return pg_fail(PG_EUSAGE, "export: -S is for a matrix; name its file, or choose cells of the database with --only");
    a->output.format += PG_TABLE_CSV;
    if (!a->images && (a->files.folder != NULL || a->files.evidence))
        return pg_fail(PG_EUSAGE, "export: --files and --evidence are of --images");
    if (a->images && a->wide)
        return pg_fail(PG_EUSAGE, "export: --wide has a column for each metric, and --images has none");
    if (a->images)
        return pg_images_export(context, matrix, &a->output, &a->files);
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, matrix->matrix, NULL});
    if (code == PG_OK)
        code = a->submission != NULL    ? export_submission(context, a)
               : matrix->matrix != NULL ? export_matrix(context, a)
                                        : export_database(context, a);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_export = {
    .name = "export",
    .synopsis = "export [MATRIX.toml] [options]",
    .summary = "write results for other programs, as CSV or JSON",
    .help =
        "The cells of a matrix, as `table -f csv` has them, or all cells of the database. With --images all their images: "
        "label, "
        "prediction, certificate, margin (units of evidence), and of an attack the prediction under it, place, loss and steps. "
        "--files writes patches as well; it needs neither weights nor data set. --evidence needs both. A submission holds "
        "settings, "
        "hashes, threat model, counts, audits, cost and every image of one cell that is done.\n",
    .examples = "  patchgauge export experiments/demo.toml -o demo.csv\n"
                "  patchgauge export --wide -f json -o all.json\n"
                "  patchgauge export --images experiments/demo.toml --only defense=ds -o images.csv\n"
                "  patchgauge export --submission 2269 -o submission.json\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
