/* patchgauge plot: figures from the cells of a matrix. */
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "plots/figure.h"

#include <getopt.h>
#include <string.h>

PG_COMMAND(plot)

static int parse(int argc, char **argv, pg_layout_request *request, const char **figure, const char **folder)
{
    static const struct option options[] = {{"rows", required_argument, NULL, 'r'},
                                            {"cols", required_argument, NULL, 'c'},
                                            {"output", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    *request = (pg_layout_request){.rows = "defense", .cols = "patch", .metrics = "clean,certified,certified_published"};
    *folder = "figures";
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, ":o:S:", options, NULL)) != -1;) {
        int code = PG_OK;
        switch (c) {
        case 'r':
            request->rows = optarg;
            break;
        case 'c':
            request->cols = optarg;
            break;
        case 'o':
            *folder = optarg;
            break;
        case 'S':
            code = pg_matrix_args_override(&request->matrix, optarg);
            break;
        default:
            return pg_command_option_error(argv, options, c);
        }
        if (code != PG_OK)
            return code;
    }
    if (optind + 2 != argc)
        return pg_fail(PG_EUSAGE, "a figure and a matrix file are needed; usage: patchgauge plot FIGURE|all MATRIX.toml");
    *figure = argv[optind++];
    return pg_matrix_args_file(&request->matrix, argc, argv);
}

static int draw(const pg_figure *figure, const pg_table *table, const char *folder)
{
    int code = pg_figure_draw(figure, table, folder);
    if (code == PG_OK)
        pg_info("%s/%s.svg, .png, .gp, .tsv", folder, figure->name);
    return code;
}

/* `all` leaves out the figures of attacks where there are none, and, with a warning, those that cannot show them. */
static bool has_attacks(const pg_table *table)
{
    for (size_t i = 0; i < table->n_entries; i++)
        if (table->entries[i].n_attacks > 0)
            return true;
    return false;
}

static int run(const pg_context *context, int argc, char **argv)
{
    pg_layout_request request;
    const char *name = NULL, *folder = NULL;
    const pg_figure *figure = NULL;
    pg_layout layout = {0};
    int code = parse(argc, argv, &request, &name, &folder);
    if (code == PG_OK && strcmp(name, "all") != 0)
        code = pg_figure_find(name, &figure);
    request.attacks = figure == NULL || figure->attacks;
    if (code == PG_OK)
        code = pg_layout_make(context, &request, &layout);
    for (size_t i = 0; code == PG_OK && pg_figures[i] != NULL; i++)
        if (figure == pg_figures[i] || (figure == NULL && (!pg_figures[i]->attacks || has_attacks(&layout.table)))) {
            code = draw(pg_figures[i], &layout.table, folder);
            if (code == PG_EINPUT && figure == NULL && pg_figures[i]->attacks) {
                pg_warn("left out: %s", pg_error_message());
                code = PG_OK;
            }
        }
    pg_layout_release(&layout);
    return code;
}

const pg_command pg_command_plot = {
    .name = "plot",
    .synopsis = "plot FIGURE|all MATRIX.toml [-o DIR] [--rows KEYS] [--cols KEYS] [-S key=a,b]...",
    .summary = "draw figures from the cells of a matrix (gnuplot; SVG and PNG)",
    .help = "Figures:\n"
            "  accuracy         clean and certified accuracy by defense and patch size, with 95% intervals\n"
            "  success-steps    accuracy under attack against the steps of the attack, and the certified accuracy below it\n"
            "  vulnerability    share of broken images by the place of the patch, one map for each cell with an attack\n"
            "\n"
            "  -o, --output DIR folder for the pictures, the data file and the gnuplot script (default: figures)\n"
            "  --rows KEYS      settings that make the rows, comma-separated (default: defense)\n"
            "  --cols KEYS      settings that make the columns (default: patch), at most six values\n"
            "  -S key=a,b       replaces one key of the matrix file\n"
            "\n"
            "DIR/FIGURE.gp draws the same pictures again from DIR/FIGURE.tsv: gnuplot -d FIGURE.gp\n"
            "\n"
            "  patchgauge plot accuracy experiments/demo.toml -o build/demo\n"
            "  patchgauge plot vulnerability experiments/results/cifar10-bagnet-attack.toml -S defense=robust-masking\n",
    .run = run,
};
