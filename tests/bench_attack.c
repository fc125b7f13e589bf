/* Speed of a step of an attack, forward and backward down to the pixels: the full image against the view of the patch. Random
 * weights; all cores that the process may use; medians of one run. Optional arguments: device and dtype (cpu fp32). Fails where
 * bagnet17 at 224 px gains less than ten times. */
#include "harness/base/log.h"
#include "tests/random_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 7, MAX_PAIRS = 3, BATCH = 8, CLASSES = 10, PROMISED = 10 };

typedef struct subject {
    const char *label, *model;
    int side, patch;
    bool promised; /* at least PROMISED times faster */
    const char *pairs[MAX_PAIRS];
} subject;

static const subject subjects[] = {
    {"bagnet17, 224 px, patch 32", "bagnet17", 224, 32, true, {0}},
    {"bagnet17, 192 px, patch 30", "bagnet17", 192, 30, false, {0}},
    {"bagnet, 7 px at stride 2, 32 px, patch 5", "bagnet17", 32, 5, false, {"width=16", "kernel3=1100", "strides=1,2,1,1"}},
    {"ds-resnet18, bands of 4, 32 px, patch 5", "ds-resnet18", 32, 5, false, {0}},
    {"the same, full-size ablation", "ds-resnet18", 32, 5, false, {"encoding=ablation"}},
    {"resnet18, 32 px", "resnet18", 32, 5, false, {0}},
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one step over n views. */
static double step(pg_network *net, const pg_view *views, const float *pixels, float *gradient)
{
    pg_scope *s = pg_network_scope(net);
    const pg_torch *t = s->torch;
    int64_t shape[4] = {BATCH, 3, views->pixels.height, views->pixels.width};
    double start = pg_now_s();
    pg_tensor *x = t->from_data(s, pixels, PG_T_F32, 4, shape);
    t->requires_grad(s, x, true);
    pg_tensor *loss = t->mean(s, pg_network_view_logits(net, x, views, BATCH), 0, NULL, false);
    t->read(s, t->grad(s, loss, x), gradient, PG_T_F32, shape[0] * shape[1] * shape[2] * shape[3]);
    random_net_check(pg_scope_check(s));
    t->scope_clear(s);
    return pg_now_s() - start;
}

/* Median seconds of a step with the patches at different places, or with all of every image. */
static double time_steps(pg_network *net, const subject *b, bool whole)
{
    pg_view views[BATCH];
    for (int i = 0; i < BATCH; i++) {
        int at = i * (b->side - b->patch) / (BATCH - 1);
        pg_rect patch = {.top = at, .left = at, .height = b->patch, .width = b->patch};
        views[i] = pg_network_view(net, whole ? (pg_rect){.height = b->side, .width = b->side} : patch);
    }
    size_t count = (size_t)(BATCH * 3 * views->pixels.height * views->pixels.width);
    float *pixels = malloc(count * sizeof *pixels), *gradient = malloc(count * sizeof *gradient);
    if (!pixels || !gradient)
        abort();
    pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, 0);
    for (size_t i = 0; i < count; i++)
        pixels[i] = (float)pg_rng_unit(&rng);
    double times[ROUNDS];
    step(net, views, pixels, gradient); /* warm up */
    for (int i = 0; i < ROUNDS; i++)
        times[i] = step(net, views, pixels, gradient);
    qsort(times, ROUNDS, sizeof *times, ascending);
    free(pixels);
    free(gradient);
    return times[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cpu";
    pg_dtype dtype = argc > 2 && strcmp(argv[2], "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    const pg_torch *t;
    int slow = 0;
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
        double view = time_steps(net, b, false), full = time_steps(net, b, true);
        printf("  %-42s full %8.1f ms, view %8.1f ms: %5.1f times\n", b->label, full * 1e3, view * 1e3, full / view);
        slow += b->promised && full < PROMISED * view;
        pg_network_close(net);
    }
    if (slow)
        fprintf(stderr, "bench_attack: a view is less than %d times faster than the full image\n", PROMISED);
    return slow ? 1 : 0;
}
