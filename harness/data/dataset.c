/* What is the same for data sets of every kind once they are open. See dataset.h; harness/data/catalog.c opens them. */
#include "harness/data/kind.h"

#include <stdlib.h>

void pg_dataset_close(pg_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->kind->close)
        dataset->kind->close(dataset);
    pg_dataset_close(dataset->source);
    free(dataset);
}

const pg_dataset_info *pg_dataset_info_of(const pg_dataset *dataset) { return &dataset->info; }

int pg_dataset_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    const pg_dataset_info *info = &dataset->info;
    if (first < 0 || count < 0 || first > info->images || count > info->images - first)
        return pg_fail(PG_EINPUT, "%s:%s has images 0 to %lld; %lld from %lld are outside", info->name, info->split,
                       (long long)info->images - 1, (long long)count, (long long)first);
    return dataset->kind->read(dataset, first, count, pixels, labels);
}

int pg_dataset_read_source(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels)
{
    return pg_dataset_read(dataset->source ? dataset->source : dataset, first, count, pixels, NULL);
}
