/* patchgauge features: local logits of a model as .npy files, for `certify` and other programs. */
#include "harness/base/option.h"
#include "harness/cmd/command.h"
#include "harness/pipeline/features.h"
#include "harness/base/signals.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(features)

enum { PAIRS_MAX = 64 };

typedef struct arguments {
    pg_features_request request;
    const char *pairs[PAIRS_MAX];
} arguments;

static int read_number(const char *option, const char *text, int64_t least, int64_t most, int *out)
{
    int64_t value = 0;
    if (pg_parse_int(text, &value) != PG_OK || value < least || value > most)
        return pg_fail(PG_EUSAGE, "%s %s: right would be a whole number from %lld to %lld", option, text, (long long)least,
                       (long long)most);
    *out = (int)value;
    return PG_OK;
}

static int read_images(const char *text, pg_features_request *r)
{
    char first[32];
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (colon && length < sizeof first) {
        memcpy(first, text, length);
        first[length] = 0;
        r->all = false;
        if (pg_parse_int(first, &r->first) == PG_OK && pg_parse_int(colon + 1, &r->end) == PG_OK && r->first >= 0 &&
            r->end > r->first)
            return PG_OK;
    }
    return pg_fail(PG_EUSAGE, "--images %s: right would be FIRST:END with 0 <= FIRST < END", text);
}

static int set(arguments *a, int option, const char *text)
{
    pg_features_request *r = &a->request;
    switch (option) {
    case 'w':
        r->weights = text;
        return PG_OK;
    case 'd':
        r->dataset = text;
        return PG_OK;
    case 'o':
        r->folder = text;
        return PG_OK;
    case 'D':
        r->device = text;
        return PG_OK;
    case 'F':
        r->force = true;
        return PG_OK;
    case 'i':
        return read_images(text, r);
    case 'b':
        return read_number("--batch", text, 1, 4096, &r->batch);
    case 't':
        return read_number("--threads", text, 0, 1024, &r->threads);
    case 'y':
        if (strcmp(text, "fp32") != 0 && strcmp(text, "bf16") != 0)
            return pg_fail(PG_EUSAGE, "--dtype %s: right would be fp32 or bf16", text);
        r->dtype = strcmp(text, "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
        return PG_OK;
    default:
        if (r->n_pairs == PAIRS_MAX)
            return pg_fail(PG_EUSAGE, "more than %d --set options", (int)PAIRS_MAX);
        a->pairs[r->n_pairs++] = text;
        return PG_OK;
    }
}

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
                                            {"dataset", required_argument, NULL, 'd'},
                                            {"images", required_argument, NULL, 'i'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"device", required_argument, NULL, 'D'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"dtype", required_argument, NULL, 'y'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"force", no_argument, NULL, 'F'},
                                            {NULL, 0, NULL, 0}};
    a->request = (pg_features_request){.all = true, .device = "auto", .batch = PG_BATCH_DEFAULT, .pairs = a->pairs};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:", options)) != -1;) {
        int code = c == '?' || c == ':' ? pg_command_option_error(argv, options, c) : set(a, c, optarg);
        if (code != PG_OK)
            return code;
    }
    if (optind < argc)
        return pg_fail(PG_EUSAGE, "features takes options only, but was given \"%s\"", argv[optind]);
    if (!a->request.weights || !a->request.dataset || !a->request.folder)
        return pg_fail(PG_EUSAGE, "%s is missing; usage: patchgauge features --weights F --dataset D [--images A:B] -o DIR",
                       !a->request.weights   ? "--weights"
                       : !a->request.dataset ? "--dataset"
                                             : "-o");
    return PG_OK;
}

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a = {0};
    int code = parse(argc, argv, &a);
    a.request.data_dir = context->data_dir;
    if (code == PG_OK) {
        pg_signals_catch();
        pg_signals_answer();
    }
    return code == PG_OK ? pg_features_write(&a.request) : code;
}

const pg_command pg_command_features = {
    .name = "features",
    .synopsis = "features --weights F --dataset D [--images A:B] -o DIR",
    .summary = "write the local logits of a model as .npy files",
    .help =
        "Writes DIR/features.npy (float32, [n][H][W][N]), DIR/labels.npy (int32, [n]) and DIR/meta.json (geometry, hashes, "
        "and the measured locality: delta of images at their places, delta_any_batch wherever they stand in a batch; null: "
        "not measured\n"
        "here; `certify --delta-grid` takes either).\n"
        "`certify` on these files gives the verdicts of a run with the same batch and dtype. Files appear whole or not at "
        "all.\n"
        "\n"
        "  --weights F      weights file, or null\n"
        "  --dataset D      NAME:SPLIT\n"
        "  --images A:B     images A to B - 1; default all\n"
        "  -o, --output D   folder, made where it is missing; what `features` wrote there before is replaced\n"
        "  --force          replace files of these names that are not from `features`\n"
        "  --batch N        images of a forward pass; default 128\n"
        "  --dtype T        fp32 (default) or bf16\n"
        "  --device D       auto (default), cpu, cuda:N\n"
        "  --threads N      cores of a forward pass; default 0: all\n"
        "  --set KEY=VALUE  option of the null model; may be given several times\n"
        "\n"
        "  patchgauge features --weights models/zoo/synthetic-ds.safetensors --dataset synthetic:test --images 0:100 -o dump\n"
        "  patchgauge certify dump/features.npy dump/labels.npy --defense robust-masking --window 1x8 --wrap\n",
    .run_words = run,
};
