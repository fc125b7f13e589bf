/* The tensor API: values, errors as codes, ownership, autograd, loading. */
/* Loads libtorch. */
#include "harness/base/rng.h"
#include "models/torch/torch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const pg_torch *t;

static int load(void **state)
{
    (void)state;
    int code = pg_torch_load(1, &t);
    if (code != PG_OK)
        fprintf(stderr, "%s\n", pg_error_message());
    return code;
}

static int scope_setup(void **state) { return (*state = t->scope_new()) ? 0 : -1; }
static int scope_teardown(void **state)
{
    t->scope_free(*state);
    return 0;
}

static pg_tensor *vector(pg_scope *s, int n, const float *values)
{
    return t->from_data(s, values, PG_T_F32, 1, (const int64_t[]){n});
}

static void expect(pg_scope *s, pg_tensor *x, int n, const float *want, float tolerance)
{
    float got[64];
    assert_true(n <= 64);
    assert_int_equal(t->read(s, x, got, PG_T_F32, n), PG_OK);
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= tolerance))
            fail_msg("element %d: %g, expected %g", i, (double)got[i], (double)want[i]);
}

static void arithmetic_and_reductions(void **state)
{
    pg_scope *s = *state;
    pg_tensor *x = vector(s, 4, (float[]){1, -2, 3, 0.5f}), *y = vector(s, 4, (float[]){2, 2, 2, 2});
    expect(s, t->add(s, x, y), 4, (float[]){3, 0, 5, 2.5f}, 0);
    expect(s, t->sub(s, x, y), 4, (float[]){-1, -4, 1, -1.5f}, 0);
    expect(s, t->mul(s, x, y), 4, (float[]){2, -4, 6, 1}, 0);
    expect(s, t->div(s, x, y), 4, (float[]){.5f, -1, 1.5f, .25f}, 0);
    expect(s, t->affine(s, x, 2, 1), 4, (float[]){3, -3, 7, 2}, 0);
    expect(s, t->relu(s, x), 4, (float[]){1, 0, 3, .5f}, 0);
    expect(s, t->clamp(s, x, -1, 1), 4, (float[]){1, -1, 1, .5f}, 0);
    expect(s, t->maximum(s, x, y), 4, (float[]){2, 2, 3, 2}, 0);
    expect(s, t->minimum(s, x, y), 4, (float[]){1, -2, 2, .5f}, 0);
    expect(s, t->exp(s, t->log(s, y)), 4, (float[]){2, 2, 2, 2}, 1e-6f);
    expect(s, t->sqrt(s, t->mul(s, y, y)), 4, (float[]){2, 2, 2, 2}, 1e-6f);
    expect(s, t->abs(s, x), 4, (float[]){1, 2, 3, .5f}, 0);
    expect(s, t->sign(s, x), 4, (float[]){1, -1, 1, 1}, 0);
    expect(s, t->round(s, x), 4, (float[]){1, -2, 3, 0}, 0);
    expect(s, t->tanh(s, t->like(s, x, 0)), 4, (float[]){0, 0, 0, 0}, 0);
    expect(s, t->gelu(s, x), 4, (float[]){0.8413447f, -0.0455003f, 2.9959502f, 0.3457312f}, 1e-6f); /* x Phi(x) */
    expect(s, t->sigmoid(s, t->like(s, x, 0)), 4, (float[]){.5f, .5f, .5f, .5f}, 0);
    expect(s, t->where(s, t->greater(s, x, y), x, y), 4, (float[]){2, 2, 3, 2}, 0);
    expect(s, t->where(s, t->greater_equal(s, x, y), y, x), 4, (float[]){1, -2, 2, .5f}, 0);
    expect(s, t->where(s, t->equal(s, x, x), x, y), 4, (float[]){1, -2, 3, .5f}, 0);
    assert_true(t->item(s, t->sum(s, x, 0, NULL, false)) == 2.5);
    assert_true(t->item(s, t->mean(s, x, 0, NULL, false)) == 0.625);
    assert_true(t->item(s, t->amax(s, x, 0, NULL, false)) == 3);
    assert_true(t->item(s, t->argmax(s, x, 0)) == 2);
    assert_true(t->item(s, t->median(s, x, 0)) == 0.5); /* the lower of 0.5 and 1 */
    pg_tensor *order;
    expect(s, t->sort(s, x, 0, true, &order), 4, (float[]){3, 1, .5f, -2}, 0);
    expect(s, order, 4, (float[]){2, 0, 3, 1}, 0);
    expect(s, t->softmax(s, t->like(s, x, 7), 0), 4, (float[]){.25f, .25f, .25f, .25f}, 1e-7f);
    expect(s, t->exp(s, t->log_softmax(s, x, 0)), 4, (float[]){0.110554f, 0.005504f, 0.816888f, 0.067054f}, 2e-6f);
    assert_int_equal(pg_scope_check(s), PG_OK);
}

