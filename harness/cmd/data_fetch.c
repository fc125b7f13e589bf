/* `patchgauge data fetch`: official archives, and files and folders of images from anywhere. */
#include "harness/base/log.h"
#include "harness/base/option.h"
#include "harness/cmd/data.h"
#include "harness/data/cifar10.h"
#include "harness/data/source.h"

#include <getopt.h>
#include <string.h>

typedef struct request {
    const char *what; /* a data set, or an address */
    const char *side, *name, *output;
    pg_fetch given; /* url, hash, size: NULL and 0 where they were not given */
    pg_image_fit fit;
    bool fitted, skip;
    int64_t left_out;
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
    static const struct option options[] = {{"url", required_argument, NULL, 'u'},
                                            {"sha256", required_argument, NULL, 'h'},
                                            {"size", required_argument, NULL, 's'},
                                            {"side", required_argument, NULL, 'S'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"output", required_argument, NULL, 'o'},
                                            PG_DATA_FIT_OPTIONS,
                                            {0}};
    static char name[] = "data"; /* for messages */
    int code = PG_OK, result;
    argv[0] = name;
    optind = 0;
    while (!code && (result = pg_command_option_next(argc, argv, ":o:", options)) != -1) {
        if (result == 'u')
            r->given.url = optarg;
        else if (result == 'h')
            code = set_hash(optarg, &r->given);
        else if (result == 's')
            code = set_size(optarg, &r->given);
        else if (result == 'S')
            r->side = optarg;
        else if (result == 'n')
            r->name = optarg;
        else if (result == 'o')
            r->output = optarg;
        else if (strchr("rcf", result)) {
            r->fitted = true;
            code = pg_data_set_fit("fetch", result, optarg, &r->fit);
        } else if (result == 'k')
            r->fitted = r->skip = true;
        else
            code = pg_command_option_error(argv, options, result);
    }
    if (!code && optind != argc - 1)
        code = pg_fail(
            PG_EUSAGE,
            "data fetch: right would be `data fetch cifar10`, `data fetch imagenette`, or `data fetch URL --sha256 HEX` "
            "with -o FILE or --name NAME");
    r->what = code ? NULL : argv[optind];
    return code;
}

/* The official archive, with what was given in its place. Another place may have another size, but not other contents. */
static pg_fetch merge(const pg_fetch *official, const pg_fetch *given)
{
    pg_fetch f = *official;
    if (given->url)
        f.url = given->url;
    if (given->hash)
        f.hash = given->hash;
    if (given->size)
        f.size = given->size;
    return f;
}

static int fetch_cifar10(const pg_context *context, const request *r)
{
    if (r->side || r->name || r->output || r->fitted)
        return pg_fail(
            PG_EUSAGE,
            "data fetch: --side, --name, --output, --resize, --crop, --filter and --skip-damaged are not for cifar10");
    pg_fetch fetch = merge(&pg_cifar10_official, &r->given);
    int code = pg_cifar10_fetch(context->data_dir, &fetch, PG_CIFAR10_IMAGES);
    return code ? code : pg_data_report(context, pg_data_cifar10.name);
}

static int fetch_imagenette(const pg_context *context, request *r)
{
    const pg_imagenette *archive = pg_imagenettes;
    if (r->name || r->output)
        return pg_fail(PG_EUSAGE, "data fetch: --name and --output are for an address, not for %s", PG_IMAGENETTE);
    while (r->side && archive->side && strcmp(archive->side, r->side) != 0)
        archive++;
    if (!archive->side)
        return pg_fail(PG_EUSAGE, "data fetch: --side %s: right would be 320, 160 or full", r->side);
    pg_fetch fetch = merge(&archive->fetch, &r->given);
    int code = pg_image_folder_fetch(context->data_dir, PG_IMAGENETTE, &fetch, &r->fit, r->skip ? &r->left_out : NULL);
    return code ? code : pg_data_report(context, PG_IMAGENETTE);
}

static int fetch_url(const pg_context *context, request *r)
{
    pg_fetch fetch = r->given;
    fetch.url = r->what;
    fetch.label = "bytes";
    if (r->given.url || r->side)
        return pg_fail(PG_EUSAGE, "data fetch: --url and --side are for data sets that have a name here, not for %s", r->what);
    if (!fetch.hash)
        return pg_fail(PG_EUSAGE, "data fetch %s: wants its SHA-256: --sha256 HEX, from a place that you trust", r->what);
    if (!r->name == !r->output || (r->output && r->fitted))
        return pg_fail(
            PG_EUSAGE,
            "data fetch %s: right would be -o FILE for a file, or --name NAME for an archive of images, which may have "
            "--resize, --crop and --filter",
            r->what);
    if (r->output) {
        int code = pg_fetch_file(&fetch, r->output);
        if (!code)
            pg_info("%s: SHA-256 as expected", r->output);
        return code;
    }
    int code = pg_image_folder_fetch(context->data_dir, r->name, &fetch, &r->fit, r->skip ? &r->left_out : NULL);
    return code ? code : pg_data_report(context, r->name);
}

int pg_data_fetch(const pg_context *context, int argc, char **argv)
{
    request r = {.fit = PG_DATA_FIT};
    pg_data_set set;
    int code = read_arguments(argc, argv, &r);
    if (code)
        return code;
    if (strstr(r.what, "://"))
        return fetch_url(context, &r);
    if (strcmp(r.what, pg_data_cifar10.name) == 0)
        return fetch_cifar10(context, &r);
    if (strcmp(r.what, PG_IMAGENETTE) == 0)
        return fetch_imagenette(context, &r);
    code = pg_data_find(context->data_dir, r.what, &set);
    if (!code && set.kind == &pg_data_synthetic)
        return pg_fail(PG_EINPUT, "data fetch: %s is built in and needs no files", r.what);
    if (!code)
        return pg_fail(PG_EINPUT, "data fetch: %s was imported: `patchgauge data import %s DIR` renews it", r.what, r.what);
    const char *const names[] = {pg_data_cifar10.name, PG_IMAGENETTE, NULL}, *near = pg_nearest(r.what, names);
    return pg_fail(PG_EINPUT, "data fetch: unknown data set '%s': %s%s%s", r.what, near ? "did you mean '" : "right would be ",
                   near ? near : "cifar10, imagenette or an address", near ? "'?" : "");
}
