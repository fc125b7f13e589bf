#include "harness/data/resized.h"

#include "harness/base/buf.h"
#include "harness/base/option.h"
#include "harness/data/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int resized_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    const pg_resizing how = pg_dataset_resizing(&dataset->info);
    const pg_dataset *inner = dataset->source;
    if (!pixels)
        return pg_dataset_read(inner, first, count, NULL, labels);
    uint8_t *planes = malloc((size_t)3 * (size_t)how.from_height * (size_t)how.from_width);
    int code = planes ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an image of %d x %d pixels", how.height, how.width);
    for (int64_t i = 0; code == PG_OK && i < count; i++) {
        code = pg_dataset_read(inner, first + i, 1, planes, labels ? labels + i : NULL);
        if (code == PG_OK)
            code = pg_resize_planes(&how, planes, pixels + (size_t)i * 3 * (size_t)how.height * (size_t)how.width);
    }
    free(planes);
    return code;
}

/* Only what an open data set needs. */
static const pg_dataset_kind resized = {.module.name = "resized", .read = resized_read};

int pg_resized_parse(const char *suffix, pg_dataset_info *info)
{
    const char *colon = strchr(suffix, ':');
    char size[16];
    snprintf(size, sizeof size, "%.*s", (int)(colon ? colon - suffix : (int)strlen(suffix)), suffix);
    int filter = colon ? -1 : PG_FILTER_BICUBIC;
    for (int i = 0; colon && pg_filter_names[i]; i++)
        filter = strcmp(colon + 1, pg_filter_names[i]) == 0 ? i : filter;
    if (pg_parse_size(size, &info->height, &info->width) != PG_OK || info->height > PG_MANIFEST_SIDE ||
        info->width > PG_MANIFEST_SIDE || filter < 0)
        return pg_fail(PG_EINPUT,
                       "data set %s:%s@%s: behind the @ stands the size that its images are resized to, 192 or 192x224, at "
                       "most %d, and perhaps the filter, :bicubic (the default) or :bilinear",
                       info->name, info->split, suffix, PG_MANIFEST_SIDE);
    info->filter = (pg_filter)filter;
    return PG_OK;
}

/* The hash of the data set and of what is done to its images. */
static int seal(pg_dataset_info *info)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "resized=1\ndataset=%s\nsize=%dx%d\nfilter=%s\n", info->hash, info->height, info->width,
                  pg_filter_names[info->filter]);
    return pg_hash_text(&text, info->hash);
}

int pg_resized_open(pg_dataset *inner, const char *suffix, pg_dataset **out)
{
    pg_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) {
        pg_dataset_close(inner);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    *dataset = (pg_dataset){.kind = &resized, .info = inner->info, .source = inner};
    int code = pg_resized_parse(suffix, &dataset->info);
    if (code == PG_OK)
        code = seal(&dataset->info);
    if (code != PG_OK)
        pg_dataset_close(dataset);
    else
        *out = dataset;
    return code;
}
