#include "harness/target/open.h"

#include "defenses/evidence.h"
#include "harness/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* What a network asks of a defense of images. */
typedef struct masked_images {
    const pg_defended *defended;
    pg_map map;
    pg_evidence_spec spec;
    int32_t *q;
    double *row;
    void *scratch;
    pg_memory memory; /* of these arrays */
} masked_images;

static int mask_image(void *context, int row, int column, const uint8_t *pixels, uint8_t *out)
{
    const pg_defended *d = ((masked_images *)context)->defended;
    return d->defense->mask_image(d->config, &d->size, row, column, pixels, out);
}

static int parts(void *context, int row, int column, pg_masked_part out[2])
{
    const pg_defended *d = ((masked_images *)context)->defended;
    pg_mask_part p[2];
    int n = d->defense->mask_parts(d->config, &d->size, row, column, p);
    for (int i = 0; i < n; i++)
        out[i] = (pg_masked_part){p[i].position, {p[i].top, p[i].left, p[i].height, p[i].width}, p[i].left_out};
    return n;
}

/* No masked image changes the prediction of an image with a logit that is not finite. */
static int wanted(void *context, const float *logits, const bool *known, int label, int *next)
{
    masked_images *m = context;
    const pg_defended *d = m->defended;
    if (!pg_evidence_f32(&m->spec, logits, (size_t)m->map.height * (size_t)m->map.width, m->map.classes, m->row, m->q))
        return 0;
    pg_evidence evidence = pg_evidence_of(&m->map, m->q, &m->spec);
    return d->defense->wanted(&evidence, known, label, d->config, m->scratch, next);
}

static void release(void *context)
{
    masked_images *m = context;
    pg_memory_free(&m->memory);
    free(m);
}

static int make_masked(const pg_defended *d, const pg_geometry *g, pg_window window, masked_images **out)
{
    masked_images *m = calloc(1, sizeof *m);
    if (!m)
        return pg_fail(PG_ENOMEM, "out of memory");
    *m = (masked_images){.defended = d, .map = pg_defended_map_of(g, window)};
    d->defense->evidence(d->config, &m->spec);
    int height = m->map.height, width = m->map.width;
    if (d->defense->wanted) {
        m->q = pg_memory_take(&m->memory, (size_t)height * (size_t)width * (size_t)g->classes, sizeof *m->q);
        m->row = pg_memory_take(&m->memory, (size_t)g->classes, sizeof *m->row);
        m->scratch = pg_memory_take(&m->memory, d->defense->scratch_size(height, width, g->classes, 1), 1);
    }
    int code = pg_memory_check(&m->memory, "feature maps of %dx%dx%d", height, width, g->classes);
    if (code == PG_OK)
        *out = m;
    else
        release(m);
    return code;
}

int pg_defended_open(const pg_defended *d, const char *weights, const char *const *pairs, size_t n,
                     const pg_network_options *options, pg_network **out)
{
    int code = pg_network_open(weights, pairs, n, options, out);
    if (code != PG_OK || !pg_defended_masks_images(d))
        return code;
    pg_geometry g = pg_network_info(*out)->geometry;
    pg_window window;
    masked_images *m = NULL;
    code = pg_defended_map(d, &g, &window);
    if (code == PG_OK)
        code = make_masked(d, &g, window, &m);
    if (code == PG_OK)
        return pg_network_masked(*out,
                                 &(pg_masked_images){.rows = g.rows,
                                                     .columns = g.columns,
                                                     .mask_image = mask_image,
                                                     .wanted = d->defense->wanted ? wanted : NULL,
                                                     .parts = d->defense->mask_parts ? parts : NULL,
                                                     .release = release,
                                                     .context = m},
                                 out);
    pg_network_close(*out);
    *out = NULL;
    return code;
}

int pg_forward_open(const pg_forward *f, const pg_network_options *options, pg_network **out)
{
    pg_network_options chosen = *options;
    chosen.outputs = f->outputs;
    chosen.n_outputs = f->info.geometry.classes;
    int code =
        pg_defended_open(&f->masked_images, f->weights, (const char *const *)f->model_pairs, f->n_model_pairs, &chosen, out);
    if (code != PG_OK || strcmp(pg_network_info(*out)->hash, f->info.hash) == 0)
        return code;
    pg_network_close(*out);
    *out = NULL;
    return pg_fail(PG_EINPUT, "%s changed since it was planned; start again", f->weights);
}
