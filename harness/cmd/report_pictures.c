/* Figures and contact sheets of the report. See report.h. */
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cmd/report.h"
#include "plots/figure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURE_BYTES = 1 << 24 };

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

/* Draws one into the scratch folder and puts its SVG into the page. */
static int draw(pg_report_work *work, const pg_table *table, const pg_figure *figure)
{
    pg_buf path = PG_BUF_EMPTY;
    char *svg = NULL;
    size_t size = 0;
    pg_buf_printf(&path, "%s/%s.svg", work->scratch, figure->name);
    int code = pg_figure_draw(figure, table, NULL, work->scratch);
    if (code == PG_OK)
        code = pg_buf_check(&path);
    if (code == PG_OK)
        code = pg_file_read(path.data, FIGURE_BYTES, &svg, &size);
    if (code == PG_OK)
        pg_report_picture_add(&(pg_report_picture){.type = "image/svg+xml",
                                                   .bytes = svg,
                                                   .size = size,
                                                   .name = figure->summary,
                                                   .caption = figure->summary,
                                                   .file = figure->name},
                              &work->body);
    free(svg);
    pg_buf_release(&path);
    return code;
}

/* Of a matrix, laid out as the figure wants it. */
static int draw_matrix(pg_report_work *work, const void *of, const pg_figure *figure)
{
    pg_layout_request request = *(const pg_layout_request *)of;
    pg_layout layout;
    request.reads = figure->reads;
    request.likes = figure->columns == NULL && figure->reads == 0; /* names beside each other, no numbers */
    request.varying = true;
    if (figure->columns != NULL) {
        request.cols = figure->columns;
        request.figure = figure->name;
    }
    int code = pg_layout_make(&work->context, &request, &layout);
    if (code == PG_OK)
        code = draw(work, &layout.table, figure);
    pg_layout_release(&layout);
    return code;
}

static int draw_table(pg_report_work *work, const void *of, const pg_figure *figure)
{
    if (figure->columns != NULL && strcmp(figure->columns, ((const pg_table *)of)->column_key) != 0)
        return pg_fail(PG_EINPUT, "is drawn by %s: give a matrix file", figure->columns);
    if (figure->reads != 0)
        return pg_fail(PG_EINPUT, "shows more than counts: give a matrix file");
    return draw(work, of, figure);
}

/* Every figure by `one`, and which are left out and why. */
static int add_figures(pg_report_work *work, int (*one)(pg_report_work *, const void *, const pg_figure *), const void *of)
{
    int code = PG_OK;
    pg_buf left_out = PG_BUF_EMPTY;
    if (!work->figures)
        return PG_OK;
    pg_report_heading("Figures", &work->body);
    pg_report_pictures_begin(false, &work->body);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL; i++) {
        if (pg_figures[i]->computes)
            continue;
        code = one(work, of, pg_figures[i]);
        if (code == PG_EINPUT) {
            pg_report_fact(pg_figures[i]->name, pg_error_message(), &left_out);
            code = PG_OK;
        } else if (code == PG_EMISSING) { /* no gnuplot: the numbers are there all the same */
            pg_warn("the report has no figures: %s", pg_error_message());
            pg_report_fact("all", pg_error_message(), &left_out);
            work->figures = false;
            code = PG_OK;
            break;
        }
    }
    pg_report_pictures_end(&work->body);
    if (code == PG_OK && left_out.size > 0) {
        pg_report_fold_begin("figures that are left out", false, &work->body);
        pg_report_facts_begin(false, &work->body);
        pg_buf_add(&work->body, left_out.data, left_out.size);
        pg_report_facts_end(&work->body);
        pg_report_fold_end(&work->body);
    }
    if (code == PG_OK)
        code = pg_buf_check(&left_out);
    pg_buf_release(&left_out);
    return code;
}

int pg_report_add_figures(pg_report_work *work, const pg_layout_request *request)
{
    return add_figures(work, draw_matrix, request);
}

int pg_report_add_table_figures(pg_report_work *work, const pg_table *table) { return add_figures(work, draw_table, table); }

