/* patchgauge new: a folder with a module of one's own that works, to be changed. */
#include "harness/base/buf.h"
#include "harness/base/file.h"
#include "harness/base/folder.h"
#include "harness/base/log.h"
#include "harness/cmd/command.h"
#include "harness/plan/modules.h"

#include <ctype.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PG_COMMAND(new)

extern const char pg_new_attack[], pg_new_defense[], pg_new_model[], pg_new_makefile[]; /* harness/cmd/new */

enum { NAME_MAX_LETTERS = 40 };

/* A kind of module that can be written; "my-KIND" and "my_KIND" stand in its text for the name. */
typedef struct kind {
    const char *name, *text;
    const char *test; /* lines of the Makefile; my-module and my_module stand for the name */
    const char *does; /* what `make test` does */
} kind;

static const kind kinds[] = {
    /* in the order of kind_names */
    {"defense", pg_new_defense,
     "\t\"$(PATCHGAUGE)\" --plugin ./my_module.so --db audit.db audit --weights null --dataset synthetic:test --images 0:200 "
     "--patch 3 --defense my-module\n",
     "attacks its certificates"},
    {"attack", pg_new_attack,
     "\t\"$(PATCHGAUGE)\" --plugin ./my_module.so attack --weights \"$(WEIGHTS)\" --dataset synthetic:test --images 0:50 "
     "--patch 5 --attack my-module --sheet 0 -o attacked --force\n\nWEIGHTS ?= null\n",
     "attacks 50 images (of WEIGHTS=FILE, where you name a network)"},
    {"model", pg_new_model,
     "\t\"$(PATCHGAUGE)\" --plugin ./my_module.so model train my-module --dataset synthetic:val --epochs 1 -o "
     "my_module.safetensors\n"
     "\t\"$(PATCHGAUGE)\" --plugin ./my_module.so audit --level locality --weights my_module.safetensors --dataset "
     "synthetic:test --images 0:50 --patch 5 --defense mean\n",
     "trains it for an epoch and tries its geometry with random patches"},
};

static int check_name(const kind *k, const char *name)
{
    const char *other;
    bool good = islower((unsigned char)name[0]) && strlen(name) <= NAME_MAX_LETTERS;
    for (const char *at = name; good && *at; at++)
        good = islower((unsigned char)*at) || isdigit((unsigned char)*at) || (*at == '-' && at[1] && at[1] != '-');
    if (!good)
        return pg_fail(PG_EUSAGE,
                       "new %s %s: right would be a name of at most %d small letters, digits and single dashes, as soft-median",
                       k->name, name, NAME_MAX_LETTERS);
    if (pg_modules_find(name, &other))
        return pg_fail(PG_EINPUT, "new %s %s: there is %s %s of this name already", k->name, name, *other == 'a' ? "an" : "a",
                       other);
    return PG_OK;
}

/* Where the headers are: beside an installed program in ../include/patchgauge, else above the folder it was built in. */
static int find_headers(char out[PATH_MAX], char program[PATH_MAX])
{
    static const char *const places[] = {"../include/patchgauge", "..", "../.."};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", program, PATH_MAX - 1);
    program[size > 0 ? size : 0] = '\0';
    snprintf(folder, sizeof folder, "%s", program);
    const char *base = dirname(folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s/harness/plan/plugin.h", base, places[i]);
        if (access(path, R_OK) == 0) {
            *strstr(path, "/harness/plan/plugin.h") = '\0';
            return realpath(path, out) ? PG_OK : pg_fail(PG_EIO, "%s: cannot be read", path);
        }
    }
    return pg_fail(PG_EMISSING,
                   "the headers are not beside the program in %s/../include/patchgauge: `make install` puts them there", base);
}

/* The text with words replaced: pairs of old and new, NULL at the end. */
static void fill_in(const char *text, const char *const *pairs, pg_buf *out)
{
    while (*text) {
        const char *const *pair = pairs;
        while (*pair && strncmp(text, pair[0], strlen(pair[0])) != 0)
            pair += 2;
        if (*pair) {
            pg_buf_puts(out, pair[1]);
            text += strlen(pair[0]);
        } else {
            pg_buf_add(out, text++, 1);
        }
    }
}

