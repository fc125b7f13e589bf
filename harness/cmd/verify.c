/* patchgauge verify: computes a sample of a submission again and compares prediction and certificate, image by image. */
#include "harness/base/folder.h"
#include "harness/base/grid.h"
#include "harness/base/rng.h"
#include "harness/base/signals.h"
#include "harness/cmd/leaderboard.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "harness/pipeline/compute.h"
#include "harness/plan/matrix.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(verify)

typedef struct arguments {
    const char *file, *weights, *device;
    int64_t images, seed, workers, threads;
    pg_output output;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "FILE", NULL, NULL, AT(file), PG_TEXT_FULL, PG_REQUIRED},
    {'n', "images", "N", "images to compute again, at least; all of whole batches, so that each stands at its place", "128",
     AT(images), PG_INT(1, 1000000000)},
    {0, "seed", "N", "of the choice of batches", "0", AT(seed), PG_INT(0, INT64_MAX)},
    {0, "weights", "F", "weights file, where it lies elsewhere than the submission says; its hash is compared", NULL,
     AT(weights), PG_TEXT},
    PG_JOBS_ROW(AT(workers)),
    PG_DEVICE_ROW(AT(device)),
    PG_THREADS_ROW(AT(threads)),
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

/* ---- The sample ---- */

/* Batches of images as the program cuts them: from multiples of their size. */
typedef struct sample {
    uint32_t *batches; /* in order, of those that the cell has */
    uint32_t n;
    int64_t images;
} sample;

static int64_t range_start(const pg_leaderboard *file, uint32_t batch)
{
    int64_t start = (file->first / file->batch + batch) * file->batch;
    return start > file->first ? start : file->first;
}

static int64_t range_end(const pg_leaderboard *file, uint32_t batch)
{
    int64_t end = (file->first / file->batch + batch + 1) * file->batch, last = file->first + file->count;
    return end < last ? end : last;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int draw(const pg_leaderboard *file, const arguments *a, sample *out)
{
    int64_t last = file->first + file->count - 1;
    uint32_t all = (uint32_t)(last / file->batch - file->first / file->batch + 1);
    out->batches = calloc(all, sizeof *out->batches);
    if (!out->batches)
        return pg_fail(PG_ENOMEM, "out of memory for %" PRIu32 " batches", all);
    for (uint32_t i = 0; i < all; i++)
        out->batches[i] = i;
    pg_rng rng = pg_rng_make((uint64_t)a->seed, PG_STREAM_VERIFY, 0);
    pg_rng_shuffle(&rng, out->batches, all);
    for (; out->n < all && out->images < a->images; out->n++)
        out->images += range_end(file, out->batches[out->n]) - range_start(file, out->batches[out->n]);
    qsort(out->batches, out->n, sizeof *out->batches, by_number);
    return PG_OK;
}

/* ---- The plan ---- */

/* The ranges of images; with the certificates of the submission alone, or at their place and with room for what moves. */
static int open_plan(const pg_context *context, const arguments *a, const pg_leaderboard *file, const sample *s, bool both,
                     pg_plan **out)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_printf(&text, "[fixed]\n%sdataset = ", file->matrix);
    pg_matrix_string(&text, file->dataset);
    pg_buf_puts(&text, "\nweights = ");
    pg_matrix_string(&text, a->weights ? a->weights : file->weights);
    pg_buf_printf(&text, "\n[axes]\ndelta = [%s]\nimages = [",
                  both              ? "\"place\", \"any-batch\""
                  : file->any_batch ? "\"any-batch\""
                                    : "\"place\"");
    for (uint32_t i = 0; i < s->n; i++)
        pg_buf_printf(&text, "%s\"%" PRId64 ":%" PRId64 "\"", i ? ", " : "", range_start(file, s->batches[i]),
                      range_end(file, s->batches[i]));
    pg_buf_puts(&text, "]\n");
    pg_plan_request request = {
        .matrix_path = a->file, .options = true, .matrix_text = text.data, .data_dir = context->data_dir};
    int code = pg_buf_check(&text);
    if (code == PG_OK)
        code = pg_plan_open(&request, out);
    pg_buf_release(&text);
    return code;
}

