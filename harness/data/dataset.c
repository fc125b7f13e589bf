/* Opens and reads data sets of every kind. See dataset.h. */
#include "harness/data/source.h"

#include "harness/base/option.h"
#include "harness/data/image_folder.h"
#include "harness/data/resized.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const pg_data_kind *const pg_data_kinds[] = {&pg_data_cifar10, &pg_data_synthetic, NULL};

const pg_data_kind *pg_data_builtin(const char *name)
{
    int i = 0;
    while (pg_data_kinds[i] && strcmp(name, pg_data_kinds[i]->name) != 0)
        i++;
    return pg_data_kinds[i];
}

void pg_data_names_free(char **names)
{
    for (int i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static bool is_imported(const char *data_dir, const char *name)
{
    char *path = NULL;
    if (!pg_image_folder_name(name) || pg_data_builtin(name) || asprintf(&path, "%s/%s/manifest.json", data_dir, name) < 0)
        return false;
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

int pg_data_names(const char *data_dir, char ***out)
{
    enum { KINDS = sizeof pg_data_kinds / sizeof *pg_data_kinds - 1 };
    struct dirent **entries = NULL;
    int found = scandir(data_dir, &entries, NULL, by_bytes), n = 0;
    char **names = calloc((size_t)(found > 0 ? found : 0) + KINDS + 1, sizeof *names);
    bool good = names;
    for (int i = 0; i < KINDS && good; i++)
        good = (names[n++] = strdup(pg_data_kinds[i]->name)) != NULL;
    for (int i = 0; i < found; i++) {
        if (good && is_imported(data_dir, entries[i]->d_name))
            good = (names[n++] = strdup(entries[i]->d_name)) != NULL;
        free(entries[i]);
    }
    free(entries);
    if (good)
        *out = names;
    else
        pg_data_names_free(names);
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for the names of data sets");
}

static int fail_name(const char *data_dir, const char *name)
{
    char **names = NULL;
    int code = pg_data_names(data_dir, &names);
    if (code)
        return code;
    const char *near = pg_nearest(name, (const char *const *)names);
    if (strcmp(name, PG_IMAGENETTE) == 0)
        pg_fail(PG_EINPUT, "%s is not in %s: `patchgauge data fetch %s` puts it there", name, data_dir, name);
    else if (near)
        pg_fail(PG_EINPUT, "unknown data set '%s': did you mean '%s'?", name, near);
    else
        pg_fail(PG_EINPUT, "unknown data set '%s': `patchgauge list datasets` names them", name);
    pg_data_names_free(names);
    return PG_EINPUT;
}

int pg_data_find(const char *data_dir, const char *name, pg_data_set *out)
{
    *out = (pg_data_set){.kind = pg_data_builtin(name)};
    snprintf(out->name, sizeof out->name, "%s", name);
    int n = 0;
    for (int i = 0; out->kind && out->kind->splits[i]; i++)
        out->splits[n++] = out->kind->splits[i];
    if (out->kind)
        return PG_OK;
    if (!is_imported(data_dir, name))
        return fail_name(data_dir, name);
    pg_manifest manifest;
    int code = pg_image_folder_manifest(data_dir, name, &manifest);
    out->kind = &pg_data_image_folder;
    for (int i = 0; !code && pg_image_folder_splits[i]; i++)
        if (pg_image_folder_list(&manifest, pg_image_folder_splits[i]))
            out->splits[n++] = pg_image_folder_splits[i];
    pg_manifest_release(&manifest);
    return code;
}

static int fail_split(const pg_data_set *set, const char *split)
{
    char known[128] = "";
    const char *near = pg_nearest(split, set->splits);
    for (int i = 0; set->splits[i]; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", set->splits[i]);
    if (near)
        return pg_fail(PG_EINPUT, "data set %s has no split '%s': did you mean '%s:%s'?", set->name, split, set->name, near);
    return pg_fail(PG_EINPUT, "data set %s has no split '%s': right would be one of %s", set->name, split, known);
}

static int open_plain(const char *data_dir, const char *spec, pg_dataset **out)
{
    pg_data_set set;
    char name[sizeof set.name];
    const char *colon = strchr(spec, ':');
    size_t length = colon ? (size_t)(colon - spec) : strlen(spec);
    if (!colon || length >= sizeof name)
        return pg_fail(PG_EINPUT, "'%s' is not a data set: right would be NAME:SPLIT, as cifar10:test", spec);
    memcpy(name, spec, length);
    name[length] = 0;
    int code = pg_data_find(data_dir, name, &set), split = 0;
    if (code)
        return code;
    while (set.splits[split] && strcmp(set.splits[split], colon + 1) != 0)
        split++;
    if (!set.splits[split])
        return fail_split(&set, colon + 1);
    pg_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return pg_fail(PG_ENOMEM, "out of memory");
    dataset->kind = set.kind;
    snprintf(dataset->info.name, sizeof dataset->info.name, "%s", set.name);
    snprintf(dataset->info.split, sizeof dataset->info.split, "%s", set.splits[split]);
    code = set.kind->open(data_dir, dataset);
    dataset->info.source_height = dataset->info.height;
    dataset->info.source_width = dataset->info.width;
    if (code)
        pg_dataset_close(dataset);
    else
        *out = dataset;
    return code;
}

int pg_dataset_open(const char *data_dir, const char *spec, pg_dataset **out)
{
    const char *at = strchr(spec, '@');
    if (!at)
        return open_plain(data_dir, spec, out);
    pg_dataset *inner = NULL;
    char *plain = strndup(spec, (size_t)(at - spec));
    int code = plain ? open_plain(data_dir, plain, &inner) : pg_fail(PG_ENOMEM, "out of memory");
    free(plain);
    return code ? code : pg_resized_open(inner, at + 1, out);
}

void pg_dataset_close(pg_dataset *dataset)
{
    if (!dataset)
        return;
    dataset->kind->close(dataset);
    free(dataset);
}

int pg_data_each_split(const char *data_dir, const char *name, int (*each)(const pg_dataset_info *info))
{
    pg_data_set set;
    int code = pg_data_find(data_dir, name, &set);
    for (int i = 0; !code && set.splits[i]; i++) {
        char spec[64];
        pg_dataset *dataset = NULL;
        snprintf(spec, sizeof spec, "%s:%s", name, set.splits[i]);
        code = pg_dataset_open(data_dir, spec, &dataset);
        if (!code)
            code = each(&dataset->info);
        pg_dataset_close(dataset);
    }
    return code;
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
    return pg_dataset_read(pg_resized_source(dataset), first, count, pixels, NULL);
}
