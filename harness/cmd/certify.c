/* `patchgauge certify`: any defense on dumped features, without a model.
 *
 * Source: certificate definitions, section 8. The rows are put together in memory and printed when all of them are there, so
 * that a failure prints none. */
#include "defenses/certifier.h"
#include "defenses/invariance.h"
#include "harness/base/log.h"
#include "harness/base/npy.h"
#include "harness/cmd/command.h"
#include "harness/plan/modules.h"
#include "harness/run/process.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(certify)

typedef enum row_format { FORMAT_CSV, FORMAT_JSON } row_format;

typedef struct request {
    const char *features_path, *labels_path;
    const pg_defense *defense;
    pg_job job;
    bool has_window, has_delta, wrap_rows, wrap_columns, masked;
    row_format format;
    const char **pairs; /* --set */
    size_t n_pairs;
    _Alignas(max_align_t) unsigned char config[PG_CONFIG_MAX];
} request;

static int set_wrap(const char *value, request *r)
{
    static const char *const axes[] = {"w", "h", "hw", NULL};
    size_t i = 0;
    while (value && axes[i] && strcmp(axes[i], value) != 0 && !(i == 2 && strcmp(value, "wh") == 0))
        i++;
    if (!axes[i])
        return pg_fail(PG_EUSAGE, "--wrap=%s: right would be w (the width, also the meaning of --wrap alone), h or hw", value);
    r->wrap_columns = i != 1;
    r->wrap_rows = i != 0;
    return PG_OK;
}

static int set_option(int option, const char *value, request *r)
{
    switch (option) {
    case 'd':
        r->defense = r->job.defense = pg_defense_find(value);
        return r->defense ? PG_OK : PG_EINPUT;
    case 'w':
        r->has_window = true;
        if (pg_parse_size(value, &r->job.window.height, &r->job.window.width) == PG_OK)
            return PG_OK;
        return pg_fail(PG_EUSAGE, "--window %s: right would be HxW in positions, both at least 1, as 1x8", value);
    case 'r':
        return set_wrap(value, r);
    case 'e':
        r->has_delta = true;
        if (pg_parse_int(value, &r->job.delta) == PG_OK && r->job.delta >= 0)
            return PG_OK;
        return pg_fail(PG_EUSAGE, "--delta %s: right would be an integer of at least 0, in units of 2^-20", value);
    case 's':
        r->pairs[r->n_pairs++] = value;
        return PG_OK;
    case 'm':
        r->masked = true;
        return PG_OK;
    default:
        r->format = strcmp(value, "json") == 0 ? FORMAT_JSON : FORMAT_CSV;
        return r->format == FORMAT_JSON || strcmp(value, "csv") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "-f %s: right would be csv or json", value);
    }
}

static int parse(int argc, char **argv, request *r)
{
    static const struct option options[] = {{"defense", required_argument, NULL, 'd'},
                                            {"window", required_argument, NULL, 'w'},
                                            {"wrap", optional_argument, NULL, 'r'},
                                            {"delta", required_argument, NULL, 'e'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"masked", no_argument, NULL, 'm'},
                                            {"format", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":f:", options)) != -1;) {
        if (c == '?' || c == ':')
            return pg_command_option_error(argv, options, c);
        int code = set_option(c, optarg, r);
        if (code)
            return code;
    }
    if (argc - optind != 2)
        return pg_fail(PG_EUSAGE, "certify: %d files given: right would be FEATURES.npy LABELS.npy", argc - optind);
    r->features_path = argv[optind];
    r->labels_path = argv[optind + 1];
    if (!r->defense)
        return pg_fail(PG_EUSAGE, "certify: --defense is missing; `patchgauge list defenses` names them");
    if (!r->has_window)
        return pg_fail(PG_EUSAGE, "certify: --window is missing: the positions a patch can touch, HxW");
    if (r->masked && r->has_delta)
        return pg_fail(PG_EUSAGE, "certify: --masked makes no certificates, so that --delta means nothing there: leave one of them out");
    r->job.config = r->config;
    int code = pg_module_configure(&r->defense->module, "defense", r->pairs, r->n_pairs, r->config);
    if (code == PG_OK) {
        pg_evidence_spec spec;
        r->defense->evidence(r->config, &spec);
        r->job.logit_delta = r->job.delta;
        r->job.delta = pg_evidence_delta(&spec, r->job.logit_delta);
    }
    return code;
}

