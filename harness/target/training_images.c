#include "harness/target/training_images.h"

#include "harness/base/memory.h"
#include "harness/data/dataset.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 512 << 20 };

/* One batch of images. */
typedef struct page {
    int64_t first;             /* -1: none */
    uint8_t *pixels, *sources; /* as the network takes them; before a resize, where patches are put on there */
    float *logits;
    int32_t *labels;
    int *predictions;
} page;

struct pg_training_loader {
    pg_training_images training_images;
    pg_dataset *dataset;
    pg_network *network;     /* borrowed */
    pg_evaluator *evaluator; /* borrowed */
    int batch;
    size_t image, source, map; /* values of one image; source 0: patches are put on what the network takes */
    int64_t n_pages;
    page *pages;
    int slots;
    uint8_t *pixels;  /* [slots][image] */
    uint8_t *sources; /* [slots][source] */
    float *logits;    /* [slots][map] */
    pg_memory memory; /* of all arrays */
};

static int fill_page(pg_training_loader *b, page *p, int64_t first)
{
    int64_t left = b->training_images.count - first;
    int n = left < b->batch ? (int)left : b->batch;
    p->first = -1;
    if (!p->pixels) {
        p->pixels = pg_memory_take(&b->memory, (size_t)b->batch, b->image);
        p->sources = pg_memory_take(&b->memory, (size_t)b->batch, b->source);
        p->logits = pg_memory_take(&b->memory, (size_t)b->batch * b->map, sizeof *p->logits);
        p->labels = pg_memory_take(&b->memory, (size_t)b->batch, sizeof *p->labels);
        p->predictions = pg_memory_take(&b->memory, (size_t)b->batch, sizeof *p->predictions);
    }
    int code = pg_memory_check(&b->memory, "training images");
    if (code == PG_OK)
        code = pg_dataset_read(b->dataset, first, n, p->pixels, p->labels);
    if (code == PG_OK && b->source)
        code = pg_dataset_read_source(b->dataset, first, n, p->sources);
    if (code == PG_OK)
        code = pg_network_forward_wanted(b->network, p->pixels, first, n, NULL, p->logits);
    for (int i = 0; code == PG_OK && i < n; i++) {
        p->predictions[i] = pg_evaluator_logits(b->evaluator, p->logits + (size_t)i * b->map);
        code = pg_evaluator_check(b->evaluator, p->predictions[i], first + i);
    }
    if (code == PG_OK)
        p->first = first;
    return code;
}

static int read_image(void *context, int64_t i, int slot, pg_example *out)
{
    pg_training_loader *b = context;
    uint8_t *pixels = b->pixels + (size_t)slot * b->image, *source = b->sources + (size_t)slot * b->source;
    float *logits = b->logits + (size_t)slot * b->map;
    int64_t number = i / b->batch, first = number * b->batch;
    page *p = &b->pages[number % b->n_pages];
    int code = p->first == first ? PG_OK : fill_page(b, p, first);
    if (code != PG_OK)
        return code;
    size_t at = (size_t)(i - first);
    memcpy(pixels, p->pixels + at * b->image, b->image);
    memcpy(source, p->sources + at * b->source, b->source);
    memcpy(logits, p->logits + at * b->map, b->map * sizeof *logits);
    *out = (pg_example){.index = i,
                        .label = p->labels[at],
                        .prediction = p->predictions[at],
                        .pixels = b->source ? source : pixels,
                        .logits = logits,
                        .resized = b->source ? pixels : NULL};
    return PG_OK;
}

static int check_fit(const pg_training_loader *b, const char *dataset, const pg_geometry *g, const pg_resizing *resize)
{
    const pg_dataset_info *info = pg_dataset_info_of(b->dataset);
    if (resize && (info->source_height != resize->from_height || info->source_width != resize->from_width))
        return pg_fail(PG_EINPUT, "%s has images of %dx%d pixels before the resize, those under attack have %dx%d", dataset,
                       info->source_height, info->source_width, resize->from_height, resize->from_width);
    if (info->height == g->input_height && info->width == g->input_width && info->classes <= g->classes)
        return PG_OK;
    return pg_fail(PG_EINPUT, "%s has images of %dx%d pixels and %d classes, the model takes %dx%d and %d", dataset,
                   info->height, info->width, info->classes, g->input_height, g->input_width, g->classes);
}

static int make_pages(pg_training_loader *b)
{
    int64_t batches = (b->training_images.count + b->batch - 1) / b->batch;
    int64_t room = BYTES_MAX / (int64_t)((size_t)b->batch * (b->image + b->source + b->map * sizeof(float)));
    b->n_pages = batches < room ? batches : room;
    b->n_pages = b->n_pages > 0 ? b->n_pages : 1;
    b->pages = pg_memory_take(&b->memory, (size_t)b->n_pages, sizeof *b->pages);
    b->pixels = pg_memory_take(&b->memory, (size_t)b->slots, b->image);
    b->sources = pg_memory_take(&b->memory, (size_t)b->slots, b->source);
    b->logits = pg_memory_take(&b->memory, (size_t)b->slots * b->map, sizeof *b->logits);
    for (int64_t i = 0; b->pages && i < b->n_pages; i++)
        b->pages[i].first = -1;
    return pg_memory_check(&b->memory, "training images");
}

int pg_training_images_open(const char *data_dir, const char *dataset, pg_network *network, int batch, pg_evaluator *evaluator,
                            int slots, const pg_resizing *resize, pg_training_loader **out)
{
    *out = NULL;
    pg_training_loader *b = calloc(1, sizeof *b);
    if (!b)
        return pg_fail(PG_ENOMEM, "out of memory");
    const pg_geometry *g = &pg_network_info(network)->geometry;
    *b = (pg_training_loader){.network = network,
                              .evaluator = evaluator,
                              .batch = batch,
                              .slots = slots,
                              .image = (size_t)3 * (size_t)g->input_height * (size_t)g->input_width,
                              .source = resize ? (size_t)3 * (size_t)resize->from_height * (size_t)resize->from_width : 0,
                              .map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)g->classes};
    int code = pg_dataset_open(data_dir, dataset, &b->dataset);
    if (code == PG_OK)
        code = check_fit(b, dataset, g, resize);
    if (code == PG_OK) {
        b->training_images =
            (pg_training_images){.count = pg_dataset_info_of(b->dataset)->images, .context = b, .read = read_image};
        code = make_pages(b);
    }
    if (code == PG_OK)
        *out = b;
    else
        pg_training_images_close(b);
    return code;
}

void pg_training_images_close(pg_training_loader *b)
{
    if (!b)
        return;
    pg_memory_free(&b->memory);
    pg_dataset_close(b->dataset);
    free(b);
}

const pg_training_images *pg_training_images_of(const pg_training_loader *b) { return &b->training_images; }
