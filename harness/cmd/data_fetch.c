/* `patchgauge data fetch`: official archives, and files and folders of images from anywhere. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/data/catalog.h"

#include <string.h>

typedef struct request {
    const char *what; /* a data set, or an address */
    const char *name, *output;
    pg_fetch given; /* url, hash, size: NULL and 0 where they were not given */
    pg_data_options options;
} request;

static int set_hash(const char *text, pg_fetch *fetch)
{
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return pg_fail(PG_EUSAGE, "data fetch: --sha256 %s: right would be 64 lower-case hexadecimal digits", text);
    fetch->hash = text;
    return PG_OK;
}

static int set_size(const char *text, pg_fetch *fetch)
{
    if (pg_parse_int(text, &fetch->size) || fetch->size < 1)
        return pg_fail(PG_EUSAGE, "data fetch: --size %s: right would be the archive's size in bytes", text);
    return PG_OK;
}

static int read_arguments(int argc, char **argv, request *r)
{
    static const struct option action[] = {{"url", required_argument, NULL, 'u'},    {"sha256", required_argument, NULL, 'h'},
                                           {"size", required_argument, NULL, 's'},   {"name", required_argument, NULL, 'n'},
                                           {"output", required_argument, NULL, 'o'}, {0}};
    static char name[] = "data"; /* for messages */
    int code = PG_OK, result;
    pg_data_options_init(&r->options, true, action);
    argv[0] = name;
    optind = 0;
    while (!code && (result = pg_command_option_next(argc, argv, ":o:", r->options.rows)) != -1) {
        if (result == 'u')
            r->given.url = optarg;
        else if (result == 'h')
            code = set_hash(optarg, &r->given);
        else if (result == 's')
            code = set_size(optarg, &r->given);
        else if (result == 'n')
            r->name = optarg;
        else if (result == 'o')
            r->output = optarg;
        else if (!pg_data_options_take(&r->options, result))
            code = pg_command_option_error(argv, r->options.rows, result);
    }
    if (!code && optind != argc - 1)
        code = pg_fail(PG_EUSAGE, "data fetch: right would be `data fetch NAME`, as `data fetch cifar10`, or `data fetch URL "
                                  "--sha256 HEX` with -o FILE or --name NAME");
    r->what = code ? NULL : argv[optind];
    return code;
}

/* An archive becomes a data set, with what the user says of it. */
static int fetch_set(const pg_context *context, const request *r, const pg_dataset_kind *kind, const char *name)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    int code = pg_data_options_configure(&r->options, kind, config);
    if (!code)
        code = kind->fetch(context->data_dir, name, &r->given, config);
    return code ? code : pg_data_report(context, name);
}

static int fetch_file(const request *r)
{
    int code = pg_fetch_file(&r->given, r->output);
    if (!code)
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
    if (!r->name == !r->output || (r->output && pg_data_options_first(&r->options)))
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

int pg_data_fetch(const pg_context *context, int argc, char **argv)
{
    request r = {0};
    int code = read_arguments(argc, argv, &r);
    if (code)
        return code;
    if (strstr(r.what, "://"))
        return fetch_url(context, &r);
    const pg_dataset_kind *kind = pg_dataset_kind_find(r.what);
    if (!kind || !kind->fetch)
        return refuse(context, r.what);
    if (r.name || r.output)
        return pg_fail(PG_EUSAGE, "data fetch: --name and --output are for an address, not for %s", r.what);
    return fetch_set(context, &r, kind, r.what);
}