static int64_t label_at(const pg_npy *labels, size_t i)
{
    switch (labels->dtype) {
    case PG_NPY_I1:
        return ((const int8_t *)labels->data)[i];
    case PG_NPY_I2:
        return ((const int16_t *)labels->data)[i];
    case PG_NPY_I4:
        return ((const int32_t *)labels->data)[i];
    case PG_NPY_U1:
        return ((const uint8_t *)labels->data)[i];
    case PG_NPY_U2:
        return ((const uint16_t *)labels->data)[i];
    case PG_NPY_U4:
        return ((const uint32_t *)labels->data)[i];
    case PG_NPY_U8: {
        uint64_t label = ((const uint64_t *)labels->data)[i];
        return label > INT64_MAX ? INT64_MAX : (int64_t)label;
    }
    default:
        return ((const int64_t *)labels->data)[i];
    }
}

static int check_files(const request *r, const pg_npy *features, const pg_npy *labels)
{
    if (features->dtype != PG_NPY_F4 && features->dtype != PG_NPY_F8)
        return pg_fail(PG_EINPUT, "%s: integers; features are float32 or float64", r->features_path);
    if (features->rank != 4)
        return pg_fail(PG_EINPUT, "%s: an array of rank %d; features are [images, height, width, classes]", r->features_path,
                       features->rank);
    if (labels->dtype == PG_NPY_F4 || labels->dtype == PG_NPY_F8)
        return pg_fail(PG_EINPUT, "%s: floating point; labels are integers", r->labels_path);
    if (labels->rank != 1 || labels->shape[0] != features->shape[0])
        return pg_fail(PG_EINPUT, "%s: rank %d with %lld entries; %lld features need labels of rank 1 with as many",
                       r->labels_path, labels->rank, (long long)labels->count, (long long)features->shape[0]);
    for (int i = 1; i < 4; i++)
        if (features->shape[i] < 1 || features->shape[i] > INT32_MAX)
            return pg_fail(PG_EINPUT, "%s: %lld positions or classes along axis %d; at least 1 and below 2^31 are needed",
                           r->features_path, (long long)features->shape[i], i);
    for (size_t i = 0; i < labels->count; i++) {
        int64_t label = label_at(labels, i);
        if (label < 0 || label >= features->shape[3])
            return pg_fail(PG_EINPUT, "%s: label %lld of image %zu is outside the classes 0 to %lld", r->labels_path,
                           (long long)label, i, (long long)features->shape[3] - 1);
    }
    return PG_OK;
}

/* margin / 2^20 with 9 decimals, rounded to nearest, in integers: no locale, no rounding mode. */
static void print_margin(int64_t margin, pg_buf *out)
{
    __extension__ typedef unsigned __int128 wide;
    wide size = margin < 0 ? -(wide)margin : (wide)margin;
    wide nano = (size * 1000000000u + ((wide)1 << 19)) >> 20;
    pg_buf_printf(out, "%s%llu.%09llu", margin < 0 ? "-" : "", (unsigned long long)(nano / 1000000000u),
                  (unsigned long long)(nano % 1000000000u));
}

static void print_row(row_format format, size_t index, int label, const pg_verdict *v, pg_buf *out)
{
    bool json = format == FORMAT_JSON;
    const char *absent = json ? "null" : "";
    pg_buf_printf(
        out, json ? "%s{\"index\": %zu, \"label\": %d, \"prediction\": %d, \"certified\": %d, \"margin\": " : "%s%zu,%d,%d,%d,",
        json && index ? ",\n " : "", index, label, v->prediction, v->certified);
    if (v->has_margin)
        print_margin(v->margin, out);
    else
        pg_buf_puts(out, absent);
    pg_buf_puts(out, json ? ", \"case\": " : ",");
    if (v->failure_case >= 0)
        pg_buf_printf(out, "%d", v->failure_case);
    else
        pg_buf_puts(out, absent);
    pg_buf_puts(out, json ? "}" : "\n");
}