static void shapes(void **state)
{
    pg_scope *s = *state;
    pg_tensor *x = t->reshape(s, t->to_type(s, t->arange(s, 6, PG_T_I64), PG_T_F32), 2, (const int64_t[]){2, 3});
    expect(s, t->permute(s, x, 2, (const int64_t[]){1, 0}), 6, (float[]){0, 3, 1, 4, 2, 5}, 0);
    expect(s, t->slice(s, x, 1, 0, 3, 2), 4, (float[]){0, 2, 3, 5}, 0);
    expect(s, t->cat(s, 2, (pg_tensor *[]){x, x}, 0), 12, (float[]){0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}, 0);
    assert_int_equal(t->rank(x), 2);
    expect(s, t->pad(s, x, 2, (const int64_t[]){0, 1}, 9), 8, (float[]){0, 1, 2, 9, 3, 4, 5, 9}, 0);
    pg_tensor *image = t->reshape(s, x, 4, (const int64_t[]){1, 1, 2, 3});
    expect(s, t->pad_circular(s, image, 4, (const int64_t[]){0, 2, 0, 0}), 10, (float[]){0, 1, 2, 0, 1, 3, 4, 5, 3, 4}, 0);
    expect(s, t->unfold(s, x, 1, 2, 1), 8, (float[]){0, 1, 1, 2, 3, 4, 4, 5}, 0);
    pg_tensor *index = t->from_data(s, (int64_t[]){2, 0}, PG_T_I64, 2, (const int64_t[]){2, 1});
    expect(s, t->gather(s, x, 1, index), 2, (float[]){2, 3}, 0);
    expect(s, t->scatter(s, x, 1, index, t->full(s, -1, PG_T_F32, 2, (const int64_t[]){2, 1})), 6,
           (float[]){0, 1, -1, -1, 4, 5}, 0);
    expect(s, t->index_select(s, x, 1, t->from_data(s, (int64_t[]){1}, PG_T_I64, 1, (const int64_t[]){1})), 2, (float[]){1, 4},
           0);
    expect(s, t->expand(s, t->unsqueeze(s, t->slice(s, x, 0, 0, 1, 1), 0), 3, (const int64_t[]){2, 1, 3}), 6,
           (float[]){0, 1, 2, 0, 1, 2}, 0);
    assert_int_equal(t->size(x, -1), 3);
    assert_int_equal(t->count(x), 6);
    assert_int_equal(t->type(t->to_type(s, x, PG_T_BF16)), PG_T_BF16);
    assert_int_equal(pg_scope_check(s), PG_OK);
}

