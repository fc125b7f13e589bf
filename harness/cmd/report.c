/* patchgauge report: the database as one HTML page. Pieces: report_cells.c, report_pictures.c, report_all.c; plots/report.h. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/base/version.h"
#include "harness/cmd/report.h"
#include "plots/sheet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PG_COMMAND(report)

enum { CELLS = 500, FAILURES = 200 };

typedef struct arguments {
    pg_layout_request request; /* of every matrix */
    pg_texts matrices;
    const char *output;
    bool force, no_figures, broken_only;
    int64_t sheet;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "MATRIX.toml", NULL, NULL, AT(matrices), PG_TEXTS},
    {'o', "output", "FILE.html", "the page; written at once or not at all, and never over a file that exists", NULL, AT(output),
     PG_TEXT_FULL, PG_REQUIRED},
    {0, "force", NULL, "but over this one", NULL, AT(force), PG_FLAG},
    PG_LAYOUT_ROWS_ROW(AT(request)),
    PG_LAYOUT_COLS_ROW(AT(request)),
    PG_LAYOUT_METRICS_ROW(AT(request), "as of `patchgauge table`"),
    PG_LAYOUT_PAPER_ROW(AT(request)),
    {0, "best", NULL, "the best complete cell of each column in bold", NULL, AT(request.best), PG_FLAG},
    {0, "sheet", "N", "images under attack for each cell; they need the data set (--data)", "8", AT(sheet),
     PG_INT(0, PG_SHEET_MAX)},
    {0, "broken-only", NULL, "of these only broken ones", NULL, AT(broken_only), PG_FLAG},
    {0, "no-figures", NULL, "tables only, no gnuplot", NULL, AT(no_figures), PG_FLAG},
    PG_MATRIX_SET_ROW(AT(request.matrix)),
    PG_MATRIX_ONLY_ROW(AT(request.matrix)),
    PG_CLI_END,
};

static int check(const arguments *a)
{
    if (a->matrices.n == 0 && a->request.matrix.overrides.n > 0)
        return pg_fail(PG_EUSAGE, "report: -S, --set replaces a key of a matrix file, and there is none");
    if (a->matrices.n == 0 && a->request.paper != NULL)
        return pg_fail(PG_EUSAGE, "report: --paper stands beside the cells of a matrix file, and there is none");
    return PG_OK;
}

/* The page is written over nothing that it is made of. */
static int check_output(const arguments *a, const char *db_path)
{
    const char **inputs = calloc(a->matrices.n + 2, sizeof *inputs);
    if (inputs == NULL)
        return pg_fail(PG_ENOMEM, "out of memory");
    inputs[0] = db_path;
    for (size_t i = 0; i < a->matrices.n; i++)
        inputs[i + 1] = a->matrices.items[i];
    int code = pg_output_check(a->output, a->force, inputs);
    free(inputs);
    return code;
}

/* ---- Sections ------------------------------------------------------------------------------------------------------------ */

void pg_report_begin_section(pg_report_work *work, const char *name, const char *heading)
{
    pg_buf_printf(&work->nav, "<li><a href=\"#s%d\">", ++work->sections);
    pg_report_text(name, &work->nav);
    pg_buf_puts(&work->nav, "</a></li>\n");
    pg_report_section_begin(work->sections, heading, &work->body);
}

static int add_layout(pg_report_work *work, const pg_layout *layout)
{
    const char **ids = calloc(layout->table.n_entries + 1, sizeof *ids);
    if (ids == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for %zu cells", layout->table.n_entries);
    for (size_t i = 0; i < layout->table.n_entries; i++)
        ids[i] = layout->table.entries[i].cell_id;
    pg_report_part part = {&layout->table, ids, work->sections};
    int code = pg_report_add_cells(work, &part);
    if (code == PG_OK)
        code = pg_report_add_sheets(work, &part);
    free(ids);
    return code;
}

/* What -S replaced in the matrix file, which the page shows below. */
static void add_overrides(pg_report_work *work, const pg_plan *plan)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "With keys replaced by -S: %s", pg_plan_overrides(plan));
    if (*pg_plan_overrides(plan))
        pg_report_paragraph(text.data, &work->body);
    work->body.failed |= text.failed;
    pg_buf_release(&text);
}

