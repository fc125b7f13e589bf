/* patchgauge gallery: images of cells as one HTML page, under attack where there is one. See plots/report.h. */
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/cmd/cell_list.h"
#include "harness/cmd/output.h"
#include "harness/cmd/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(gallery)

enum { PICTURE_BYTES = 32 << 20 };

typedef struct arguments {
    pg_matrix_args matrix;
    pg_output output;
    int64_t most;
    bool broken_only;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "MATRIX.toml", NULL, NULL, AT(matrix.matrix), PG_TEXT_FULL},
    {'o', "output", "FILE.html", "the page, whole or not at all", NULL, AT(output.file), PG_TEXT_FULL, PG_REQUIRED},
    PG_OUTPUT_FORCE_ROW(AT(output)),
    {'n', "most", "N", "images of each cell: broken ones first, then the others in order", "64", AT(most), PG_INT(1, 100000)},
    {0, "broken-only", NULL, "of these only broken ones", NULL, AT(broken_only), PG_FLAG},
    PG_MATRIX_SET_ROW(AT(matrix)),
    PG_MATRIX_ONLY_ROW(AT(matrix)),
    PG_CLI_END,
};

/* What became of an image. */
typedef enum verdict { BROKEN, CERTIFIED, CORRECT, MISCLASSIFIED, VERDICTS } verdict;
static const char *const verdicts[VERDICTS] = {"broken", "certified", "correct, not certified", "misclassified"};

static verdict verdict_of(const pg_outcome *o)
{
    if (o->prediction != o->label)
        return MISCLASSIFIED;
    if (o->has_attack && o->attacked != o->label)
        return BROKEN;
    return o->certified ? CERTIFIED : CORRECT;
}

/* The page as it grows, and the outcomes of one cell. */
typedef struct work {
    const arguments *arguments;
    pg_store *store;
    pg_pictures pictures;
    pg_buf body;
    int sections;
    size_t bytes, left_out; /* of pictures; images for which there was no room */
    pg_outcome *outcomes;
    size_t n, room, next;  /* next: of the attacks that come */
    bool *shown;           /* [room] */
    pg_buf broken, others; /* figures */
} work;

static int add_outcome(const pg_outcome *o, void *context)
{
    work *w = context;
    pg_outcome *outcomes = pg_grow(w->outcomes, w->n, &w->room, sizeof *outcomes);
    if (outcomes == NULL)
        return PG_ENOMEM;
    w->outcomes = outcomes;
    outcomes[w->n++] = *o;
    return PG_OK;
}

/* Marks the images that are shown: broken ones first. */
static int choose(work *w)
{
    size_t most = (size_t)w->arguments->most, chosen = 0;
    free(w->shown);
    w->shown = calloc(w->n + 1, sizeof *w->shown);
    if (w->shown == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu images", w->n);
    for (int broken = 1; broken >= w->arguments->broken_only; broken--)
        for (size_t i = 0; i < w->n && chosen < most; i++)
            if ((verdict_of(&w->outcomes[i]) == BROKEN) == broken) {
                w->shown[i] = true;
                chosen++;
            }
    return PG_OK;
}

static int add_picture(work *w, const pg_outcome *o, const pg_attack_row *a)
{
    const pg_pictures *p = &w->pictures;
    verdict what = verdict_of(o);
    int seen = a != NULL ? o->attacked : o->prediction;
    void *png = NULL;
    size_t size = 0;
    char name[128], caption[400];
    if (w->bytes > PICTURE_BYTES) {
        w->left_out++;
        return PG_OK;
    }
    int code = pg_pictures_png(&w->pictures, o->image, a, &png, &size);
    snprintf(name, sizeof name, a != NULL ? "image %" PRId64 " with a patch" : "image %" PRId64, o->image);
    snprintf(caption, sizeof caption, "%" PRId64 ": %.60s%s%.60s, %s%s", o->image, pg_class_name(&p->names, o->label),
             seen != o->label ? ", predicted as " : "", seen != o->label ? pg_class_name(&p->names, seen) : "", verdicts[what],
             what == BROKEN && o->certified ? " although certified" : "");
    if (png != NULL) {
        pg_report_picture_add(&(pg_report_picture){.type = "image/png",
                                                   .bytes = png,
                                                   .size = size,
                                                   .name = name,
                                                   .caption = caption,
                                                   .verdict = verdicts[what],
                                                   .class = pg_class_name(&p->names, o->label),
                                                   .marked = what == BROKEN,
                                                   .width = p->image_width,
                                                   .height = p->image_height},
                              what == BROKEN ? &w->broken : &w->others);
        w->bytes += size;
    }
    free(png);
    return code;
}

static int add_attack(const pg_attack_row *a, void *context)
{
    work *w = context;
    while (w->next < w->n && w->outcomes[w->next].image < a->image)
        w->next++;
    bool shown = w->next < w->n && w->outcomes[w->next].image == a->image && w->shown[w->next];
    return shown ? add_picture(w, &w->outcomes[w->next], a) : PG_OK;
}

static void add_section(work *w, const pg_cell_result *r)
{
    pg_buf heading = PG_BUF_EMPTY;
    const char *attack = pg_cell_result_setting(r, "attack");
    bool attacked = *attack && strcmp(attack, "none") != 0;
    pg_buf_printf(&heading, "%s, patch %s, %s%s%.12s", pg_cell_result_setting(r, "defense"), pg_cell_result_setting(r, "patch"),
                  attacked ? attack : "", attacked ? ", " : "", r->cell_id);
    pg_report_section_begin(++w->sections, heading.data, &w->body);
    pg_report_fold_begin("settings", false, &w->body);
    pg_report_facts_begin(true, &w->body);
    for (size_t i = 0; i < r->n_settings; i++)
        if (pg_report_is_choice(r, r->settings[i].key))
            pg_report_fact(r->settings[i].key, r->settings[i].value, &w->body);
    pg_report_facts_end(&w->body);
    pg_report_fold_end(&w->body);
    pg_report_pictures_begin(true, &w->body);
    pg_buf_add(&w->body, w->broken.data, w->broken.size);
    pg_buf_add(&w->body, w->others.data, w->others.size);
    pg_report_pictures_end(&w->body);
    pg_report_section_end(&w->body);
    w->body.failed |= heading.failed || w->broken.failed || w->others.failed;
    pg_buf_release(&heading);
}

static int add_cell(work *w, const pg_cell_result *r)
{
    bool there = false;
    w->n = w->next = 0;
    pg_buf_clear(&w->broken);
    pg_buf_clear(&w->others);
    int code = pg_pictures_choose(&w->pictures, r, &there);
    if (code != PG_OK || !there)
        return code;
    code = pg_store_each_outcome(w->store, r->cell_id, add_outcome, w);
    if (code == PG_OK)
        code = choose(w);
    if (code == PG_OK && r->attacked_n > 0)
        code = pg_store_each_attack(w->store, r->cell_id, add_attack, w);
    for (size_t i = 0; code == PG_OK && i < w->n; i++)
        if (w->shown[i] && !w->outcomes[i].has_attack)
            code = add_picture(w, &w->outcomes[i], NULL);
    if (code == PG_OK && w->broken.size + w->others.size > 0)
        add_section(w, r);
    return code;
}

static int add_cells(work *w, const pg_cell_list *cells)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < cells->n; i++) {
        pg_cell_result result;
        code = pg_store_cell(w->store, cells->ids[i], &result);
        if (code == PG_OK && result.n > 0)
            code = add_cell(w, &result);
        pg_cell_result_release(&result);
    }
    if (code == PG_OK && w->sections == 0)
        code = pg_fail(PG_EINPUT, w->arguments->broken_only
                                      ? "gallery: there is nothing to show: no broken image whose data set is here"
                                      : "gallery: there is nothing to show: no cell with results whose data set is here");
    return code;
}