static void layers(void **state)
{
    pg_scope *s = *state;
    pg_tensor *x = t->reshape(s, t->to_type(s, t->arange(s, 9, PG_T_I64), PG_T_F32), 4, (const int64_t[]){1, 1, 3, 3});
    pg_tensor *ones = t->full(s, 1, PG_T_F32, 4, (const int64_t[]){1, 1, 2, 2});
    expect(s, t->conv2d(s, x, ones, NULL, 1, 1, 0, 0, 1), 4, (float[]){8, 12, 20, 24}, 0);
    expect(s, t->conv2d(s, t->channels_last(s, x), ones, vector(s, 1, (float[]){1}), 2, 1, 0, 0, 1), 2, (float[]){9, 13}, 0);
    expect(s, t->max_pool2d(s, x, 2, 1, 0), 4, (float[]){4, 5, 7, 8}, 0);
    pg_tensor *pairs = t->from_data(s, (float[]){1, 3, 10, 6}, PG_T_F32, 2, (const int64_t[]){2, 2});
    pg_tensor *gain = vector(s, 2, (float[]){2, 4}), *shift = vector(s, 2, (float[]){1, 0});
    expect(s, t->layer_norm(s, pairs, gain, shift, 3), 4, (float[]){0, 2, 1 + 4 / sqrtf(7), -8 / sqrtf(7)}, 1e-6f);
    expect(s,
           t->linear(s, vector(s, 2, (float[]){1, 2}), t->full(s, 1, PG_T_F32, 2, (const int64_t[]){2, 2}),
                     vector(s, 2, (float[]){0, 1})),
           2, (float[]){3, 4}, 0);
    expect(
        s,
        t->matmul(s, t->full(s, 2, PG_T_F32, 2, (const int64_t[]){1, 3}), t->full(s, 1, PG_T_F32, 2, (const int64_t[]){3, 1})),
        1, (float[]){6}, 0);
    pg_tensor *mean = vector(s, 1, (float[]){4}), *var = vector(s, 1, (float[]){1});
    expect(s, t->batch_norm(s, x, NULL, NULL, mean, var, false, 0.1, 0), 9, (float[]){-4, -3, -2, -1, 0, 1, 2, 3, 4}, 1e-6f);
    t->batch_norm(s, t->cat(s, 2, (pg_tensor *[]){x, x}, 0), NULL, NULL, mean, var, true, 0.5, 1e-5);
    expect(s, mean, 1, (float[]){4}, 1e-6f);
    pg_tensor *logits = t->full(s, 0, PG_T_F32, 2, (const int64_t[]){2, 4}),
              *labels = t->from_data(s, (int64_t[]){1, 3}, PG_T_I64, 1, (const int64_t[]){2});
    assert_true(fabs(t->item(s, t->cross_entropy(s, logits, labels, 0.1)) - log(4)) < 1e-6);
    assert_int_equal(pg_scope_check(s), PG_OK);
}

static void gradients_against_differences(void **state)
{
    pg_scope *s = *state;
    t->grad_mode(true);
    float at[3] = {0.3f, -0.7f, 1.1f}, grad[3];
    double loss[2];
    pg_tensor *x = vector(s, 3, at);
    t->requires_grad(s, x, true);
    pg_tensor *y = t->sum(s, t->mul(s, t->tanh(s, x), t->mul(s, x, x)), 0, NULL, false);
    t->read(s, t->grad(s, y, x), grad, PG_T_F32, 3);
    for (int i = 0; i < 3; i++) {
        for (int side = 0; side < 2; side++) {
            float moved[3] = {at[0], at[1], at[2]};
            moved[i] += side ? 1e-2f : -1e-2f;
            pg_tensor *z = t->to_type(s, vector(s, 3, moved), PG_T_F64);
            loss[side] = t->item(s, t->sum(s, t->mul(s, t->tanh(s, z), t->mul(s, z, z)), 0, NULL, false));
        }
        assert_true(fabs((loss[1] - loss[0]) / 0.02 - (double)grad[i]) < 1e-3);
    }
    assert_int_equal(pg_scope_check(s), PG_OK);
    t->grad_mode(false);
}

