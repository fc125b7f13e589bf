/* See mosaic.h. */
#include "models/mosaic.h"

#include "harness/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above this share crops cost more than they spare: each of them is a pass of its own. */
static const double most_crops = 0.25;

/* Positions of one axis of the cut, and of both. */
typedef struct span {
    int first, count;
} span;
typedef struct region {
    span rows, columns;
} region;

struct pg_mosaic {
    pg_mosaic_network net;
    pg_masked_images masked;
    pg_value cut;               /* of whole images, without a tensor */
    const uint8_t *pixels;      /* of the image in hand */
    uint8_t *image, *crop;      /* a masked image, and pixels of it */
    float *whole;               /* [rows][columns][channels] of the cut: the image's own features */
    float **parts;              /* [positions of the map] those of a part's region; NULL: not there yet */
    float *both;                /* those of a region where two parts meet */
    float *features;            /* [images][rows][columns][channels] */
    pg_memory memory, of_image; /* of these arrays; of the parts */
};

static span span_of(const pg_axis *a, int input_px, int start, int length)
{
    span s = {0, 0};
    for (int i = 0; i < a->positions; i++)
        if (pg_axis_meets(a, input_px, i, start, length)) {
            s.first = s.count ? s.first : i;
            s.count++;
        }
    return s;
}

static span common(span a, span b)
{
    int first = a.first > b.first ? a.first : b.first, end_a = a.first + a.count, end_b = b.first + b.count;
    int end = end_a < end_b ? end_a : end_b;
    return (span){first, end > first ? end - first : 0};
}

/* The positions that see a part. */
static region region_of(const pg_mosaic *m, const pg_rect *part)
{
    const pg_geometry *g = m->net.geometry;
    return (region){span_of(&m->cut.rows, g->input_height, part->top, part->height),
                    span_of(&m->cut.columns, g->input_width, part->left, part->width)};
}

static size_t floats_of(const pg_mosaic *m, region r)
{
    return (size_t)r.rows.count * (size_t)r.columns.count * (size_t)m->cut.channels;
}

/* The positions that see both parts; none where there is one. */
static region meet(const pg_mosaic *m, const pg_masked_part *parts, int n)
{
    if (n < 2)
        return (region){{0, 0}, {0, 0}};
    region a = region_of(m, &parts[0].pixels), b = region_of(m, &parts[1].pixels);
    return (region){common(a.rows, b.rows), common(a.columns, b.columns)};
}

/* ---- Features of a crop ---- */

/* Pixels that hold all that the positions see, from a multiple of the stride to another one or to the end of the image: there
 * the layers lay their zeros where they lay them round the whole image, and elsewhere no position of the span sees the zeros.
 */
static span pixels_of(const pg_axis *a, int input_px, span s)
{
    int start = s.first * a->stride - a->padding, end = (s.first + s.count - 1) * a->stride - a->padding + a->field;
    start = start > 0 ? start / a->stride * a->stride : 0;
    end = (end + a->stride - 1) / a->stride * a->stride;
    return (span){start, (end < input_px ? end : input_px) - start};
}

static void cut_out(const pg_mosaic *m, const uint8_t *pixels, span rows, span columns)
{
    const pg_geometry *g = m->net.geometry;
    uint8_t *to = m->crop;
    for (int c = 0; c < 3; c++)
        for (int y = rows.first; y < rows.first + rows.count; y++, to += columns.count)
            memcpy(to, pixels + ((size_t)c * (size_t)g->input_height + (size_t)y) * (size_t)g->input_width + columns.first,
                   (size_t)columns.count);
}

