#include "defenses/invariance.h"
#include "defenses/windows.h"

#include <stdlib.h>
#include <string.h>

struct pg_invariance {
    pg_job job;
    pg_evidence evidence;
    pg_evidence_spec spec;
    pg_windows windows;
    void *memory;       /* of what follows */
    void *scratch;      /* of the defense */
    int32_t *q, *whole; /* [positions][classes]: what `evidence` shows, and what it was */
    double *work;       /* [classes] */
};

static void lay_out(pg_arena *arena, size_t values, int classes, size_t scratch, pg_invariance *v)
{
    v->scratch = pg_arena_take(arena, scratch, 1);
    v->q = pg_arena_take(arena, values, sizeof *v->q);
    v->whole = pg_arena_take(arena, values, sizeof *v->whole);
    v->work = pg_arena_take(arena, (size_t)classes, sizeof *v->work);
}

void pg_invariance_free(pg_invariance *v)
{
    if (!v)
        return;
    free(v->memory);
    free(v);
}

int pg_invariance_new(const pg_job *job, int height, int width, int classes, bool wrap_rows, bool wrap_columns,
                      pg_invariance **out)
{
    pg_certifier *check; /* refuses what cannot be evaluated */
    *out = NULL;
    int code = pg_certifier_new(job, 1, height, width, classes, wrap_rows, wrap_columns, &check);
    if (code != PG_OK)
        return code;
    pg_certifier_free(check);
    pg_invariance *v = calloc(1, sizeof *v);
    if (!v)
        return pg_fail(PG_ENOMEM, "out of memory for masks");
    size_t values = (size_t)height * (size_t)width * (size_t)classes;
    size_t scratch = job->defense->scratch_size(height, width, classes, 1);
    pg_arena arena = {0};
    lay_out(&arena, values, classes, scratch, v);
    arena = (pg_arena){.base = v->memory = aligned_alloc(64, arena.used)};
    if (!v->memory) {
        pg_invariance_free(v);
        return pg_fail(PG_ENOMEM, "out of memory for the masks of an image");
    }
    lay_out(&arena, values, classes, scratch, v);
    v->job = *job;
    job->defense->evidence(job->config, &v->spec);
    v->evidence = (pg_evidence){.q = v->q,
                                .height = height,
                                .width = width,
                                .classes = classes,
                                .wrap_rows = wrap_rows,
                                .wrap_columns = wrap_columns,
                                .spec = &v->spec};
    v->windows = pg_windows_of(&v->evidence, job->window);
    *out = v;
    return PG_OK;
}

int pg_invariance_windows(const pg_invariance *v) { return v->windows.count; }

/* The evidence of the window at (top, left): that of `from`, or 0 for every class where `from` is NULL. */
static void put(pg_invariance *v, int top, int left, const int32_t *from)
{
    const pg_evidence *e = &v->evidence;
    size_t size = (size_t)e->classes * sizeof *v->q;
    for (int i = 0; i < v->windows.rows.length; i++)
        for (int j = 0; j < v->windows.columns.length; j++) {
            size_t at = (size_t)((top + i) % e->height * e->width + (left + j) % e->width) * (size_t)e->classes;
            if (from)
                memcpy(v->q + at, from + at, size);
            else
                memset(v->q + at, 0, size);
        }
}

static int predict(const pg_invariance *v)
{
    return v->job.defense->predict(&v->evidence, v->job.window, v->job.config, v->scratch);
}

pg_masked pg_invariance_image(pg_invariance *v, const void *logits, bool wide, int label)
{
    int classes = v->evidence.classes;
    size_t positions = (size_t)v->evidence.height * (size_t)v->evidence.width;
    bool finite = wide ? pg_evidence_f64(&v->spec, logits, positions, classes, v->work, v->whole)
                       : pg_evidence_f32(&v->spec, logits, positions, classes, v->work, v->whole);
    if (!finite)
        return (pg_masked){.prediction = -1, .wrong = v->windows.count};
    memcpy(v->q, v->whole, positions * (size_t)classes * sizeof *v->q);
    pg_masked out = {.prediction = predict(v)};
    for (int top = 0; top < v->windows.rows.places; top++)
        for (int left = 0; left < v->windows.columns.places; left++) {
            put(v, top, left, NULL);
            int prediction = predict(v);
            out.wrong += prediction != label;
            out.changed += prediction != out.prediction;
            put(v, top, left, v->whole);
        }
    return out;
}
