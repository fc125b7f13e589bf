/* patchgauge audit: tries to break the certificates of a matrix, or of one network. */
#include "harness/base/file.h"
#include "harness/base/option.h"
#include "harness/cmd/audit_table.h"
#include "harness/cmd/matrix_args.h"
#include "harness/plan/matrix.h"
#include "harness/plan/tasks.h"
#include "harness/base/signals.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(audit)

enum { LIST_MAX = 64, RANDOM_DEFAULT = 64 };

typedef struct list {
    const char *items[LIST_MAX];
    size_t n;
} list;

typedef struct arguments {
    pg_matrix_args matrix;
    const char *weights, *dataset, *attack, *folder, *device, *images;
    list patches, defenses, set; /* --set */
    bool levels[PG_AUDIT_LEVELS], has_levels, stored;
    int64_t tries, random, seed, threads;
    pg_table_format format;
    char owned[64]; /* "images=A:B" */
    list attack_pairs;
    _Alignas(max_align_t) unsigned char attack_config[PG_CONFIG_MAX];
} arguments;

static int add(list *l, const char *option, const char *text)
{
    if (l->n == LIST_MAX)
        return pg_fail(PG_EUSAGE, "more than %d %s options", (int)LIST_MAX, option);
    l->items[l->n++] = text;
    return PG_OK;
}

static int read_number(const char *option, const char *text, int64_t most, int64_t *out)
{
    if (pg_parse_int(text, out) != PG_OK || *out < 0 || *out > most)
        return pg_fail(PG_EUSAGE, "%s %s: right would be a whole number from 0 to %lld", option, text, (long long)most);
    return PG_OK;
}

static int read_levels(arguments *a, const char *text)
{
    a->has_levels = true;
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");
        int level = 0;
        while (pg_audit_level_names[level] &&
               (strlen(pg_audit_level_names[level]) != size || strncmp(pg_audit_level_names[level], at, size) != 0))
            level++;
        if (!pg_audit_level_names[level])
            return pg_fail(PG_EUSAGE, "--level %s: right would be feature, locality or pixel, with commas between them", text);
        a->levels[level] = true;
        at += size;
        if (!*at)
            return PG_OK;
    }
}

static int read_format(const char *text, pg_table_format *out)
{
    for (int i = 0; i < PG_TABLE_LATEX; i++)
        if (strcmp(text, pg_table_formats[i]) == 0) {
            *out = (pg_table_format)i;
            return PG_OK;
        }
    return pg_fail(PG_EUSAGE, "unknown format '%s': text, md, csv or json", text);
}

static int set(arguments *a, int option, const char *text)
{
    switch (option) {
    case 'S':
        return pg_matrix_args_override(&a->matrix, text);
    case 'w':
        a->weights = text;
        return PG_OK;
    case 'd':
        a->dataset = text;
        return PG_OK;
    case 'p':
        return add(&a->patches, "--patch", text);
    case 'D':
        return add(&a->defenses, "--defense", text);
    case 's':
        return add(&a->set, "--set", text);
    case 'i':
        a->images = text;
        return PG_OK;
    case 'l':
        return read_levels(a, text);
    case 'a':
        a->attack = text;
        return PG_OK;
    case 'o':
        a->folder = text;
        return PG_OK;
    case 'v':
        a->device = text;
        return PG_OK;
    case 't':
        return read_number("--threads", text, 1024, &a->threads);
    case 'n':
        return read_number("--tries", text, INT64_C(1000000000), &a->tries);
    case 'k':
        a->stored = true;
        return PG_OK;
    case 'r':
        return read_number("--random", text, INT64_C(1000000000), &a->random);
    case 'e':
        return read_number("--seed", text, INT64_MAX, &a->seed);
    default:
        return read_format(text, &a->format);
    }
}