/* Features [rows][columns][channels] of a region, of the image that has these pixels. */
static int run_early(pg_mosaic *m, const uint8_t *pixels, region r, float *out)
{
    const pg_mosaic_network *n = &m->net;
    pg_scope *s = n->scope;
    const pg_torch *t = s->torch;
    span rows = pixels_of(&m->cut.rows, n->geometry->input_height, r.rows),
         columns = pixels_of(&m->cut.columns, n->geometry->input_width, r.columns);
    int top = r.rows.first - rows.first / m->cut.rows.stride, left = r.columns.first - columns.first / m->cut.columns.stride;
    cut_out(m, pixels, rows, columns);
    bool recorded = t->grad_mode(false);
    s->error = PG_OK;
    if (n->bf16)
        t->autocast(s, s->device, true);
    pg_tensor *x = t->from_data(s, m->crop, PG_T_U8, 4, (const int64_t[]){1, 3, rows.count, columns.count});
    x = pg_model_early(n->model, n->config, s, n->parameters, n->geometry->classes, x).tensor;
    if (n->bf16)
        t->autocast(s, s->device, false);
    x = t->slice(s, t->slice(s, x, 2, top, top + r.rows.count, 1), 3, left, left + r.columns.count, 1);
    t->read(s, t->permute(s, x, 4, (const int64_t[]){0, 2, 3, 1}), out, PG_T_F32, (int64_t)floats_of(m, r));
    int code = pg_scope_check(s);
    t->scope_clear(s);
    t->grad_mode(recorded);
    return code;
}

/* ---- Masked images ---- */

static const uint8_t *masked_image(pg_mosaic *m, int position)
{
    int columns = m->masked.columns.positions;
    m->masked.mask_image(m->masked.context, position / columns, position % columns, m->pixels, m->image);
    return m->image;
}

static void paste(const pg_mosaic *m, const float *from, region r, float *features)
{
    size_t channels = (size_t)m->cut.channels, run = (size_t)r.columns.count * channels;
    for (int y = 0; y < r.rows.count; y++)
        memcpy(features + ((size_t)(r.rows.first + y) * (size_t)m->cut.columns.positions + (size_t)r.columns.first) * channels,
               from + (size_t)y * run, run * sizeof *features);
}

static int paste_part(pg_mosaic *m, const pg_masked_part *part, float *features)
{
    region r = region_of(m, &part->pixels);
    int code = PG_OK;
    if (floats_of(m, r) == 0)
        return PG_OK;
    if (!m->parts[part->position]) {
        float *made = pg_memory_take(&m->of_image, floats_of(m, r), sizeof *made);
        code = made ? run_early(m, masked_image(m, part->position), r, made)
                    : pg_memory_check(&m->of_image, "features of masked images");
        m->parts[part->position] = code == PG_OK ? made : NULL;
    }
    if (code == PG_OK)
        paste(m, m->parts[part->position], r, features);
    return code;
}

static int put_together(pg_mosaic *m, int position, float *features)
{
    pg_masked_part parts[2];
    int columns = m->masked.columns.positions, code = PG_OK;
    int n = m->masked.parts(m->masked.context, position / columns, position % columns, parts);
    memcpy(features, m->whole,
           (size_t)m->cut.rows.positions * (size_t)m->cut.columns.positions * (size_t)m->cut.channels * sizeof *features);
    for (int i = 0; code == PG_OK && i < n; i++)
        code = paste_part(m, &parts[i], features);
    if (code != PG_OK)
        return code;
    region both = meet(m, parts, n);
    if (floats_of(m, both) == 0)
        return PG_OK;
    code = run_early(m, masked_image(m, position), both, m->both);
    if (code == PG_OK)
        paste(m, m->both, both, features);
    return code;
}

int pg_mosaic_begin(pg_mosaic *m, const uint8_t *pixels)
{
    memset(m->parts, 0, (size_t)m->masked.rows.positions * (size_t)m->masked.columns.positions * sizeof *m->parts);
    pg_memory_free(&m->of_image);
    m->pixels = pixels;
    return run_early(m, pixels, (region){{0, m->cut.rows.positions}, {0, m->cut.columns.positions}}, m->whole);
}

pg_tensor *pg_mosaic_logits(pg_mosaic *m, const int *positions, int n)
{
    const pg_mosaic_network *net = &m->net;
    pg_scope *s = net->scope;
    const pg_torch *t = s->torch;
    size_t image = (size_t)m->cut.rows.positions * (size_t)m->cut.columns.positions * (size_t)m->cut.channels;
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < n; i++)
        code = put_together(m, positions[i], m->features + (size_t)i * image);
    if (code != PG_OK && !s->error) {
        s->error = code;
        snprintf(s->message, sizeof s->message, "%s", pg_error_message());
    }
    bool recorded = t->grad_mode(false);
    const int64_t shape[] = {n, m->cut.rows.positions, m->cut.columns.positions, m->cut.channels};
    pg_tensor *x = t->permute(s, t->from_data(s, m->features, PG_T_F32, 4, shape), 4, (const int64_t[]){0, 3, 1, 2});
    if (net->bf16) {
        x = t->to_type(s, x, PG_T_BF16);
        t->autocast(s, s->device, true);
    }
    x = pg_model_late(net->model, net->config, s, net->parameters, net->geometry, x);
    if (net->bf16)
        t->autocast(s, s->device, false);
    t->grad_mode(recorded);
    return x;
}

