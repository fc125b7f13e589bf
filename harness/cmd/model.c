/* patchgauge model train | import | inspect | measure. */
#include "harness/cmd/command.h"

#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/safetensors.h"
#include "models/import.h"
#include "models/locality.h"
#include "models/network.h"
#include "models/train.h"
#include "models/weights.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(model)

enum { MAX_PAIRS = 32, FIRST_TRAIN_OPTION = 1000 };

typedef struct arguments {
    const char *data, *val, *from, *out, *device;
    const char *pairs[MAX_PAIRS];
    size_t n_pairs;
    pg_train_options options;
} arguments;

/* Fixed options, then one per row of the training table. */
static int long_options(struct option *out, size_t max)
{
    static const struct option fixed[] = {
        {"dataset", required_argument, NULL, 'D'},
        {"val", required_argument, NULL, 'V'},
        {"out", required_argument, NULL, 'o'},
        {"device", required_argument, NULL, 'd'},
        {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
        {"from", required_argument, NULL, 'f'},
    };
    size_t n = sizeof fixed / sizeof *fixed;
    memcpy(out, fixed, sizeof fixed);
    for (int i = 0; pg_train_option_table[i].name && n + 1 < max; i++)
        out[n++] = (struct option){pg_train_option_table[i].name, required_argument, NULL, FIRST_TRAIN_OPTION + i};
    out[n] = (struct option){0};
    return (int)n;
}

static int parse(int argc, char **argv, arguments *a)
{
    struct option options[64];
    long_options(options, 64);
    pg_options_defaults(pg_train_option_table, &a->options);
    optind = 0;
    opterr = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:", options)) != -1;) {
        int e = PG_OK;
        switch (c) {
        case 'D':
            a->data = optarg;
            break;
        case 'V':
            a->val = optarg;
            break;
        case 'f':
            a->from = optarg;
            break;
        case 'o':
            a->out = optarg;
            break;
        case 'd':
            a->device = optarg;
            break;
        case 's':
            if (a->n_pairs == MAX_PAIRS)
                return pg_fail(PG_EUSAGE, "more than %d --set options", MAX_PAIRS);
            a->pairs[a->n_pairs++] = optarg;
            break;
        case ':':
        case '?':
            return pg_command_option_error(argv, options, c);
        default:
            e = pg_options_set(pg_train_option_table, &a->options, "model train",
                               pg_train_option_table[c - FIRST_TRAIN_OPTION].name, optarg);
        }
        if (e)
            return e;
    }
    return PG_OK;
}

static int train(const pg_context *context, int argc, char **argv)
{
    arguments a = {.device = "auto"};
    int e = parse(argc, argv, &a);
    if (e)
        return e;
    if (optind + 1 != argc)
        return pg_fail(PG_EUSAGE, "model train wants one architecture; `patchgauge list models` shows them");
    if (!a.data || !a.out)
        return pg_fail(PG_EUSAGE, "model train wants --dataset NAME:SPLIT and -o FILE");
    const pg_model *model = pg_model_find(argv[optind]);
    if (!model)
        return PG_EINPUT;
    if (!model->needs_torch || model->hooks->opaque)
        return pg_fail(PG_EINPUT, "model %s has nothing to train", model->module.name);
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    e = pg_module_configure(&model->module, "model", a.pairs, a.n_pairs, config);
    if (e)
        return e;
    return pg_train(&(pg_train_job){.model = model,
                                    .config = config,
                                    .data_dir = context->data_dir,
                                    .data = a.data,
                                    .val = a.val,
                                    .from = a.from,
                                    .out = a.out,
                                    .device = a.device,
                                    .options = &a.options});
}