static int check(arguments *a, int argc, char **argv)
{
    bool single = a->weights || a->dataset || a->patches.n || a->defenses.n;
    if (a->attack)
        a->levels[PG_AUDIT_PIXEL] = true;
    if (!a->has_levels)
        a->levels[PG_AUDIT_FEATURE] = a->levels[PG_AUDIT_LOCALITY] = true;
    if (!a->has_levels && a->stored)
        a->levels[PG_AUDIT_PIXEL] = true;
    if (!a->stored && a->levels[PG_AUDIT_PIXEL] && !a->attack)
        return pg_fail(PG_EUSAGE, "--level pixel: name the attack with --attack; `patchgauge list attacks` shows all");
    if (a->folder && !*a->folder)
        return pg_fail(PG_EUSAGE, "the folder for witnesses is an empty text; name one with -o");
    int code = a->folder ? pg_folder_check(a->folder) : PG_OK;
    if (code != PG_OK)
        return code;
    if (!single)
        return pg_matrix_args_file(&a->matrix, argc, argv);
    if (optind < argc)
        return pg_fail(PG_EUSAGE, "audit takes a matrix file (%s), or --weights, --dataset, --patch and --defense: not both",
                       argv[optind]);
    const char *missing = !a->weights ? "--weights" : !a->dataset ? "--dataset" : a->patches.n == 0 ? "--patch" : NULL;
    return missing ? pg_fail(PG_EUSAGE,
                             "%s is missing; usage: patchgauge audit --weights F --dataset D --patch P "
                             "[--defense NAME]...",
                             missing)
                   : PG_OK;
}

/* "--set attack.key=value" and "--set NAME.key=value" of the attack are its options; all else is a key of the matrix. */
static int share_out(arguments *a)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < a->set.n; i++) {
        const char *text = a->set.items[i], *names[] = {"attack", a->attack ? a->attack : "attack"};
        size_t taken = 0;
        for (size_t k = 0; k < 2 && !taken; k++) {
            size_t size = strlen(names[k]);
            taken = strncmp(text, names[k], size) == 0 && text[size] == '.' ? size + 1 : 0;
        }
        if (taken && !a->attack)
            return pg_fail(PG_EUSAGE, "--set %s: there is no attack; name one with --attack", text);
        code = taken ? add(&a->attack_pairs, "--set", text + taken) : pg_matrix_args_override(&a->matrix, text);
    }
    if (code == PG_OK && a->images) {
        if (snprintf(a->owned, sizeof a->owned, "images=%s", a->images) >= (int)sizeof a->owned)
            return pg_fail(PG_EUSAGE, "--images %s: right would be FIRST:END", a->images);
        code = pg_matrix_args_override(&a->matrix, a->owned);
    }
    return code;
}

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
                                            {"dataset", required_argument, NULL, 'd'},
                                            {"patch", required_argument, NULL, PG_COMMAND_MANY | 'p'},
                                            {"defense", required_argument, NULL, PG_COMMAND_MANY | 'D'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"images", required_argument, NULL, 'i'},
                                            {"level", required_argument, NULL, 'l'},
                                            {"attack", required_argument, NULL, 'a'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"device", required_argument, NULL, 'v'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"tries", required_argument, NULL, 'n'},
                                            {"random", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 'e'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"stored", no_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    *a = (arguments){.device = "auto", .random = RANDOM_DEFAULT};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":S:o:f:", options)) != -1;) {
        int code = c == '?' || c == ':' ? pg_command_option_error(argv, options, c) : set(a, c, optarg);
        if (code != PG_OK)
            return code;
    }
    int code = check(a, argc, argv);
    return code == PG_OK ? share_out(a) : code;
}

/* ---- The plan ---- */

static void add_axis(pg_buf *out, const char *key, const list *l)
{
    pg_buf_printf(out, "%s = [", key);
    for (size_t i = 0; i < l->n; i++) {
        pg_buf_puts(out, i ? ", " : "");
        pg_matrix_string(out, l->items[i]);
    }
    pg_buf_puts(out, "]\n");
}

