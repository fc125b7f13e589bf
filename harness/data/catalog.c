/* Finds and opens data sets of every kind. See catalog.h, dataset.h. */
#include "harness/data/catalog.h"

#include "harness/base/option.h"
#include "harness/data/resized.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Kinds ---- */

const pg_dataset_kind *pg_dataset_kind_find(const char *name)
{
    for (int i = 0; pg_dataset_kinds[i]; i++)
        if (!pg_dataset_kinds[i]->user_named && strcmp(name, pg_dataset_kinds[i]->module.name) == 0)
            return pg_dataset_kinds[i];
    return NULL;
}

const pg_dataset_kind *pg_dataset_kind_user_named(void)
{
    int i = 0;
    while (pg_dataset_kinds[i] && !pg_dataset_kinds[i]->user_named)
        i++;
    return pg_dataset_kinds[i];
}

const pg_dataset_kind *pg_dataset_kind_nearest(const char *name, bool fetch)
{
    const char *names[64] = {0};
    int n = 0;
    for (int i = 0; pg_dataset_kinds[i] && n + 1 < (int)(sizeof names / sizeof *names); i++) {
        const pg_dataset_kind *kind = pg_dataset_kinds[i];
        if (!kind->user_named && (fetch ? kind->fetch != NULL : kind->import != NULL))
            names[n++] = kind->module.name;
    }
    const char *near = pg_nearest(name, names);
    return near ? pg_dataset_kind_find(near) : NULL;
}

int pg_dataset_kind_check(const pg_dataset_kind *kind)
{
    const pg_hook hooks[] = {{"splits", kind->splits && kind->splits[0]},
                             {"open", kind->open != NULL},
                             {"read", kind->read != NULL},
                             {"import", kind->import || (!kind->verify && !kind->user_named)},
                             {"verify", kind->verify || (!kind->import && !kind->fetch)},
                             {NULL, false}};
    int code = pg_module_check(&kind->module, "dataset"), n = 0;
    if (code == PG_OK)
        code = pg_module_check_hooks(&kind->module, "dataset", hooks);
    if (code != PG_OK)
        return code;
    while (kind->splits[n] && strlen(kind->splits[n]) < sizeof((pg_dataset_info *)0)->split)
        n++;
    if (kind->splits[n] || n > PG_DATASET_SPLITS)
        return pg_fail(PG_EINPUT, "dataset %s: %d splits at most, with short names", kind->module.name, PG_DATASET_SPLITS);
    if (!kind->user_named && !pg_manifest_name(kind->module.name))
        return pg_fail(PG_EINPUT, "dataset %s: its name is too long for a data set", kind->module.name);
    if (kind->fetch_options) {
        pg_module fetch = kind->module;
        fetch.options = kind->fetch_options;
        return pg_module_check(&fetch, "dataset");
    }
    return PG_OK;
}

/* ---- Names ---- */

void pg_dataset_names_free(char **names)
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
    if (!pg_manifest_name(name) || pg_dataset_kind_find(name) || asprintf(&path, "%s/%s/manifest.json", data_dir, name) < 0)
        return false;
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

int pg_dataset_names(const char *data_dir, char ***out)
{
    struct dirent **entries = NULL;
    int found = scandir(data_dir, &entries, NULL, by_bytes), n = 0, kinds = 0;
    while (pg_dataset_kinds[kinds])
        kinds++;
    char **names = calloc((size_t)(found > 0 ? found : 0) + (size_t)kinds + 1, sizeof *names);
    bool good = names;
    for (int i = 0; i < kinds && good; i++)
        if (!pg_dataset_kinds[i]->user_named)
            good = (names[n++] = strdup(pg_dataset_kinds[i]->module.name)) != NULL;
    for (int i = 0; i < found; i++) {
        if (good && is_imported(data_dir, entries[i]->d_name))
            good = (names[n++] = strdup(entries[i]->d_name)) != NULL;
        free(entries[i]);
    }
    free(entries);
    if (good)
        *out = names;
    else
        pg_dataset_names_free(names);
    return good ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for the names of data sets");
}

