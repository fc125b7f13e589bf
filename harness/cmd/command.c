/* Commands by name, and the options that all of them have. See command.h. */
#include "harness/cmd/command.h"

#include "db/store.h"
#include "harness/base/option.h"

#include <string.h>

/* "10G", "512MiB", "0": bytes, in powers of 1024. */
static int set_bytes(const char *text, void *field)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "T"};
    size_t digits = strspn(text, "0123456789");
    char number[24];
    int64_t value = 0;
    bool good = digits > 0 && digits < sizeof number;
    if (good) {
        memcpy(number, text, digits);
        number[digits] = 0;
        good = !pg_parse_int(number, &value);
    }
    const char *unit = text + digits;
    for (int i = 0; good && i < 5; i++) {
        size_t length = strlen(suffixes[i]);
        if (strncmp(unit, suffixes[i], length) == 0 &&
            (unit[length] == 0 || (length && (strcmp(unit + length, "iB") == 0 || strcmp(unit + length, "i") == 0))) &&
            value <= INT64_MAX >> 10 * i) {
            *(int64_t *)field = value << 10 * i;
            return PG_OK;
        }
    }
    return PG_EUSAGE;
}

static int set_db(const char *path, void *field)
{
    *(const char **)field = path;
    return *path ? pg_store_name_check(path) : PG_EUSAGE;
}

#define AT(field) offsetof(pg_context, field)
const pg_cli_row pg_global_rows[] = {
    {0, "db", "FILE", "the database", "./patchgauge.db", AT(db_path), PG_CALL(set_db, "the name of a file")},
    {0, "data", "DIR", "imported data sets; default $PATCHGAUGE_DATA, else ./data", NULL, AT(data_dir), PG_TEXT_FULL},
    {0, "cache", "DIR", "the feature cache; default $XDG_CACHE_HOME/patchgauge or ~/.cache/patchgauge", NULL, AT(cache_dir),
     PG_TEXT_FULL},
    {0, "cache-size", "SIZE", "its largest size, as 512M or 10GiB; 0 turns it off", "10GiB", AT(cache_bytes),
     PG_CALL(set_bytes, "a number of bytes, as 0, 512M or 10GiB")},
    {0, "plugin", "FILE",
     "defenses, attacks and models of a plug-in, which is code: it runs with your rights; a name without '/' is looked for in "
     "$PATCHGAUGE_PLUGIN_PATH",
     NULL, AT(plugins), PG_TEXTS},
    {0, "quiet", NULL, "no information and no progress on standard error", NULL, AT(quiet), PG_FLAG},
    {0, "trust", NULL, "run TorchScript modules in weights files; a module is a program of its author", NULL, AT(trust),
     PG_FLAG},
    {0, "version", NULL, "print the version", NULL, AT(version), PG_FLAG, .again = true},
    {'h', "help", NULL, "print the overview, or the page of the command", NULL, AT(help), PG_FLAG, .again = true},
    PG_CLI_END,
};

const pg_command *pg_command_find(const char *name)
{
    enum { MOST = 64 };
    const char *names[MOST + 1] = {NULL};
    for (int i = 0; pg_commands[i] && i < MOST; i++) {
        if (strcmp(pg_commands[i]->name, name) == 0)
            return pg_commands[i];
        names[i] = pg_commands[i]->name;
    }
    const char *near = pg_nearest(name, names);
    if (near)
        pg_fail(PG_EUSAGE, "unknown command '%s': did you mean '%s'?", name, near);
    else
        pg_fail(PG_EUSAGE, "unknown command '%s': `patchgauge help` lists the commands", name);
    return NULL;
}
