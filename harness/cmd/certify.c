/* `patchgauge certify`: any defense on dumped features, without a model.
 *
 * Source: defenses/CERTIFICATES.md, section 19. The rows are put together in memory and printed when all of them are there, so
 * that a failure prints none. */
#include "defenses/certifier.h"
#include "defenses/invariance.h"
#include "harness/base/grid.h"
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/cmd/dump.h"
#include "harness/plan/modules.h"
#include "harness/base/process.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(certify)

typedef enum row_format { FORMAT_CSV, FORMAT_JSON } row_format;

typedef struct request {
    pg_dump_request dump;
    pg_dump_patch patch;
    const pg_defense *defense;
    pg_job job;
    bool has_window, has_patch, has_delta, has_delta_grid, wrap_rows, wrap_columns, masked;
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

static int set_delta(const char *option, const char *value, request *r)
{
    if (pg_parse_int(value, &r->job.logit_delta) == PG_OK && r->job.logit_delta >= 0)
        return PG_OK;
    return pg_fail(PG_EUSAGE, "%s %s: right would be an integer of at least 0, in units of 2^-20", option, value);
}

static int set_layout(const char *value, request *r)
{
    r->dump.layout = strcmp(value, "nchw") == 0   ? PG_LAYOUT_NCHW
                     : strcmp(value, "nhwc") == 0 ? PG_LAYOUT_NHWC
                                                  : PG_LAYOUT_ASSUMED;
    return r->dump.layout != PG_LAYOUT_ASSUMED ? PG_OK : pg_fail(PG_EUSAGE, "--layout %s: right would be nhwc or nchw", value);
}

static int set_window(const char *value, request *r)
{
    r->has_window = true;
    if (pg_parse_size(value, &r->job.window.height, &r->job.window.width) == PG_OK)
        return PG_OK;
    return pg_fail(PG_EUSAGE, "--window %s: right would be HxW in positions, both at least 1, as 1x8", value);
}

enum { FEATURES_KEY = 1, LABELS_KEY, LAYOUT, DELTA_GRID, PATCH, FIELD, STRIDE, PIXELS }; /* options without a letter */

static int set_option(int option, const char *value, request *r)
{
    const char **texts[] = {[FEATURES_KEY] = &r->dump.features_key,
                            [LABELS_KEY] = &r->dump.labels_key,
                            [PATCH] = &r->patch.patch,
                            [FIELD] = &r->patch.field,
                            [STRIDE] = &r->patch.stride,
                            [PIXELS] = &r->patch.pixels};
    switch (option) {
    case 'd':
        r->defense = r->job.defense = pg_defense_find(value);
        return r->defense ? PG_OK : PG_EINPUT;
    case 'w':
        return set_window(value, r);
    case 'r':
        return set_wrap(value, r);
    case 'e':
        r->has_delta = true;
        return set_delta("--delta", value, r);
    case DELTA_GRID:
        r->has_delta_grid = true;
        return set_delta("--delta-grid", value, r);
    case LAYOUT:
        return set_layout(value, r);
    case 's':
        r->pairs[r->n_pairs++] = value;
        return PG_OK;
    case 'm':
        r->masked = true;
        return PG_OK;
    case 'f':
        r->format = strcmp(value, "json") == 0 ? FORMAT_JSON : FORMAT_CSV;
        return r->format == FORMAT_JSON || strcmp(value, "csv") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "-f %s: right would be csv or json", value);
    default:
        r->has_patch |= option >= PATCH;
        *texts[option] = value;
        return PG_OK;
    }
}