static int add_matrix(pg_report_work *work, const arguments *a, const char *matrix)
{
    pg_layout_request request = a->request;
    pg_layout layout = {0};
    pg_plan *plan = NULL;
    request.matrix.matrix = matrix;
    int code = pg_matrix_args_show(&work->context, &request.matrix, &plan);
    request.plan = plan;
    request.likes = true;
    request.each_seed = true; /* a row is a cell, with its origin */
    if (code == PG_OK)
        code = pg_layout_make(&work->context, &request, &layout);
    if (code == PG_OK) {
        pg_report_begin_section(work, pg_plan_name(plan), layout.title);
        add_overrides(work, plan);
        code = add_layout(work, &layout);
    }
    if (code == PG_OK)
        code = pg_report_add_figures(work, &request);
    if (code == PG_OK) {
        pg_report_fold_begin("the matrix file", false, &work->body);
        pg_report_facts_begin(false, &work->body);
        pg_report_fact("file", matrix, &work->body);
        pg_report_facts_end(&work->body);
        pg_report_preformatted(pg_plan_matrix_text(plan), &work->body);
        pg_report_fold_end(&work->body);
    }
    pg_report_section_end(&work->body);
    if (code == PG_OK && request.matrix.only.n == 0)
        code = pg_report_add_changed(work, plan, CELLS, request.best);
    pg_layout_release(&layout);
    pg_plan_free(plan);
    return code;
}

static const char *const failure_heads[] = {"cell", "images", "cells of the task", "attempts", "reason"};
enum { FAILURE_HEADS = sizeof failure_heads / sizeof *failure_heads };

static int add_failure(const pg_failure_record *f, void *context)
{
    pg_report_list *list = context;
    char id[16], images[64], cells[24], attempts[16];
    snprintf(id, sizeof id, "%.12s", f->cell_id);
    snprintf(images, sizeof images, "%" PRId64 ":%" PRId64, f->first, f->first + f->count);
    snprintf(cells, sizeof cells, "%" PRId64, f->cells);
    snprintf(attempts, sizeof attempts, "%d", f->attempts);
    const char *const texts[FAILURE_HEADS] = {id, images, cells, attempts, f->error};
    pg_report_list_row(list, texts, NULL);
    return PG_OK;
}

static int add_failures(pg_report_work *work)
{
    pg_report_list list;
    pg_report_list_begin(&list, failure_heads, FAILURE_HEADS);
    int code = pg_store_each_failure(work->store, FAILURES, add_failure, &list);
    size_t n = list.rows;
    if (n > 0)
        pg_report_begin_section(work, "Failed", "Failed");
    pg_report_list_end(&list, &work->body);
    if (n == FAILURES)
        pg_report_paragraph("There may be more: the first 200 tasks are listed.", &work->body);
    if (n > 0)
        pg_report_section_end(&work->body);
    return code;
}

/* What the page begins with; written last, when everything is read. */
static int add_summary(pg_report_work *work, const char *db_path, pg_buf *out)
{
    pg_store_status status = {0};
    pg_store_sizes sizes = {0};
    char text[256];
    int code = pg_store_status_of(work->store, &status);
    if (code == PG_OK)
        code = pg_store_sizes_of(work->store, &sizes);
    pg_report_facts_begin(false, out);
    pg_report_fact("database", db_path, out);
    snprintf(text, sizeof text, "%" PRId64 " done, %" PRId64 " partial, %" PRId64 " new, %" PRId64 " failed",
             status.cells[PG_CELL_DONE], status.cells[PG_CELL_PARTIAL], status.cells[PG_CELL_NEW],
             status.cells[PG_CELL_FAILED]);
    pg_report_fact("cells", text, out);
    snprintf(text, sizeof text, "%" PRId64 " outcomes of %" PRId64 ", %" PRId64 " attacked, %" PRId64 " audits", sizes.outcomes,
             status.outcomes_asked, sizes.attacks, sizes.audits);
    pg_report_fact("images", text, out);
    for (size_t i = 0; i < work->n_origins; i++)
        pg_report_fact(i == 0 ? "computed by" : "", work->origins[i], out);
    if (work->n_origins == PG_REPORT_ORIGINS)
        pg_report_fact("", "and perhaps others: each cell names its own", out);
    pg_report_fact("page by", "patchgauge " PG_VERSION "; checksums of the database were checked", out);
    pg_report_facts_end(out);
    pg_buf_puts(out, "<nav aria-label=\"Sections\"><ul>\n");
    pg_buf_add(out, work->nav.data, work->nav.size);
    pg_buf_puts(out, "</ul></nav>\n");
    pg_buf_add(out, work->body.data, work->body.size);
    return code;
}

