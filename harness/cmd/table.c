/* patchgauge table: the cells of a matrix as a table. */
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "harness/cmd/print.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(table)

static int find_format(const char *name, pg_table_format *out)
{
    for (int i = 0; pg_table_formats[i] != NULL; i++)
        if (strcmp(pg_table_formats[i], name) == 0) {
            *out = (pg_table_format)i;
            return PG_OK;
        }
    return pg_fail(PG_EUSAGE, "unknown format '%s': text, md, csv, json or latex", name);
}

static int parse(int argc, char **argv, pg_layout_request *request, pg_table_format *format)
{
    static const struct option options[] = {{"rows", required_argument, NULL, 'r'},
                                            {"cols", required_argument, NULL, 'c'},
                                            {"metrics", required_argument, NULL, 'm'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"paper", required_argument, NULL, 'p'},
                                            {"best", no_argument, NULL, 'b'},
                                            {NULL, 0, NULL, 0}};
    *request = (pg_layout_request){
        .rows = "defense", .cols = "patch", .metrics = "clean,attacked,certified,certified_published,published_audited"};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":f:S:", options)) != -1;) {
        int code = PG_OK;
        switch (c) {
        case 'r':
        case 'c':
        case 'm':
        case 'S':
            code = pg_layout_option(request, c, optarg);
            break;
        case 'f':
            code = find_format(optarg, format);
            break;
        case 'p':
            request->paper = optarg;
            break;
        case 'b':
            request->best = true;
            break;
        default:
            return pg_command_option_error(argv, options, c);
        }
        if (code != PG_OK)
            return code;
    }
    return pg_matrix_args_file(&request->matrix, argc, argv);
}

/* Standard output for the table; notes that the format has no place for go to standard error. */
static int print(const pg_table *table, pg_table_format format)
{
    pg_buf text, notes;
    pg_buf_init(&text);
    pg_buf_init(&notes);
    int code = pg_table_print(table, format, &text);
    if (code == PG_OK && (fwrite(text.data, 1, text.size, stdout) != text.size || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write the table to standard output");
    if (code == PG_OK && (format == PG_TABLE_CSV || format == PG_TABLE_JSON)) {
        pg_table_notes(table, format, &notes);
        for (char *line = strtok(notes.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
            pg_info("%s", line);
    }
    pg_buf_release(&text);
    pg_buf_release(&notes);
    return code;
}

static int run(const pg_context *context, int argc, char **argv)
{
    pg_layout_request request;
    pg_table_format format = PG_TABLE_TEXT;
    pg_layout layout = {0};
    int code = parse(argc, argv, &request, &format);
    request.likes = true;
    if (code == PG_OK)
        code = pg_layout_make(context, &request, &layout);
    layout.table.text_width = pg_print_width(stdout);
    if (code == PG_OK)
        code = print(&layout.table, format);
    pg_layout_release(&layout);
    return code;
}

const pg_command pg_command_table = {
    .name = "table",
    .synopsis =
        "table MATRIX.toml [--rows KEYS] [--cols KEYS] [-f text|md|csv|json|latex] [--metrics NAMES] [--paper TABLE] [--best] "
        "[-S key=a,b]...",
    .summary = "print the cells of a matrix as a table",
    .help =
        "  --rows KEYS      settings that make the rows, comma-separated (default: defense)\n"
        "  --cols KEYS      settings that make the columns (default: patch)\n"
        "                   other settings that vary become part of the row's label\n"
        "  --metrics NAMES  of clean, attacked, certified, certified_published, published_audited (what `patchgauge\n"
        "                   audit` left of those), false_positive, case_0 to case_4 (shares of the images, in percent with "
        "95%\n"
        "                   Wilson intervals), nonfinite, saturated, differs and unmeasured (counts of images: with a NaN or\n"
        "                   infinity, with values beyond the grid's end, predicted otherwise in double, certified on no\n"
        "                   measured locality), smallest_margin and delta (units of evidence);\n"
        "                   default: clean,attacked,certified,certified_published,published_audited\n"
        "  -f, --format F   text (default), md, csv, json or latex (package booktabs); csv has the columns\n"
        "                   ROWS,COLS,metric,value,lo,hi,n\n"
        "  --paper TABLE    the publication's numbers beside ours, with the difference: II, IV to XXI, or revision (the\n"
        "                   per-class certificates of its later revision); cells of the same data set, family of networks,\n"
        "                   defense, feature type, threshold and share of the patch are compared\n"
        "  --best           the best complete cell of each column: bold in md and latex, a + in text\n"
        "  -S key=a,b       replaces one key of the matrix file; may be given several times\n"
        "\n"
        "Metrics that a defense does not have are left out. Cells that are not complete carry a star and a note.\n"
        "\n"
        "  patchgauge table experiments/demo.toml\n"
        "  patchgauge table experiments/demo.toml --rows defense --cols patch -f csv -S patch=8\n",
    .run_words = run,
};
