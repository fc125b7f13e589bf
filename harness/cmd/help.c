/* `patchgauge help`: the overview, the page of a command, the options of a module. */
#include "harness/base/option.h"
#include "harness/base/version.h"
#include "harness/cmd/command.h"
#include "harness/cmd/manual.h"
#include "harness/cmd/print.h"
#include "harness/data/kind.h"
#include "harness/plan/modules.h"

#include <string.h>

PG_COMMAND(help)

/* Columns of lines that are broken here: those of a terminal, or what fits one. */
static size_t width_of(FILE *stream)
{
    enum { PAGE = 78 };
    size_t width = pg_print_width(stream);
    return width ? width : PAGE;
}

/* Ends what was begun with PG_BUF_EMPTY. */
static int print_page(pg_buf *text, FILE *stream)
{
    int code = pg_buf_check(text);
    if (code == PG_OK)
        pg_print_fitted(text->data, stream);
    pg_buf_release(text);
    return code;
}

int pg_help_overview(FILE *stream)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text,
                  "patchgauge %s: how well image classifiers stand up to adversarial patches\n\n"
                  "usage: patchgauge [global options] COMMAND [arguments]\n\ncommands:\n",
                  PG_VERSION);
    for (int i = 0; pg_commands[i]; i++)
        pg_buf_printf(&text, "  %-10s %s\n", pg_commands[i]->name, pg_commands[i]->summary);
    pg_buf_puts(&text, "\nglobal options, before or after the command:\n");
    pg_cli_help(pg_global_rows, width_of(stream), &text);
    pg_buf_puts(&text, "\n");
    pg_cli_prose("`patchgauge help COMMAND`, `help defense|attack|model|dataset NAME` and `help matrix` say more.",
                 width_of(stream), &text);
    pg_buf_puts(&text, "\n");
    pg_cli_prose(pg_help_exit_codes, width_of(stream), &text);
    return print_page(&text, stream);
}

/* What follows the summary: prose, options, examples. */
static void add_body(const pg_command *command, size_t width, pg_buf *out)
{
    if (command->help) {
        pg_buf_puts(out, "\n");
        pg_cli_prose(command->help, width, out);
    }
    if (command->more) {
        pg_buf_puts(out, "\n");
        command->more(width, out);
    }
    pg_buf rows = PG_BUF_EMPTY;
    pg_cli_help(command->rows, width, &rows);
    pg_buf_printf(out, "%s%s", rows.size ? "\n" : "", rows.data);
    out->failed |= rows.failed;
    pg_buf_release(&rows);
    if (command->examples)
        pg_buf_printf(out, "\n%s", command->examples);
}

int pg_help_command(const pg_command *command, FILE *stream)
{
    size_t width = width_of(stream);
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "usage: patchgauge %s\n\n", command->synopsis);
    pg_cli_prose(command->summary, width, &text);
    for (int i = 0; command->actions && command->actions[i]; i++) {
        pg_buf_printf(&text, "\npatchgauge %s\n\n", command->actions[i]->synopsis);
        pg_cli_prose(command->actions[i]->summary, width, &text);
        add_body(command->actions[i], width, &text);
    }
    add_body(command, width, &text);
    return print_page(&text, stream);
}

static int print_module(const pg_module *module, const char *kind)
{
    pg_buf text = PG_BUF_EMPTY;
    const pg_plugin_file *origin = pg_modules_origin(module);
    pg_buf_printf(&text, "%s %s (version %d)\n%s\nsource: %s\n", kind, module->name, module->version, module->summary,
                  module->source);
    if (origin)
        pg_buf_printf(&text, "plug-in: %s, sha256 %s\n", origin->path, origin->hash);
    if (module->options->name) {
        pg_buf_puts(&text, "\noptions, as KEY=VALUE:\n");
        pg_options_help(module->options, "", &text);
    } else
        pg_buf_puts(&text, "\nno options\n");
    return print_page(&text, stdout);
}

static int print_matrix(void)
{
    pg_buf text = PG_BUF_EMPTY;
    pg_help_matrix(width_of(stdout), &text);
    return print_page(&text, stdout);
}

static int help_topic(const char *topic)
{
    for (int i = 0; pg_commands[i]; i++)
        if (strcmp(pg_commands[i]->name, topic) == 0)
            return pg_help_command(pg_commands[i], stdout);
    if (strcmp(topic, "matrix") == 0)
        return print_matrix();
    if (strcmp(topic, "man") == 0 || strcmp(topic, "completion") == 0) {
        (strcmp(topic, "man") == 0 ? pg_manual_page : pg_manual_completion)(stdout);
        return PG_OK;
    }
    if (pg_manual_modules(topic, stdout))
        return PG_OK;
    const char *kind = NULL;
    const pg_module *module = pg_modules_find(topic, &kind);
    if (module)
        return print_module(module, kind);
    (void)pg_command_find(topic); /* for its message */
    return PG_EUSAGE;
}

static int print_dataset_kind(const pg_dataset_kind *kind)
{
    const pg_module *module = &kind->module;
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "dataset %s\n%s\nsource: %s\n", module->name, module->summary, module->source);
    if (kind->help)
        pg_buf_printf(&text, "\n%s", kind->help);
    if (module->options->name || kind->fetch_options) {
        pg_buf_puts(&text, "\noptions of `data import` and `data fetch`:\n");
        pg_options_help(module->options, "--", &text);
    }
    if (kind->fetch_options) {
        pg_buf_puts(&text, "\nof `data fetch` only:\n");
        pg_options_help(kind->fetch_options, "--", &text);
    }
    return print_page(&text, stdout);
}

static const pg_module *dataset_kind_at(int i) { return pg_dataset_kinds[i] ? &pg_dataset_kinds[i]->module : NULL; }

static int help_module(const char *kind, const char *name)
{
    for (const pg_module_kind *k = pg_module_kinds; k->name; k++)
        if (strcmp(kind, k->name) == 0) {
            int place = pg_module_find(kind, name, k->at);
            return place >= 0 ? print_module(k->at(place), kind) : PG_EINPUT;
        }
    if (strcmp(kind, "dataset") == 0) {
        int place = pg_module_find(kind, name, dataset_kind_at);
        return place >= 0 ? print_dataset_kind(pg_dataset_kinds[place]) : PG_EINPUT;
    }
    return pg_fail(PG_EUSAGE, "help %s %s: right would be `help defense NAME`, or attack, model or dataset", kind, name);
}

typedef struct arguments {
    const char *topic, *name;
} arguments;

static const pg_cli_row options[] = {
    {0, NULL, "TOPIC", NULL, NULL, offsetof(arguments, topic), PG_TEXT},
    {0, NULL, "NAME", NULL, NULL, offsetof(arguments, name), PG_TEXT},
    PG_CLI_END,
};

static int run(const pg_context *context PG_UNUSED, void *request)
{
    const arguments *a = request;
    return a->name ? help_module(a->topic, a->name) : a->topic ? help_topic(a->topic) : pg_help_overview(stdout);
}

const pg_command pg_command_help = {
    .name = "help",
    .synopsis = "help [COMMAND | matrix | defense|attack|model|dataset NAME | defenses | attacks | models | man | completion]",
    .summary = "what a command does, what a matrix file holds, the options of a module",
    .help = "defenses, attacks and models print all modules of a kind in Markdown, for defenses/README.md and its like (`make "
            "docs`). "
            "man prints all of it as a man page, completion a script for bash; `make install` puts both in their places.\n",
    .examples = "  patchgauge help certify\n"
                "  patchgauge help matrix\n"
                "  patchgauge help defense robust-masking\n"
                "  patchgauge help attack lavan\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