/* The matrix that --weights, --dataset, --patch and --defense stand for. */
static void write_matrix(const arguments *a, pg_buf *out)
{
    list all = a->defenses;
    for (size_t i = 0; a->defenses.n == 0 && pg_defenses[i] && all.n < LIST_MAX; i++)
        if (pg_defenses[i]->level == PG_LEVEL_FEATURE)
            all.items[all.n++] = pg_defenses[i]->module.name;
    pg_buf_puts(out, "name = \"audit\"\n[fixed]\ndataset = ");
    pg_matrix_string(out, a->dataset);
    pg_buf_puts(out, "\nweights = ");
    pg_matrix_string(out, a->weights);
    pg_buf_puts(out, "\n[axes]\n");
    add_axis(out, "defense", &all);
    add_axis(out, "patch", &a->patches);
}

static int open_plan(const pg_context *context, const arguments *a, pg_plan **out)
{
    if (a->matrix.matrix)
        return pg_matrix_args_open(context, &a->matrix, out);
    pg_buf text;
    pg_buf_init(&text);
    write_matrix(a, &text);
    int code = pg_buf_check(&text);
    pg_plan_request request = {.matrix_path = "audit",
                               .options = true,
                               .matrix_text = text.data,
                               .overrides = a->matrix.overrides.items,
                               .n_overrides = a->matrix.overrides.n,
                               .data_dir = context->data_dir};
    if (code == PG_OK)
        code = pg_plan_open(&request, out);
    pg_buf_release(&text);
    return code;
}

/* ---- Running ---- */

typedef struct session {
    const pg_context *context;
    const pg_plan *plan;
    pg_store *store;
} session;

static int begin(void *context, pg_store **store)
{
    session *s = context;
    int code = pg_store_open(s->context->db_path, PG_STORE_WRITE, &s->store);
    if (code == PG_OK)
        code = pg_plan_record_cells(s->plan, s->store);
    *store = s->store;
    return code;
}

static int print(const pg_plan *plan, const pg_audit_row *rows, size_t n, pg_table_format format)
{
    pg_buf text;
    pg_buf_init(&text);
    int code = pg_audit_table(plan, rows, n, format, &text);
    if (code == PG_OK && (fwrite(text.data, 1, text.size, stdout) != text.size || fflush(stdout) != 0))
        code = pg_fail(PG_EIO, "cannot write the table to standard output");
    pg_buf_release(&text);
    return code;
}

/* What earlier audits found; evaluated again. */
static int audit_stored(session *s, const arguments *a)
{
    pg_audit_row *rows = NULL;
    size_t n = 0;
    int code = pg_store_open(s->context->db_path, PG_STORE_READ, &s->store);
    if (code == PG_OK)
        code = pg_audit_stored(s->plan, s->store, a->levels, &rows, &n);
    if (code == PG_OK && n == 0)
        code = pg_fail(PG_EMISSING, "%s: holds no audit of these cells; `patchgauge audit` without --stored makes them",
                       s->context->db_path);
    if (code == PG_OK)
        code = print(s->plan, rows, n, a->format);
    if (code == PG_OK)
        code = pg_audit_conclude(rows, n);
    pg_audit_rows_free(rows, n);
    return code;
}

