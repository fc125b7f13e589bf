/* patchgauge plot: figures from the cells of a matrix. */
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "plots/figure.h"

#include <stdlib.h>
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
    int style; /* of style_names */
    pg_figure_style look;
    pg_texts labels;
    const char *order; /* NULL: as the matrix has it */
} arguments;

static const char *const style_names[] = {"screen", "paper", NULL};

static int set_width(const char *text, void *field) { return pg_figure_width(text, field); }
static int set_font(const char *text, void *field) { return pg_figure_font(text, field); }

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "FIGURE", NULL, NULL, AT(figure), PG_TEXT, PG_REQUIRED},
    PG_MATRIX_ROW(AT(layout.matrix)),
    {'o', "output", "DIR", "folder for the pictures, the data file and the gnuplot script", "figures", AT(to.folder),
     PG_TEXT_FULL},
    {0, "force", NULL, "replace files there that are not an earlier picture of the same figure", NULL, AT(to.force), PG_FLAG},
    PG_LAYOUT_ROWS_ROW(AT(layout)),
    PG_LAYOUT_COLS_ROW(AT(layout)),
    {0, "order", "NAMES", "rows, columns or networks that come first, in this order, comma-separated", NULL, AT(order),
     PG_TEXT_FULL},
    {0, "style", "STYLE", "paper: one column of 85 mm, text of 7 pt or more", "screen", AT(style), PG_CHOICE(style_names)},
    {0, "width", "LENGTH", "width of the pictures, with its unit (40mm to 1000mm); paper: 85mm, else as the contents like",
     NULL, AT(look.width_mm), PG_CALL(set_width, "a length from 40mm to 1000mm with its unit, as 85mm, 8.5cm or 3.35in")},
    {0, "font", "NAME[,SIZE]", "font, and its size in points (5 to 40; screen: 9, paper: 7)", "DejaVu Sans", AT(look),
     PG_CALL(set_font, "the family of a font (letters, digits, blanks, hyphens), alone or with a comma and its size, as "
                       "\"Liberation Serif,8\"")},
    {0, "label", "OLD=NEW", "another text for a label, a part of it or a word of the picture; may be given several times", NULL,
     AT(labels), PG_TEXTS},
    {0, "title", "TEXT", "another title", NULL, AT(look.title), PG_TEXT},
    {0, "no-title", NULL, "neither title nor the note below it", NULL, AT(look.untitled), PG_FLAG},
    {0, "tex", NULL, "also FIGURE-tex.tex and FIGURE-tex.pdf, for \\input in LaTeX", NULL, AT(look.tex), PG_FLAG},
    PG_MATRIX_SET_ROW(AT(layout.matrix)),
    PG_MATRIX_ONLY_ROW(AT(layout.matrix)),
    PG_CLI_END,
};

/* The data of one figure of a matrix that is resolved already. */
static int make(const pg_context *context, const arguments *a, const pg_figure *figure, pg_figure_data *parts)
{
    pg_layout_request request = a->layout;
    pg_layout layout;
    request.reads = figure->reads;
    request.likes = figure->columns == NULL && figure->reads == 0; /* names beside each other, no numbers */
    request.varying = true;
    if (figure->columns != NULL) {
        request.cols = figure->columns;
        request.figure = figure->name;
    }
    int code = pg_layout_make(context, &request, &layout);
    if (code == PG_OK && a->order != NULL) {
        code = pg_figure_order(a->order, layout.entries, layout.networks, layout.times, &layout.table);
        if (code == PG_EINPUT && strcmp(a->figure, "all") == 0)
            code = PG_OK; /* one figure has not all the names of the matrix, which draw_all checks */
    }
    if (code == PG_OK)
        code = pg_figure_make(figure, &layout.table, &a->look, parts);
    pg_layout_release(&layout);
    return code;
}

static int save(const arguments *a, const pg_figure *figure, const pg_figure_data *parts)
{
    int code = pg_figure_save(figure->name, figure->script, parts, a->to.folder);
    if (code == PG_OK)
        pg_info("%s/%s.svg, .png, .pdf, .gp, .tsv%s", a->to.folder, figure->name, a->look.tex ? ", -tex.tex, -tex.pdf" : "");
    return code;
}

static int draw_one(const pg_context *context, const arguments *a, const pg_figure *figure)
{
    pg_figure_data parts;
    pg_figure_data_init(&parts);
    int code = pg_figure_check_files(figure->name, a->to.folder, a->to.force, a->to.inputs);
    if (code == PG_OK)
        code = make(context, a, figure, &parts);
    if (code == PG_OK)
        code = pg_figure_check_labels(&a->look, &parts, 1);
    if (code == PG_OK)
        code = save(a, figure, &parts);
    pg_figure_data_release(&parts);
    return code;
}

enum { FIGURES_MAX = 64 };

