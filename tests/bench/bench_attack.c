/* Speed of a step of an attack, forward and backward down to the pixels: the full image against the crop of the patch. Random
 * weights; all cores that the process may use; medians of one run. Optional arguments: device and dtype (cpu fp32). */
#include "harness/base/log.h"
#include "tests/support/random_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3, MAX_PAIRS = 3, BATCH = 8, CLASSES = 10 };

typedef struct subject {
    const char *label, *model;
    int side, patch;
    const char *pairs[MAX_PAIRS];
} subject;

static const subject subjects[] = {
    {"bagnet17, 224 px, patch 32", "bagnet17", 224, 32, {0}},
    {"bagnet17, 192 px, patch 30", "bagnet17", 192, 30, {0}},
    {"bagnet, 7 px at stride 2, 32 px, patch 5", "bagnet17", 32, 5, {"width=16", "kernel3=1100", "strides=1,2,1,1"}},
    {"ds-resnet18, bands of 4, 32 px, patch 5", "ds-resnet18", 32, 5, {0}},
    {"the same, full-size ablation", "ds-resnet18", 32, 5, {"encoding=ablation"}},
    {"resnet18, 32 px", "resnet18", 32, 5, {0}},
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one step over n crops. */
static double step(pg_network *net, const pg_crop *crops, const float *pixels, float *gradient)
{
    pg_scope *s = pg_network_scope(net);
    const pg_torch *t = s->torch;
    int64_t shape[4] = {BATCH, 3, crops->pixels.height, crops->pixels.width};
    double start = pg_now_s();
    pg_tensor *x = t->from_data(s, pixels, PG_T_F32, 4, shape);
    t->requires_grad(s, x, true);
    pg_tensor *loss = t->mean(s, pg_network_crop_logits(net, x, crops, BATCH), 0, NULL, false);
    t->read(s, t->grad(s, loss, x), gradient, PG_T_F32, shape[0] * shape[1] * shape[2] * shape[3]);
    random_net_check(pg_scope_check(s));
    t->scope_clear(s);
    return pg_now_s() - start;
}

/* A batch of crops: patches at different places, or all of every image. */
typedef struct batch {
    pg_crop crops[BATCH];
    float *pixels, *gradient;
    double times[ROUNDS];
} batch;

static void batch_init(pg_network *net, const subject *b, bool whole, batch *out)
{
    for (int i = 0; i < BATCH; i++) {
        int at = i * (b->side - b->patch) / (BATCH - 1);
        pg_rect patch = {.top = at, .left = at, .height = b->patch, .width = b->patch};
        out->crops[i] = pg_network_crop(net, whole ? (pg_rect){.height = b->side, .width = b->side} : patch);
    }
    size_t count = (size_t)(BATCH * 3 * out->crops->pixels.height * out->crops->pixels.width);
    out->pixels = malloc(count * sizeof *out->pixels);
    out->gradient = malloc(count * sizeof *out->gradient);
    if (!out->pixels || !out->gradient)
        abort();
    pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, 0);
    for (size_t i = 0; i < count; i++)
        out->pixels[i] = (float)pg_rng_unit(&rng);
    step(net, out->crops, out->pixels, out->gradient); /* warm up */
}

static double batch_finish(batch *b)
{
    qsort(b->times, ROUNDS, sizeof *b->times, ascending);
    free(b->pixels);
    free(b->gradient);
    return b->times[ROUNDS / 2];
}

/* Median seconds of a step, either way in turns, so that both meet the same neighbours on the machine. */
static void time_steps(pg_network *net, const subject *b, double *crop, double *full)
{
    batch batches[2];
    for (int i = 0; i < 2; i++)
        batch_init(net, b, i == 1, &batches[i]);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2; i++)
            batches[i].times[round] = step(net, batches[i].crops, batches[i].pixels, batches[i].gradient);
    *crop = batch_finish(&batches[0]);
    *full = batch_finish(&batches[1]);
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cpu";
    pg_dtype dtype = argc > 2 && strcmp(argv[2], "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    const pg_torch *t;
    random_net_check(pg_torch_load(0, &t));
    printf("steps of an attack on %s, %s, %s, %d threads, batch %d; median of %d\n", device,
           dtype == PG_DTYPE_BF16 ? "bf16" : "fp32", t->library, t->threads(), BATCH, ROUNDS);
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        const subject *b = &subjects[i];
        size_t n = 0;
        while (n < MAX_PAIRS && b->pairs[n])
            n++;
        pg_network *net = random_net_open(t, b->model, b->side, b->side, CLASSES, n, b->pairs,
                                          &(pg_network_options){.device = device, .dtype = dtype, .batch = BATCH});
        t->grad_mode(true);
        double crop, full;
        time_steps(net, b, &crop, &full);
        printf("  %-42s full %8.1f ms, crop %8.1f ms: %5.1f times\n", b->label, full * 1e3, crop * 1e3, full / crop);
        pg_network_close(net);
    }
    return 0;
}