/* All rows into `out`; the number of images with a NaN or an infinity into `nonfinite`. */
static int certify(const request *r, const pg_npy *features, const pg_npy *labels, pg_buf *out, size_t *nonfinite)
{
    int height = (int)features->shape[1], width = (int)features->shape[2], classes = (int)features->shape[3];
    size_t n = (size_t)features->shape[0], values = n ? features->count / n : 0;
    char name[PG_MODULE_LABEL_MAX];
    pg_certifier *certifier;
    pg_progress progress;
    int code = pg_certifier_new(&r->job, 1, height, width, classes, r->wrap_rows, r->wrap_columns, &certifier);
    if (code)
        return code;
    pg_buf_puts(out, r->format == FORMAT_JSON ? "[" : "index,label,prediction,certified,margin,case\n");
    pg_modules_label("defense", &r->defense->module, name);
    pg_progress_start(&progress, "certify", 0, (int64_t)n);
    for (size_t i = 0; !code && i < n; i++) {
        pg_verdict verdict;
        int label = (int)label_at(labels, i);
        pg_process_note("%s: image %zu", name, i);
        if (features->dtype == PG_NPY_F4)
            pg_certifier_image_f32(certifier, (const float *)features->data + i * values, label, &verdict);
        else
            pg_certifier_image_f64(certifier, (const double *)features->data + i * values, label, &verdict);
        code = pg_verdict_check(&r->job, &verdict, label, classes);
        if (code)
            code = pg_modules_blame(code, "defense", &r->defense->module, (int64_t)i);
        *nonfinite += verdict.prediction < 0;
        print_row(r->format, i, label, &verdict, out);
        pg_progress_update(&progress, (int64_t)i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_certifier_free(certifier);
    if (r->format == FORMAT_JSON)
        pg_buf_puts(out, "]\n");
    return code ? code : pg_buf_check(out);
}

/* The same for --masked: windows that change a prediction, instead of certificates. */
static int mask(const request *r, const pg_npy *features, const pg_npy *labels, pg_buf *out, size_t *nonfinite)
{
    int height = (int)features->shape[1], width = (int)features->shape[2], classes = (int)features->shape[3];
    size_t n = (size_t)features->shape[0], image = n ? features->count / n * pg_npy_item_size(features->dtype) : 0;
    bool json = r->format == FORMAT_JSON;
    pg_invariance *masks;
    pg_progress progress;
    int code = pg_invariance_new(&r->job, height, width, classes, r->wrap_rows, r->wrap_columns, &masks);
    if (code)
        return code;
    pg_buf_puts(out, json ? "[" : "index,label,prediction,windows,wrong,changed\n");
    pg_progress_start(&progress, "mask", 0, (int64_t)n);
    for (size_t i = 0; !code && i < n; i++) {
        int label = (int)label_at(labels, i);
        const void *logits = (const unsigned char *)features->data + i * image;
        pg_masked m = pg_invariance_image(masks, logits, features->dtype == PG_NPY_F8, label);
        if ((code = pg_prediction_check(m.prediction, classes)) != PG_OK)
            code = pg_modules_blame(code, "defense", &r->defense->module, (int64_t)i);
        *nonfinite += m.prediction < 0;
        pg_buf_printf(out,
                      json ? "%s{\"index\": %zu, \"label\": %d, \"prediction\": %d, \"windows\": %d, \"wrong\": %d, "
                             "\"changed\": %d}"
                           : "%s%zu,%d,%d,%d,%d,%d\n",
                      json && i ? ",\n " : "", i, label, m.prediction, pg_invariance_windows(masks), m.wrong, m.changed);
        pg_progress_update(&progress, (int64_t)i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_invariance_free(masks);
    pg_buf_puts(out, json ? "]\n" : "");
    return code ? code : pg_buf_check(out);
}

static void say_what_it_is_worth(const request *r, size_t nonfinite)
{
    if (nonfinite)
        pg_warn("%zu images hold a NaN or an infinity: prediction -1, not certified", nonfinite);
    if (r->masked)
        return;
    if (r->defense->certificate(r->config) == PG_CERTIFICATE_NONE)
        pg_warn("%s: case 4 is certified as published, which is not a proof: the column certified is 0 throughout",
                r->defense->module.name);
    if (!r->has_delta)
        pg_info("locality not measured (no --delta): certificates assume that nothing outside a window changes");
}

static int run(const pg_context *context, int argc, char **argv)
{
    (void)context;
    request r = {0};
    pg_npy features = {0}, labels = {0};
    size_t nonfinite = 0;
    pg_buf out;
    pg_buf_init(&out);
    r.pairs = calloc((size_t)argc + 1, sizeof *r.pairs);
    int code = r.pairs ? parse(argc, argv, &r) : pg_fail(PG_ENOMEM, "out of memory");
    if (!code)
        code = pg_npy_open(r.features_path, &features);
    if (!code)
        code = pg_npy_open(r.labels_path, &labels);
    if (!code)
        code = check_files(&r, &features, &labels);
    if (!code)
        code = (r.masked ? mask : certify)(&r, &features, &labels, &out, &nonfinite);
    if (!code && (fwrite(out.data, 1, out.size, stdout) != out.size || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write the rows to standard output");
    if (!code)
        say_what_it_is_worth(&r, nonfinite);
    pg_npy_release(&features);
    pg_npy_release(&labels);
    pg_buf_release(&out);
    free(r.pairs);
    return code;
}

const pg_command pg_command_certify = {
    .name = "certify",
    .synopsis =
        "certify FEATURES.npy LABELS.npy --defense NAME --window HxW [--wrap[=w|h|hw]] [--delta D] [--set key=value]... "
        "[--masked] [-f csv|json]",
    .summary = "certify dumped features with any defense, without a model",
    .help = "  FEATURES.npy     float32 or float64 [images, height, width, classes]: local logits\n"
            "  LABELS.npy       integers [images]\n"
            "  --defense NAME   see `patchgauge list defenses`\n"
            "  --window HxW     positions of the map that a patch can touch at its worst place; cut to the map. README has the formula;\n"
            "                   an axis that wraps, of pixels that the stride does not divide, can need one more\n"
            "  --wrap[=AXES]    the map wraps along its width (w, also --wrap alone: column bands), height (h) or both (hw)\n"
            "  --delta D        measured locality: the most that a logit outside a window changes, in units of 2^-20, as `features`\n"
            "                   writes it into meta.json; what the defense reads of it changes by what follows from that, a vote by\n"
            "                   1048576 (default: not measured, taken as 0)\n"
            "  --set key=value  an option of the defense, see `patchgauge help defense NAME`; may be given several times\n"
            "  --masked         no certificates: every window once without its evidence, 0 for every class, and the defense predicts from\n"
            "                   what remains; prints index, label, prediction, windows (how many there are), wrong and changed: without\n"
            "                   how many of them the prediction is not the label, and not what it was\n"
            "  -f, --format F   csv (default) or json\n"
            "\n"
            "Prints index, label, prediction, certified (0 or 1), margin (empty where there is none) and case (robust-masking "
            "with\n"
            "scope=predicted alone: 4 is certified as published). Notes go to standard error.\n"
            "\n"
            "  patchgauge certify features.npy labels.npy --defense ds --window 1x8 --wrap --set rule=window\n"
            "  patchgauge certify features.npy labels.npy --defense robust-masking --window 6x6 --set threshold=0.2 -f json\n"
            "  patchgauge certify features.npy labels.npy --defense mean --window 6x6 --masked\n",
    .run = run,
};
