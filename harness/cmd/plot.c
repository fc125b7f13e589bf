/* patchgauge plot: figures from the cells of a matrix. */
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "plots/figure.h"

#include <string.h>

PG_COMMAND(plot)

/* Where figures go. */
typedef struct place {
    const char *folder;
    bool force;
    const char *inputs[3]; /* the database and the matrix: nothing is written over them */
} place;

typedef struct arguments {
    const char *figure;
    pg_layout_request layout;
    place to;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "FIGURE", NULL, NULL, AT(figure), PG_TEXT, PG_REQUIRED},
    PG_MATRIX_ROW(AT(layout.matrix)),
    {'o', "output", "DIR", "folder for the pictures, the data file and the gnuplot script", "figures", AT(to.folder),
     PG_TEXT_FULL},
    {0, "force", NULL, "replace files there that are not an earlier picture of the same figure", NULL, AT(to.force), PG_FLAG},
    PG_LAYOUT_ROWS_ROW(AT(layout)),
    PG_LAYOUT_COLS_ROW(AT(layout)),
    PG_MATRIX_SET_ROW(AT(layout.matrix)),
    PG_MATRIX_ONLY_ROW(AT(layout.matrix)),
    PG_CLI_END,
};

/* One figure of a matrix that is resolved already. */
static int draw(const pg_context *context, const pg_layout_request *asked, const pg_figure *figure, const place *to)
{
    pg_layout_request request = *asked;
    pg_layout layout;
    request.reads = figure->reads;
    request.likes = figure->columns == NULL && figure->reads == 0; /* names beside each other, no numbers */
    if (figure->columns != NULL) {
        request.cols = figure->columns;
        request.figure = figure->name;
    }
    int code = pg_layout_make(context, &request, &layout);
    if (code == PG_OK)
        code = pg_figure_draw(figure, &layout.table, to->folder);
    if (code == PG_OK)
        pg_info("%s/%s.svg, .png, .pdf, .gp, .tsv", to->folder, figure->name);
    pg_layout_release(&layout);
    return code;
}

/* Every figure that the database has data for. The others are named with the reason, which is no failure unless all are. */
static int draw_all(const pg_context *context, const pg_layout_request *request, const place *to)
{
    size_t drawn = 0;
    pg_layout layout;
    int code = pg_layout_make(context, request, &layout); /* what is wrong with the matrix is wrong for all figures */
    pg_layout_release(&layout);
    if (code == PG_OK)
        code = pg_figure_check(to->folder);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL; i++)
        if (!pg_figures[i]->computes)
            code = pg_figure_check_files(pg_figures[i]->name, to->folder, to->force, to->inputs);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL; i++) {
        const pg_figure *figure = pg_figures[i];
        if (figure->computes) {
            pg_warn("left out: figure %s is computed, not read from the database: ask for it by its name", figure->name);
            continue;
        }
        code = draw(context, request, figure, to);
        drawn += code == PG_OK;
        if (code == PG_EINPUT) {
            pg_warn("left out: %s", pg_error_message());
            code = PG_OK;
        }
    }
    if (code == PG_OK && drawn == 0)
        code = pg_fail(PG_EINPUT, "no figure is drawn: the database has no data of this matrix for any");
    return code;
}

static int run(const pg_context *context, void *given)
{
    arguments *a = given;
    pg_layout_request *request = &a->layout;
    const pg_figure *figure = NULL;
    pg_plan *plan = NULL;
    int code = strcmp(a->figure, "all") != 0 ? pg_figure_find(a->figure, &figure) : PG_OK;
    if (code == PG_OK)
        code = pg_matrix_args_show(context, &request->matrix, &plan);
    request->metrics = "clean,certified,certified_published";
    request->plan = plan;
    a->to.inputs[0] = context->db_path;
    a->to.inputs[1] = request->matrix.matrix;
    if (code == PG_OK && figure != NULL)
        code = pg_figure_check_files(figure->name, a->to.folder, a->to.force, a->to.inputs);
    if (code == PG_OK)
        code = figure != NULL ? draw(context, request, figure, &a->to) : draw_all(context, request, &a->to);
    pg_plan_free(plan);
    return code;
}

static void help_figures(size_t width, pg_buf *out)
{
    pg_buf_puts(out, "figures:\n");
    for (size_t i = 0; pg_figures[i] != NULL; i++) {
        char line[256];
        snprintf(line, sizeof line, "  %-20s  %s; requires %s\n", pg_figures[i]->name, pg_figures[i]->summary,
                 pg_figures[i]->requires);
        pg_cli_prose(line, width, out);
    }
}

const pg_command pg_command_plot = {
    .name = "plot",
    .synopsis = "plot FIGURE|all MATRIX.toml [-o DIR] [options]",
    .summary = "draw figures from the cells of a matrix (gnuplot; SVG, PNG and PDF)",
    .help =
        "`all` draws every figure that the database has data for, and says which it leaves out and why. Figures of accuracy "
        "against a number draw a line for each combination of the other settings that vary, and ignore --cols. Histograms of "
        "local logits come from `patchgauge attack`: the database does not keep local logits.\n"
        "\n"
        "DIR/FIGURE.gp draws the same pictures again from DIR/FIGURE.tsv: gnuplot -d FIGURE.gp. Font: DejaVu Sans; a character "
        "that no font of the machine has is drawn as \"?\", and told. gnuplot has 300 s for a figure "
        "(PATCHGAUGE_GNUPLOT_SECONDS=N: N s). A PDF holds no date: the same data give the same bytes.\n",
    .examples = "  patchgauge plot accuracy experiments/demo.toml -o figures\n"
                "  patchgauge plot patch-size experiments/demo.toml --rows weights -S defense=robust-masking\n"
                "  patchgauge plot receptive-field-map experiments/demo.toml\n",
    .more = help_figures,
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