/* Two steps by hand: buffer = m * buffer + g + decay * p; nesterov looks one step ahead. */
/* Values, running statistics and gradients of the one operation and of the two, on maps in either layout. */
static void norm_and_relu6_in_one_are_the_two(void **state)
{
    pg_scope *s = *state;
    enum { N = 3, C = 5, SIDE = 13, ALL = N * C * SIDE * SIDE };
    static float values[ALL], up[ALL], line[4][C], out[2][ALL], grads[2][3][ALL], running[2][2][C];
    pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, 0);
    for (int i = 0; i < ALL; i++)
        values[i] = (float)(3 + 2 * pg_rng_normal(&rng)), up[i] = (float)pg_rng_normal(&rng);
    for (int i = 0; i < 4 * C; i++)
        line[i / C][i % C] = (float)(i / C == 3 ? 1 : i < C ? 4 + pg_rng_normal(&rng) : pg_rng_normal(&rng));
    t->grad_mode(true);
    for (int layout = 0; layout < 2; layout++) {
        for (int k = 0; k < 6; k++) { /* a graph for each gradient */
            int way = k / 3;
            pg_tensor *x = t->from_data(s, values, PG_T_F32, 4, (const int64_t[]){N, C, SIDE, SIDE}), *p[5], *y,
                      *g = t->from_data(s, up, PG_T_F32, 4, (const int64_t[]){N, C, SIDE, SIDE});
            p[0] = layout ? t->channels_last(s, x) : x;
            for (int i = 0; i < 4; i++)
                p[i + 1] = vector(s, C, line[i]);
            for (int i = 0; i < 3; i++)
                t->requires_grad(s, p[i], true);
            y = way ? t->batch_norm_relu6(s, p[0], p[1], p[2], p[3], p[4], 0.1, 1e-5)
                    : t->clamp(s, t->batch_norm(s, p[0], p[1], p[2], p[3], p[4], true, 0.1, 1e-5), 0, 6);
            t->read(s, y, out[way], PG_T_F32, ALL);
            t->read(s, t->grad(s, t->sum(s, t->mul(s, y, g), 0, NULL, false), p[k % 3]), grads[way][k % 3], PG_T_F32,
                    k % 3 ? C : ALL);
            for (int i = 0; i < 2; i++)
                t->read(s, p[3 + i], running[way][i], PG_T_F32, C);
            t->scope_clear(s);
        }
        assert_int_equal(pg_scope_check(s), PG_OK);
        bool cut = false;
        for (int i = 0; i < ALL; i++) {
            cut |= out[1][i] == 6;
            assert_true(fabsf(out[0][i] - out[1][i]) < 1e-5f && fabsf(grads[0][0][i] - grads[1][0][i]) < 1e-5f);
        }
        assert_true(cut);
        for (int i = 0; i < 2 * C; i++) {
            float *one = &grads[0][1 + i / C][i % C], *two = &grads[1][1 + i / C][i % C];
            assert_true(fabsf(*one - *two) < 1e-3f && fabsf(*one) > 0.1f);
            assert_true(fabsf(running[0][i / C][i % C] - running[1][i / C][i % C]) < 1e-5f);
        }
    }
    t->grad_mode(false);
}

static void sgd_is_the_textbooks(void **state)
{
    pg_scope *s = *state;
    t->grad_mode(true);
    pg_tensor *p = t->keep(s, vector(s, 1, (float[]){1})), *buffer = t->keep(s, vector(s, 1, (float[]){0}));
    t->requires_grad(s, p, true);
    double want = 1, b = 0;
    for (int i = 0; i < 2; i++) {
        t->backward(s, t->sum(s, t->mul(s, p, p), 0, NULL, false));
        t->sgd(s, 1, &p, &buffer, (double[]){0.5}, 0.1, 0.9, true);
        double g = 2 * want + 0.5 * want;
        b = 0.9 * b + g;
        want -= 0.1 * (g + 0.9 * b);
    }
    expect(s, p, 1, (float[]){(float)want}, 1e-6f);
    pg_tensor *average = vector(s, 1, (float[]){0});
    t->lerp(s, average, p, 0.25);
    expect(s, average, 1, (float[]){(float)want / 4}, 1e-6f);
    assert_int_equal(pg_scope_check(s), PG_OK);
    t->tensor_free(p);
    t->tensor_free(buffer);
    t->grad_mode(false);
}

