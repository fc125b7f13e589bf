/* Speed of the certifier on one core, against a vectorised sum of the same floats. Prints medians of one run.
 *
 * The tensors of a case together are larger than the last-level cache, so that each is read from memory, as after a forward
 * pass of a batch. Sum and certifier take turns, so that a busy neighbour slows both; times are those of the thread on its
 * core. */
#include "defenses/certifier.h"
#include "defenses/clones.h"
#include "harness/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, THRESHOLDS = 10 };

/* Eight accumulators of sixteen lanes: the compiler keeps them in registers of whatever width there is. */
PG_CLONES __attribute__((noinline)) static float sum_of(const float *x, size_t n)
{
    float lanes[128] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 128 <= n; i += 128)
        for (int j = 0; j < 128; j++)
            lanes[j] += x[i + (size_t)j];
    for (; i < n; i++)
        sum += x[i];
    for (int j = 0; j < 128; j++)
        sum += lanes[j];
    return sum;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, ascending);
    return times[ROUNDS / 2];
}

typedef struct shape {
    int side, classes, window;
} shape;

static volatile float sink;

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Local logits like those of a trained network: noise, and a region that speaks for the label. */
static void fill(shape s, size_t tensors, float *logits, int *labels)
{
    for (size_t i = 0; i < tensors; i++) {
        pg_rng rng = pg_rng_make(7, PG_STREAM_TEST, (uint32_t)i);
        labels[i] = (int)pg_rng_below(&rng, (uint32_t)s.classes);
        for (int p = 0; p < s.side * s.side; p++)
            for (int c = 0; c < s.classes; c++)
                *logits++ = (float)(4.0 * pg_rng_unit(&rng) - 2.0 + (c == labels[i] ? 3.0 : 0.0));
    }
}

/* Configurations of robust-masking per class on logits, thresholds 0, 0.1, ... */
static int configure(size_t n, unsigned char (*configs)[PG_CONFIG_MAX], shape s, pg_job *jobs)
{
    const pg_defense *defense = pg_defense_find("robust-masking");
    for (size_t i = 0; i < n; i++) {
        char threshold[32];
        snprintf(threshold, sizeof threshold, "threshold=0.%zu", i);
        const char *pairs[] = {threshold};
        int code = pg_module_configure(&defense->module, "defense", pairs, 1, configs[i]);
        if (code != PG_OK)
            return code;
        jobs[i] = (pg_job){defense, configs[i], {s.window, s.window}, 0};
    }
    return PG_OK;
}

static int bench(shape s)
{
    size_t values = (size_t)s.side * (size_t)s.side * (size_t)s.classes, tensors = 160000000 / (values * sizeof(float)) + 1;
    float *logits = aligned_alloc(64, (tensors * values * sizeof *logits + 63) & ~(size_t)63);
    int *labels = calloc(tensors, sizeof *labels);
    unsigned char configs[THRESHOLDS][PG_CONFIG_MAX];
    pg_job jobs[THRESHOLDS];
    unsigned char pairs[PG_CONFIG_MAX];
    pg_job twice_job = {pg_defense_find("double-masking"), pairs, {s.window, s.window}, 0};
    pg_certifier *one = NULL, *sweep = NULL, *twice = NULL;
    pg_verdict verdicts[THRESHOLDS];
    double sum_s[ROUNDS], one_s[ROUNDS], sweep_s[ROUNDS], twice_s[ROUNDS];
    size_t few = tensors / 100 + 1; /* pairs of masks take as long as many sums */
    int code = logits && labels ? configure(THRESHOLDS, configs, s, jobs) : pg_fail(PG_ENOMEM, "out of memory");
    if (code == PG_OK)
        code = pg_certifier_new(jobs, 1, s.side, s.side, s.classes, false, false, &one);
    if (code == PG_OK)
        code = pg_certifier_new(jobs, THRESHOLDS, s.side, s.side, s.classes, false, false, &sweep);
    if (code == PG_OK)
        code = pg_module_configure(&twice_job.defense->module, "defense", NULL, 0, pairs);
    if (code == PG_OK)
        code = pg_certifier_new(&twice_job, 1, s.side, s.side, s.classes, false, false, &twice);
    if (code != PG_OK)
        goto out;
    fill(s, tensors, logits, labels);
    size_t certified = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_s();
        for (size_t i = 0; i < tensors; i++)
            sink = sum_of(logits + i * values, values);
        double after_sum = cpu_s();
        for (size_t i = 0; i < tensors; i++) {
            pg_certifier_image_f32(one, logits + i * values, labels[i], verdicts);
            certified += verdicts[0].certified;
        }
        double after_one = cpu_s();
        for (size_t i = 0; i < tensors; i++)
            pg_certifier_image_f32(sweep, logits + i * values, labels[i], verdicts);
        double after_sweep = cpu_s();
        for (size_t i = 0; i < few; i++)
            pg_certifier_image_f32(twice, logits + i * values, labels[i], verdicts);
        twice_s[round] = (cpu_s() - after_sweep) / (double)few;
        sum_s[round] = (after_sum - start) / (double)tensors;
        one_s[round] = (after_one - after_sum) / (double)tensors;
        sweep_s[round] = (after_sweep - after_one) / (double)tensors;
    }
    double sum = median(sum_s), single = median(one_s), ten = median(sweep_s), both = median(twice_s);
    printf("%2d x %2d x %4d, window %dx%d: sum %.4f ms, certify %.4f ms (%.2f sums, %.0f tensors/s), %d thresholds %.2f times "
           "one; "
           "%.0f%% certified; double-masking %.3f ms (%.0f times one)\n",
           s.side, s.side, s.classes, s.window, s.window, 1e3 * sum, 1e3 * single, single / sum, 1 / single, THRESHOLDS,
           ten / single, 100.0 * (double)certified / (double)(ROUNDS * tensors), 1e3 * both, both / single);
out:
    pg_certifier_free(one);
    pg_certifier_free(sweep);
    pg_certifier_free(twice);
    free(logits);
    free(labels);
    return code;
}

int main(void)
{
    static const shape shapes[] = {{26, 1000, 6}, {22, 10, 6}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (bench(shapes[i])) {
            fprintf(stderr, "bench_certify: %s\n", pg_error_message());
            return 1;
        }
    return 0;
}