static int parse_import(int argc, char **argv, pg_import_job *job, const char *pairs[MAX_PAIRS])
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"input", required_argument, NULL, 'i'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"prefix", required_argument, NULL, 'p'},
                                            {"ignore-rest", no_argument, NULL, 'r'},
                                            {"half", no_argument, NULL, 'h'},
                                            {"time-limit", required_argument, NULL, 't'},
                                            {"force", no_argument, NULL, 'F'},
                                            {0}};
    int64_t limit_s;
    optind = 0;
    opterr = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:", options)) != -1;)
        switch (c) {
        case 'o':
            job->out = optarg;
            break;
        case 'k':
            job->key = optarg;
            break;
        case 't':
            if (pg_parse_int(optarg, &limit_s) || limit_s < 1 || limit_s > 1000000)
                return pg_fail(PG_EUSAGE, "--time-limit %s: whole seconds from 1 to 1000000 are needed", optarg);
            job->time_limit_s = (int)limit_s;
            break;
        case 'p':
            job->prefix = optarg;
            break;
        case 'r':
            job->ignore_rest = true;
            break;
        case 'h':
            job->half = true;
            break;
        case 'F':
            job->force = true;
            break;
        case 'i':
            if (pg_parse_size(optarg, &job->input_height, &job->input_width) || job->input_height > 4096 ||
                job->input_width > 4096)
                return pg_fail(PG_EUSAGE, "--input %s: HxW in pixels, up to 4096, is needed", optarg);
            break;
        case 's':
            if (job->n_pairs == MAX_PAIRS)
                return pg_fail(PG_EUSAGE, "more than %d --set options", MAX_PAIRS);
            pairs[job->n_pairs++] = optarg;
            break;
        default:
            return pg_command_option_error(argv, options, c);
        }
    int n = argc - optind;
    if ((n != 1 && n != 2) || !job->out || !job->input_height)
        return pg_fail(PG_EUSAGE,
                       "model import wants [ARCHITECTURE] FILE, --input HxW and -o OUT; see `patchgauge help model`");
    job->model = n == 2 ? argv[optind] : NULL;
    job->from = argv[argc - 1];
    return PG_OK;
}

