/* patchgauge audit: tries to break the certificates of a matrix, or of one network. */
#include "harness/base/file.h"
#include "harness/cmd/audit_table.h"
#include "harness/cmd/matrix_args.h"
#include "harness/plan/matrix.h"
#include "harness/plan/tasks.h"
#include "harness/base/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(audit)

enum { DEFENSES_MAX = 256 };

typedef struct arguments {
    pg_matrix_args matrix;
    const char *weights, *dataset, *attack, *folder, *device, *images;
    pg_texts patches, defenses, set; /* --set, of the attack and of the matrix */
    struct levels {
        bool of[PG_AUDIT_LEVELS], given;
    } levels;
    bool stored;
    int64_t tries, random, seed, threads;
    pg_output output;
    char owned[64]; /* "images=A:B" */
    pg_texts attack_pairs;
    _Alignas(max_align_t) unsigned char attack_config[PG_CONFIG_MAX];
} arguments;

static const char *const format_names[] = {/* of those that pg_audit_table writes */
                                           [PG_TABLE_TEXT] = "text", [PG_TABLE_CSV] = "csv",
                                           [PG_TABLE_JSON] = "json", [PG_TABLE_JSON_LINES] = "json-lines",
                                           [PG_TABLE_MD] = "md",     NULL};

static int set_levels(const char *text, void *field)
{
    struct levels *levels = field;
    levels->given = true;
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");
        int level = 0;
        while (pg_audit_level_names[level] &&
               (strlen(pg_audit_level_names[level]) != size || strncmp(pg_audit_level_names[level], at, size) != 0))
            level++;
        if (!pg_audit_level_names[level])
            return PG_EUSAGE;
        levels->of[level] = true;
        at += size;
        if (!*at)
            return PG_OK;
    }
}

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, NULL, "MATRIX.toml", NULL, NULL, AT(matrix.matrix), PG_TEXT_FULL},
    {0, "weights", "F", "weights file, or null", NULL, AT(weights), PG_TEXT},
    {0, "dataset", "D", "NAME:SPLIT", NULL, AT(dataset), PG_TEXT},
    {0, "patch", "P", "as in matrix files", NULL, AT(patches), PG_TEXTS},
    {0, "defense", "NAME", "default: all", NULL, AT(defenses), PG_TEXTS},
    {0, "level", "L", "feature, locality, pixel, comma-separated; default feature,locality, and pixel with --attack", NULL,
     AT(levels), PG_CALL(set_levels, "feature, locality or pixel, with commas between them")},
    {0, "attack", "NAME", "attack of the level pixel, see `patchgauge list attacks`", NULL, AT(attack), PG_TEXT},
    {'S', "set", "KEY=VALUE",
     "attack.OPTION=VALUE for --attack; else replace or add a key of the matrix, or an option as MODULE.OPTION; values with "
     "commas between them are an axis, a comma in a value is written \\,",
     NULL, AT(set), PG_TEXTS},
    {0, "images", "A:B", "images A to B - 1", NULL, AT(images), PG_TEXT},
    {0, "tries", "N", "windows and classes tried on an image, at random where there are more; 0: all", "0", AT(tries),
     PG_INT(0, 1000000000)},
    {0, "random", "N", "further contents tried on an image", "64", AT(random), PG_INT(0, 1000000000)},
    {0, "seed", "N", "of places and contents", "0", AT(seed), PG_INT(0, INT64_MAX)},
    {0, "witnesses", "DIR",
     "folder of witness files; without it they go to the current one, and there are none for certificates that are published "
     "and no proof",
     NULL, AT(folder), PG_TEXT_FULL},
    PG_DEVICE_ROW(AT(device)),
    PG_THREADS_ROW(AT(threads)),
    {0, "stored", NULL, "audits nothing: prints what the database holds of these cells", NULL, AT(stored), PG_FLAG},
    PG_MATRIX_ONLY_ROW(AT(matrix)),
    PG_OUTPUT_FORMAT_ROW(AT(output), format_names),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

