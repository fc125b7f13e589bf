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
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/output.h"
#include "harness/base/process.h"
#include "harness/plan/modules.h"
#include "harness/base/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(certify)

static const char *const layout_names[] = {[PG_LAYOUT_NHWC - 1] = "nhwc", [PG_LAYOUT_NCHW - 1] = "nchw", NULL};

/* Along which axes the map wraps. */
typedef struct wrap {
    bool rows, columns;
} wrap;

typedef struct request {
    pg_dump_request dump;
    pg_dump_patch patch;
    const pg_defense *defense;
    pg_job job;
    int window[2]; /* height, width; 0: not given */
    bool has_patch, masked, summary;
    int64_t delta, delta_grid; /* -1: not given */
    wrap wrap;
    int layout; /* pg_dump_layout - 1 */
    pg_output output;
    pg_texts pairs; /* --set */
    _Alignas(max_align_t) unsigned char config[PG_CONFIG_MAX];
} request;

static int set_wrap(const char *value, void *field)
{
    static const char *const axes[] = {"w", "h", "hw", NULL};
    size_t i = 0;
    while (value && axes[i] && strcmp(axes[i], value) != 0 && !(i == 2 && strcmp(value, "wh") == 0))
        i++;
    *(wrap *)field = (wrap){.rows = i != 0, .columns = i != 1};
    return axes[i] ? PG_OK : PG_EUSAGE;
}

static int set_defense(const char *name, void *field)
{
    const pg_defense *defense = pg_defense_find(name);
    *(const pg_defense **)field = defense;
    return defense ? PG_OK : PG_EINPUT;
}

