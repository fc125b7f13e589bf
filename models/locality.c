/* Measuring locality. See locality.h. Each image of a batch carries a patch of its own, so that a batch measures as many trials
 * as it has images, one at every place. */
#include "models/locality.h"

#include "harness/base/grid.h"
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/base/rng.h"
#include "harness/data/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct patch {
    int top, left, height, width;
} patch;

int64_t pg_locality_units(double change)
{
    if (change == 0)
        return 0;
    return change < pg_grid_value(PG_LOCALITY_MAX - 1) ? (int64_t)(change * PG_GRID) + 1 : PG_LOCALITY_MAX;
}

static patch random_patch(pg_rng *rng, const pg_geometry *g)
{
    patch p;
    p.height = 1 + (int)pg_rng_below(rng, (uint32_t)(g->input_height / 4));
    p.width = 1 + (int)pg_rng_below(rng, (uint32_t)(g->input_width / 4));
    p.top = (int)pg_rng_below(rng, (uint32_t)(g->input_height - p.height + 1));
    p.left = (int)pg_rng_below(rng, (uint32_t)(g->input_width - p.width + 1));
    return p;
}

static void fill(pg_rng *rng, const pg_geometry *g, patch p, uint8_t *pixels)
{
    for (int c = 0; c < 3; c++)
        for (int y = p.top; y < p.top + p.height; y++)
            for (int x = p.left; x < p.left + p.width; x++)
                pixels[(c * g->input_height + y) * g->input_width + x] = (uint8_t)pg_rng_below(rng, 256);
}

/* Images in hand: `n` of them, whole batches, each without and with its patch. */
typedef struct group {
    pg_network *net;
    const pg_geometry *g;
    int n, batch;
    size_t image, map;                /* bytes, floats */
    uint8_t *clean, *patched, *moved; /* [n][image] */
    float *own;                       /* [n][map] of the clean images at their own places */
    float *before, *after;            /* [n][map] of a pass, without and with patches */
    patch *patches;
    pg_memory memory; /* of all arrays */
    pg_progress progress;
} group;

/* The largest change of a map; with a patch only over positions whose field does not meet it, -1 where there is none. */
static int64_t largest_change(const pg_geometry *g, const patch *p, const float *before, const float *after)
{
    int64_t worst = p ? -1 : 0;
    for (int y = 0; y < g->rows.positions; y++)
        for (int x = 0; x < g->columns.positions; x++) {
            if (p && pg_axis_meets(&g->rows, g->input_height, y, p->top, p->height) &&
                pg_axis_meets(&g->columns, g->input_width, x, p->left, p->width))
                continue;
            for (int c = 0; c < g->classes; c++) {
                size_t i = ((size_t)y * (size_t)g->columns.positions + (size_t)x) * (size_t)g->classes + (size_t)c;
                int64_t change = pg_locality_units(fabs((double)after[i] - (double)before[i]));
                worst = change > worst ? change : worst;
            }
        }
    return worst;
}

static int make_room(group *s)
{
    size_t n = (size_t)s->n;
    s->clean = pg_memory_take(&s->memory, n, s->image);
    s->patched = pg_memory_take(&s->memory, n, s->image);
    s->moved = pg_memory_take(&s->memory, n, s->image);
    s->own = pg_memory_take(&s->memory, n * s->map, sizeof *s->own);
    s->before = pg_memory_take(&s->memory, n * s->map, sizeof *s->before);
    s->after = pg_memory_take(&s->memory, n * s->map, sizeof *s->after);
    s->patches = pg_memory_take(&s->memory, n, sizeof *s->patches);
    return pg_memory_check(&s->memory, "%d images", s->n);
}