/* What was given together, and what is missing. */
static int check(const request *r)
{
    if (!r->defense)
        return pg_fail(PG_EUSAGE, "certify: --defense is missing; `patchgauge list defenses` names them");
    if (!r->has_window && !r->has_patch)
        return pg_fail(PG_EUSAGE,
                       "certify: --window is missing: the positions a patch can touch, HxW; or --patch, --field, --stride and "
                       "--pixels, from which it follows");
    if (r->has_window && r->has_patch)
        return pg_fail(PG_EUSAGE,
                       "certify: --window and --patch, --field, --stride or --pixels: either states the window; leave one out");
    if (r->has_delta && r->has_delta_grid)
        return pg_fail(
            PG_EUSAGE,
            "certify: --delta and --delta-grid say the same, one of logits and one of the grid: leave one of them out");
    if (r->masked && (r->has_delta || r->has_delta_grid))
        return pg_fail(PG_EUSAGE,
                       "certify: --masked makes no certificates, so that --delta means nothing there: leave one of them out");
    return PG_OK;
}

/* Rounding can add a unit to what a logit changes by: 3.5 and 2.5 units, one apart, become 4 and 2. */
static void resolve_delta(request *r)
{
    pg_evidence_spec spec;
    if (r->has_delta && r->job.logit_delta > 0 && r->job.logit_delta < INT64_MAX)
        r->job.logit_delta++;
    r->defense->evidence(r->config, &spec);
    r->job.delta = pg_evidence_delta(&spec, r->job.logit_delta);
}

