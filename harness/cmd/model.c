/* patchgauge model train | import | inspect | classes | measure. */
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/output.h"

#include "harness/base/file.h"
#include "harness/base/safetensors.h"
#include "models/classes.h"
#include "models/import.h"
#include "models/locality.h"
#include "models/network.h"
#include "models/start.h"
#include "models/train.h"
#include "models/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(model)

typedef struct train_arguments {
    const char *model;
    pg_train_job job;
    pg_texts pairs;
    pg_train_options options;
} train_arguments;

#define AT(field) offsetof(train_arguments, field)
static const pg_cli_row train_rows[] = {
    {0, NULL, "ARCHITECTURE", "`patchgauge list models` shows them", NULL, AT(model), PG_TEXT, PG_REQUIRED},
    {0, "dataset", "NAME:SPLIT", "images to learn from (cifar10:fit leaves out the last 5,000 training images)", NULL,
     AT(job.data), PG_TEXT, PG_REQUIRED},
    {0, "val", "NAME:SPLIT", "images to validate on after every epoch (cifar10:val: those 5,000)", NULL, AT(job.val), PG_TEXT},
    {0, "from", "FILE",
     "weights to start from, of the same architecture or of one with the same names of tensors: shapes may differ in the head, "
     "in channels of the image and in depthwise kernels that become 1 x 1. Without it from the seed",
     NULL, AT(job.from), PG_TEXT},
    {0, "outputs", "LIST",
     "the output of --from for each label: its rows of the head are kept. Numbers, 0,217,482, or a file with a line for each "
     "label: a number, an id or a name; new: the head starts from the seed. Without it labels are found among the classes that "
     "the weights store, by id or name",
     NULL, AT(job.outputs), PG_TEXT},
    {'o', "out", "FILE", "weights file; FILE.checkpoint and FILE.log.csv stand beside it while training", NULL, AT(job.out),
     PG_TEXT, PG_REQUIRED},
    PG_DEVICE_ROW(AT(job.device)),
    PG_SET_ROW(AT(pairs), "an option of the architecture (`patchgauge help model NAME`)"),
    {.offset = AT(options), PG_TABLE(pg_train_option_table)},
    PG_CLI_END,
};
#undef AT

static int train(const pg_context *context, void *request)
{
    train_arguments *a = request;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_train_job *job = &a->job;
    job->model = pg_model_find(a->model);
    if (!job->model)
        return PG_EINPUT;
    if (!job->model->needs_torch || job->model->hooks->opaque)
        return pg_fail(PG_EINPUT, "model %s has nothing to train", job->model->module.name);
    job->config = config;
    job->data_dir = context->data_dir;
    job->options = &a->options;
    int code = job->from ? pg_start_configure(job->from, job->model, a->pairs.items, a->pairs.n, config)
                         : pg_module_configure(&job->model->module, "model", a->pairs.items, a->pairs.n, config);
    return code == PG_OK ? pg_train(job) : code;
}

typedef struct import_arguments {
    pg_import_job job;
    int input[2]; /* height, width */
    pg_texts pairs;
    int64_t time_limit_s;
} import_arguments;

