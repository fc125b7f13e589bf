/* patchgauge report: the database as one HTML page. Pieces: report_cells.c, report_pictures.c, report_all.c; plots/report.h. */
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/base/version.h"
#include "harness/cmd/report.h"
#include "plots/sheet.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PG_COMMAND(report)

enum { MATRICES = 64, CELLS = 500, FAILURES = 200, IMAGES = 8 };

typedef struct arguments {
    pg_layout_request request; /* of every matrix */
    const char *matrices[MATRICES];
    size_t n_matrices;
    const char *output;
    bool force, figures;
    int64_t sheet;
} arguments;

static int parse_option(int c, arguments *a)
{
    switch (c) {
    case 'o':
        a->output = optarg;
        return PG_OK;
    case 'F':
        a->force = true;
        return PG_OK;
    case 'n':
        a->figures = false;
        return PG_OK;
    case 'p':
        a->request.paper = optarg;
        return PG_OK;
    case 'b':
        a->request.best = true;
        return PG_OK;
    case 's':
        return pg_parse_int(optarg, &a->sheet) == PG_OK && a->sheet >= 0 && a->sheet <= PG_SHEET_MAX
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "--sheet %s: right would be a number of images, 0 to %d", optarg, PG_SHEET_MAX);
    default:
        return pg_layout_option(&a->request, c, optarg);
    }
}

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"rows", required_argument, NULL, 'r'},    {"cols", required_argument, NULL, 'c'},
                                            {"metrics", required_argument, NULL, 'm'}, {"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, 'F'},         {"no-figures", no_argument, NULL, 'n'},
                                            {"sheet", required_argument, NULL, 's'},   {"paper", required_argument, NULL, 'p'},
                                            {"best", no_argument, NULL, 'b'},          {NULL, 0, NULL, 0}};
    *a = (arguments){.figures = true, .sheet = IMAGES};
    a->request = (pg_layout_request){
        .rows = "defense", .cols = "patch", .metrics = "clean,attacked,certified,certified_published,published_audited"};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:S:", options)) != -1;) {
        int code = c == '?' || c == ':' ? pg_command_option_error(argv, options, c) : parse_option(c, a);
        if (code != PG_OK)
            return code;
    }
    if (a->output == NULL || *a->output == '\0')
        return pg_fail(PG_EUSAGE, "report writes a file: -o FILE.html is missing");
    if (argc - optind > MATRICES)
        return pg_fail(PG_EUSAGE, "%d matrix files: at most %d make a report", argc - optind, MATRICES);
    while (optind < argc)
        a->matrices[a->n_matrices++] = argv[optind++];
    if (a->n_matrices == 0 && a->request.matrix.overrides.n > 0)
        return pg_fail(PG_EUSAGE, "-S replaces a key of a matrix file, and there is none");
    if (a->n_matrices == 0 && a->request.paper != NULL)
        return pg_fail(PG_EUSAGE, "--paper stands beside the cells of a matrix file, and there is none");
    return PG_OK;
}

/* The page is written over nothing that it is made of. */
static int check_output(const arguments *a, const char *db_path)
{
    const char *inputs[MATRICES + 2] = {db_path};
    memcpy(inputs + 1, a->matrices, a->n_matrices * sizeof *inputs);
    return pg_output_check(a->output, a->force, inputs);
}

/* ---- Sections ------------------------------------------------------------------------------------------------------------ */

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

static int add_matrix(pg_report_work *work, const arguments *a, const char *matrix)
{
    pg_layout_request request = a->request;
    pg_layout layout = {0};
    pg_plan *plan = NULL;
    request.matrix.matrix = matrix;
    int code = pg_matrix_args_open(&work->context, &request.matrix, &plan), number = ++work->sections;
    request.plan = plan;
    request.likes = true;
    if (code == PG_OK)
        code = pg_layout_make(&work->context, &request, &layout);
    if (code == PG_OK) {
        pg_buf_printf(&work->nav, "<li><a href=\"#s%d\">", number);
        pg_report_text(pg_plan_name(plan), &work->nav);
        pg_buf_puts(&work->nav, "</a></li>\n");
        pg_report_section_begin(number, layout.title, &work->body);
        code = add_layout(work, &layout);
    }
    if (code == PG_OK)
        code = pg_report_add_figures(work, &request);
    if (code == PG_OK) {
        pg_report_fold_begin("the matrix file", false, &work->body);
        pg_report_facts_begin(&work->body);
        pg_report_fact("file", matrix, &work->body);
        if (*pg_plan_overrides(plan))
            pg_report_fact("replaced keys", pg_plan_overrides(plan), &work->body);
        pg_report_facts_end(&work->body);
        pg_report_preformatted(pg_plan_matrix_text(plan), &work->body);
        pg_report_fold_end(&work->body);
    }
    pg_report_section_end(&work->body);
    pg_layout_release(&layout);
    pg_plan_free(plan);
    return code;
}

static const char *const failure_heads[] = {"cell", "images", "cells of the task", "attempts", "reason"};
enum { FAILURE_HEADS = sizeof failure_heads / sizeof *failure_heads };