#define AT(field) offsetof(request, field)
static const pg_cli_row options[] = {
    {0, NULL, "FEATURES", ".npy or .npz of numpy: float16, float32 or float64 [images, rows, columns, classes]: local logits",
     NULL, AT(dump.features), PG_TEXT, PG_REQUIRED},
    {0, NULL, "LABELS", ".npy or .npz: integers [images]", NULL, AT(dump.labels), PG_TEXT, PG_REQUIRED},
    {0, "features-key", "K", "the array of an .npz; else its only one, or the one called features, logits or local_logits",
     NULL, AT(dump.features_key), PG_TEXT},
    {0, "labels-key", "K", "the same of the labels: labels, label, targets or y", NULL, AT(dump.labels_key), PG_TEXT},
    {0, "layout", "L",
     "of the features: nhwc, or nchw for [images, classes, rows, columns]; has to be given where the shape looks like the "
     "other one",
     NULL, AT(layout), PG_CHOICE(layout_names), .absent = -1},
    {0, "defense", "NAME", "see `patchgauge list defenses`", NULL, AT(defense), PG_CALL(set_defense, ""), PG_REQUIRED},
    {0, "window", "HxW", "positions of the map that a patch can touch at its worst place; cut to the map", NULL, AT(window),
     PG_SIZE(INT64_MAX)},
    {0, "patch", "P",
     "in the place of --window, with the three options below: the patch in pixels (5, 5x8), or a square that is a share of the "
     "image (2.4%). The window that follows is printed",
     NULL, AT(patch.patch), PG_TEXT},
    {0, "field", "F", "the receptive field of a position in pixels, one number or HxW, whatever the padding", NULL,
     AT(patch.field), PG_TEXT},
    {0, "stride", "S", "the step from one position to the next in pixels, one number or HxW", NULL, AT(patch.stride), PG_TEXT},
    {0, "pixels", "P", "the image, one number or HxW", NULL, AT(patch.pixels), PG_TEXT},
    {0, "wrap", "AXES", "the map wraps along its width (w, also --wrap alone: column bands), height (h) or both (hw)", NULL,
     AT(wrap), PG_CALL(set_wrap, "w (the width, also the meaning of --wrap alone), h or hw"), .bare = true},
    {0, "delta", "D",
     "measured locality: the most that a logit outside a window changes, in units of 2^-20; rounding can add a unit, which is "
     "counted for D > 0 (default: not measured, taken as 0). What the defense reads of a logit changes by what follows from "
     "that; "
     "a vote only where another class is as near as that",
     NULL, AT(delta), PG_INT(0, INT64_MAX), .absent = -1},
    {0, "delta-grid", "D",
     "the same of logits on the grid, where rounding is counted already: what `features` writes into meta.json", NULL,
     AT(delta_grid), PG_INT(0, INT64_MAX), .absent = -1},
    PG_SET_ROW(AT(pairs), "an option of the defense, see `patchgauge help defense NAME`"),
    {0, "masked", NULL,
     "no certificates: every window once without its evidence, 0 for every class, and the defense predicts from what remains; "
     "prints "
     "index, label, prediction, windows (how many there are), wrong and changed: without how many of them the prediction is "
     "not "
     "the label, and not what it was",
     NULL, AT(masked), PG_FLAG},
    {0, "grid", "K",
     "round local logits to multiples of 2^-K before all else, half to even, to see what hangs on the grid of the evidence, "
     "which "
     "is 2^-20",
     NULL, AT(dump.grid), PG_INT(0, PG_GRID_BITS), .absent = -1},
    {0, "summary", NULL,
     "no rows, but shares of the images in percent with 95% Wilson intervals: clean and certified; with --masked clean, wrong "
     "(for "
     "some window), and masked (correct) and changed, which are shares of all windows and have no interval",
     NULL, AT(summary), PG_FLAG},
    PG_OUTPUT_FORMAT_ROW_OF(AT(output), pg_row_formats, "csv"),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

/* What was given together, and what is missing. */
static int check(const request *r)
{
    bool has_window = r->window[0] > 0, has_delta = r->delta >= 0, has_grid = r->delta_grid >= 0;
    if (!has_window && !r->has_patch)
        return pg_fail(PG_EUSAGE,
                       "certify: --window is missing: the positions a patch can touch, HxW; or --patch, --field, --stride and "
                       "--pixels, from which it follows");
    if (has_window && r->has_patch)
        return pg_fail(PG_EUSAGE,
                       "certify: --window and --patch, --field, --stride or --pixels: either states the window; leave one out");
    if (has_delta && has_grid)
        return pg_fail(
            PG_EUSAGE,
            "certify: --delta and --delta-grid say the same, one of logits and one of the grid: leave one of them out");
    if (r->masked && (has_delta || has_grid))
        return pg_fail(PG_EUSAGE,
                       "certify: --masked makes no certificates, so that --delta means nothing there: leave one of them out");
    return PG_OK;
}

/* Rounding can add a unit to what a logit changes by: 3.5 and 2.5 units, one apart, become 4 and 2. */
static void resolve_delta(request *r)
{
    pg_evidence_spec spec;
    r->job.logit_delta = r->delta_grid >= 0 ? r->delta_grid : r->delta >= 0 ? r->delta : 0;
    if (r->delta > 0 && r->delta < INT64_MAX)
        r->job.logit_delta++;
    r->defense->evidence(r->config, &spec);
    r->job.delta = pg_evidence_delta(&spec, r->job.logit_delta);
}

/* What follows from the options. */
static int resolve(request *r)
{
    r->has_patch = r->patch.patch || r->patch.field || r->patch.stride || r->patch.pixels;
    int code = check(r);
    if (code)
        return code;
    r->dump.layout = (pg_dump_layout)(r->layout + 1);
    r->job.window = (pg_window){r->window[0], r->window[1]};
    r->job.defense = r->defense;
    r->job.config = r->config;
    code = pg_module_configure(&r->defense->module, "defense", r->pairs.items, r->pairs.n, r->config);
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

static const char *const row_heads[] = {"index", "label", "prediction", "certified", "margin", "case"};
static const char *const masked_heads[] = {"index", "label", "prediction", "windows", "wrong", "changed"};
enum { HEADS = 6 };

static void add_row(int64_t index, int label, const pg_verdict *v, pg_tabular *g)
{
    pg_tabular_number(g, index);
    pg_tabular_number(g, label);
    pg_tabular_integer(g, v->prediction);
    pg_tabular_bool(g, v->certified);
    if (v->has_margin)
        print_margin(v->margin, pg_tabular_add(g, PG_TABULAR_NUMBER));
    else
        pg_tabular_words(g, NULL);
    pg_tabular_number(g, v->failure_case);
}

/* What is told of all images. */
typedef struct counts {
    int64_t nonfinite, saturated, differs;
    int64_t correct, certified;
    int64_t wrong;                  /* images that some masked window makes wrong */
    int64_t windows, kept, changed; /* of all images: all, correct when masked, with another prediction when masked */
} counts;

static void add_share(const char *name, int64_t count, int64_t n, bool interval, pg_tabular *g)
{
    pg_interval share = pg_wilson(count, n);
    pg_buf_puts(pg_tabular_add(g, PG_TABULAR_WORDS), name);
    pg_tabular_real(g, 100 * share.value);
    pg_tabular_real(g, interval ? 100 * share.lo : NAN);
    pg_tabular_real(g, interval ? 100 * share.hi : NAN);
    pg_tabular_number(g, count);
    pg_tabular_number(g, n);
}

static void add_shares(const request *r, const counts *n, int64_t images, pg_tabular *g)
{
    add_share("clean", n->correct, images, true, g);
    if (!r->masked)
        add_share("certified", n->certified, images, true, g);
    else {
        add_share("wrong", n->wrong, images, true, g);
        add_share("masked", n->kept, n->windows, false, g);
        add_share("changed", n->changed, n->windows, false, g);
    }
}

/* All rows into `g`. */
static int certify(const request *r, pg_dump *d, pg_tabular *g, counts *n)
{
    char name[PG_MODULE_LABEL_MAX];
    pg_certifier *certifier;
    pg_progress progress;
    int code = pg_certifier_new(&r->job, 1, d->height, d->width, d->classes, r->wrap.rows, r->wrap.columns, &certifier);
    if (code)
        return code;
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
        n->correct += verdict.prediction == d->labels[i];
        n->certified += verdict.certified;
        if (!r->summary)
            add_row(i, d->labels[i], &verdict, g);
        pg_progress_update(&progress, i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_certifier_free(certifier);
    return code;
}

static void add_masked(int64_t index, int label, const pg_masked *m, int windows, pg_tabular *g)
{
    const int64_t numbers[] = {index, label, m->prediction, windows, m->wrong, m->changed};
    for (size_t i = 0; i < HEADS; i++)
        pg_tabular_integer(g, numbers[i]);
}

/* The same for --masked: windows that change a prediction, instead of certificates. */
static int mask(const request *r, pg_dump *d, pg_tabular *g, counts *n)
{
    pg_invariance *masks;
    pg_progress progress;
    int code = pg_invariance_new(&r->job, d->height, d->width, d->classes, r->wrap.rows, r->wrap.columns, &masks);
    if (code)
        return code;
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
        n->correct += m.prediction == d->labels[i];
        n->wrong += m.wrong > 0;
        n->windows += pg_invariance_windows(masks);
        n->kept += pg_invariance_windows(masks) - m.wrong;
        n->changed += m.changed;
        if (!r->summary)
            add_masked(i, d->labels[i], &m, pg_invariance_windows(masks), g);
        pg_progress_update(&progress, i + 1, NULL);
    }
    pg_progress_finish(&progress);
    pg_invariance_free(masks);
    return code;
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
    if (r->delta < 0 && r->delta_grid < 0)
        pg_info("locality not measured (no --delta): certificates assume that nothing outside a window changes");
}

static int run(const pg_context *context, void *given)
{
    static const char *const share_heads[] = {"metric", "value", "lo", "hi", "count", "n"};
    request *r = given;
    const char *const *heads = r->summary ? share_heads : r->masked ? masked_heads : row_heads;
    pg_dump dump = {0};
    counts n = {0};
    pg_tabular g;
    (void)context;
    pg_tabular_init(&g, (pg_table_format)r->output.format, HEADS, 1);
    g.form = "certify";
    for (size_t i = 0; i < HEADS; i++)
        pg_buf_puts(pg_tabular_add(&g, r->summary && i == 0 ? PG_TABULAR_WORDS : PG_TABULAR_NUMBER), heads[i]);
    int code = resolve(r);
    if (!code)
        code = pg_output_begin(&r->output, (const char *const[]){r->dump.features, r->dump.labels, NULL});
    if (!code)
        code = pg_dump_open(&r->dump, &dump);
    if (!code && r->has_patch)
        code = pg_dump_window(&dump, &r->patch, r->wrap.rows, r->wrap.columns, &r->job.window);
    if (!code)
        code = (r->masked ? mask : certify)(r, &dump, &g, &n);
    if (!code && r->summary)
        add_shares(r, &n, dump.n, &g);
    if (!code)
        code = pg_output_table(&r->output, &g);
    code = pg_output_end(&r->output, code);
    if (!code)
        say_what_it_is_worth(r, &n);
    pg_dump_close(&dump);
    pg_tabular_release(&g);
    return code;
}

const pg_command pg_command_certify = {
    .name = "certify",
    .synopsis = "certify FEATURES LABELS --defense NAME (--window HxW | --patch P --field F --stride S --pixels P) [options]",
    .summary = "certify dumped features with any defense, without a model",
    .help = "Prints index, label, prediction, certified (0 or 1, in JSON false or true), margin (empty where there is none) "
            "and case "
            "(robust-masking with scope=predicted alone: 4 is certified as published). Notes go to standard error.\n",
    .examples = "  patchgauge certify dump/features.npy dump/labels.npy --defense ds --window 1x8 --wrap -S rule=window\n"
                "  patchgauge certify dump/features.npy dump/labels.npy --defense robust-masking --window 1x8 --wrap -f json\n"
                "  patchgauge certify dump/features.npy dump/labels.npy --defense mean --window 1x8 --wrap --masked\n",
    .rows = options,
    .request_size = sizeof(request),
    .run = run,
};