#define AT(field) offsetof(import_arguments, field)
static const pg_cli_row import_rows[] = {
    {0, NULL, "ARCHITECTURE", NULL, NULL, AT(job.model), PG_TEXT},
    {0, NULL, "FILE", NULL, NULL, AT(job.from), PG_TEXT, PG_REQUIRED},
    {0, "input", "HxW", "pixels of the images the network will see", NULL, AT(input), PG_SIZE(4096), PG_REQUIRED},
    {'o', "out", "OUT", "weights file", NULL, AT(job.out), PG_TEXT, PG_REQUIRED},
    PG_SET_ROW(
        AT(pairs),
        "an option of the architecture. The file does not tell the pixels it wants, (x - mean) / std of x in [0, 1]: --set "
        "mean=0.485,0.456,0.406 --set std=0.229,0.224,0.225 for torchvision's; nor what a smoothed network sees at a time "
        "(band=, shape=column, row or block, stride=, else columns, 1) or the strides of a BagNet (strides=, else 2,2,2,1)"),
    {0, "key", "NAME", "the dictionary in the file that has the weights, where several fit alike (state_dict_ema)", NULL,
     AT(job.key), PG_TEXT},
    {0, "prefix", "PREFIX", "what stands before all names of the network, where several are in one dictionary (module.model)",
     NULL, AT(job.prefix), PG_TEXT},
    {0, "ignore-rest", NULL, "import although tensors of the file are left over", NULL, AT(job.ignore_rest), PG_FLAG},
    {0, "classes", "FILE",
     "names of the outputs, which OUT stores: lines with a name, or with a WordNet id and a name; or JSON: a list, or an "
     "object "
     "of \"0\", \"1\", ..., of names or [id, name]. A first line `background` is left out where there is one more than outputs",
     NULL, AT(job.classes), PG_TEXT},
    {0, "half", NULL, "write float16", NULL, AT(job.half), PG_FLAG},
    {0, "force", NULL, "replace OUT, whatever file it is; without it only what the same import wrote", NULL, AT(job.force),
     PG_FLAG},
    {0, "time-limit", "SECONDS", "for loading a TorchScript module and for each of its answers to one to three images", "300",
     AT(time_limit_s), PG_INT(1, 1000000)},
    PG_CLI_END,
};
#undef AT

/* model import [ARCHITECTURE] FILE: the report, also of what did not fit. */
static int import(const pg_context *context PG_UNUSED, void *request)
{
    import_arguments *a = request;
    pg_import_job *job = &a->job;
    job->pairs = a->pairs.items;
    job->n_pairs = a->pairs.n;
    job->input_height = a->input[0];
    job->input_width = a->input[1];
    job->time_limit_s = (int)a->time_limit_s;
    int code = pg_output_check(job->out, true, (const char *const[]){job->from, job->classes, NULL});
    if (code == PG_OK)
        code = pg_weights_check_output(job->out, job->force, NULL);
    if (code != PG_OK)
        return code;
    pg_buf report = PG_BUF_EMPTY;
    code = pg_import(job, &report);
    fputs(report.data, stdout);
    if (code == PG_OK)
        printf("%-12s %s\n", "wrote", job->out);
    pg_buf_release(&report);
    return code;
}

static void print_axis(const char *name, const pg_axis *a)
{
    if (a->field > 0)
        printf("%-12s %d positions, receptive field %d px, stride %d px, padding %d px%s\n", name, a->positions, a->field,
               a->stride, a->padding, a->wrap ? ", wraps" : "");
    else
        printf("%-12s %d position%s, each sees everything\n", name, a->positions, a->positions == 1 ? "" : "s");
}

/* "delta 0 grid units in 256 trials (fp32, cpu avx512, batch 128)" and what moved images did. */
static void print_locality(const pg_locality *l, bool none_outside)
{
    if (none_outside || l->outside == 0)
        printf("%-12s no position outside: every position saw the patch in every one of %" PRId64 " trials", "locality",
               l->trials);
    else
        printf("%-12s delta %" PRId64 " grid units in %" PRId64 " trials%s", "locality", l->delta_grid,
               l->outside > 0 ? l->outside : l->trials, l->outside > 0 ? " with a position outside" : "");
    printf(" (%s, %s%s%s, batch %d)\n", pg_dtype_names[l->dtype], l->device, *l->isa ? " " : "",
           *l->isa ? l->isa : ", instruction set not recorded", l->batch);
    if (l->moved)
        printf("%-12s in other places and in batches of %s logits move by up to %" PRId64 " grid units, and by %" PRId64
               " outside a patch's reach (%" PRId64 " images)\n",
               "", l->batches, l->moved_grid, l->elsewhere_grid, l->images);
}