static int check(arguments *a)
{
    bool single = a->weights || a->dataset || a->patches.n || a->defenses.n, *levels = a->levels.of;
    if (a->attack)
        levels[PG_AUDIT_PIXEL] = true;
    if (!a->levels.given)
        levels[PG_AUDIT_FEATURE] = levels[PG_AUDIT_LOCALITY] = true;
    if (!a->levels.given && a->stored)
        levels[PG_AUDIT_PIXEL] = true;
    if (!a->stored && levels[PG_AUDIT_PIXEL] && !a->attack)
        return pg_fail(PG_EUSAGE, "audit: --level pixel: name the attack with --attack; `patchgauge list attacks` shows all");
    if (!single && !a->matrix.matrix)
        return pg_fail(PG_EUSAGE, "audit: no matrix file is given; usage: patchgauge %s", pg_command_audit.synopsis);
    if (single && a->matrix.matrix)
        return pg_fail(PG_EUSAGE,
                       "audit: it takes a matrix file (%s), or --weights, --dataset, --patch and --defense: not both",
                       a->matrix.matrix);
    if (single && a->matrix.only.n > 0)
        return pg_fail(PG_EUSAGE, "audit: --only chooses cells of a matrix file, and there is none");
    const char *missing = !a->weights ? "--weights" : !a->dataset ? "--dataset" : a->patches.n == 0 ? "--patch" : NULL;
    return single && missing
               ? pg_fail(PG_EUSAGE, "audit: %s is missing; usage: patchgauge %s", missing, pg_command_audit.synopsis)
           : a->folder ? pg_folder_check(a->folder)
                       : PG_OK;
}

/* "attack.key=value" and "NAME.key=value" of the attack are its options; all else is a key of the matrix. */
static int share_out(arguments *a)
{
    const char *names[] = {"attack", a->attack ? a->attack : "attack"};
    a->attack_pairs.items = calloc(a->set.n + 1, sizeof(char *));
    a->matrix.overrides.items = calloc(a->set.n + 1, sizeof(char *));
    if (!a->attack_pairs.items || !a->matrix.overrides.items)
        return pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; i < a->set.n; i++) {
        const char *text = a->set.items[i];
        size_t taken = 0;
        for (size_t k = 0; k < 2 && !taken; k++) {
            size_t size = strlen(names[k]);
            taken = strncmp(text, names[k], size) == 0 && text[size] == '.' ? size + 1 : 0;
        }
        if (taken && !a->attack)
            return pg_fail(PG_EUSAGE, "audit: --set %s: there is no attack; name one with --attack", text);
        pg_texts *to = taken ? &a->attack_pairs : &a->matrix.overrides;
        to->items[to->n++] = text + taken;
    }
    if (a->images && snprintf(a->owned, sizeof a->owned, "images=%s", a->images) >= (int)sizeof a->owned)
        return pg_fail(PG_EUSAGE, "audit: --images %s: right would be FIRST:END", a->images);
    if (a->images)
        a->matrix.overrides.items[a->matrix.overrides.n++] = a->owned;
    return PG_OK;
}

/* ---- The plan ---- */

static void add_axis(pg_buf *out, const char *key, const pg_texts *l)
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
    const char *names[DEFENSES_MAX];
    pg_texts all = {.items = names};
    for (size_t i = 0; pg_defenses[i] && all.n < DEFENSES_MAX; i++)
        if (pg_defenses[i]->level == PG_LEVEL_FEATURE)
            all.items[all.n++] = pg_defenses[i]->module.name;
    pg_buf_puts(out, "name = \"audit\"\n[fixed]\ndataset = ");
    pg_matrix_string(out, a->dataset);
    pg_buf_puts(out, "\nweights = ");
    pg_matrix_string(out, a->weights);
    pg_buf_puts(out, "\n[axes]\n");
    add_axis(out, "defense", a->defenses.n > 0 ? &a->defenses : &all);
    add_axis(out, "patch", &a->patches);
}