/* ---- Contact sheets ------------------------------------------------------------------------------------------------------ */

/* The sheet of one cell as it grows. */
typedef struct sheet {
    pg_report_work *work;
    pg_buf out;
    int n;
} sheet;

static int add_image(const pg_attack_row *a, void *context)
{
    sheet *s = context;
    const pg_pictures *p = &s->work->pictures;
    size_t size = 0;
    void *png = NULL;
    char name[300], caption[300];
    bool broken = a->before == a->label && a->after != a->label;
    if (s->n >= s->work->sheet || a->steps == 0 || s->work->picture_bytes > PG_REPORT_PICTURE_BYTES ||
        (s->work->broken_only && !broken))
        return PG_OK;
    int code = pg_pictures_png(&s->work->pictures, a->image, a, &png, &size);
    const char *label = pg_class_name(&p->names, a->label), *after = pg_class_name(&p->names, a->after);
    snprintf(name, sizeof name, "image %" PRId64 " with a patch of %d x %d pixels at row %d, column %d", a->image,
             p->patch_height, p->patch_width, a->top, a->left);
    snprintf(caption, sizeof caption, "%" PRId64 ": %.60s%s%.60s, %" PRId64 " steps", a->image, label,
             broken                 ? ", broken: predicted as "
             : a->after == a->label ? ", correct under attack"
                                    : ", misclassified without a patch: ",
             a->after == a->label ? "" : after, a->steps);
    if (png != NULL) {
        pg_report_picture_add(&(pg_report_picture){.type = "image/png",
                                                   .bytes = png,
                                                   .size = size,
                                                   .name = name,
                                                   .caption = caption,
                                                   .marked = broken,
                                                   .width = p->image_width,
                                                   .height = p->image_height},
                              &s->out);
        s->work->picture_bytes += size;
        s->n++;
    }
    free(png);
    return code;
}

/* The first images of a cell that its attack worked on. */
static int add_sheet(pg_report_work *work, const pg_report_part *part, size_t entry, size_t *sheets)
{
    pg_cell_result r;
    sheet s = {.work = work, .out = PG_BUF_EMPTY};
    pg_buf title = PG_BUF_EMPTY;
    int code = pg_store_cell(work->store, part->ids[entry], &r);
    if (code != PG_OK)
        return code;
    bool there = false;
    if (r.attacked_n > 0)
        code = pg_pictures_choose(&work->pictures, &r, &there);
    if (code == PG_OK && there)
        code = pg_store_each_attack(work->store, r.cell_id, add_image, &s);
    if (code == PG_OK)
        code = pg_buf_check(&s.out);
    if (code == PG_OK && s.n > 0) {
        if (*sheets == 0)
            pg_report_heading("Images under attack", &work->body);
        pg_buf_printf(&title, "%s / %s: the first %d that %s %s", part->table->entries[entry].row,
                      part->table->entries[entry].column, s.n, pg_cell_result_setting(&r, "attack"),
                      work->broken_only ? "broke" : "worked on");
        pg_report_fold_begin(title.data, (*sheets)++ == 0, &work->body);
        pg_report_pictures_begin(true, &work->body);
        pg_buf_add(&work->body, s.out.data, s.out.size);
        pg_report_pictures_end(&work->body);
        pg_report_fold_end(&work->body);
    }
    pg_buf_release(&title);
    pg_buf_release(&s.out);
    pg_cell_result_release(&r);
    return code;
}

int pg_report_add_sheets(pg_report_work *work, const pg_report_part *part)
{
    size_t sheets = 0;
    int code = PG_OK;
    bool room = work->picture_bytes <= PG_REPORT_PICTURE_BYTES;
    for (size_t i = 0; code == PG_OK && work->sheet > 0 && i < part->table->n_entries; i++)
        code = add_sheet(work, part, i, &sheets);
    if (room && work->picture_bytes > PG_REPORT_PICTURE_BYTES)
        pg_report_paragraph("Further images are left out: the page has 16 MiB of them.", &work->body);
    return code;
}
