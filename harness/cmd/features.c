/* patchgauge features: local logits of a model as .npy files, for `certify` and other programs. */
#include "harness/base/option.h"
#include "harness/cmd/matrix_args.h"
#include "harness/pipeline/features.h"
#include "harness/base/signals.h"

#include <stdio.h>
#include <string.h>

PG_COMMAND(features)

typedef struct arguments {
    pg_features_request request;
    pg_texts pairs;
    int64_t batch, threads;
    int dtype, predict;
} arguments;

static int set_images(const char *text, void *field)
{
    pg_features_request *r = field;
    char first[32];
    size_t length = strcspn(text, ":");
    snprintf(first, sizeof first, "%.*s", (int)length, text);
    return text[length] == ':' && length < sizeof first && pg_parse_int(first, &r->first) == PG_OK &&
                   pg_parse_int(text + length + 1, &r->end) == PG_OK && r->first >= 0 && r->end > r->first
               ? PG_OK
               : PG_EUSAGE;
}

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, "weights", "F", "weights file, or null", NULL, AT(request.weights), PG_TEXT, PG_REQUIRED},
    {0, "dataset", "D", "NAME:SPLIT", NULL, AT(request.dataset), PG_TEXT, PG_REQUIRED},
    {0, "images", "A:B", "images A to B - 1; default all", NULL, AT(request),
     PG_CALL(set_images, "FIRST:END with 0 <= FIRST < END")},
    PG_OUTPUTS_ROW(AT(request.outputs)),
    PG_PREDICT_ROW(AT(predict)),
    {'o', "output", "DIR", "folder, made where it is missing; what `features` wrote there before is replaced", NULL,
     AT(request.folder), PG_TEXT, PG_REQUIRED},
    {0, "force", NULL, "replace files of these names that are not from `features`", NULL, AT(request.force), PG_FLAG},
    PG_BATCH_ROW(AT(batch)),
    PG_DTYPE_ROW(AT(dtype)),
    PG_DEVICE_ROW(AT(request.device)),
    PG_THREADS_ROW(AT(threads)),
    PG_SET_ROW(AT(pairs), "option of the null model"),
    PG_CLI_END,
};

static int run(const pg_context *context, void *given)
{
    const arguments *a = given;
    pg_features_request r = a->request;
    r.data_dir = context->data_dir;
    r.pairs = a->pairs.items;
    r.n_pairs = a->pairs.n;
    r.all = r.end == 0;
    r.batch = (int)a->batch;
    r.threads = (int)a->threads;
    r.dtype = (pg_dtype)a->dtype;
    r.predicts_labels = a->predict == PG_PREDICT_DATASET;
    pg_signals_catch();
    pg_signals_answer();
    return pg_features_write(&r);
}

const pg_command pg_command_features = {
    .name = "features",
    .synopsis = "features --weights F --dataset D [--images A:B] -o DIR [options]",
    .summary = "write the local logits of a model as .npy files",
    .help =
        "Writes DIR/features.npy (float32, [n][H][W][N]), DIR/labels.npy (int32, [n]) and DIR/meta.json (geometry, hashes, and "
        "the measured locality: delta of images at their places, delta_any_batch wherever they stand in a batch; null: not "
        "measured here; `certify --delta-grid` takes either). `certify` on these files gives the verdicts of a run with the "
        "same batch and dtype. Files appear whole or not at all.\n",
    .examples =
        "  patchgauge features --weights models/zoo/synthetic-ds.safetensors --dataset synthetic:test --images 0:100 -o dump\n"
        "  patchgauge certify dump/features.npy dump/labels.npy --defense robust-masking --window 1x8 --wrap\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