static int open_plan(const pg_context *context, const arguments *a, pg_plan **out)
{
    if (a->matrix.matrix)
        return pg_matrix_args_open(context, &a->matrix, out);
    pg_buf text = PG_BUF_EMPTY;
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

/* What is written over nothing of this; the program computes long before it prints. */
static int check_output(const pg_context *context, const arguments *a)
{
    const char *const inputs[] = {context->db_path, a->matrix.matrix ? a->matrix.matrix : a->weights, NULL};
    return a->output.file ? pg_output_check(a->output.file, a->output.force, inputs) : PG_OK;
}

static int print(const session *s, arguments *a, const pg_audit_row *rows, size_t n)
{
    const char *const inputs[] = {s->context->db_path, a->matrix.matrix ? a->matrix.matrix : a->weights, NULL};
    int code = pg_output_begin(&a->output, inputs);
    if (code == PG_OK)
        code = pg_audit_table(s->plan, rows, n, &a->output);
    return pg_output_end(&a->output, code);
}

/* What earlier audits found; evaluated again. */
static int audit_stored(session *s, arguments *a)
{
    pg_audit_row *rows = NULL;
    size_t n = 0;
    int code = pg_store_open(s->context->db_path, PG_STORE_READ, &s->store);
    if (code == PG_OK)
        code = pg_audit_stored(s->plan, s->store, a->levels.of, &rows, &n);
    if (code == PG_OK && n == 0)
        code = pg_fail(PG_EMISSING, "%s: holds no audit of these cells; `patchgauge audit` without --stored makes them",
                       s->context->db_path);
    if (code == PG_OK)
        code = print(s, a, rows, n);
    if (code == PG_OK)
        code = pg_audit_conclude(rows, n);
    pg_audit_rows_free(rows, n);
    return code;
}

/* What was finished is printed also where the rest was interrupted or failed; that code is then the result. */
static int audit(session *s, arguments *a, const pg_attack *attack)
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
    memcpy(request.levels, a->levels.of, sizeof request.levels);
    int code = pg_audit_run(&request, &rows, &n);
    char message[PG_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", pg_error_message());
    int printed = n > 0 ? print(s, a, rows, n) : PG_OK;
    int evaluated = printed == PG_OK ? pg_audit_conclude(rows, n) : printed;
    pg_audit_rows_free(rows, n);
    if (code == PG_EINTERRUPTED && evaluated != PG_EBROKEN)
        return pg_fail(code, "interrupted: what was finished is stored, %zu lines of the table", n);
    if (code != PG_OK && evaluated != PG_EBROKEN)
        return pg_fail(code, "%s", message);
    return evaluated;
}

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    session s = {.context = context};
    pg_plan *plan = NULL;
    const pg_attack *attack = NULL;
    int code = check(a);
    if (code == PG_OK)
        code = check_output(context, a);
    if (code == PG_OK)
        code = share_out(a);
    if (code == PG_OK && a->attack && !(attack = pg_attack_find(a->attack)))
        code = PG_EINPUT;
    if (attack && attack->patches)
        code = pg_fail(PG_EUSAGE, "audit: attack %s searches for nothing: a matrix with it checks certificates as well",
                       attack->module.name);
    if (code == PG_OK && attack)
        code = pg_module_configure(&attack->module, "attack", a->attack_pairs.items, a->attack_pairs.n, a->attack_config);
    if (code == PG_OK) {
        pg_signals_catch();
        pg_signals_answer();
        code = open_plan(context, a, &plan);
    }
    s.plan = plan;
    if (code == PG_OK)
        code = a->stored ? audit_stored(&s, a) : audit(&s, a, attack);
    pg_store_close(s.store);
    pg_plan_free(plan);
    free(a->attack_pairs.items);
    free(a->matrix.overrides.items);
    return code;
}

const pg_command pg_command_audit = {
    .name = "audit",
    .synopsis = "audit MATRIX.toml | --weights F --dataset D --patch P [--defense NAME]... [options]",
    .summary = "try to break every certificate",
    .help =
        "  feature   on every image the worst contents of every window for every wrong class, named by the defense and by the "
        "program, are put into its evidence; the defense's own prediction alone says whether they break it\n"
        "  locality  one random patch an image through the network: what changes where it does not reach, and what is "
        "predicted\n"
        "  pixel     the certified images are attacked through the deployed model; only with --attack\n"
        "\n"
        "Prints one table and stores it. A broken certificate of a sound rule ends with exit code 5 and a witness: image, "
        "window, class and a file of the contents (int32, units of 2^-20) or pixels. A refused image of an exact rule that "
        "nothing breaks ends with exit code 1.\n",
    .examples = "  patchgauge audit experiments/demo.toml -S images=0:100\n"
                "  patchgauge audit --weights null --dataset synthetic:test --patch 5 --defense ds -S null.wrap=w\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