/* model import [ARCHITECTURE] FILE: the report, also of what did not fit. */
static int import(int argc, char **argv)
{
    const char *pairs[MAX_PAIRS];
    pg_import_job job = {.pairs = pairs, .time_limit_s = 300};
    int e = parse_import(argc, argv, &job, pairs);
    if (e)
        return e;
    e = pg_output_check(job.out, true, (const char *const[]){job.from, NULL});
    if (!e)
        e = pg_weights_check_output(job.out, job.force, NULL);
    if (e)
        return e;
    pg_buf report;
    pg_buf_init(&report);
    e = pg_import(&job, &report);
    fputs(report.data, stdout);
    if (!e)
        printf("%-12s %s\n", "wrote", job.out);
    pg_buf_release(&report);
    return e;
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

static int inspect(const pg_context *context, int argc, char **argv)
{
    (void)context;
    if (argc != 2)
        return pg_fail(PG_EUSAGE, "model inspect wants one weights file");
    pg_weights_info info;
    int e = pg_weights_describe(argv[1], NULL, 0, &info);
    if (e)
        return e;
    const pg_geometry *g = &info.geometry;
    pg_buf options;
    pg_buf_init(&options);
    pg_options_canonical(pg_model_find(info.model)->module.options, info.config, "", false, &options);
    for (size_t i = 0; i < options.size; i++)
        if (options.data[i] == '\n')
            options.data[i] = i + 1 < options.size ? ' ' : 0;
    e = pg_buf_check(&options);
    if (e) {
        pg_buf_release(&options);
        return e;
    }
    printf("%-12s %s (version %d)\n%-12s %s\n%-12s %s\n", "model", info.model, info.model_version, "options", options.data,
           "sha256", info.hash);
    pg_buf_release(&options);
    printf("%-12s 3 x %d x %d pixels, %d classes\n", "input", g->input_height, g->input_width, g->classes);
    print_axis("rows", &g->rows);
    print_axis("columns", &g->columns);
    print_localities(argv[1], &info);
    if (strcmp(argv[1], "null") == 0)
        return PG_OK;
    pg_st_file *f = NULL;
    e = pg_st_open_header(argv[1], &f);
    static const char *const keys[] = {"dataset", "dataset_hash", "source", "seed", "command", "training"};
    for (size_t i = 0; !e && i < sizeof keys / sizeof *keys; i++)
        if (pg_st_metadata(f, keys[i]))
            printf("%-12s %s\n", keys[i], pg_st_metadata(f, keys[i]));
    pg_st_close(f);
    return e;
}

/* model measure FILE --dataset NAME:SPLIT: measures locality here and writes it beside the file. */
static int measure(const pg_context *context, int argc, char **argv)
{
    pg_locality_request r = {.data_dir = context->data_dir,
                             .device = "auto",
                             .batch = PG_BATCH_DEFAULT,
                             .trials = 2 * PG_BATCH_DEFAULT,
                             .seed = 1,
                             .moved = true};
    static const struct option options[] = {{"dataset", required_argument, NULL, 'D'}, {"device", required_argument, NULL, 'd'},
                                            {"dtype", required_argument, NULL, 't'},   {"batch", required_argument, NULL, 'b'},
                                            {"trials", required_argument, NULL, 'n'},  {0}};
    int64_t batch = r.batch;
    optind = 0;
    opterr = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":", options)) != -1;) {
        int e = PG_OK;
        switch (c) {
        case 'D':
            r.dataset = optarg;
            break;
        case 'd':
            r.device = optarg;
            break;
        case 't':
            if (strcmp(optarg, "fp32") != 0 && strcmp(optarg, "bf16") != 0)
                return pg_fail(PG_EUSAGE, "--dtype %s: fp32 or bf16", optarg);
            r.dtype = strcmp(optarg, "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
            break;
        case 'b':
            e = pg_parse_int(optarg, &batch);
            break;
        case 'n':
            e = pg_parse_int(optarg, &r.trials);
            break;
        default:
            return pg_command_option_error(argv, options, c);
        }
        if (e || batch < 1 || batch > 65536 || r.trials < 1 || r.trials > 1000000)
            return pg_fail(PG_EUSAGE, "--batch is a whole number from 1 to 65536, --trials from 1 to 1000000; not %s", optarg);
    }
    if (optind + 1 != argc || !r.dataset)
        return pg_fail(PG_EUSAGE, "model measure wants one weights file and --dataset NAME:SPLIT");
    r.batch = (int)batch;
    if (strcmp(argv[optind], "null") == 0)
        return pg_fail(PG_EINPUT, "the null model computes every position on its own: there is nothing to measure");
    pg_locality found;
    int e = pg_locality_measure(argv[optind], &r, &found);
    if (!e)
        e = pg_locality_add(argv[optind], &found);
    if (!e) {
        print_locality(&found, false);
        printf("%-12s %s.locality\n", "wrote", argv[optind]);
    }
    return e;
}

static int run(const pg_context *context, int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "train") == 0)
        return train(context, argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "import") == 0)
        return import(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "inspect") == 0)
        return inspect(context, argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "measure") == 0)
        return measure(context, argc - 1, argv + 1);
    return pg_fail(PG_EUSAGE, "model wants train, import, inspect or measure; see `patchgauge help model`");
}

