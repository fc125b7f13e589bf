/* Pages of modules in Markdown, from their tables of options. See manual.h. */
#include "attacks/attack.h"
#include "defenses/defense.h"
#include "harness/base/buf.h"
#include "harness/cmd/manual.h"
#include "models/model.h"

#include <ctype.h>
#include <string.h>

/* Text with nothing in it that Markdown acts on within a line. */
static void put(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (strchr("|<*_\\`", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_code(const char *text, FILE *out) { fprintf(out, *text ? "`%s`" : "empty", text); }

static void put_options(const pg_option *row, FILE *out)
{
    if (row->name)
        fputs("\n| option | what it is | values | default |\n|---|---|---|---|\n", out);
    for (; row->name; row++) {
        pg_buf values = PG_BUF_EMPTY;
        pg_option_describe(row, &values);
        fprintf(out, "| `%s` | ", row->name);
        put(row->help, out);
        fputs(row->recorded_only ? " (changes no result) | " : " | ", out);
        put(values.data ? values.data : "", out);
        fputs(" | ", out);
        put_code(row->fallback, out);
        fputs(" |\n", out);
        pg_buf_release(&values);
    }
}

/* `more` is said of this kind of module; "" for nothing. */
static void put_module(const pg_module *module, const char *more, FILE *out)
{
    fprintf(out, "\n## %s\n\n%c", module->name, toupper((unsigned char)module->summary[0]));
    put(module->summary + 1, out);
    fputs(".\n\nSource: ", out);
    put(module->source, out);
    fprintf(out, ". Version %d.%s%s\n", module->version, more, module->options->name ? "" : " No options.");
    put_options(module->options, out);
}

/* What its certificate is worth where nothing is set. */
static const char *worth_of(const pg_defense *defense)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    if (pg_module_configure(&defense->module, "defense", NULL, 0, config) != PG_OK)
        return "";
    switch (defense->certificate(config)) {
    case PG_CERTIFICATE_EXACT:
        return " With its defaults the certificate is exact: a proof, and some contents of a window break every image that is "
               "refused (features, not pixels), up to ties and the end of the grid at +-1024.";
    case PG_CERTIFICATE_SOUND:
        return " With its defaults the certificate is a proof; some images that no attack breaks are refused.";
    default:
        return " With its defaults there is no certificate.";
    }
}

static void put_title(const char *title, const char *kind, const char *key, FILE *out)
{
    fprintf(out,
            "# %s\n\n`make docs` writes this page from the tables that the program reads options by; `patchgauge help %s NAME` "
            "prints one\n"
            "module of it. In a matrix an option is the key \"%s.OPTION\".\n",
            title, kind, key);
}

bool pg_manual_modules(const char *topic, FILE *out)
{
    if (strcmp(topic, "defenses") == 0) {
        put_title("Defenses", "defense", "DEFENSE", out);
        for (int i = 0; pg_defenses[i]; i++)
            put_module(&pg_defenses[i]->module, worth_of(pg_defenses[i]), out);
    } else if (strcmp(topic, "attacks") == 0) {
        put_title("Attacks", "attack", "ATTACK", out);
        for (int i = 0; pg_attacks[i]; i++)
            put_module(&pg_attacks[i]->module, pg_attacks[i]->needs_gradients ? "" : " Needs no gradients.", out);
    } else if (strcmp(topic, "models") == 0) {
        put_title("Models", "model", "MODEL", out);
        for (int i = 0; pg_models[i]; i++)
            put_module(&pg_models[i]->module, pg_models[i]->needs_torch ? "" : " Needs no libtorch.", out);
    } else
        return false;
    return true;
}
