/* Opens and reads data sets of every kind. See dataset.h. */
#include "harness/data/source.h"

#include "harness/base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const pg_data_kind *const pg_data_kinds[] = {&pg_data_cifar10, &pg_data_synthetic, NULL};

const pg_data_kind *pg_data_find(const char *name)
{
    const char *names[sizeof pg_data_kinds / sizeof *pg_data_kinds] = {NULL};
    for (int i = 0; pg_data_kinds[i]; i++) {
        if (strcmp(name, pg_data_kinds[i]->name) == 0)
            return pg_data_kinds[i];
        names[i] = pg_data_kinds[i]->name;
    }
    const char *near = pg_nearest(name, names);
    if (near)
        pg_fail(PG_EINPUT, "unknown data set '%s': did you mean '%s'?", name, near);
    else
        pg_fail(PG_EINPUT, "unknown data set '%s': `patchgauge list datasets` names them", name);
    return NULL;
}

static int fail_split(const pg_data_kind *kind, const char *split)
{
    char known[128] = "";
    const char *near = pg_nearest(split, kind->splits);
    for (int i = 0; kind->splits[i]; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", kind->splits[i]);
    if (near)
        return pg_fail(PG_EINPUT, "data set %s has no split '%s': did you mean '%s:%s'?", kind->name, split, kind->name, near);
    return pg_fail(PG_EINPUT, "data set %s has no split '%s': right would be one of %s", kind->name, split, known);
}

int pg_dataset_open(const char *data_dir, const char *spec, pg_dataset **out)
{
    char name[32];
    const char *colon = strchr(spec, ':');
    size_t length = colon ? (size_t)(colon - spec) : strlen(spec);
    if (!colon || length >= sizeof name)
        return pg_fail(PG_EINPUT, "'%s' is not a data set: right would be NAME:SPLIT, as cifar10:test", spec);
    memcpy(name, spec, length);
    name[length] = 0;
    const pg_data_kind *kind = pg_data_find(name);
    if (!kind)
        return PG_EINPUT;
    int split = 0;
    while (kind->splits[split] && strcmp(kind->splits[split], colon + 1) != 0)
        split++;
    if (!kind->splits[split])
        return fail_split(kind, colon + 1);
    pg_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return pg_fail(PG_ENOMEM, "out of memory");
    dataset->kind = kind;
    snprintf(dataset->info.name, sizeof dataset->info.name, "%s", kind->name);
    snprintf(dataset->info.split, sizeof dataset->info.split, "%s", kind->splits[split]);
    int code = kind->open(data_dir, dataset);
    if (code)
        pg_dataset_close(dataset);
    else
        *out = dataset;
    return code;
}

void pg_dataset_close(pg_dataset *dataset)
{
    if (!dataset)
        return;
    dataset->kind->close(dataset);
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