static int write_page(const pg_buf *page, const arguments *a)
{
    pg_file_writer writer;
    int code = pg_file_begin(&writer, a->output);
    if (code != PG_OK)
        return code;
    if (fwrite(page->data, 1, page->size, writer.stream) != page->size)
        code = pg_fail(PG_EIO, "cannot write to %s", a->output);
    if (code == PG_OK)
        code = a->force ? pg_file_commit(&writer) : pg_file_commit_new(&writer);
    pg_file_abort(&writer);
    return code;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------------- */

/* Everything is read from a copy, which was checked: what runs on meanwhile makes no two numbers disagree. */
static int make_page(pg_report_work *work, const arguments *a, const char *db_path, pg_buf *page)
{
    pg_buf all = PG_BUF_EMPTY;
    int code = pg_store_backup(db_path, work->context.db_path, false);
    if (code == PG_OK)
        code = pg_store_open(work->context.db_path, PG_STORE_READ, &work->store);
    for (size_t i = 0; code == PG_OK && i < a->matrices.n; i++)
        code = add_matrix(work, a, a->matrices.items[i]);
    if (code == PG_OK && a->matrices.n == 0)
        code = pg_report_add_all(work, &a->request.matrix.only, CELLS, a->request.best);
    if (code == PG_OK)
        code = add_failures(work);
    if (code == PG_OK)
        code = add_summary(work, db_path, &all);
    if (code == PG_OK)
        code = pg_buf_check(&work->body);
    if (code == PG_OK)
        code = pg_report_page("patchgauge report", &all, page);
    pg_buf_release(&all);
    return code;
}

static int run(const pg_context *context, void *request)
{
    const arguments *a = request;
    pg_folder scratch = {0};
    pg_report_work work = {.context = *context, .body = PG_BUF_EMPTY, .nav = PG_BUF_EMPTY};
    char *copy = NULL;
    pg_buf page = PG_BUF_EMPTY;
    int code = check(a);
    if (code == PG_OK)
        code = check_output(a, context->db_path);
    if (code == PG_OK)
        code = pg_scratch_make("report", &scratch);
    if (code == PG_OK && asprintf(&copy, "%s/report.db", scratch.path) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    work.scratch = scratch.path;
    work.context.db_path = copy;
    work.figures = !a->no_figures;
    work.sheet = (int)a->sheet;
    work.pictures.data_dir = context->data_dir;
    work.broken_only = a->broken_only;
    if (code == PG_OK)
        code = make_page(&work, a, context->db_path, &page);
    if (code == PG_OK)
        code = write_page(&page, a);
    if (code == PG_OK)
        pg_info("%s: %.1f MB", a->output, (double)page.size / 1e6);
    pg_store_close(work.store);
    pg_pictures_close(&work.pictures);
    for (size_t i = 0; i < work.n_origins; i++)
        free(work.origins[i]);
    pg_buf_release(&work.body);
    pg_buf_release(&work.nav);
    pg_buf_release(&page);
    pg_folder_end(&scratch);
    free(copy);
    return code;
}

const pg_command pg_command_report = {
    .name = "report",
    .synopsis = "report [MATRIX.toml...] -o FILE.html [options]",
    .summary = "write the database as one HTML page that needs nothing else",
    .help =
        "A summary, a table for each matrix that readers sort and filter by settings, the figures that there are data for, to "
        "be saved as SVG or PNG, images under attack, audits, failed tasks with their reasons, and for every number its "
        "origin: "
        "a row opens to the cell's id, settings and hashes, and the attempts with machine, library and revision. A second "
        "table "
        "has the cells that `run` or `audit` made of the same matrix file with other values for -S, unless --only is given. "
        "Without a matrix: one table of the newest 500 cells of the database, or of those that --only chooses, and the figures "
        "that counts alone make. The page "
        "is one file without any link to a network; mail it, or open it on a "
        "phone.\n"
        "\n"
        "Everything is read from a copy of one moment, whose checksums are checked first. Equal databases make equal pages.\n",
    .examples = "  patchgauge report experiments/demo.toml -o demo.html\n"
                "  patchgauge report --db try.db -o results.html\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
