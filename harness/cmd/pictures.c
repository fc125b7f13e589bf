/* See pictures.h. */
#include "harness/cmd/pictures.h"

#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/data/image.h"

#include <stdlib.h>
#include <string.h>

static int open_dataset(pg_pictures *p, const char *spec)
{
    if (p->dataset_spec != NULL && strcmp(p->dataset_spec, spec) == 0)
        return PG_OK;
    pg_dataset_close(p->dataset);
    p->dataset = NULL;
    free(p->dataset_spec);
    p->dataset_spec = strdup(spec);
    if (p->dataset_spec == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for the name of a data set");
    int code = pg_dataset_open(p->data_dir, spec, &p->dataset);
    if (code == PG_OK || code == PG_ENOMEM)
        return code;
    pg_warn("no images of %s: %s", spec, pg_error_message());
    p->dataset = NULL;
    return PG_OK;
}

int pg_pictures_choose(pg_pictures *p, const pg_cell_result *cell, bool *there)
{
    *there = false;
    int code = open_dataset(p, pg_cell_result_setting(cell, "dataset"));
    if (code != PG_OK || p->dataset == NULL)
        return code;
    p->info = pg_dataset_info_of(p->dataset);
    if (strcmp(p->info->hash, pg_cell_result_setting(cell, "dataset.hash")) != 0 ||
        pg_parse_size(pg_cell_result_setting(cell, "patch.px"), &p->patch_height, &p->patch_width) != PG_OK)
        return PG_OK;
    p->before = strcmp(pg_cell_result_setting(cell, "patch-space"), "image") == 0;
    p->image_height = p->before ? p->info->source_height : p->info->height;
    p->image_width = p->before ? p->info->source_width : p->info->width;
    free(p->pixels);
    p->pixels = malloc((size_t)3 * (size_t)p->image_height * (size_t)p->image_width);
    if (p->pixels == NULL)
        return pg_fail(PG_ENOMEM, "out of memory for an image");
    pg_class_names_release(&p->names);
    code = pg_class_names_make(cell->settings, cell->n_settings, p->info, &p->names);
    *there = code == PG_OK;
    return code;
}

int pg_pictures_png(pg_pictures *p, int64_t image, const pg_attack_row *a, void **png, size_t *size)
{
    size_t width = (size_t)p->image_width, height = (size_t)p->image_height, across = (size_t)p->patch_width;
    *png = NULL;
    *size = 0;
    if (a != NULL && (a->patch == NULL || a->patch_size != 3 * (size_t)p->patch_height * across || a->top < 0 || a->left < 0 ||
                      a->top > p->image_height - p->patch_height || a->left > p->image_width - p->patch_width))
        return PG_OK;
    int code = p->before ? pg_dataset_read_source(p->dataset, image, 1, p->pixels)
                         : pg_dataset_read(p->dataset, image, 1, p->pixels, NULL);
    for (size_t c = 0; code == PG_OK && a != NULL && c < 3; c++)
        for (size_t y = 0; y < (size_t)p->patch_height; y++)
            memcpy(p->pixels + (c * height + (size_t)a->top + y) * width + (size_t)a->left,
                   a->patch + (c * (size_t)p->patch_height + y) * across, across);
    return code == PG_OK ? pg_image_encode(p->pixels, p->image_height, p->image_width, png, size) : code;
}

void pg_pictures_close(pg_pictures *p)
{
    pg_dataset_close(p->dataset);
    free(p->dataset_spec);
    free(p->pixels);
    pg_class_names_release(&p->names);
    *p = (pg_pictures){.data_dir = p->data_dir};
}