/* Every figure that the database has data for; the data of all before any is drawn. The others are named with the reason, which
 * is no failure unless all are. */
static int draw_all(const pg_context *context, const arguments *a)
{
    const pg_figure *drawn[FIGURES_MAX];
    pg_figure_data *parts = calloc(FIGURES_MAX, sizeof *parts);
    size_t n = 0;
    pg_layout layout = {0};
    int code = parts != NULL ? pg_layout_make(context, &a->layout, &layout) /* what is wrong with the matrix is wrong for all */
                             : pg_fail(PG_ENOMEM, "out of memory for %d figures", FIGURES_MAX);
    if (code == PG_OK && a->order != NULL)
        code = pg_figure_order(a->order, layout.entries, layout.networks, layout.times, &layout.table);
    pg_layout_release(&layout);
    if (code == PG_OK)
        code = pg_figure_check(a->to.folder);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL; i++)
        if (!pg_figures[i]->computes)
            code = pg_figure_check_files(pg_figures[i]->name, a->to.folder, a->to.force, a->to.inputs);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL && n < FIGURES_MAX; i++) {
        if (pg_figures[i]->computes) {
            pg_warn("left out: figure %s is computed, not read from the database: ask for it by its name", pg_figures[i]->name);
            continue;
        }
        pg_figure_data_init(&parts[n]);
        code = make(context, a, pg_figures[i], &parts[n]);
        if (code == PG_OK)
            drawn[n++] = pg_figures[i];
        else
            pg_figure_data_release(&parts[n]);
        if (code == PG_EINPUT) {
            pg_warn("left out: %s", pg_error_message());
            code = PG_OK;
        }
    }
    if (code == PG_OK && n == 0)
        code = pg_fail(PG_EINPUT, "no figure is drawn: the database has no data of this matrix for any");
    if (code == PG_OK)
        code = pg_figure_check_labels(&a->look, parts, n);
    for (size_t i = 0; code == PG_OK && i < n; i++)
        code = save(a, drawn[i], &parts[i]);
    for (size_t i = 0; i < n; i++)
        pg_figure_data_release(&parts[i]);
    free(parts);
    return code;
}

static int check_texts(arguments *a)
{
    for (size_t i = 0; i < a->labels.n; i++)
        if (strchr(a->labels.items[i], '=') == NULL || a->labels.items[i][0] == '=')
            return pg_fail(PG_EUSAGE, "plot: --label %s: right would be OLD=NEW, as robust-masking=PatchGuard",
                           a->labels.items[i]);
    if (a->labels.n > PG_FIGURE_LABELS)
        return pg_fail(PG_EUSAGE, "plot: --label may be given %d times, not %zu", PG_FIGURE_LABELS, a->labels.n);
    if (a->look.title != NULL && a->look.untitled)
        return pg_fail(PG_EUSAGE, "plot: --title and --no-title exclude each other");
    a->look.labels = a->labels.items;
    a->look.n_labels = a->labels.n;
    a->look.paper = a->style == 1;
    return PG_OK;
}

static int run(const pg_context *context, void *given)
{
    arguments *a = given;
    pg_layout_request *request = &a->layout;
    const pg_figure *figure = NULL;
    pg_plan *plan = NULL;
    int code = check_texts(a);
    if (code == PG_OK && strcmp(a->figure, "all") != 0)
        code = pg_figure_find(a->figure, &figure);
    if (code == PG_OK)
        code = pg_matrix_args_show(context, &request->matrix, &plan);
    request->metrics = "clean,certified,certified_published";
    request->plan = plan;
    a->to.inputs[0] = context->db_path;
    a->to.inputs[1] = request->matrix.matrix;
    if (code == PG_OK)
        code = figure != NULL ? draw_one(context, a, figure) : draw_all(context, a);
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
        "--label renames a label or a part of it (scope=predicted), a word of the picture (certified) or of an axis, as "
        "\"Accuracy "
        "(%)=Correct (%)\"; OLD is as the picture has it. An unknown one fails with the list of those there are.\n"
        "\n"
        "DIR/FIGURE.gp draws the same pictures again from DIR/FIGURE.tsv: gnuplot -d FIGURE.gp. A character that no font of "
        "the "
        "machine has is drawn as \"?\", with a warning. gnuplot has 300 s for a figure (PATCHGAUGE_GNUPLOT_SECONDS=N: N s). A "
        "PDF "
        "holds no date: the same data give the same bytes.\n",
    .examples = "  patchgauge plot accuracy experiments/demo.toml -o figures\n"
                "  patchgauge plot patch-size experiments/demo.toml --rows weights -S defense=robust-masking\n"
                "  patchgauge plot accuracy experiments/demo.toml --style paper --no-title --tex\n"
                "  patchgauge plot receptive-field-map experiments/demo.toml\n",
    .more = help_figures,
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