static void print_localities(const char *weights, const pg_weights_info *info)
{
    const pg_geometry *g = &info->geometry;
    bool none_outside = g->rows.field == 0 && g->columns.field == 0;
    if (info->locality.measured && info->locality.batch == 0)
        printf("%-12s delta 0: every position is computed on its own\n", "locality");
    else if (info->locality.measured)
        print_locality(&info->locality, none_outside);
    for (int i = 0; i < info->n_measured; i++)
        print_locality(&info->measured[i], none_outside);
    if (info->measured_of_another)
        printf("%-12s %s.locality is of other weights: nothing is taken from it\n", "locality", weights);
    else if (!info->locality.measured && info->n_measured == 0)
        printf("%-12s %s\n", "locality",
               none_outside ? "no position outside: every position sees the whole image" : "not measured");
}

static const pg_cli_row inspect_rows[] = {{0, NULL, "FILE", NULL, NULL, 0, PG_TEXT, PG_REQUIRED}, PG_CLI_END};

static int inspect(const pg_context *context PG_UNUSED, void *request)
{
    const char *file = *(const char **)request;
    pg_weights_info info;
    pg_classes classes;
    int code = pg_weights_describe(file, NULL, 0, &info);
    if (code == PG_OK)
        code = pg_classes_of(file, &classes);
    if (code != PG_OK)
        return code;
    const pg_geometry *g = &info.geometry;
    pg_buf options = PG_BUF_EMPTY, names = PG_BUF_EMPTY;
    pg_classes_describe(&classes, &names);
    pg_classes_release(&classes);
    pg_options_line(pg_model_find(info.model)->module.options, info.config, "", " ", false, &options);
    code = pg_buf_check(&options);
    if (code == PG_OK)
        code = pg_buf_check(&names);
    if (code != PG_OK) {
        pg_buf_release(&options);
        pg_buf_release(&names);
        return code;
    }
    printf("%-12s %s (version %d)\n%-12s %.*s\n%-12s %s\n", "model", info.model, info.model_version, "options",
           options.size ? (int)options.size - 1 : 0, options.data, "sha256", info.hash);
    pg_buf_release(&options);
    printf("%-12s 3 x %d x %d pixels, %d classes\n", "input", g->input_height, g->input_width, g->classes);
    fputs(names.data, stdout);
    pg_buf_release(&names);
    print_axis("rows", &g->rows);
    print_axis("columns", &g->columns);
    print_localities(file, &info);
    if (strcmp(file, "null") == 0)
        return PG_OK;
    pg_st_file *f = NULL;
    code = pg_st_open_header(file, &f);
    static const char *const keys[] = {"dataset", "dataset_hash", "source", "seed", "command", "training"};
    for (size_t i = 0; code == PG_OK && i < sizeof keys / sizeof *keys; i++)
        if (pg_st_metadata(f, keys[i]))
            printf("%-12s %s\n", keys[i], pg_st_metadata(f, keys[i]));
    pg_st_close(f);
    return code;
}

typedef struct classes_arguments {
    const char *file, *dataset, *outputs;
    int predict;
    pg_output output;
} classes_arguments;