static int parse(int argc, char **argv, request *r)
{
    static const struct option options[] = {{"defense", required_argument, NULL, 'd'},
                                            {"window", required_argument, NULL, 'w'},
                                            {"wrap", optional_argument, NULL, 'r'},
                                            {"delta", required_argument, NULL, 'e'},
                                            {"delta-grid", required_argument, NULL, DELTA_GRID},
                                            {"patch", required_argument, NULL, PATCH},
                                            {"field", required_argument, NULL, FIELD},
                                            {"stride", required_argument, NULL, STRIDE},
                                            {"pixels", required_argument, NULL, PIXELS},
                                            {"layout", required_argument, NULL, LAYOUT},
                                            {"features-key", required_argument, NULL, FEATURES_KEY},
                                            {"labels-key", required_argument, NULL, LABELS_KEY},
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
    r->dump.features = argv[optind];
    r->dump.labels = argv[optind + 1];
    int code = check(r);
    if (code)
        return code;
    r->job.config = r->config;
    code = pg_module_configure(&r->defense->module, "defense", r->pairs, r->n_pairs, r->config);
    if (!code)
        resolve_delta(r);
    return code;
}

/* margin / PG_GRID with 9 decimals, rounded to nearest, in integers: no locale, no rounding mode. */
static void print_margin(int64_t margin, pg_buf *out)
{
    __extension__ typedef unsigned __int128 wide;
    wide size = margin < 0 ? -(wide)margin : (wide)margin;
    wide nano = (size * 1000000000u + PG_GRID / 2) >> PG_GRID_BITS;
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

/* What is told of all images. */
typedef struct counts {
    int64_t nonfinite, saturated, differs;
} counts;

/* All rows into `out`. */
static int certify(const request *r, pg_dump *d, pg_buf *out, counts *n)
{
    char name[PG_MODULE_LABEL_MAX];
    pg_certifier *certifier;
    pg_progress progress;
    int code = pg_certifier_new(&r->job, 1, d->height, d->width, d->classes, r->wrap_rows, r->wrap_columns, &certifier);
    if (code)
        return code;
    pg_buf_puts(out, r->format == FORMAT_JSON ? "[" : "index,label,prediction,certified,margin,case\n");
    pg_modules_label("defense", &r->defense->module, name);
    pg_progress_start(&progress, "certify", 0, d->n);
    for (int64_t i = 0; i < d->n && !code; i++) {
        pg_verdict verdict;
        const void *image;
        code = pg_dump_next(d, &image);
        if (code)
            break;
        pg_process_note("%s: image %lld", name, (long long)i);
        if (d->wide)
            pg_certifier_image_f64(certifier, image, d->labels[i], &verdict);
        else
            pg_certifier_image_f32(certifier, image, d->labels[i], &verdict);
        code = pg_verdict_check(&r->job, &verdict, d->labels[i], d->classes);
        if (code) {
            code = pg_modules_blame(code, "defense", &r->defense->module, i);
            break;
        }
        n->nonfinite += verdict.prediction < 0;
        n->saturated += verdict.saturated;
        n->differs += verdict.differs;
        print_row(r->format, (size_t)i, d->labels[i], &verdict, out);
        pg_progress_update(&progress, i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_certifier_free(certifier);
    if (r->format == FORMAT_JSON)
        pg_buf_puts(out, "]\n");
    return code ? code : pg_buf_check(out);
}

/* The same for --masked: windows that change a prediction, instead of certificates. */
static int mask(const request *r, pg_dump *d, pg_buf *out, counts *n)
{
    bool json = r->format == FORMAT_JSON;
    pg_invariance *masks;
    pg_progress progress;
    int code = pg_invariance_new(&r->job, d->height, d->width, d->classes, r->wrap_rows, r->wrap_columns, &masks);
    if (code)
        return code;
    pg_buf_puts(out, json ? "[" : "index,label,prediction,windows,wrong,changed\n");
    pg_progress_start(&progress, "mask", 0, d->n);
    for (int64_t i = 0; i < d->n && !code; i++) {
        const void *image;
        code = pg_dump_next(d, &image);
        if (code)
            break;
        pg_masked m = pg_invariance_image(masks, image, d->wide, d->labels[i]);
        code = pg_prediction_check(m.prediction, d->classes);
        if (code) {
            code = pg_modules_blame(code, "defense", &r->defense->module, i);
            break;
        }
        n->nonfinite += m.prediction < 0;
        pg_buf_printf(out,
                      json ? "%s{\"index\": %lld, \"label\": %d, \"prediction\": %d, \"windows\": %d, \"wrong\": %d, "
                             "\"changed\": %d}"
                           : "%s%lld,%d,%d,%d,%d,%d\n",
                      json && i ? ",\n " : "", (long long)i, d->labels[i], m.prediction, pg_invariance_windows(masks), m.wrong,
                      m.changed);
        pg_progress_update(&progress, i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_invariance_free(masks);
    pg_buf_puts(out, json ? "]\n" : "");
    return code ? code : pg_buf_check(out);
}

static const char *images(int64_t n) { return n == 1 ? "image" : "images"; }

static void say_what_it_is_worth(const request *r, const counts *n)
{
    if (n->nonfinite)
        pg_warn("%lld %s with a NaN or an infinity: prediction -1, not certified", (long long)n->nonfinite,
                images(n->nonfinite));
    if (r->masked)
        return;
    if (n->saturated)
        pg_warn("%lld %s with values beyond +-1024, where the grid ends: they count as +-1024", (long long)n->saturated,
                images(n->saturated));
    if (n->differs)
        pg_warn("%lld %s predicted otherwise in double: values are rounded to multiples of 2^-20 within +-1024, and what is "
                "certified is the "
                "prediction from those",
                (long long)n->differs, images(n->differs));
    if (!r->defense->predict_double)
        pg_info("%s: predictions are not compared with those in double", r->defense->module.name);
    if (r->defense->certificate(r->config) == PG_CERTIFICATE_NONE)
        pg_warn("%s: case 4 is certified as published, which is not a proof: the column certified is 0 throughout",
                r->defense->module.name);
    if (!r->has_delta && !r->has_delta_grid)
        pg_info("locality not measured (no --delta): certificates assume that nothing outside a window changes");
}

static int run(const pg_context *context, int argc, char **argv)
{
    (void)context;
    request r = {0};
    pg_dump dump = {0};
    counts n = {0};
    pg_buf out;
    pg_buf_init(&out);
    r.pairs = calloc((size_t)argc + 1, sizeof *r.pairs);
    int code = r.pairs ? parse(argc, argv, &r) : pg_fail(PG_ENOMEM, "out of memory");
    if (!code)
        code = pg_dump_open(&r.dump, &dump);
    if (!code && r.has_patch)
        code = pg_dump_window(&dump, &r.patch, r.wrap_rows, r.wrap_columns, &r.job.window);
    if (!code)
        code = (r.masked ? mask : certify)(&r, &dump, &out, &n);
    if (!code && (fwrite(out.data, 1, out.size, stdout) != out.size || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write the rows to standard output");
    if (!code)
        say_what_it_is_worth(&r, &n);
    pg_dump_close(&dump);
    pg_buf_release(&out);
    free(r.pairs);
    return code;
}

const pg_command pg_command_certify = {
    .name = "certify",
    .synopsis =
        "certify FEATURES LABELS --defense NAME (--window HxW | --patch P --field F --stride S --pixels P) [--wrap[=w|h|hw]] "
        "[--delta D | --delta-grid D] [--layout nhwc|nchw] [--set key=value]... [--masked] [-f csv|json]",
    .summary = "certify dumped features with any defense, without a model",
    .help =
        "  FEATURES         .npy or .npz of numpy: float16, float32 or float64 [images, rows, columns, classes]: local logits\n"
        "  LABELS           .npy or .npz: integers [images]\n"
        "  --features-key K, --labels-key K\n"
        "                   the array of an .npz; else its only one, or the one called features, logits or local_logits; "
        "labels, label,\n"
        "                   targets or y\n"
        "  --layout L       of the features: nhwc, or nchw for [images, classes, rows, columns]; has to be given where the "
        "shape looks like\n"
        "                   the other one\n"
        "  --defense NAME   see `patchgauge list defenses`\n"
        "  --window HxW     positions of the map that a patch can touch at its worst place; cut to the map\n"
        "  --patch P, --field F, --stride S, --pixels P\n"
        "                   instead of it: the patch (5, 5x8, or a share of the image as 2.4%, a square), the receptive field "
        "of a\n"
        "                   position, the step from one to the next, and the image, in pixels, one number or HxW; whatever the "
        "padding.\n"
        "                   The window that follows is printed\n"
        "  --wrap[=AXES]    the map wraps along its width (w, also --wrap alone: column bands), height (h) or both (hw)\n"
        "  --delta D        measured locality: the most that a logit outside a window changes, in units of 2^-20; rounding can "
        "add a unit,\n"
        "                   which is counted for D > 0 (default: not measured, taken as 0). What the defense reads of a logit "
        "changes by\n"
        "                   what follows from that; a vote only where another class is as near as that\n"
        "  --delta-grid D   the same of logits on the grid, where rounding is counted already: what `features` writes into "
        "meta.json\n"
        "  --set key=value  an option of the defense, see `patchgauge help defense NAME`; may be given several times\n"
        "  --masked         no certificates: every window once without its evidence, 0 for every class, and the defense "
        "predicts from\n"
        "                   what remains; prints index, label, prediction, windows (how many there are), wrong and changed: "
        "without\n"
        "                   how many of them the prediction is not the label, and not what it was\n"
        "  -f, --format F   csv (default) or json\n"
        "\n"
        "Prints index, label, prediction, certified (0 or 1), margin (empty where there is none) and case (robust-masking "
        "with\n"
        "scope=predicted alone: 4 is certified as published). Notes go to standard error.\n"
        "\n"
        "  patchgauge certify dump/features.npy dump/labels.npy --defense ds --window 1x8 --wrap --set rule=window\n"
        "  patchgauge certify dump/features.npy dump/labels.npy --defense robust-masking --window 1x8 --wrap -f json\n"
        "  patchgauge certify dump/features.npy dump/labels.npy --defense mean --window 1x8 --wrap --masked\n",
    .run_words = run,
};
