/* See manual.h. Both texts are made from the tables that `help` prints, so that they cannot differ from the program. */
#include "harness/cmd/manual.h"

#include "harness/base/buf.h"
#include "harness/base/option.h"
#include "harness/base/version.h"
#include "harness/cmd/command.h"
#include "harness/data/kind.h"
#include "harness/plan/modules.h"
#include "harness/plan/plan.h"

#include <stdlib.h>
#include <string.h>

const char pg_help_exit_codes[] = "exit codes: 0 done; 1 some cells failed; 2 usage or input error, nothing written; 3 "
                                  "interrupted; 4 system error; 5 an audit or an "
                                  "attack broke a sound certificate; 141 the reader of standard output went away\n";

void pg_help_matrix(size_t width, pg_buf *out)
{
    pg_buf_puts(out, "matrix files, in TOML: what `plan`, `run`, `table` and `plot` read\n\n"
                     "  name = \"TEXT\"  above the sections; default: the name of the file\n"
                     "  [fixed]        one value for a key\n"
                     "  [axes]         a list for a key; all axes are crossed, the first line changes slowest\n"
                     "  [[zip]]        lists of equal length, walked together, then crossed with the axes\n"
                     "  [[exclude]]    leaves out the rows that match all of its keys; a list matches any of its values\n\n"
                     "keys of [fixed], [axes] and [[zip]]:\n");
    pg_plan_keys_help(out);
    pg_cli_prose(
        "  MODULE.OPTION  an option of a defense, attack or model, in quotes: \"robust-masking.threshold\" = [0, 0.2] "
        "(`patchgauge help defense NAME`, and so on); other modules ignore it\n\n"
        "{range = [1, 5]} in a list stands for its numbers, the first and the last included; a third number is the step. Only "
        "attacks draw at random: without one, rows that differ in the seed alone are one cell.\n\n"
        "A certificate is about an image at its place of a batch of `batch` images, on the machine and BLAS that computed it: "
        "elsewhere local logits round otherwise. delta = any-batch leaves room for the largest change at other places and in "
        "batches of 1, 16, 64 and 128 that `patchgauge model measure` found; measured, not proved. Without that measurement "
        "it is refused.\n\n"
        "-S, --set KEY=A,B on the command line replaces or adds a key: one value is fixed, several are an axis; a comma in a "
        "value is written \\,. Commands without a matrix file take --set KEY=VALUE for options of modules: no axes there.\n",
        width, out);
}

/* ---- The man page ---- */

