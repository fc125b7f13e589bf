/* `patchgauge data fetch`: official archives, and files and folders of images from anywhere. */
#include "harness/base/log.h"
#include "harness/cmd/data.h"
#include "harness/data/catalog.h"

#include <string.h>

typedef struct request {
    const char *what; /* a data set, or an address */
    const char *name, *output;
    pg_fetch given;   /* url, hash, size: NULL and 0 where they were not given */
    pg_texts options; /* of kinds: names and values in turns */
} request;

static int set_hash(const char *text, void *field)
{
    *(const char **)field = text;
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64 ? PG_OK : PG_EUSAGE;
}

#define AT(field) offsetof(request, field)
static const pg_cli_row options[] = {
    {0, NULL, "NAME|URL", NULL, NULL, AT(what), PG_TEXT, PG_REQUIRED},
    {0, "url", "URL", "another place of the archive", NULL, AT(given.url), PG_TEXT},
    {0, "sha256", "HEX", "and its SHA-256; `fetch URL` always wants it", NULL, AT(given.hash),
     PG_CALL(set_hash, "64 lower-case hexadecimal digits")},
    {0, "size", "BYTES", "and its size, where it is another archive of the same layout", NULL, AT(given.size),
     PG_INT(1, INT64_MAX)},
    {0, "name", "NAME", "fetch URL: an archive, as import takes it under a name of your own, becomes this data set", NULL,
     AT(name), PG_TEXT},
    {'o', "output", "FILE", "fetch URL: the file is put here, weights for instance; another file is never replaced", NULL,
     AT(output), PG_TEXT},
    {.offset = AT(options), PG_TABLES(pg_data_fetch_table)},
    PG_CLI_END,
};

/* An archive becomes a data set, with what the user says of it. */
static int fetch_set(const pg_context *context, const request *r, const pg_dataset_kind *kind, const char *name)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    int code = pg_data_options_configure(&r->options, true, kind, config);
    if (code == PG_OK)
        code = kind->fetch(context->data_dir, name, &r->given, config);
    return code != PG_OK ? code : pg_data_report(context, name);
}

static int fetch_file(const request *r)
{
    int code = pg_fetch_file(&r->given, r->output);
    if (code == PG_OK)
        pg_info("%s: SHA-256 as expected", r->output);
    return code;
}

static int fetch_url(const pg_context *context, request *r)
{
    if (r->given.url)
        return pg_fail(PG_EUSAGE, "data fetch: --url is for data sets that have a name here, not for %s", r->what);
    r->given.url = r->what;
    r->given.label = "bytes";
    if (!r->given.hash)
        return pg_fail(PG_EUSAGE, "data fetch %s: wants its SHA-256: --sha256 HEX, from a place that you trust", r->what);
    if (!r->name == !r->output || (r->output && r->options.n > 0))
        return pg_fail(
            PG_EUSAGE,
            "data fetch %s: right would be -o FILE for a file, or --name NAME for an archive of images, which may have options",
            r->what);
    if (r->output)
        return fetch_file(r);
    if (pg_dataset_kind_find(r->name))
        return pg_fail(PG_EINPUT, "'%s' is the name of a data set of its own kind: choose another name", r->name);
    return fetch_set(context, r, pg_dataset_kind_user_named(), r->name);
}

/* A name that nothing can be fetched for. */
static int refuse(const pg_context *context, const char *name)
{
    pg_dataset_entry set;
    const pg_dataset_kind *near = pg_dataset_kind_nearest(name, true);
    const pg_dataset_kind *kind = pg_dataset_kind_find(name);
    if (kind && !kind->import)
        return pg_fail(PG_EINPUT, "data fetch: %s is built in and needs no files", name);
    if (kind)
        return pg_fail(PG_EINPUT, "data fetch: %s has no archive to fetch: `patchgauge data import %s DIR`", name, name);
    if (pg_dataset_find(context->data_dir, name, &set) == PG_OK)
        return pg_fail(PG_EINPUT, "data fetch: %s was imported: `patchgauge data import %s DIR` renews it", name, name);
    return near ? pg_fail(PG_EINPUT, "data fetch: unknown data set '%s': did you mean '%s'?", name, near->module.name)
                : pg_fail(
                      PG_EINPUT,
                      "data fetch: unknown data set '%s': right would be an address, or a data set of `patchgauge help data`",
                      name);
}

static int run(const pg_context *context, void *given)
{
    request *r = given;
    if (strstr(r->what, "://"))
        return fetch_url(context, r);
    const pg_dataset_kind *kind = pg_dataset_kind_find(r->what);
    if (!kind || !kind->fetch)
        return refuse(context, r->what);
    if (r->name || r->output)
        return pg_fail(PG_EUSAGE, "data fetch: --name and --output are for an address, not for %s", r->what);
    return fetch_set(context, r, kind, r->what);
}

const pg_command pg_data_fetch = {
    .name = "fetch",
    .synopsis = "data fetch NAME|URL [options]",
    .summary =
        "Downloads an official archive into the --data folder, checks its hash, and imports it as `import` does, with its "
        "options. An interrupted download resumes; it fails after three answers in a row without a new byte. `fetch URL` "
        "takes a file or a data set from anywhere. Addresses are https:// (http:// for this machine only).",
    .rows = options,
    .request_size = sizeof(request),
    .run = run,
};