/* What was finished is printed also where the rest was interrupted or failed; that code is then the result. */
static int audit(session *s, const arguments *a, const pg_attack *attack)
{
    pg_audit_row *rows = NULL;
    size_t n = 0;
    pg_audit_request request = {
        .plan = s->plan,
        .effort = {.tries = a->tries, .random = a->random, .seed = (uint64_t)a->seed},
        .attack = attack,
        .attack_config = a->attack_config,
        .data_dir = s->context->data_dir,
        .device = a->device,
        .threads = (int)a->threads,
        .workers = (int)a->threads,
        .folder = a->folder,
        .begin = begin,
        .context = s,
    };
    memcpy(request.levels, a->levels, sizeof request.levels);
    int code = pg_audit_run(&request, &rows, &n);
    char message[PG_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", pg_error_message());
    int printed = n > 0 ? print(s->plan, rows, n, a->format) : PG_OK;
    int evaluated = printed == PG_OK ? pg_audit_conclude(rows, n) : printed;
    pg_audit_rows_free(rows, n);
    if (code == PG_EINTERRUPTED && evaluated != PG_EBROKEN)
        return pg_fail(code, "interrupted: what was finished is stored, %zu lines of the table", n);
    if (code != PG_OK && evaluated != PG_EBROKEN)
        return pg_fail(code, "%s", message);
    return evaluated;
}

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a;
    session s = {.context = context};
    pg_plan *plan = NULL;
    const pg_attack *attack = NULL;
    int code = parse(argc, argv, &a);
    if (code == PG_OK && a.attack && !(attack = pg_attack_find(a.attack)))
        code = PG_EINPUT;
    if (code == PG_OK && attack)
        code = pg_module_configure(&attack->module, "attack", a.attack_pairs.items, a.attack_pairs.n, a.attack_config);
    if (code == PG_OK) {
        pg_signals_catch();
        pg_signals_answer();
        code = open_plan(context, &a, &plan);
    }
    s.plan = plan;
    if (code == PG_OK)
        code = a.stored ? audit_stored(&s, &a) : audit(&s, &a, attack);
    pg_store_close(s.store);
    pg_plan_free(plan);
    return code;
}

const pg_command pg_command_audit = {
    .name = "audit",
    .synopsis = "audit MATRIX.toml | --weights F --dataset D --patch P [--defense NAME]... [--level feature,locality,pixel]",
    .summary = "try to break every certificate",
    .help =
        "feature:  on every image the worst contents of every window for every wrong class, named by the defense and by the\n"
        "          program, are put into its evidence; the defense's own prediction alone says whether they break it\n"
        "locality: one random patch an image through the network: what changes where it does not reach, and what is predicted\n"
        "pixel:    the certified images are attacked through the deployed model; only with --attack\n"
        "\n"
        "Prints one table and stores it. A broken certificate of a sound rule ends with exit code 5 and a witness: image, "
        "window,\n"
        "class and a file of the contents (int32, units of 2^-20) or pixels. A refused image of an exact rule that nothing "
        "breaks\n"
        "ends with exit code 1.\n"
        "\n"
        "  --weights F       weights file, or null\n"
        "  --dataset D       NAME:SPLIT\n"
        "  --patch P         as in matrix files; may be given several times\n"
        "  --defense NAME    may be given several times; default: all\n"
        "  --level L         feature, locality, pixel, comma-separated; default feature,locality, and pixel with --attack\n"
        "  --attack NAME     attack of the level pixel, see `patchgauge list attacks`\n"
        "  --set KEY=VALUE   attack.OPTION=VALUE for the attack; MODULE.OPTION=VALUE for defenses and the null model; may be "
        "given\n"
        "                    several times\n"
        "  --images A:B      images A to B - 1\n"
        "  --tries N         windows and classes tried on an image, at random where there are more; default 0: all\n"
        "  --random N        further contents tried on an image; default 64\n"
        "  --seed N          of places and contents; default 0\n"
        "  -o, --output DIR  folder of witness files; without it they go to the current one, and there are none for "
        "certificates that\n"
        "                    are published and no proof\n"
        "  --device D        auto (default), cpu, cuda:N\n"
        "  --threads N       cores; default 0: all\n"
        "  --stored          audits nothing: prints what the database holds of these cells\n"
        "  -f, --format F    text (default), md, csv or json\n"
        "  -S KEY=A,B        replaces one key of the matrix file; may be given several times\n"
        "\n"
        "  patchgauge audit experiments/demo.toml -S images=0:100\n"
        "  patchgauge audit --weights null --dataset synthetic:test --patch 5 --defense ds --set null.wrap=w\n",
    .run_words = run,
};