/* Whether it is measured how far the local logits move with place and batch. */
static bool movement_is_measured(const pg_cell *cell)
{
    pg_locality_result found;
    pg_locality_find(&cell->forward->info, cell->forward->dtype, cell->forward->batch, true, &found);
    return found.measured && cell->defense->level == PG_LEVEL_FEATURE;
}

static int check_contents(const pg_leaderboard *file, const pg_cell *cell)
{
    const char *weights = pg_cell_value(cell, "weights.hash"), *dataset = cell->forward->dataset_hash;
    if (strcmp(weights, file->weights_hash) != 0)
        return pg_fail(
            PG_EINPUT,
            "%s has other contents (SHA-256 %.12s...) than the submission's weights (%.12s...); name them with --weights",
            cell->forward->weights, weights, file->weights_hash);
    if (strcmp(dataset, file->dataset_hash) != 0)
        return pg_fail(PG_EINPUT,
                       "%s has other contents (hash %.12s...) than the submission's data set (%.12s...); import those",
                       cell->forward->dataset, dataset, file->dataset_hash);
    return PG_OK;
}

/* ---- Comparing ---- */

enum { AT_PLACE, ANY_BATCH, MODES };

typedef struct comparison {
    const pg_leaderboard *file;
    pg_outcome *here[MODES]; /* [count] by the submission's images; NULL: not computed */
    int64_t room;            /* the most that a margin was measured to move, grid units; 0: not measured, or votes */
} comparison;

typedef struct destination {
    const pg_leaderboard *file;
    pg_outcome *outcomes;
} destination;

static int keep_outcome(const pg_outcome *o, void *context)
{
    destination *d = context;
    int64_t i = o->image - d->file->first;
    if (i < 0 || i >= d->file->count)
        return pg_fail(PG_EDAMAGED, "image %" PRId64 " was not asked for", o->image);
    d->outcomes[i] = *o;
    return PG_OK;
}

static const pg_outcome *outcome_of(const comparison *c, int64_t i)
{
    return &c->here[c->file->any_batch ? ANY_BATCH : AT_PLACE][i];
}

/* A margin is a difference of two sums over at most all positions (defenses/CERTIFICATES.md, section 4). Of votes, which jump,
 * it says nothing. */
static int64_t room_of(const pg_cell *cell)
{
    pg_evidence_spec spec;
    const pg_geometry *g = &cell->forward->info.geometry;
    cell->defense->evidence(cell->config, &spec);
    int64_t positions = (int64_t)g->rows.positions * g->columns.positions;
    return spec.feature == PG_FEATURE_PREDICTION ? 0 : 2 * positions * pg_evidence_delta(&spec, cell->locality.moved_grid);
}

/* Whether rounding elsewhere, as far as it was measured, explains another verdict: it moves the margin across zero, or takes
 * the certificate away. */
static bool is_near(const comparison *c, int64_t i)
{
    const pg_outcome *here = outcome_of(c, i);
    bool both = c->here[AT_PLACE] && c->here[ANY_BATCH];
    return (both && c->here[AT_PLACE][i].certified && !c->here[ANY_BATCH][i].certified) ||
           (c->room > 0 && here->has_margin && llabs(here->margin) <= c->room);
}

typedef enum agreement { AGREES, NEAR, DISAGREES, AGREEMENTS } agreement;
static const char *const agreements[AGREEMENTS] = {"agrees", "near", "disagrees"};

static agreement compare(const comparison *c, int64_t i)
{
    const pg_leaderboard_image *there = &c->file->images[i];
    const pg_outcome *here = outcome_of(c, i);
    if (here->prediction == there->prediction && here->certified == there->certified)
        return AGREES;
    return is_near(c, i) ? NEAR : DISAGREES;
}

