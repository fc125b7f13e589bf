/* patchgauge table: the cells of a matrix as a table. */
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "harness/cmd/tidy.h"

#include <string.h>

PG_COMMAND(table)

typedef struct arguments {
    pg_layout_request layout;
    pg_output output;
    bool wide, siunitx;
    const char *caption, *label;
} arguments;

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    PG_MATRIX_ROW(AT(layout.matrix)),
    PG_LAYOUT_ROWS_ROW(AT(layout)),
    PG_LAYOUT_COLS_ROW(AT(layout)),
    PG_LAYOUT_METRICS_ROW(
        AT(layout),
        "of clean, attacked, target_reached, certified, certified_published, published_audited (what `patchgauge audit` left "
        "of those), "
        "false_positive, case_0 to case_4 (shares of the images, in percent with 95% Wilson intervals), nonfinite, saturated, "
        "differs and unmeasured (counts of images: with a NaN or infinity, with values beyond the grid's end, predicted "
        "otherwise "
        "in double, certified on no measured locality), smallest_margin and delta (units of evidence)"),
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_table_formats),
    PG_TIDY_WIDE_ROW(AT(wide)),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_LAYOUT_PAPER_ROW(AT(layout)),
    {0, "best", NULL, "the best complete cell of each column: bold in md and latex, a + in text", NULL, AT(layout.best),
     PG_FLAG},
    {0, "caption", "TEXT", "in latex: a table environment with this caption", NULL, AT(caption), PG_TEXT_FULL},
    {0, "label", "NAME", "in latex: a table environment with this label, as \"tab:certified\"", NULL, AT(label), PG_TEXT_FULL},
    {0, "siunitx", NULL, "in latex: columns of numbers that the package siunitx aligns, with their intervals beside them", NULL,
     AT(siunitx), PG_FLAG},
    PG_MATRIX_SET_ROW(AT(layout.matrix)),
    PG_MATRIX_ONLY_ROW(AT(layout.matrix)),
    PG_CLI_END,
};

#define LABEL_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:._/+-"

static int print(const pg_table *table, const pg_output *output)
{
    pg_buf text = PG_BUF_EMPTY;
    int code = pg_table_print(table, (pg_table_format)output->format, &text);
    if (code == PG_OK)
        code = pg_output_text(output, &text);
    pg_buf_release(&text);
    return code;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    pg_layout layout = {0};
    a->layout.likes = true;
    bool rows = pg_format_is_rows((pg_table_format)a->output.format);
    a->layout.each_seed = rows;
    if (a->wide && !rows)
        return pg_fail(PG_EUSAGE, "table: --wide is for -f csv, json and json-lines");
    if ((a->caption || a->label || a->siunitx) && a->output.format != PG_TABLE_LATEX)
        return pg_fail(PG_EUSAGE, "table: --caption, --label and --siunitx are for -f latex");
    if (a->label && strspn(a->label, LABEL_LETTERS) != strlen(a->label))
        return pg_fail(PG_EUSAGE, "table: --label %s: right would be letters, digits and any of :._/+-", a->label);
    int code = pg_output_begin(&a->output, (const char *const[]){a->layout.matrix.matrix, context->db_path, NULL});
    if (code == PG_OK)
        code = pg_layout_make(context, &a->layout, &layout);
    layout.table.text_width = pg_print_width(stdout);
    layout.table.caption = a->caption;
    layout.table.label = a->label;
    layout.table.siunitx = a->siunitx;
    if (code == PG_OK)
        code = rows ? pg_tidy_layout(&layout, &a->output, "table", a->wide) : print(&layout.table, &a->output);
    pg_layout_release(&layout);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_table = {
    .name = "table",
    .synopsis = "table MATRIX.toml [options]",
    .summary = "print the cells of a matrix as a table",
    .help = "Metrics that a defense does not have are left out. Cells that are not complete carry a star and a note.\n",
    .examples = "  patchgauge table experiments/demo.toml\n"
                "  patchgauge table experiments/demo.toml --rows defense --cols patch -f csv -S patch=8\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