typedef struct failures {
    pg_report_work *work;
    int64_t n;
} failures;

static int add_failure(const pg_failure_record *f, void *context)
{
    failures *list = context;
    pg_buf *out = &list->work->body;
    char id[16], images[64], cells[24], attempts[16];
    snprintf(id, sizeof id, "%.12s", f->cell_id);
    snprintf(images, sizeof images, "%" PRId64 ":%" PRId64, f->first, f->first + f->count);
    snprintf(cells, sizeof cells, "%" PRId64, f->cells);
    snprintf(attempts, sizeof attempts, "%d", f->attempts);
    const char *const texts[FAILURE_HEADS] = {id, images, cells, attempts, f->error};
    if (list->n++ == 0) {
        int number = ++list->work->sections;
        pg_buf_printf(&list->work->nav, "<li><a href=\"#s%d\">Failed</a></li>\n", number);
        pg_report_section_begin(number, "Failed", out);
        pg_report_list_begin(failure_heads, FAILURE_HEADS, out);
    }
    pg_report_list_row(texts, FAILURE_HEADS, NULL, out);
    return PG_OK;
}

static int add_failures(pg_report_work *work)
{
    failures list = {.work = work};
    int code = pg_store_each_failure(work->store, FAILURES, add_failure, &list);
    if (list.n > 0) {
        pg_report_list_end(&work->body);
        if (list.n == FAILURES)
            pg_report_paragraph("There may be more: the first 200 tasks are listed.", &work->body);
        pg_report_section_end(&work->body);
    }
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
    pg_report_facts_begin(out);
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
    pg_buf all;
    pg_buf_init(&all);
    int code = pg_store_backup(db_path, work->context.db_path, false);
    if (code == PG_OK)
        code = pg_store_open(work->context.db_path, PG_STORE_READ, &work->store);
    for (size_t i = 0; code == PG_OK && i < a->n_matrices; i++)
        code = add_matrix(work, a, a->matrices[i]);
    if (code == PG_OK && a->n_matrices == 0)
        code = pg_report_add_all(work, CELLS, a->request.best);
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

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a;
    pg_folder scratch = {0};
    pg_report_work work = {.context = *context};
    char *copy = NULL;
    pg_buf page;
    pg_buf_init(&page);
    pg_buf_init(&work.body);
    pg_buf_init(&work.nav);
    int code = parse(argc, argv, &a);
    if (code == PG_OK)
        code = check_output(&a, context->db_path);
    if (code == PG_OK)
        code = pg_scratch_make("report", &scratch);
    if (code == PG_OK && asprintf(&copy, "%s/report.db", scratch.path) < 0)
        code = pg_fail(PG_ENOMEM, "out of memory");
    work.scratch = scratch.path;
    work.context.db_path = copy;
    work.figures = a.figures;
    work.sheet = (int)a.sheet;
    if (code == PG_OK)
        code = make_page(&work, &a, context->db_path, &page);
    if (code == PG_OK)
        code = write_page(&page, &a);
    if (code == PG_OK)
        pg_info("%s: %.1f MB", a.output, (double)page.size / 1e6);
    pg_store_close(work.store);
    pg_dataset_close(work.dataset);
    free(work.dataset_spec);
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
    .synopsis =
        "report [MATRIX.toml...] -o FILE.html [--force] [--rows KEYS] [--cols KEYS] [--metrics NAMES] [--paper TABLE] [--best] "
        "[--sheet N] [--no-figures] [-S key=a,b]...",
    .summary = "write the database as one HTML page that needs nothing else",
    .help =
        "A summary, a sortable table for each matrix, the figures that there are data for, images under attack, audits, "
        "failed\n"
        "tasks with their reasons, and for every number its origin: a row opens to the cell's id, settings and hashes, and "
        "the\n"
        "attempts with machine, library and revision. Without a matrix: one table of the newest 500 cells of the database, "
        "and\n"
        "the figures that counts alone make. The page is one file without any link to a network; mail it, or open it on a "
        "phone.\n"
        "\n"
        "Everything is read from a copy of one moment, whose checksums are checked first. Equal databases make equal pages.\n"
        "\n"
        "  -o, --output F   the page; written at once or not at all, and never over a file that exists\n"
        "  --force          but over this one\n"
        "  --rows KEYS      settings that make the rows, comma-separated (default: defense)\n"
        "  --cols KEYS      settings that make the columns (default: patch)\n"
        "  --metrics NAMES  as of `patchgauge table`\n"
        "  --paper TABLE    the publication's numbers beside ours, and the difference, as of `patchgauge table`\n"
        "  --best           the best complete cell of each column in bold\n"
        "  --sheet N        images under attack for each cell, 0 to 64; default 8; they need the data set (--data)\n"
        "  --no-figures     tables only, no gnuplot\n"
        "  -S key=a,b       replaces one key of the matrix files; may be given several times\n"
        "\n"
        "  patchgauge report experiments/demo.toml -o demo.html\n"
        "  patchgauge report --db try.db -o results.html\n",
    .run_words = run,
};