/* Images and patches of trials first .. first + n - 1. */
static int draw(group *s, const pg_dataset *data, uint64_t seed, int64_t first)
{
    int code = PG_OK;
    for (int i = 0; code == PG_OK && i < s->n; i++) {
        pg_rng rng = pg_rng_make(seed, PG_STREAM_LOCALITY, (uint32_t)(first + i));
        s->patches[i] = random_patch(&rng, s->g);
        int64_t at = (int64_t)pg_rng_below(&rng, (uint32_t)pg_dataset_info_of(data)->images);
        code = pg_dataset_read(data, at, 1, s->clean + (size_t)i * s->image, NULL);
        memcpy(s->patched + (size_t)i * s->image, s->clean + (size_t)i * s->image, s->image);
        fill(&rng, s->g, s->patches[i], s->patched + (size_t)i * s->image);
    }
    return code;
}

static int forward(group *s, const uint8_t *pixels, int batch, float *logits)
{
    pg_network_set_batch(s->net, batch);
    int code = pg_network_forward(s->net, pixels, 0, s->n, logits);
    pg_progress_update(&s->progress, s->progress.done + s->n, NULL);
    return code;
}

/* Every image at its own place, without and with its patch. */
static int measure_places(group *s, pg_locality *out)
{
    int code = forward(s, s->clean, s->batch, s->own);
    if (code == PG_OK)
        code = forward(s, s->patched, s->batch, s->after);
    for (int i = 0; code == PG_OK && i < s->n; i++) {
        int64_t change = largest_change(s->g, &s->patches[i], s->own + (size_t)i * s->map, s->after + (size_t)i * s->map);
        out->outside += change >= 0;
        out->delta_grid = change > out->delta_grid ? change : out->delta_grid;
    }
    return code;
}

/* How images are moved: in batches of `batch` (0: their own), in the order i -> (i + shift) mod n, backwards where `back`. */
typedef struct arrangement {
    int batch;
    bool back, half; /* half: shifted by half a batch */
    bool patched;    /* also with patches */
} arrangement;

static const arrangement arrangements[] = {
    {0, true, false, true},   {0, false, true, false},   {1, false, false, true},
    {16, false, false, true}, {16, true, false, false},  {64, false, false, true},
    {64, true, false, false}, {128, false, false, true}, {128, true, false, false},
};

static bool is_left_out(const arrangement *a, int own) { return a->batch == own || (a->batch == 0 && own == 1); }

static size_t origin(const group *s, const arrangement *a, int i, int batch)
{
    int at = a->half ? (i + batch / 2) % s->n : i;
    return (size_t)(a->back ? s->n - 1 - at : at);
}

static int forward_moved(group *s, const arrangement *a, const uint8_t *pixels, float *logits)
{
    int batch = a->batch ? a->batch : s->batch;
    for (int i = 0; i < s->n; i++)
        memcpy(s->moved + (size_t)i * s->image, pixels + origin(s, a, i, batch) * s->image, s->image);
    return forward(s, s->moved, batch, logits);
}

static int measure_moved(group *s, const arrangement *a, pg_locality *out)
{
    int batch = a->batch ? a->batch : s->batch, code = forward_moved(s, a, s->clean, s->before);
    if (code == PG_OK && a->patched)
        code = forward_moved(s, a, s->patched, s->after);
    for (int i = 0; code == PG_OK && i < s->n; i++) {
        size_t from = origin(s, a, i, batch);
        const float *here = s->before + (size_t)i * s->map;
        int64_t moved = largest_change(s->g, NULL, s->own + from * s->map, here);
        int64_t leak = a->patched ? largest_change(s->g, &s->patches[from], here, s->after + (size_t)i * s->map) : 0;
        out->moved_grid = moved > out->moved_grid ? moved : out->moved_grid;
        out->elsewhere_grid = leak > out->elsewhere_grid ? leak : out->elsewhere_grid;
    }
    return code;
}