static void print_image(const comparison *c, agreement how, int64_t i)
{
    const pg_leaderboard_image *there = &c->file->images[i];
    const pg_outcome *here = outcome_of(c, i);
    char margin[64] = "";
    if (here->has_margin)
        snprintf(margin, sizeof margin, ", margin %.9f", pg_grid_value(here->margin));
    pg_print("%-9s image %" PRId64 ": prediction %d, %scertified in the submission; %d, %scertified here%s\n", agreements[how],
             c->file->first + i, there->prediction, there->certified ? "" : "not ", here->prediction,
             here->certified ? "" : "not ", margin);
}

static void add_margin(pg_tabular *rows, bool has, int64_t margin) { pg_tabular_real(rows, has ? pg_grid_value(margin) : NAN); }

static void add_row(const comparison *c, agreement how, int64_t i, pg_tabular *rows)
{
    const pg_leaderboard_image *there = &c->file->images[i];
    const pg_outcome *here = outcome_of(c, i);
    pg_tabular_integer(rows, c->file->first + i);
    pg_tabular_words(rows, agreements[how]);
    pg_tabular_integer(rows, here->prediction);
    pg_tabular_bool(rows, here->certified);
    add_margin(rows, here->has_margin, here->margin);
    pg_tabular_integer(rows, there->prediction);
    pg_tabular_bool(rows, there->certified);
    add_margin(rows, there->has_margin, there->margin);
}

static int read_cells(const pg_plan *plan, pg_store *store, comparison *c)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < pg_plan_count(plan); i++) {
        const pg_cell *cell = pg_plan_at(plan, i);
        if (cell->any_batch)
            c->room = room_of(cell);
        code = pg_store_each_outcome(store, cell->id, keep_outcome,
                                     &(destination){c->file, c->here[cell->any_batch ? ANY_BATCH : AT_PLACE]});
    }
    return code;
}

static const char *const columns[] = {"image",
                                      "state",
                                      "prediction",
                                      "certified",
                                      "margin",
                                      "submission_prediction",
                                      "submission_certified",
                                      "submission_margin"};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* All images of the sample: as rows, or for people those that do not agree, and the counts. */
static int print(const arguments *a, const sample *s, const comparison *c, int64_t counts[AGREEMENTS])
{
    bool text = a->output.format == PG_TABLE_TEXT;
    int64_t all = 0;
    pg_tabular rows;
    pg_tabular_init(&rows, (pg_table_format)a->output.format, COLUMNS, 1);
    rows.form = "verify";
    for (size_t i = 0; i < COLUMNS; i++)
        pg_tabular_words(&rows, columns[i]);
    for (uint32_t b = 0; b < s->n; b++)
        for (int64_t i = range_start(c->file, s->batches[b]); i < range_end(c->file, s->batches[b]); i++, all++) {
            agreement how = compare(c, i - c->file->first);
            counts[how]++;
            if (!text)
                add_row(c, how, i - c->file->first, &rows);
            else if (how != AGREES)
                print_image(c, how, i - c->file->first);
        }
    int code = text ? PG_OK : pg_output_table(&a->output, &rows);
    pg_tabular_release(&rows);
    if (text)
        pg_print("%s: %" PRId64 " of %" PRId64 " images computed again: %" PRId64 " agree, %" PRId64 " near, %" PRId64
                 " disagree%s\n",
                 a->file, all, c->file->count, counts[AGREES], counts[NEAR], counts[DISAGREES],
                 c->here[AT_PLACE] && c->here[ANY_BATCH] ? ""
                                                         : "; the change at other places is not measured: none can be near");
    return code;
}

static int report(arguments *a, const sample *s, const comparison *c)
{
    const char *const inputs[] = {a->file, a->weights, NULL};
    int64_t counts[AGREEMENTS] = {0};
    int code = pg_output_begin(&a->output, inputs);
    if (code == PG_OK)
        code = print(a, s, c, counts);
    code = pg_output_end(&a->output, code);
    return code != PG_OK || counts[DISAGREES] == 0
               ? code
               : pg_fail(PG_ECELLS, "%s: %" PRId64 " of %" PRId64 " images disagree", a->file, counts[DISAGREES],
                         counts[AGREES] + counts[NEAR] + counts[DISAGREES]);
}