static void errors_become_codes_and_stick(void **state)
{
    pg_scope *s = *state;
    pg_tensor *x = vector(s, 3, (float[]){1, 2, 3}), *y = vector(s, 2, (float[]){1, 2});
    assert_null(t->matmul(s, x, y));
    assert_int_equal(pg_scope_check(s), PG_ESHAPE);
    assert_non_null(strstr(pg_error_message(), "matmul"));
    assert_null(t->relu(s, x)); /* nothing happens after the first error */
    assert_non_null(strstr(s->message, "matmul"));
    s->error = PG_OK;
    assert_null(t->add(s, NULL, x));
    assert_int_equal(s->error, PG_ESHAPE);
    s->error = PG_OK;
    float two[2];
    assert_int_equal(t->read(s, x, two, PG_T_F32, 2), PG_ESHAPE);
    s->error = PG_OK;
    assert_null(t->grad(s, t->sum(s, x, 0, NULL, false), x)); /* nothing was recorded */
    assert_int_equal(s->error, PG_EINPUT);
    s->error = PG_OK;
    snprintf(s->device, sizeof s->device, "teapot");
    assert_null(vector(s, 1, (float[]){1}));
    assert_int_not_equal(s->error, PG_OK);
}

static void out_of_memory_is_a_code(void **state)
{
    pg_scope *s = *state;
    assert_null(t->full(s, 0, PG_T_F32, 2, (const int64_t[]){1 << 30, 1 << 20}));
    assert_int_equal(pg_scope_check(s), PG_ENOMEM);
    s->error = PG_OK;
    assert_non_null(vector(s, 1, (float[]){1})); /* and the scope goes on */
}

static void kept_tensors_outlive_the_scope(void **state)
{
    (void)state;
    pg_scope *a = t->scope_new(), *b = t->scope_new();
    pg_tensor *kept = t->keep(a, vector(a, 2, (float[]){5, 6}));
    t->scope_free(a);
    expect(b, kept, 2, (float[]){5, 6}, 0);
    t->scope_clear(b);
    expect(b, kept, 2, (float[]){5, 6}, 0);
    t->tensor_free(kept);
    t->tensor_free(NULL);
    t->scope_free(b);
    t->scope_free(NULL);
}

static void devices_and_scripts_answer(void **state)
{
    pg_scope *s = *state;
    assert_true(t->threads() >= 1);
    assert_true(t->cuda_devices() >= 0);
    bool before = t->autocast(s, "cpu", true);
    assert_false(before);
    assert_true(t->autocast(s, "cpu", false));
    pg_module_script *module = NULL;
    char message[256] = "";
    assert_int_equal(t->script_open("Makefile", "cpu", &module, message, sizeof message), PG_EDAMAGED);
    assert_true(strlen(message) > 0);
    assert_null(t->script_call(s, NULL, NULL) ? (void *)1 : NULL);
}

/* What `--kernels` prints of a child process in an environment: the line, and the kinds of instruction set. */
static void kernels_of(const char *environment, char line[256])
{
    char command[512];
    snprintf(command, sizeof command, "%s /proc/%ld/exe --kernels", environment, (long)getpid());
    FILE *child = popen(command, "r");
    assert_non_null(child);
    assert_non_null(fgets(line, 256, child));
    assert_int_equal(pclose(child), 0);
}