static int measure(group *s, const pg_dataset *data, const pg_locality_request *r, pg_locality *out)
{
    enum { ARRANGEMENTS = sizeof arrangements / sizeof *arrangements };
    int64_t passes = 2 * ((r->trials + s->n - 1) / s->n);
    for (size_t i = 0; r->moved && i < ARRANGEMENTS; i++)
        passes += is_left_out(&arrangements[i], s->batch) ? 0 : 1 + arrangements[i].patched;
    pg_progress_start(&s->progress, "locality: images", 0, passes * s->n);
    int code = PG_OK;
    for (int64_t first = 0; code == PG_OK && first < r->trials; first += s->n) {
        code = draw(s, data, r->seed, first);
        if (code == PG_OK)
            code = measure_places(s, out);
        out->trials += s->n;
        for (size_t i = 0; code == PG_OK && r->moved && first == 0 && i < ARRANGEMENTS; i++)
            if (!is_left_out(&arrangements[i], s->batch))
                code = measure_moved(s, &arrangements[i], out);
    }
    pg_progress_finish(&s->progress);
    return code;
}

/* The batches that moved images are tried in, besides the own one. */
enum { BATCHES = 4, LARGEST_BATCH = 128 };
static const int batches[BATCHES] = {1, 16, 64, LARGEST_BATCH};

/* "1,16,64,128", and the own batch among them. */
static void name_batches(int own, char *out, size_t size)
{
    size_t at = 0;
    bool told = false;
    for (size_t i = 0; i <= BATCHES; i++) {
        int next = i < BATCHES ? batches[i] : own + 1;
        if (!told && own < next)
            at += (size_t)snprintf(out + at, size - at, "%s%d", at ? "," : "", own);
        told = told || own <= next;
        if (i < BATCHES)
            at += (size_t)snprintf(out + at, size - at, "%s%d", at ? "," : "", next);
    }
}

/* Images at a time: whole batches, and where they are moved enough of them to fill the largest batch that is tried. */
static int images_of(const pg_locality_request *r)
{
    int least = r->moved ? LARGEST_BATCH : 1;
    return (least + r->batch - 1) / r->batch * r->batch;
}

int pg_locality_measure(const char *weights, const pg_locality_request *r, pg_locality *out)
{
    pg_dataset *data = NULL;
    group s = {.n = images_of(r), .batch = r->batch};
    *out = (pg_locality){.dtype = r->dtype, .batch = r->batch, .moved = r->moved, .images = r->moved ? s.n : 0};
    int code = pg_dataset_open(r->data_dir, r->dataset, &data);
    if (code == PG_OK)
        code = pg_network_open(
            weights, NULL, 0,
            &(pg_network_options){.device = r->device, .dtype = r->dtype, .batch = s.n, .threads = r->threads}, &s.net);
    if (code == PG_OK) {
        const pg_dataset_info *info = pg_dataset_info_of(data);
        s.g = &pg_network_info(s.net)->geometry;
        s.image = (size_t)3 * (size_t)(s.g->input_height * s.g->input_width);
        s.map = (size_t)(s.g->rows.positions * s.g->columns.positions) * (size_t)s.g->classes;
        snprintf(out->device, sizeof out->device, "%.*s", (int)strcspn(pg_network_device(s.net), ":"),
                 pg_network_device(s.net));
        snprintf(out->isa, sizeof out->isa, "%s", pg_network_isa(s.net));
        if (r->moved)
            name_batches(r->batch, out->batches, sizeof out->batches);
        if (info->height != s.g->input_height || info->width != s.g->input_width)
            code = pg_fail(PG_EINPUT, "%s has images of %dx%d, the model takes %dx%d", r->dataset, info->height, info->width,
                           s.g->input_height, s.g->input_width);
        if (code == PG_OK)
            code = make_room(&s);
        if (code == PG_OK)
            code = measure(&s, data, r, out);
    }
    out->measured = code == PG_OK && out->outside > 0;
    pg_memory_free(&s.memory);
    pg_network_close(s.net);
    pg_dataset_close(data);
    return code;
}