/* ---- Making ---- */

/* Whether positions of the cut lie every `stride` pixels from the first to the last one of the image. */
static bool divides(const pg_axis *a, int input_px) { return !a->wrap && a->field > 0 && a->positions * a->stride == input_px; }

static bool same_part(const pg_masked_part *a, const pg_masked_part *b)
{
    return a->position == b->position && a->pixels.top == b->pixels.top && a->pixels.left == b->pixels.left &&
           a->pixels.height == b->pixels.height && a->pixels.width == b->pixels.width;
}

/* Whether every masked image has parts, each of which is the one part of a masked image of its own. */
static bool has_parts(const pg_mosaic *m)
{
    int columns = m->masked.columns.positions, all = m->masked.rows.positions * columns;
    for (int i = 0; i < all; i++) {
        pg_masked_part parts[2], own[2];
        int n = m->masked.parts(m->masked.context, i / columns, i % columns, parts);
        for (int k = 0; k < n; k++) {
            int at = parts[k].position;
            if (at < 0 || at >= all || m->masked.parts(m->masked.context, at / columns, at % columns, own) != 1 ||
                !same_part(&own[0], &parts[k]))
                return false;
        }
        if (n < 1 || n > 2)
            return false;
    }
    return true;
}

/* The pixels of the crops that masked images want for themselves, as a share of all their pixels. */
static double share_of_crops(const pg_mosaic *m)
{
    const pg_geometry *g = m->net.geometry;
    int columns = m->masked.columns.positions, all = m->masked.rows.positions * columns;
    double pixels = 0;
    for (int i = 0; i < all; i++) {
        pg_masked_part parts[2];
        int n = m->masked.parts(m->masked.context, i / columns, i % columns, parts);
        region r = meet(m, parts, n);
        if (floats_of(m, r) > 0)
            pixels += (double)pixels_of(&m->cut.rows, g->input_height, r.rows).count *
                      pixels_of(&m->cut.columns, g->input_width, r.columns).count;
    }
    return pixels / all / g->input_height / g->input_width;
}

int pg_mosaic_new(const pg_mosaic_network *network, const pg_masked_images *masked, int images, pg_mosaic **out)
{
    const pg_geometry *g = network->geometry;
    pg_value cut = network->footprint.cut;
    *out = NULL;
    if (!masked->parts || cut.channels == 0 || !divides(&cut.rows, g->input_height) || !divides(&cut.columns, g->input_width))
        return PG_OK;
    pg_mosaic *m = calloc(1, sizeof *m);
    if (!m)
        return pg_fail(PG_ENOMEM, "out of memory");
    *m = (pg_mosaic){.net = *network, .masked = *masked, .cut = cut};
    size_t pixels = (size_t)g->input_height * (size_t)g->input_width,
           floats = (size_t)cut.rows.positions * (size_t)cut.columns.positions * (size_t)cut.channels;
    m->image = pg_memory_take(&m->memory, 3, pixels);
    m->crop = pg_memory_take(&m->memory, 3, pixels);
    m->whole = pg_memory_take(&m->memory, floats, sizeof *m->whole);
    m->both = pg_memory_take(&m->memory, floats, sizeof *m->both);
    m->features = pg_memory_take(&m->memory, (size_t)images * floats, sizeof *m->features);
    m->parts = pg_memory_take(&m->memory, (size_t)masked->rows.positions * (size_t)masked->columns.positions, sizeof(float *));
    int code = pg_memory_check(&m->memory, "features of %d masked images", images);
    if (code == PG_OK && has_parts(m) && share_of_crops(m) < most_crops)
        *out = m;
    else
        pg_mosaic_free(m);
    return code;
}

void pg_mosaic_free(pg_mosaic *m)
{
    if (!m)
        return;
    pg_memory_free(&m->of_image);
    pg_memory_free(&m->memory);
    free(m);
}