static int write_one(const char *folder, const char *name, const char *text, const char *const *pairs)
{
    char path[PATH_MAX];
    pg_buf out = PG_BUF_EMPTY;
    fill_in(text, pairs, &out);
    int code = pg_buf_check(&out);
    if (code == PG_OK && snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        code = pg_fail(PG_EINPUT, "%s: the path is too long", folder);
    if (code == PG_OK)
        code = pg_file_write(path, out.data, out.size);
    pg_buf_release(&out);
    return code;
}

/* The Makefile has the lines of its test put in, and then is a text like the other. */
static int write_makefile(const kind *k, const char *folder, const char *const *pairs)
{
    const char *const lines[] = {"@TEST@\n", k->test, NULL};
    pg_buf text = PG_BUF_EMPTY;
    fill_in(pg_new_makefile, lines, &text);
    int code = pg_buf_check(&text);
    if (code == PG_OK)
        code = write_one(folder, "Makefile", text.data, pairs);
    pg_buf_release(&text);
    return code;
}

static int write_module(const kind *k, const char *name, const char *folder)
{
    char id[NAME_MAX_LETTERS + 1], file[NAME_MAX_LETTERS + 3], headers[PATH_MAX], program[PATH_MAX], dashed[16], lined[16];
    snprintf(id, sizeof id, "%s", name);
    for (char *at = id; *at; at++)
        *at = *at == '-' ? '_' : *at;
    snprintf(file, sizeof file, "%s.c", id);
    snprintf(dashed, sizeof dashed, "my-%s", k->name);
    snprintf(lined, sizeof lined, "my_%s", k->name);
    int code = find_headers(headers, program);
    char *made = NULL;
    if (code == PG_OK)
        code = pg_output_folder_check(folder);
    if (code == PG_OK)
        code = pg_folders_begin(folder, &made);
    const char *const pairs[] = {dashed,      name,    lined,       id,      "my-module", name,    "my_module", id,
                                 "@PROGRAM@", program, "@INCLUDE@", headers, "@KIND@",    k->name, NULL};
    if (code == PG_OK)
        code = write_one(folder, file, k->text, pairs);
    if (code == PG_OK)
        code = write_makefile(k, folder, pairs);
    if (code != PG_OK && made) /* half of a module is none */
        pg_folder_remove(folder);
    pg_folders_end(folder, made, code == PG_OK);
    if (code == PG_OK)
        pg_info("%s/%s and a Makefile: `make -C %s test` builds %s.so and %s; use it with --plugin %s/%s.so", folder, file,
                folder, id, k->does, folder, id);
    return code;
}

typedef struct arguments {
    int kind;
    const char *name, *folder;
} arguments;

static const char *const kind_names[] = {"defense", "attack", "model", NULL};

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "KIND", NULL, NULL, AT(kind), PG_CHOICE(kind_names), PG_REQUIRED},
    {0, NULL, "NAME", NULL, NULL, AT(name), PG_TEXT, PG_REQUIRED},
    {'o', "output", "DIR", "folder, which does not exist yet; default: NAME", NULL, AT(folder), PG_TEXT_FULL},
    PG_CLI_END,
};

static int run(const pg_context *context PG_UNUSED, void *request)
{
    const arguments *a = request;
    int code = check_name(&kinds[a->kind], a->name);
    return code == PG_OK ? write_module(&kinds[a->kind], a->name, a->folder ? a->folder : a->name) : code;
}

const pg_command pg_command_new = {
    .name = "new",
    .synopsis = "new defense|attack|model NAME [-o DIR]",
    .summary = "a module of your own: a plug-in that works, to be changed",
    .help =
        "Writes DIR/NAME.c, a whole module that works, and a Makefile: `make` builds the plug-in, `make test` tries it: a "
        "defense has its certificates attacked on random tensors, an attack attacks, a model is trained for an epoch and has "
        "its geometry tried with random patches. Needs a C compiler, and the headers that `make install` puts beside the "
        "program. Every command then takes --plugin DIR/NAME.so and treats the module as its own. Cells carry the hash of the "
        "file: another build makes them stale.\n",
    .examples = "  patchgauge new defense soft-vote && make -C soft-vote test\n"
                "  patchgauge --plugin soft-vote/soft_vote.so run experiments/demo.toml -S defense=soft-vote -S images=0:100\n"
                "  patchgauge new attack dots && make -C dots test\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
