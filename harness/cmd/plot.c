/* patchgauge plot: figures from the cells of a matrix. */
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/layout.h"
#include "plots/figure.h"

#include <getopt.h>
#include <string.h>

PG_COMMAND(plot)

/* Where figures go. */
typedef struct place {
    const char *folder;
    bool force;
    const char *inputs[3]; /* the database and the matrix: nothing is written over them */
} place;

static int parse(int argc, char **argv, pg_layout_request *request, const char **figure, place *to)
{
    static const struct option options[] = {{"rows", required_argument, NULL, 'r'},
                                            {"cols", required_argument, NULL, 'c'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, 'F'},
                                            {NULL, 0, NULL, 0}};
    *request = (pg_layout_request){.rows = "defense", .cols = "patch", .metrics = "clean,certified,certified_published"};
    *to = (place){.folder = "figures"};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:S:", options)) != -1;) {
        int code = PG_OK;
        switch (c) {
        case 'r':
        case 'c':
        case 'S':
            code = pg_layout_option(request, c, optarg);
            break;
        case 'o':
            to->folder = optarg;
            break;
        case 'F':
            to->force = true;
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

static int run(const pg_context *context, int argc, char **argv)
{
    pg_layout_request request;
    const char *name = NULL;
    place to;
    const pg_figure *figure = NULL;
    pg_plan *plan = NULL;
    int code = parse(argc, argv, &request, &name, &to);
    if (code == PG_OK && strcmp(name, "all") != 0)
        code = pg_figure_find(name, &figure);
    if (code == PG_OK)
        code = pg_matrix_args_open(context, &request.matrix, &plan);
    request.plan = plan;
    to.inputs[0] = context->db_path;
    to.inputs[1] = request.matrix.matrix;
    if (code == PG_OK && figure != NULL)
        code = pg_figure_check_files(figure->name, to.folder, to.force, to.inputs);
    if (code == PG_OK)
        code = figure != NULL ? draw(context, &request, figure, &to) : draw_all(context, &request, &to);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_plot = {
    .name = "plot",
    .synopsis = "plot FIGURE|all MATRIX.toml [-o DIR] [--force] [--rows KEYS] [--cols KEYS] [-S key=a,b]...",
    .summary = "draw figures from the cells of a matrix (gnuplot; SVG, PNG and PDF)",
    .help =
        "Figures:\n"
        "  accuracy             clean and certified accuracy by defense and patch size, with 95% intervals\n"
        "  certified-attacked   certified accuracy, accuracy under attack and clean accuracy of every cell with an attack\n"
        "  clip                 accuracy against the upper bound of a feature\n"
        "  failure-cases        failure cases of the published certificate by threshold, stacked\n"
        "  patch-size           accuracy against the size of the patch\n"
        "  receptive-field      accuracy against the receptive field of the network, or the width of its bands\n"
        "  receptive-field-map  what a position of each network listens to: its gradients by pixel (runs the networks)\n"
        "  success-steps        accuracy under attack against the steps of the attack, and the certified accuracy below it\n"
        "  threshold            accuracy against the threshold of a masking defense\n"
        "  time                 time an image by network and device: reading, network, certificates\n"
        "  trade-off            clean against certified accuracy, with the Pareto front of each patch size\n"
        "  training             training loss and validation accuracy by epoch, from the weights files of the matrix\n"
        "  vulnerability        share of broken images by the place of the patch, one map for each cell with an attack\n"
        "\n"
        "`all` draws every one that the database has data for, and says which it leaves out and why. Figures with a number on "
        "their x\n"
        "axis (clip, patch-size, receptive-field, threshold) want a matrix with several values of it; other settings that vary "
        "make\n"
        "lines. receptive-field-map runs the networks of the matrix on the first 64 images of its data set (libtorch); it is\n"
        "no part of `all`. Histograms of local logits come from `patchgauge attack`: the database does not keep local logits.\n"
        "\n"
        "  -o, --output DIR folder for the pictures, the data file and the gnuplot script (default: figures)\n"
        "  --force          replace files there that are not an earlier picture of the same figure\n"
        "  --rows KEYS      settings that make the rows, comma-separated (default: defense)\n"
        "  --cols KEYS      settings that make the columns (default: patch), where the figure does not set them itself\n"
        "  -S key=a,b       replaces one key of the matrix file; may be given several times\n"
        "\n"
        "DIR/FIGURE.gp draws the same pictures again from DIR/FIGURE.tsv: gnuplot -d FIGURE.gp. Font: DejaVu Sans;\n"
        "a character that no font of the machine has is drawn as \"?\", and told. gnuplot has 300 s for a figure\n"
        "(PATCHGAUGE_GNUPLOT_SECONDS=N: N s). A PDF holds no date: the same data give the same bytes.\n"
        "\n"
        "  patchgauge plot accuracy experiments/demo.toml -o figures\n"
        "  patchgauge plot patch-size experiments/demo.toml --rows weights -S defense=robust-masking\n"
        "  patchgauge plot receptive-field-map experiments/demo.toml\n",
    .run_words = run,
};
