/* For tests: networks with random weights, and files of them. */
#ifndef PG_TESTS_RANDOM_NET_H
#define PG_TESTS_RANDOM_NET_H

#include "harness/base/rng.h"
#include "models/network.h"
#include "models/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct random_net {
    const pg_model *model;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_parameters parameters;
    pg_geometry geometry;
    pg_scope *scope;
} random_net;

/* Ends the test program: what fails here is no subject of a test. */
static inline void random_net_check(int e)
{
    if (e) {
        fprintf(stderr, "random network: %s\n", pg_error_message());
        abort();
    }
}

/* Normal numbers whose scale keeps activations near one, and running statistics that are not the trivial ones. */
static inline float random_net_value(pg_rng *rng, pg_parameter_kind kind, double fan)
{
    double v = pg_rng_normal(rng);
    switch (kind) {
    case PG_PARAMETER_WEIGHT:
        return (float)(v * sqrt(2 / fan));
    case PG_PARAMETER_SCALE:
        return (float)(1 + 0.1 * v);
    case PG_PARAMETER_VAR:
        return (float)(0.5 + pg_rng_unit(rng));
    default:
        return (float)(0.1 * v);
    }
}

/* Options are pairs[n]; weights depend on their place in the architecture only. */
static inline random_net random_net_new(const pg_torch *t, const char *name, int height, int width, int classes, size_t n,
                                        const char *const *pairs)
{
    random_net x = {.model = pg_model_find(name)};
    random_net_check(pg_module_configure(&x.model->module, "model", pairs, n, x.config));
    random_net_check(x.model->geometry(x.config, height, width, classes, &x.geometry));
    random_net_check(pg_model_trace(x.model, x.config, height, width, classes, &x.parameters, &x.geometry));
    x.scope = t->scope_new();
    for (size_t i = 0; i < x.parameters.n; i++) {
        pg_parameter *p = &x.parameters.items[i];
        size_t count = (size_t)pg_parameter_elements(p);
        float *values = malloc(count * sizeof *values);
        pg_rng rng = pg_rng_make(9, PG_STREAM_TEST, (uint32_t)i);
        double fan = p->kind == PG_PARAMETER_WEIGHT ? (double)count / (double)p->shape[0] : 1;
        for (size_t k = 0; values && k < count; k++)
            values[k] = random_net_value(&rng, p->kind, fan);
        p->tensor = t->keep(x.scope, t->from_data(x.scope, values, PG_T_F32, p->rank, p->shape));
        t->scope_clear(x.scope);
        free(values);
    }
    random_net_check(pg_scope_check(x.scope));
    return x;
}

static inline void random_net_release(random_net *x, const pg_torch *t)
{
    pg_parameters_release(&x->parameters, t);
    t->scope_free(x->scope);
}

static inline void random_net_save(const random_net *x, const char *path, bool half)
{
    const pg_geometry *g = &x->geometry;
    pg_weights_record r = {.model = x->model,
                           .config = x->config,
                           .input_height = g->input_height,
                           .input_width = g->input_width,
                           .classes = g->classes,
                           .dataset = "synthetic:train",
                           .dataset_hash = "00",
                           .command = "test",
                           .training = "[]",
                           .seed = 1};
    random_net_check(pg_weights_save(path, x->scope, &x->parameters, &r, half));
}

/* The network of a file with such weights; *new*, pg_network_close. The file is gone when this returns. */
static inline pg_network *random_net_open(const pg_torch *t, const char *name, int height, int width, int classes, size_t n,
                                          const char *const *pairs, const pg_network_options *options)
{
    char path[] = "/tmp/pg-random-net-XXXXXX";
    int file = mkstemp(path);
    if (file < 0)
        abort();
    close(file);
    random_net x = random_net_new(t, name, height, width, classes, n, pairs);
    random_net_save(&x, path, false);
    random_net_release(&x, t);
    pg_network *network = NULL;
    random_net_check(pg_network_open(path, NULL, 0, options, &network));
    unlink(path);
    return network;
}

#endif