/* ---- Computing, in a database that is gone afterwards ---- */

static int compute(const pg_context *context, const arguments *a, const pg_plan *plan, const char *db, comparison *c)
{
    pg_store *store = NULL;
    pg_compute_request request = {.plan = plan,
                                  .db_path = db,
                                  .data_dir = context->data_dir,
                                  .device = a->device,
                                  .workers = a->workers,
                                  .threads = a->threads,
                                  .task_images = c->file->batch};
    int code = pg_compute(&request, &store);
    if (code == PG_OK)
        code = read_cells(plan, store, c);
    pg_store_close(store);
    return code;
}

static int compute_aside(const pg_context *context, const arguments *a, const pg_plan *plan, comparison *c)
{
    pg_folder folder = {0};
    char db[PATH_MAX];
    int code = pg_scratch_make("verify", &folder);
    if (code == PG_OK && snprintf(db, sizeof db, "%s/verify.db", folder.path) >= (int)sizeof db)
        code =
            pg_fail(PG_EINPUT, "%s: the name of the temporary folder is too long; name another place in TMPDIR", folder.path);
    if (code == PG_OK)
        code = compute(context, a, plan, db, c);
    pg_folder_end(&folder);
    return code;
}

/* As open_plan, with both certificates where the measurements allow it. */
static int plan_sample(const pg_context *context, const arguments *a, const pg_leaderboard *file, const sample *s, bool *both,
                       pg_plan **out)
{
    int code = open_plan(context, a, file, s, false, out);
    if (code == PG_OK)
        code = check_contents(file, pg_plan_at(*out, 0));
    *both = code == PG_OK && movement_is_measured(pg_plan_at(*out, 0));
    if (!*both)
        return code;
    pg_plan_free(*out);
    *out = NULL;
    return open_plan(context, a, file, s, true, out);
}

static int verify(const pg_context *context, arguments *a, const pg_leaderboard *file)
{
    sample s = {0};
    pg_plan *plan = NULL;
    bool both = false;
    comparison c = {.file = file};
    int code = draw(file, a, &s);
    if (code == PG_OK)
        code = plan_sample(context, a, file, &s, &both, &plan);
    for (int i = 0; code == PG_OK && i < MODES; i++)
        if ((both || file->any_batch == (i == ANY_BATCH)) && !(c.here[i] = calloc((size_t)file->count, sizeof *c.here[i])))
            code = pg_fail(PG_ENOMEM, "out of memory for %" PRId64 " images", file->count);
    if (code == PG_OK)
        code = compute_aside(context, a, plan, &c);
    if (code == PG_OK)
        code = report(a, &s, &c);
    for (int i = 0; i < MODES; i++)
        free(c.here[i]);
    free(s.batches);
    pg_plan_free(plan);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    pg_leaderboard file;
    const char *const inputs[] = {a->file, a->weights, NULL};
    pg_signals_catch();
    int code = a->output.file ? pg_output_check(a->output.file, a->output.force, inputs) : PG_OK;
    if (code == PG_OK)
        code = pg_leaderboard_read(a->file, &file);
    if (code != PG_OK)
        return code;
    code = verify(context, a, &file);
    pg_leaderboard_release(&file);
    return code;
}

const pg_command pg_command_verify = {
    .name = "verify",
    .synopsis = "verify FILE [--images N] [--seed S] [options]",
    .summary = "compute a sample of a submission again and compare it",
    .help = "FILE is what `patchgauge export --submission` wrote. Hashes of weights and data set are compared first. An image "
            "agrees where prediction and certificate are those of the submission. Another one is near where the change of the "
            "local logits at other places and in other batches that `patchgauge model measure` recorded explains the "
            "difference: its margin lies within that change, or the certificate has no room for it. Any other image disagrees "
            "(exit code 1). The sample is computed in a temporary database ($TMPDIR), without the cache. An attack of the "
            "submission is not run again.\n",
    .examples = "  patchgauge verify submission.json --images 500 --seed 7\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