/* Text with nothing in it that roff acts on; lines that begin with a control character are shielded. */
static void roff(const char *text, FILE *out)
{
    for (bool start = true; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

/* Text as it stands, line by line. */
static void roff_lines(const char *text, FILE *out)
{
    fputs(".nf\n", out);
    roff(text, out);
    fputs(*text && text[strlen(text) - 1] != '\n' ? "\n.fi\n" : ".fi\n", out);
}

/* A paragraph of a page for each line; those that begin with blanks stay lines. */
static void roff_prose(const char *text, FILE *out)
{
    for (size_t size; *text; text += size + (text[size] == '\n')) {
        size = strcspn(text, "\n");
        char *line = strndup(text, size);
        fputs(*text == ' ' ? ".br\n" : ".PP\n", out);
        roff(line ? line : "", out);
        fputs("\n", out);
        free(line);
    }
}

static void roff_entry(const char *name, const char *text, FILE *out)
{
    fputs(".TP\n.B ", out);
    roff(name, out);
    fputs("\n", out);
    roff(text, out);
    fputs("\n", out);
}

static void roff_rows(const pg_cli_row *rows, FILE *out)
{
    pg_buf name = PG_BUF_EMPTY, text = PG_BUF_EMPTY;
    for (; rows && rows->kind != PG_CLI_NONE; rows++) {
        pg_buf_clear(&name);
        pg_buf_clear(&text);
        pg_cli_spell(rows, &name);
        if (rows->help) {
            pg_cli_describe(rows, &text);
            roff_entry(name.data, text.data, out);
        }
        const pg_option *row;
        for (size_t i = 0; rows->kind == PG_CLI_TABLE && (row = pg_cli_sub(rows, i)); i++) {
            pg_buf_clear(&name);
            pg_buf_clear(&text);
            pg_buf_printf(&name, "--%s", row->name);
            pg_option_note(row, &text);
            roff_entry(name.data, text.data, out);
        }
    }
    pg_buf_release(&name);
    pg_buf_release(&text);
}

/* `of`: "model " for its actions, else "". */
static void roff_command(const pg_command *command, const char *of, FILE *out)
{
    fprintf(out, ".SS %s%s\n", of, command->name);
    roff(command->summary, out);
    fputs("\n.PP\n", out);
    roff(command->synopsis, out);
    fputs("\n", out);
    if (command->help)
        roff_prose(command->help, out);
    if (command->more) {
        pg_buf text = PG_BUF_EMPTY;
        command->more(78, &text);
        fputs(".PP\n", out);
        roff_lines(text.data, out);
        pg_buf_release(&text);
    }
    roff_rows(command->rows, out);
    if (command->examples) {
        fputs(".PP\n", out);
        roff_lines(command->examples, out);
    }
    char name[64];
    snprintf(name, sizeof name, "%s ", command->name);
    for (int i = 0; command->actions && command->actions[i]; i++)
        roff_command(command->actions[i], name, out);
}

static void roff_module(const pg_module *module, FILE *out)
{
    pg_buf text = PG_BUF_EMPTY;
    fputs(".SS ", out);
    roff(module->name, out);
    fputs("\n", out);
    roff(module->summary, out);
    fputs(" (", out);
    roff(module->source, out);
    fputs(")\n.PP\n", out);
    if (module->options->name)
        pg_options_help(module->options, "", &text);
    else
        pg_buf_puts(&text, "no options\n");
    roff_lines(text.data ? text.data : "", out);
    pg_buf_release(&text);
}

void pg_manual_page(FILE *out)
{
    fprintf(out, ".TH PATCHGAUGE 1 \"\" \"patchgauge %s\" \"User Commands\"\n.SH NAME\n", PG_VERSION);
    roff("patchgauge - how well image classifiers stand up to adversarial patches\n", out);
    fputs(".SH SYNOPSIS\n.B patchgauge\n[global options] COMMAND [arguments]\n.SH GLOBAL OPTIONS\n", out);
    roff_rows(pg_global_rows, out);
    fputs(".SH COMMANDS\n", out);
    for (int i = 0; pg_commands[i]; i++)
        roff_command(pg_commands[i], "", out);
    fputs(".SH MATRIX FILES\n", out);
    pg_buf text = PG_BUF_EMPTY;
    pg_help_matrix(78, &text);
    roff_lines(text.data ? text.data : "", out);
    pg_buf_release(&text);
    static const char *const heads[] = {"DEFENSES", "ATTACKS", "MODELS"}; /* of pg_module_kinds */
    for (int k = 0; pg_module_kinds[k].name; k++) {
        fprintf(out, ".SH %s\n", heads[k]);
        for (int i = 0; pg_module_kinds[k].at(i); i++)
            roff_module(pg_module_kinds[k].at(i), out);
    }
    fputs(".SH EXIT STATUS\n", out);
    roff_prose(pg_help_exit_codes, out);
}

/* ---- Completion ---- */

/* Appends "--NAME ", unless it is there already. */
static void add_word(const char *name, pg_buf *words)
{
    char spaced[80];
    snprintf(spaced, sizeof spaced, " --%.70s ", name);
    if (words->size == 0)
        pg_buf_puts(words, " ");
    if (words->data && !strstr(words->data, spaced))
        pg_buf_puts(words, spaced + 1);
}

static void add_rows(const pg_command *command, pg_buf *words)
{
    for (const pg_cli_row *row = command->rows; row && row->kind != PG_CLI_NONE; row++) {
        const pg_option *sub;
        if (row->name && row->help)
            add_word(row->name, words);
        for (size_t i = 0; (sub = pg_cli_sub(row, i)); i++)
            add_word(sub->name, words);
    }
    for (int i = 0; command->actions && command->actions[i]; i++)
        add_rows(command->actions[i], words);
}

static void complete_command(const pg_command *command, FILE *out)
{
    pg_buf words = PG_BUF_EMPTY;
    add_rows(command, &words);
    fprintf(out, "    %s) words='%s' ;;\n", command->name, words.data ? words.data : "");
    pg_buf_release(&words);
}

void pg_manual_completion(FILE *out)
{
    fputs("# Completion of patchgauge for bash, made by `patchgauge help completion`.\n"
          "_patchgauge()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= words= i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n"
          "        --db | --data | --cache | --cache-size) ((i++)) ;;\n"
          "        -*) ;;\n"
          "        *) command=${COMP_WORDS[i]}; break ;;\n"
          "        esac\n"
          "    done\n"
          "    COMPREPLY=()\n"
          "    case $before in\n",
          out);
    for (int k = 0; k < 2; k++) { /* defenses and attacks */
        fprintf(out, "%s    --%s) words='", k ? "' ;;\n" : "", pg_module_kinds[k].name);
        for (int i = 0; pg_module_kinds[k].at(i); i++)
            fprintf(out, "%s ", pg_module_kinds[k].at(i)->name);
    }
    fputs("' ;;\n    train) words='", out);
    for (int i = 0; pg_models[i]; i++)
        if (pg_models[i]->needs_torch)
            fprintf(out, "%s ", pg_models[i]->module.name);
    fputs("' ;;\n    fetch | verify) words='", out);
    for (int i = 0; pg_dataset_kinds[i]; i++)
        if (!pg_dataset_kinds[i]->user_named)
            fprintf(out, "%s ", pg_dataset_kinds[i]->module.name);
    fputs("' ;;\n    --device) words='auto cpu cuda:0' ;;\n    --dtype) words='fp32 bf16' ;;\n"
          "    esac\n"
          "    [ -n \"$words\" ] && { COMPREPLY=($(compgen -W \"$words\" -- \"$current\")); return; }\n"
          "    case $command in\n"
          "    '' | help) words='",
          out);
    for (int i = 0; pg_commands[i]; i++)
        fprintf(out, "%s ", pg_commands[i]->name);
    fputs("'\n        [ -z \"$command\" ] && words+='", out);
    for (const pg_cli_row *row = pg_global_rows; row->name; row++)
        fprintf(out, "--%s ", row->name);
    fputs("' || words+='matrix defenses attacks models man completion' ;;\n", out);
    for (int i = 0; pg_commands[i]; i++)
        if (strcmp(pg_commands[i]->name, "help") != 0)
            complete_command(pg_commands[i], out);
    fputs("    esac\n"
          "    if [[ $current == -* || $command == '' || $command == help ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "    fi\n"
          "}\n"
          "complete -o default -F _patchgauge patchgauge\n",
          out);
}
