/* Speed of forward passes, images a second, medians of one run: what batch norm folding, turned bands and dropped tokens give;
 * beside it that of plain PyTorch (plain_forward.py) on the same cores. Random weights; all cores that the process may use.
 * Optional arguments: device and dtype (cpu fp32). */
#include "harness/base/log.h"
#include "tests/support/random_net.h"

#include <string.h>

enum { ROUNDS = 5, MAX_PAIRS = 4 };

typedef struct subject {
    const char *label, *model;
    int side, batch;
    bool plain; /* plain_forward.py has it */
    const char *pairs[MAX_PAIRS];
} subject;

static const subject subjects[] = {
    {"resnet18, 32 px", "resnet18", 32, 128, true, {0}},
    {"resnet-cifar, 56 layers", "resnet-cifar", 32, 128, true, {"depth=56"}},
    {"resnet, 101 layers, 224 px", "resnet", 224, 4, true, {"depth=101"}},
    {"mobilenet-v2, 224 px", "mobilenet-v2", 224, 8, true, {0}},
    {"vit, tiny, 224 px", "vit", 224, 8, true, {0}},
    {"smoothed-vit, 8 bands of 19 px", "smoothed-vit", 224, 8, true, {"stride=28"}},
    {"ds-resnet18, bands turned", "ds-resnet18", 32, 8, false, {0}},
    {"ds-resnet18, full-size ablation", "ds-resnet18", 32, 8, false, {"encoding=ablation"}},
    {"bagnet17, 192 px", "bagnet17", 192, 8, false, {0}},
    {"bagnet17, width 16, 32 px", "bagnet17", 32, 128, false, {"width=16"}},
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int count_pairs(const subject *b)
{
    int n = 0;
    while (n < MAX_PAIRS && b->pairs[n])
        n++;
    return n;
}

/* Median seconds of one forward pass of a full batch. */
static int time_forward(const pg_torch *t, const subject *b, const char *device, pg_dtype dtype, double *seconds)
{
    pg_network *n = random_net_open(t, b->model, b->side, b->side, 10, (size_t)count_pairs(b), b->pairs,
                                    &(pg_network_options){.device = device, .dtype = dtype, .batch = b->batch});
    const pg_geometry *g = &pg_network_info(n)->geometry;
    size_t pixels = (size_t)b->batch * 3 * (size_t)(b->side * b->side);
    size_t logits = (size_t)b->batch * (size_t)(g->rows.positions * g->columns.positions * g->classes);
    uint8_t *in = calloc(pixels, 1);
    float *out = malloc(logits * sizeof *out);
    double times[ROUNDS];
    int code = in && out ? pg_network_forward(n, in, 0, b->batch, out) : pg_fail(PG_ENOMEM, "out of memory"); /* warm up */
    for (int i = 0; code == PG_OK && i < ROUNDS; i++) {
        double start = pg_now_s();
        code = pg_network_forward(n, in, 0, b->batch, out);
        times[i] = pg_now_s() - start;
    }
    if (code == PG_OK) {
        qsort(times, ROUNDS, sizeof *times, ascending);
        *seconds = times[ROUNDS / 2];
    }
    free(in);
    free(out);
    pg_network_close(n);
    return code;
}

/* Images a second of plain PyTorch; 0 where there is none, or not on this device. */
static double plain_speed(const pg_torch *t, const subject *b, const char *device, pg_dtype dtype)
{
    char command[200];
    double speed = 0;
    if (!b->plain || strcmp(device, "cpu") != 0 || dtype != PG_DTYPE_F32)
        return 0;
    snprintf(command, sizeof command, "/usr/bin/python3 tests/bench/plain_forward.py %s %d %d %d", b->model, b->side, b->batch,
             t->threads());
    FILE *f = popen(command, "r");
    if (f && fscanf(f, "%lf", &speed) != 1)
        speed = 0;
    if (f)
        pclose(f);
    return speed;
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cpu";
    pg_dtype dtype = argc > 2 && strcmp(argv[2], "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
    const pg_torch *t;
    int code = pg_torch_load(0, &t);
    if (code == PG_OK)
        printf("forward passes on %s, %s, %s, %d threads; median of %d\n", device, dtype == PG_DTYPE_BF16 ? "bf16" : "fp32",
               t->library, t->threads(), ROUNDS);
    for (size_t i = 0; code == PG_OK && i < sizeof subjects / sizeof *subjects; i++) {
        double seconds = 0;
        code = time_forward(t, &subjects[i], device, dtype, &seconds);
        double plain = code == PG_OK ? plain_speed(t, &subjects[i], device, dtype) : 0;
        if (code == PG_OK)
            printf("  %-34s batch %-4d %9.1f images/s", subjects[i].label, subjects[i].batch, subjects[i].batch / seconds);
        if (code == PG_OK && plain > 0)
            printf("  PyTorch %9.1f  (%.2f times)", plain, subjects[i].batch / seconds / plain);
        if (code == PG_OK)
            puts("");
    }
    if (code != PG_OK)
        fprintf(stderr, "bench_torch: %s\n", pg_error_message());
    return code != PG_OK ? 1 : 0;
}