const pg_command pg_command_model = {
    .name = "model",
    .synopsis = "model train ARCHITECTURE --dataset NAME:SPLIT [--val NAME:SPLIT] -o FILE [options] | model import "
                "[ARCHITECTURE] FILE --input HxW -o OUT | model inspect FILE | model measure FILE --dataset NAME:SPLIT",
    .summary = "train an architecture; import weights of PyTorch; show what a weights file holds; measure locality",
    .help =
        "model train ARCHITECTURE --dataset NAME:SPLIT -o FILE\n"
        "  --dataset NAME:SPLIT  images to learn from (cifar10:fit leaves out the last 5,000 training images)\n"
        "  --val NAME:SPLIT      images to validate on after every epoch (cifar10:val: those 5,000)\n"
        "  --from FILE           weights to start from, of the same architecture and of the same shapes; without it from the "
        "seed\n"
        "  -o, --out FILE        weights file; FILE.checkpoint and FILE.log.csv stand beside it while training\n"
        "  --device D            auto, cpu or cuda:N\n"
        "  --set KEY=VALUE       an option of the architecture (`patchgauge help model NAME`); may be given several times\n"
        "  and the options of training below\n"
        "\n"
        "The state is kept after every epoch: the same command goes on where it was stopped or killed, and ends in the\n"
        "same bytes as an undisturbed run with the same number of threads.\n"
        "\n"
        "model import [ARCHITECTURE] FILE --input HxW -o OUT.safetensors\n"
        "takes weights from a file of torch.save (.pth, .pt) or a safetensors file, and says what fits, what is missing and "
        "what is\n"
        "left over. Files of torch.save are read in all pickle protocols (0 to 5), in the zip container and in that before "
        "torch 1.6, also\n"
        "as torch 0.1.2 to 0.3 wrote them. The file is read as data: nothing in it is run. What lies beside the weights "
        "(epochs, optimizers,\n"
        "arguments, objects of any class) is listed and left out; a weight that only a function of others could make is "
        "refused by name.\n"
        "Without ARCHITECTURE the shapes tell it, and its options as far as they can.\n"
        "  --input HxW           pixels of the images the network will see\n"
        "  --set KEY=VALUE       an option of the architecture; may be given several times. The file does not tell the pixels "
        "it\n"
        "                        wants, (x - mean) / std of x in [0, 1]: --set mean=0.485,0.456,0.406 --set "
        "std=0.229,0.224,0.225 for torchvision's; nor what a\n"
        "                        smoothed network sees at a time (band=, shape=column, row or block, stride=, else columns, 1) "
        "or\n"
        "                        the strides of a BagNet (strides=, else 2,2,2,1)\n"
        "  --key NAME            the dictionary in the file that has the weights, where several fit alike (state_dict_ema)\n"
        "  --prefix PREFIX       what stands before all names of the network, where several are in one dictionary "
        "(module.model)\n"
        "  --ignore-rest         import although tensors of the file are left over\n"
        "  --half                write float16\n"
        "  --force               replace OUT, whatever file it is; without it only what the same import wrote\n"
        "Layouts: ResNet-18 and -50 of torchvision and their form with a 3 x 3 stem for small images (resnet18, resnet50), "
        "BagNet of\n"
        "bags-of-local-features (bagnet9, 17, 33), De-randomized Smoothing (ds-resnet18, ds-resnet50: six\n"
        "channels are encoding=ablation).\n"
        "Any prefix and any dictionary round it is seen through; shortcut and linear stand for downsample and fc. Batch norms "
        "are\n"
        "taken to have PyTorch's epsilon of 1e-5.\n"
        "A TorchScript module is a program: `model import torchscript FILE --trust --input HxW --set row_field=N --set "
        "column_field=N ... -o\n"
        "OUT` runs it, takes it for a network that gives local logits [n][classes][rows][columns] with the geometry that is "
        "stated, tries\n"
        "that by changing pixels outside the fields, and writes it into OUT, which every command runs with --trust only. A "
        "trusted module can do\n"
        "what you can, write files among it; what it prints is dropped.\n"
        "  --time-limit SECONDS  for loading a module and for each of its answers to one to three images; default 300\n"
        "\n"
        "model inspect FILE prints architecture, geometry, measured locality, training command and curve.\n"
        "\n"
        "model measure FILE --dataset NAME:SPLIT [--device D] [--dtype fp32|bf16] [--batch N] [--trials N]\n"
        "writes a line into FILE.locality beside FILE, which stays as it is: the largest change of a logit outside the "
        "receptive fields of random patches, and\n"
        "of all logits at other places and in batches of 1, 16, 64 and 128 (delta in `patchgauge help matrix`). It counts for "
        "its\n"
        "type, batch, kind of device and instruction set; a larger change that was found before stays.\n"
        "  --dataset, --device   as above\n"
        "  --dtype D             fp32 (default) or bf16\n"
        "  --batch N             images of a forward pass; default 128\n"
        "  --trials N            random patches, one an image, rounded up to whole batches; default 256\n",
    .options = pg_train_option_table,
    .options_title = "options of model train, with their ranges:",
    .run_words = run,
};