/* Libraries, versions and instruction sets are told, in a stable form, and follow what limits them. */
static void kernels_are_told(void **state)
{
    (void)state;
    pg_kernels again, kernels;
    t->kernels("cpu", &kernels);
    t->kernels("cpu", &again);
    assert_string_equal(again.text, kernels.text);
    const char *onednn = strstr(kernels.text, "; oneDNN "), *aten = strstr(kernels.text, "; ATen ");
    if (!onednn || !aten || onednn > aten || onednn == kernels.text || !kernels.isa[0] || strchr(kernels.text, '\n'))
        fail_msg("'%s', '%s'", kernels.text, kernels.isa);
#if defined(__x86_64__)
    char free_line[256], line[256];
    kernels_of("env -u ONEDNN_MAX_CPU_ISA -u ATEN_CPU_CAPABILITY -u OPENBLAS_CORETYPE", free_line);
    kernels_of("ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default OPENBLAS_CORETYPE=Nehalem", line);
    if (strstr(line, "; oneDNN ")) {
        assert_string_not_equal(line, free_line);
        if (!strstr(line, " SSE41; ATen DEFAULT | sse"))
            fail_msg("%s", line);
        if (strncmp(line, "OpenBLAS", 8) == 0)
            assert_non_null(strstr(line, " Nehalem; "));
    }
#endif
    t->kernels("cuda:0", &kernels); /* whatever this libtorch is */
    assert_true(kernels.text[0] && kernels.isa[0]);
}

/* With less than the CPU has, oneDNN has no bf16: a training that chose it would end with an error of libtorch. */
static void bf16_is_fast_only_where_onednn_may_use_it(void **state)
{
    (void)state;
    static const char *const less[] = {"SSE41", "AVX2", "avx2", "AVX512_CORE"};
    const char *const names[] = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
    char *before[2];
    for (int i = 0; i < 2; i++) {
        before[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
        unsetenv(names[i]);
    }
    bool has = pg_cpu_has_fast_bf16();
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof less / sizeof *less; k++) {
            setenv(names[i], less[k], 1);
            assert_false(pg_cpu_has_fast_bf16());
        }
        setenv(names[i], i == 0 ? "ALL" : "AVX2", 1); /* the first name counts, where both are set */
        setenv(names[0], "ALL", 1);
        assert_int_equal(pg_cpu_has_fast_bf16(), has);
        unsetenv(names[0]);
        unsetenv(names[1]);
    }
    for (int i = 0; i < 2; i++)
        if (before[i])
            setenv(names[i], before[i], 1);
    free(before[0]);
    free(before[1]);
}

/* A child process in which the shim is named wrongly: one clear message, no crash. */
static void a_missing_or_wrong_shim_is_one_message(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int code;
    } cases[] = {{"/nonexistent/shim.so", PG_EMISSING}, {"Makefile", PG_ETORCH}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pid_t child = fork();
        if (child == 0) {
            setenv("PATCHGAUGE_TORCH", cases[i].path, 1);
            execl("/proc/self/exe", "test_torch", "--load", (char *)NULL);
            _exit(99);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), -cases[i].code);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--load") == 0) { /* the child of the last test */
        const pg_torch *none;
        int code = pg_torch_load(1, &none);
        return strlen(pg_error_message()) > 20 && !none ? -code : 98;
    }
    if (argc == 2 && strcmp(argv[1], "--kernels") == 0) {
        pg_kernels kernels;
        if (pg_torch_load(1, &t) != PG_OK)
            return 1;
        t->kernels("cpu", &kernels);
        return printf("%s | %s\n", kernels.text, kernels.isa) < 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arithmetic_and_reductions, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(shapes, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(layers, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(gradients_against_differences, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(norm_and_relu6_in_one_are_the_two, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(sgd_is_the_textbooks, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(errors_become_codes_and_stick, scope_setup, scope_teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_is_a_code, scope_setup, scope_teardown),
        cmocka_unit_test(kept_tensors_outlive_the_scope),
        cmocka_unit_test_setup_teardown(devices_and_scripts_answer, scope_setup, scope_teardown),
        cmocka_unit_test(kernels_are_told),
        cmocka_unit_test(bf16_is_fast_only_where_onednn_may_use_it),
        cmocka_unit_test(a_missing_or_wrong_shim_is_one_message),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