static const pg_cli_row classes_rows[] = {
    {0, NULL, "FILE", NULL, NULL, offsetof(classes_arguments, file), PG_TEXT, PG_REQUIRED},
    {0, "dataset", "NAME:SPLIT", "classes of cells on this data set, instead of outputs", NULL,
     offsetof(classes_arguments, dataset), PG_TEXT_FULL},
    PG_OUTPUTS_ROW(offsetof(classes_arguments, outputs)),
    PG_PREDICT_ROW(offsetof(classes_arguments, predict)),
    PG_OUTPUT_FORMAT_ROW(offsetof(classes_arguments, output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(offsetof(classes_arguments, output)),
    PG_OUTPUT_FORCE_ROW(offsetof(classes_arguments, output)),
    PG_CLI_END,
};

static void print_class(pg_tabular *t, int class, int output, const pg_class *names)
{
    pg_tabular_integer(t, class);
    pg_tabular_integer(t, output);
    pg_tabular_words(t, names->id);
    pg_tabular_words(t, names->name);
}

/* The classes of cells on a data set: *outputs is *new*, or NULL for all in their order. */
static int choose_classes(const pg_context *context, const classes_arguments *a, const pg_classes *stored, int **outputs,
                          int *n)
{
    pg_dataset *dataset = NULL;
    pg_classes labels = {0};
    int code = pg_dataset_open(context->data_dir, a->dataset, &dataset);
    if (code == PG_OK)
        code = pg_classes_of_dataset(pg_dataset_info_of(dataset), &labels);
    if (code == PG_OK)
        code = pg_outputs_choose(&(pg_outputs_request){.network = a->file,
                                                       .outputs = *n,
                                                       .classes = stored,
                                                       .dataset = a->dataset,
                                                       .labels = &labels,
                                                       .given = a->outputs,
                                                       .how = PG_OUTPUTS_HOW},
                                 a->predict == PG_PREDICT_DATASET, outputs, n);
    pg_classes_release(&labels);
    pg_dataset_close(dataset);
    return code;
}

static int print_classes(const pg_context *context, const classes_arguments *a)
{
    static const char *const heads[] = {"class", "output", "id", "name"};
    pg_classes stored;
    pg_tabular table;
    int *outputs = NULL, code = pg_classes_of(a->file, &stored), n = stored.n;
    if (code == PG_OK && n == 0)
        code =
            pg_fail(PG_EINPUT, "%s: stores no names of classes; `patchgauge model import --classes FILE` stores them", a->file);
    if (code == PG_OK && a->dataset)
        code = choose_classes(context, a, &stored, &outputs, &n);
    pg_tabular_init(&table, a->output.format, sizeof heads / sizeof *heads, 1);
    table.form = "classes";
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        pg_tabular_words(&table, heads[i]);
    for (int i = 0; code == PG_OK && i < n; i++)
        print_class(&table, i, outputs ? outputs[i] : i, &stored.items[outputs ? outputs[i] : i]);
    if (code == PG_OK)
        code = pg_output_table(&a->output, &table);
    pg_tabular_release(&table);
    pg_classes_release(&stored);
    free(outputs);
    return code;
}

static int show_classes(const pg_context *context, void *request)
{
    classes_arguments *a = request;
    int code = pg_output_begin(&a->output, (const char *const[]){a->file, NULL});
    if (code == PG_OK)
        code = print_classes(context, a);
    return pg_output_end(&a->output, code);
}

typedef struct measure_arguments {
    const char *file;
    pg_locality_request request;
    int dtype;
    int64_t batch;
} measure_arguments;

#define AT(field) offsetof(measure_arguments, field)
static const pg_cli_row measure_rows[] = {
    {0, NULL, "FILE", NULL, NULL, AT(file), PG_TEXT, PG_REQUIRED},
    {0, "dataset", "NAME:SPLIT", "images to put patches on", NULL, AT(request.dataset), PG_TEXT, PG_REQUIRED},
    PG_DEVICE_ROW(AT(request.device)),
    PG_DTYPE_ROW(AT(dtype)),
    {0, "batch", "N", "images of a forward pass", "128", AT(batch), PG_INT(1, 65536)},
    {0, "trials", "N", "random patches, one an image, rounded up to whole batches", "256", AT(request.trials),
     PG_INT(1, 1000000)},
    PG_CLI_END,
};
#undef AT

/* Measures locality here and writes it beside the file. */
static int measure(const pg_context *context, void *request)
{
    measure_arguments *a = request;
    pg_locality_request *r = &a->request;
    r->data_dir = context->data_dir;
    r->dtype = (pg_dtype)a->dtype;
    r->batch = (int)a->batch;
    r->seed = 1;
    r->moved = true;
    if (strcmp(a->file, "null") == 0)
        return pg_fail(PG_EINPUT, "the null model computes every position on its own: there is nothing to measure");
    pg_locality found;
    int code = pg_locality_measure(a->file, r, &found);
    if (code == PG_OK)
        code = pg_locality_add(a->file, &found);
    if (code == PG_OK) {
        print_locality(&found, false);
        printf("%-12s %s.locality\n", "wrote", a->file);
    }
    return code;
}

static const pg_command *const actions[] = {
    &(const pg_command){.name = "train",
                        .synopsis = "model train ARCHITECTURE --dataset NAME:SPLIT -o FILE [options]",
                        .summary = "The state is kept after every epoch: the same command goes on where it was stopped or "
                                   "killed, and ends in the same bytes as an undisturbed run with the same number of threads.",
                        .rows = train_rows,
                        .request_size = sizeof(train_arguments),
                        .run = train},
    &(const pg_command){
        .name = "import",
        .synopsis = "model import [ARCHITECTURE] FILE --input HxW -o OUT [options]",
        .summary = "Takes weights from a file of torch.save (.pth, .pt) or a safetensors file, and lists matched, missing "
                   "and unused tensors.",
        .help =
            "Files of torch.save are read in all pickle protocols (0 to 5), in the zip container and in that before torch 1.6, "
            "also as torch 0.1.2 to 0.3 wrote them. The file is read as data: nothing in it is run. What lies beside the "
            "weights (epochs, optimizers, arguments, objects of any class) is listed and left out; a weight that only a "
            "function of others could make is refused by name. Without ARCHITECTURE the shapes tell it, and its options as far "
            "as they can.\n"
            "\n"
            "Layouts: torchvision's ResNets of 18 to 152 layers, wide ones, and their form with a 3 x 3 stem for small images "
            "(resnet18, resnet50, resnet: strided=1x1 where a stage strides at its first 1 x 1 convolution), ResNets of 20 to "
            "110 layers for CIFAR-10 (resnet-cifar), torchvision's MobileNetV2 (mobilenet-v2: padding=same for weights from "
            "TensorFlow), vision transformers of timm and DeiT (vit, and smoothed-vit if ARCHITECTURE says so: heads=N unless "
            "they have 64 channels each, epsilon=E unless 1e-6), BagNet of bags-of-local-features (bagnet9, 17, 33), "
            "de-randomized smoothing (ds-resnet18, ds-resnet50, ds-mobilenet-v2: six channels are encoding=ablation). Any "
            "prefix and any dictionary round it is seen through; shortcut and linear stand for downsample and fc. Batch norms "
            "are taken to have PyTorch's epsilon of 1e-5.\n"
            "\n"
            "A TorchScript module is a program: `model import torchscript FILE --trust --input HxW --set row_field=N --set "
            "column_field=N ... -o OUT` runs it, takes it for a network that gives local logits [n][classes][rows][columns] "
            "with the geometry that is stated, tries that by changing pixels outside the fields, and writes it into OUT, which "
            "every command runs with --trust only. A trusted module can do what you can, write files among it; what it prints "
            "is dropped.\n",
        .rows = import_rows,
        .request_size = sizeof(import_arguments),
        .run = import},
    &(const pg_command){.name = "inspect",
                        .synopsis = "model inspect FILE",
                        .summary = "Prints architecture, geometry, measured locality, training command and curve.",
                        .rows = inspect_rows,
                        .request_size = sizeof(const char *),
                        .run = inspect},
    &(const pg_command){.name = "classes",
                        .synopsis = "model classes FILE [options]",
                        .summary = "Prints the classes that a weights file stores; with --dataset those of cells on this data "
                                   "set, in the order of their numbers.",
                        .rows = classes_rows,
                        .request_size = sizeof(classes_arguments),
                        .run = show_classes},
    &(const pg_command){
        .name = "measure",
        .synopsis = "model measure FILE --dataset NAME:SPLIT [options]",
        .summary =
            "Writes a line into FILE.locality beside FILE, which stays as it is: the largest change of a logit outside the "
            "receptive fields of random patches, and of all logits at other places and in batches of 1, 16, 64 and 128 (delta "
            "in `patchgauge help matrix`). It counts for its type, batch, kind of device and instruction set; a larger change "
            "that was found before stays.",
        .rows = measure_rows,
        .request_size = sizeof(measure_arguments),
        .run = measure},
    NULL,
};

const pg_command pg_command_model = {
    .name = "model",
    .synopsis = "model train | import | inspect | classes | measure [arguments]",
    .summary = "train an architecture; import weights of PyTorch; show what a weights file holds; measure locality",
    .actions = actions,
};