static int fail_name(const char *data_dir, const char *name)
{
    char **names = NULL;
    int code = pg_dataset_names(data_dir, &names);
    if (code != PG_OK)
        return code;
    const char *near = pg_nearest(name, (const char *const *)names);
    if (near)
        pg_fail(PG_EINPUT, "unknown data set '%s': did you mean '%s'?", name, near);
    else
        pg_fail(PG_EINPUT, "unknown data set '%s': `patchgauge list datasets` names them", name);
    pg_dataset_names_free(names);
    return PG_EINPUT;
}

/* PG_EMISSING says which command brings the data set; other codes stay as they are. */
static int explain_missing(int code, const pg_dataset_kind *kind, const char *data_dir)
{
    const char *name = kind->module.name;
    if (code != PG_EMISSING || kind->user_named)
        return code;
    if (!kind->fetch)
        return pg_fail(code, "%s is not in %s: `patchgauge data import %s DIR` puts it there", name, data_dir, name);
    return pg_fail(code, "%s is not in %s: `patchgauge data fetch %s` or `patchgauge data import %s DIR` puts it there", name,
                   data_dir, name, name);
}

int pg_dataset_find(const char *data_dir, const char *name, pg_dataset_entry *out)
{
    *out = (pg_dataset_entry){.kind = pg_dataset_kind_find(name)};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (!out->kind && !is_imported(data_dir, name))
        return fail_name(data_dir, name);
    if (!out->kind)
        out->kind = pg_dataset_kind_user_named();
    bool has[PG_DATASET_SPLITS] = {0};
    int code = out->kind->find_splits ? out->kind->find_splits(data_dir, name, has) : PG_OK, n = 0;
    for (int i = 0; code == PG_OK && out->kind->splits[i]; i++)
        if (has[i] || !out->kind->find_splits)
            out->splits[n++] = out->kind->splits[i];
    return explain_missing(code, out->kind, data_dir);
}

/* ---- Opening ---- */

static int fail_split(const pg_dataset_entry *set, const char *split)
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
    pg_dataset_entry set;
    char name[sizeof set.name];
    const char *colon = strchr(spec, ':');
    size_t length = colon ? (size_t)(colon - spec) : strlen(spec);
    if (!colon || length >= sizeof name)
        return pg_fail(PG_EINPUT, "'%s' is not a data set: right would be NAME:SPLIT, as cifar10:test", spec);
    memcpy(name, spec, length);
    name[length] = 0;
    int code = pg_dataset_find(data_dir, name, &set), split = 0;
    if (code != PG_OK)
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
    code = explain_missing(set.kind->open(data_dir, dataset), set.kind, data_dir);
    dataset->info.source_height = dataset->info.height;
    dataset->info.source_width = dataset->info.width;
    if (code != PG_OK)
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
    return code != PG_OK ? code : pg_resized_open(inner, at + 1, out);
}

int pg_dataset_each_split(const char *data_dir, const char *name, int (*each)(const pg_dataset_info *info, void *context),
                          void *context)
{
    pg_dataset_entry set;
    int code = pg_dataset_find(data_dir, name, &set);
    for (int i = 0; code == PG_OK && set.splits[i]; i++) {
        char spec[64];
        pg_dataset *dataset = NULL;
        snprintf(spec, sizeof spec, "%s:%s", name, set.splits[i]);
        code = pg_dataset_open(data_dir, spec, &dataset);
        if (code == PG_OK)
            code = each(&dataset->info, context);
        pg_dataset_close(dataset);
    }
    return code;
}

int pg_dataset_verify(const char *data_dir, const char *name, pg_manifest_report *report, void *context)
{
    pg_dataset_entry set;
    int code = pg_dataset_find(data_dir, name, &set);
    if (code == PG_OK && set.kind->verify)
        code = explain_missing(set.kind->verify(data_dir, name, report, context), set.kind, data_dir);
    return code;
}