static int print_page(work *w, const char *db_path)
{
    pg_buf all = PG_BUF_EMPTY, page = PG_BUF_EMPTY;
    char text[200];
    pg_report_facts_begin(false, &all);
    pg_report_fact("database", db_path, &all);
    pg_report_facts_end(&all);
    pg_report_paragraph("An image is broken where the prediction is correct without a patch and not with it; certified where a "
                        "proof shows that no patch changes its correct prediction.",
                        &all);
    snprintf(text, sizeof text,
             "%zu images are left out: the page has %d MiB of them. --only chooses cells, --most fewer images.", w->left_out,
             PICTURE_BYTES >> 20);
    if (w->left_out > 0)
        pg_report_paragraph(text, &all);
    pg_buf_add(&all, w->body.data, w->body.size);
    int code = pg_buf_check(&w->body);
    if (code == PG_OK)
        code = pg_report_page("patchgauge gallery", &all, &page);
    if (code == PG_OK)
        code = pg_output_text(&w->arguments->output, &page);
    pg_buf_release(&all);
    pg_buf_release(&page);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    const char *const inputs[] = {context->db_path, a->matrix.matrix, NULL};
    work w = {.arguments = a,
              .pictures = {.data_dir = context->data_dir},
              .body = PG_BUF_EMPTY,
              .broken = PG_BUF_EMPTY,
              .others = PG_BUF_EMPTY};
    pg_cell_list cells = {0};
    int code = pg_output_check(a->output.file, a->output.force, inputs);
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_SNAPSHOT, &w.store);
    if (code == PG_OK)
        code = pg_cell_list_of(context, &a->matrix, true, w.store, &cells);
    if (code == PG_OK)
        code = add_cells(&w, &cells);
    if (code == PG_OK)
        code = pg_output_begin(&a->output, inputs);
    if (code == PG_OK)
        code = print_page(&w, context->db_path);
    code = pg_output_end(&a->output, code);
    if (code == PG_OK)
        pg_info("%s: %d cell%s, %.1f MB of pictures", a->output.file, w.sections, w.sections == 1 ? "" : "s",
                (double)w.bytes / 1e6);
    pg_cell_list_release(&cells);
    pg_store_close(w.store);
    pg_pictures_close(&w.pictures);
    free(w.outcomes);
    free(w.shown);
    pg_buf_release(&w.body);
    pg_buf_release(&w.broken);
    pg_buf_release(&w.others);
    return code;
}

const pg_command pg_command_gallery = {
    .name = "gallery",
    .synopsis = "gallery [MATRIX.toml] -o FILE.html [options]",
    .summary = "show images of cells as one HTML page: broken, certified, under attack",
    .help =
        "Images of the cells of a matrix, or of all cells of the database, each with its class, its prediction and what became "
        "of it: broken by the attack of its cell, certified, correct but not certified, or misclassified. Images under attack "
        "have their patch on them. Readers filter by verdict, class and settings. The data sets have to be here (--data), "
        "weights do not. Pictures take at most 32 MiB; the page says how many are left out.\n",
    .examples = "  patchgauge gallery experiments/demo.toml -o images.html\n"
                "  patchgauge gallery --only defense=ds --most 16 -o ds.html\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
