/* patchgauge ls: the cells of the store, one a line. */
#include "harness/base/log.h"
#include "harness/base/memory.h"
#include "harness/base/option.h"
#include "harness/cmd/matrix_args.h"
#include "harness/cmd/only.h"
#include "harness/cmd/output.h"
#include "harness/cmd/print.h"
#include "harness/plan/keys.h"
#include "db/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PG_COMMAND(ls)

enum { HANG = 13 }; /* on narrow terminals settings go on beside the ids */

static void add_share(int64_t count, int64_t n, pg_buf *out)
{
    if (n > 0)
        pg_buf_printf(out, " %7.2f", 100.0 * (double)count / (double)n);
    else
        pg_buf_printf(out, " %7s", "-");
}

/* Options of the defense, as "threshold=0.2 feature=logits". */
static void add_options(const pg_cell_result *r, const char *module, pg_buf *out)
{
    size_t length = strlen(module);
    for (size_t i = 0; i < r->n_settings; i++)
        if (strncmp(r->settings[i].key, module, length) == 0 && r->settings[i].key[length] == '.' &&
            strcmp(r->settings[i].key + length + 1, "version") != 0)
            pg_buf_printf(out, " %s=%s", r->settings[i].key + length + 1, r->settings[i].value);
}

/* Options of the attack that are not the default. */
static void add_attack_options(const pg_cell_result *r, const char *name, pg_buf *out)
{
    char key[160];
    for (size_t i = 0; pg_attacks[i]; i++) {
        const pg_option *row = pg_attacks[i]->module.options;
        for (; strcmp(pg_attacks[i]->module.name, name) == 0 && row->name; row++) {
            snprintf(key, sizeof key, "%s.%s", name, row->name);
            const char *value = pg_cell_result_setting(r, key);
            if (*value && strcmp(value, row->fallback) != 0)
                pg_buf_printf(out, " %s=%s", row->name, value);
        }
    }
}

/* What tells a cell from others and is not the default: " batch=8 seed=1 images=8:16". */
static void add_others(const pg_cell_result *r, pg_buf *out)
{
    for (int i = 0; i < PG_KEYS; i++) {
        const pg_key *key = &pg_keys[i];
        const char *value = pg_cell_result_setting(r, key->name);
        bool number = i == PG_KEY_DELTA && strcmp(value, "any-batch") != 0; /* cells of before have one of that name */
        bool elsewhere = !key->fallback || !*key->fallback;                 /* in the line, as far as they tell cells apart */
        if (elsewhere || !*value || number || strcmp(value, key->fallback) == 0)
            continue;
        pg_buf_printf(out, " %s=%s", key->name, value);
        if (i == PG_KEY_ATTACK)
            add_attack_options(r, value, out);
    }
    if (r->first > 0) /* from the start on, the number of images says it */
        pg_buf_printf(out, " images=%" PRId64 ":%" PRId64, r->first, r->first + r->images);
}

static int print_cell(const pg_cell_line *l)
{
    pg_buf line = PG_BUF_EMPTY;
    pg_cell_result r = {.first = l->first, .images = l->images};
    const char *texts[] = {l->settings, l->details};
    int code = pg_settings_parse(texts, 2, &r.settings, &r.n_settings);
    if (code != PG_OK)
        return code;
    const char *defense = pg_cell_result_setting(&r, "defense");
    pg_buf_printf(&line, "%.12s %-7s %6" PRId64 "/%-6" PRId64, l->cell_id, pg_cell_state_name(l->state), l->n, l->images);
    add_share(l->clean, l->n, &line);
    add_share(l->attacked, l->attacked_n, &line);
    add_share(l->certified, l->n, &line);
    pg_buf_printf(&line, "  %s patch=%s", defense, pg_cell_result_setting(&r, "patch"));
    add_options(&r, defense, &line);
    add_others(&r, &line);
    pg_buf_printf(&line, " %s %s%s\n", pg_cell_result_setting(&r, "dataset"), pg_cell_result_setting(&r, "weights"),
                  l->has_delta ? "" : " (locality not measured)");
    code = pg_buf_check(&line);
    if (code == PG_OK)
        pg_print_hanging(HANG, "%s", line.data);
    pg_buf_release(&line);
    pg_cell_result_release(&r);
    return code;
}

/* ---- Columns for programs: one for each setting that occurs ---- */

typedef struct columns {
    pg_memory memory;
    char **names; /* sorted */
    size_t n, room;
    const char **fallbacks; /* of each: what a cell has that is written without it, NULL: nothing */
    char **modules;         /* defenses and attacks, whose options are settings; other keys with a dot are details */
    size_t n_modules, modules_room;
    size_t last; /* the place of the key before: those of a cell come in order */
} columns;

static int keep(char ***list, size_t *n, size_t *room, const char *text, pg_memory *memory)
{
    char **grown = pg_grow(*list, *n, room, sizeof *grown), *copy = pg_memory_take(memory, strlen(text) + 1, 1);
    *list = grown ? grown : *list;
    if (!grown || !copy)
        return pg_fail(PG_ENOMEM, "out of memory for the columns of a list");
    grown[(*n)++] = strcpy(copy, text);
    return PG_OK;
}

static int add_module(const char *key, const char *value, void *context)
{
    columns *c = context;
    (void)key;
    return keep(&c->modules, &c->n_modules, &c->modules_room, value, &c->memory);
}

static bool is_setting(const columns *c, const char *key)
{
    const char *dot = strchr(key, '.');
    bool is = false;
    for (const pg_key *k = pg_keys; !dot && k->name && !is; k++)
        is = strcmp(k->name, key) == 0;
    for (size_t i = 0; dot && i < c->n_modules && !is; i++)
        is = strlen(c->modules[i]) == (size_t)(dot - key) && strncmp(c->modules[i], key, (size_t)(dot - key)) == 0;
    return is;
}

static int add_column(const char *key, const char *value, void *context)
{
    columns *c = context;
    (void)value;
    if (c->last + 1 < c->n && strcmp(c->names[c->last + 1], key) == 0) {
        c->last++;
        return PG_OK;
    }
    size_t at = 0;
    while (at < c->n && strcmp(c->names[at], key) < 0)
        at++;
    c->last = at;
    if ((at < c->n && strcmp(c->names[at], key) == 0) || !is_setting(c, key))
        return PG_OK;
    int code = keep(&c->names, &c->n, &c->room, key, &c->memory);
    for (size_t i = c->n - 1; code == PG_OK && i > at; i--) {
        char *moved = c->names[i];
        c->names[i] = c->names[i - 1];
        c->names[i - 1] = moved;
    }
    return code;
}

/* The default of a key of matrix files, or of an option of a defense or attack that is there. */
static const char *fallback_of(const char *key)
{
    const char *dot = strchr(key, '.');
    const pg_option *option = NULL;
    for (const pg_key *k = pg_keys; !dot && k->name; k++)
        if (strcmp(k->name, key) == 0)
            return k->fallback;
    size_t size = dot ? (size_t)(dot - key) : 0;
    for (size_t i = 0; dot && pg_defenses[i] && !option; i++)
        if (strlen(pg_defenses[i]->module.name) == size && strncmp(pg_defenses[i]->module.name, key, size) == 0)
            option = pg_option_find(pg_defenses[i]->module.options, dot + 1);
    for (size_t i = 0; dot && pg_attacks[i] && !option; i++)
        if (strlen(pg_attacks[i]->module.name) == size && strncmp(pg_attacks[i]->module.name, key, size) == 0)
            option = pg_option_find(pg_attacks[i]->module.options, dot + 1);
    return option && option->later ? pg_option_before(option) : NULL;
}

static int find_columns(pg_store *store, const pg_cell_set *set, bool all, columns *out)
{
    int code = add_module("", "null", out);
    if (code == PG_OK)
        code = pg_store_each_value(store, "defense", add_module, out);
    if (code == PG_OK)
        code = pg_store_each_value(store, "attack", add_module, out);
    if (code == PG_OK && all)
        code = pg_store_each_key(store, add_column, out);
    for (size_t i = 0; code == PG_OK && !all && i < set->n; i++)
        code = pg_store_keys_of(store, set->cells[i], add_column, out);
    out->fallbacks = pg_memory_take(&out->memory, out->n + 1, sizeof *out->fallbacks);
    for (size_t i = 0; code == PG_OK && out->fallbacks && i < out->n; i++)
        out->fallbacks[i] = fallback_of(out->names[i]);
    return code == PG_OK ? pg_memory_check(&out->memory, "the columns of a list") : code;
}

/* ---- Lists ---- */

typedef struct arguments {
    int state; /* pg_cell_state, -1: any */
    int64_t most;
    pg_texts only;
    pg_output output;
} arguments;

/* Lines of the store, gathered before they are printed: a slow reader of ours holds no lock. */
enum { AT_ONCE = 256 };
typedef struct list {
    pg_cell_line lines[AT_ONCE];
    size_t n, at[AT_ONCE]; /* the place of the texts of a line: id, settings, details */
    pg_buf texts;
    columns columns;
    pg_tabular g;
} list;

static int add_line(const pg_cell_line *line, void *context)
{
    list *l = context;
    l->lines[l->n] = *line;
    l->at[l->n++] = l->texts.size;
    pg_buf_add(&l->texts, line->cell_id, PG_HASH_HEX);
    pg_buf_add(&l->texts, line->settings, strlen(line->settings) + 1);
    pg_buf_add(&l->texts, line->details, strlen(line->details) + 1);
    return pg_buf_check(&l->texts);
}

static void add_percent(int64_t count, int64_t n, pg_tabular *g)
{
    pg_tabular_real(g, n > 0 && count >= 0 ? 100.0 * (double)count / (double)n : NAN);
}

static const char *const heads[] = {"cell",       "state",   "asked", "n", "clean", "certified", "certified_published",
                                    "attacked_n", "attacked"};
enum { HEADS = sizeof heads / sizeof *heads };

static void begin_rows(list *l, const pg_output *output)
{
    pg_tabular_init(&l->g, (pg_table_format)output->format, HEADS + l->columns.n, 1);
    l->g.form = "ls";
    for (size_t i = 0; i < HEADS; i++)
        pg_tabular_words(&l->g, heads[i]);
    for (size_t i = 0; i < l->columns.n; i++)
        pg_tabular_words(&l->g, l->columns.names[i]);
}

/* Whether an option is one of a module. */
static bool is_of(const char *option, const char *module)
{
    size_t size = strlen(module);
    return strncmp(option, module, size) == 0 && option[size] == '.';
}

/* Details are not read: of those that are settings, too, newer options at their default, the default is known. */
static int add_row(list *l, const pg_cell_line *line)
{
    pg_setting *settings = NULL;
    size_t n = 0, at = 0;
    int code = pg_settings_parse(&line->settings, 1, &settings, &n);
    if (code != PG_OK)
        return code;
    const char *defense = pg_settings_value(settings, n, "defense"), *attack = pg_settings_value(settings, n, "attack");
    pg_tabular_words(&l->g, line->cell_id);
    pg_tabular_words(&l->g, pg_cell_state_name(line->state));
    pg_tabular_number(&l->g, line->images);
    pg_tabular_number(&l->g, line->n);
    add_percent(line->clean, line->n, &l->g);
    add_percent(line->certified, line->n, &l->g);
    add_percent(line->certified_published, line->n, &l->g);
    pg_tabular_number(&l->g, line->attacked_n);
    add_percent(line->attacked, line->attacked_n, &l->g);
    for (size_t i = 0; i < l->columns.n; i++) { /* both are sorted */
        const char *name = l->columns.names[i], *value = l->columns.fallbacks[i];
        int order = -1;
        while (at < n && (order = strcmp(settings[at].key, name)) < 0)
            at++;
        if (at < n && order == 0)
            value = settings[at].value;
        else if (value && strchr(name, '.') && !is_of(name, defense) && !is_of(name, attack))
            value = NULL;
        pg_tabular_words(&l->g, value);
    }
    free(settings);
    return PG_OK;
}

/* What was gathered goes out. */
static int print_lines(list *l, const pg_output *output)
{
    bool rows = pg_format_is_rows((pg_table_format)output->format);
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && i < l->n; i++) {
        pg_cell_line *line = &l->lines[i];
        line->cell_id = l->texts.data + l->at[i];
        line->settings = line->cell_id + PG_HASH_HEX;
        line->details = line->settings + strlen(line->settings) + 1;
        code = rows ? add_row(l, line) : print_cell(line);
    }
    if (code == PG_OK && rows)
        code = pg_output_rows(output, &l->g);
    pg_buf_clear(&l->texts);
    l->n = 0;
    return code;
}

static int print_list(pg_store *store, const arguments *a, const pg_cell_set *set)
{
    size_t first = a->most > 0 && (size_t)a->most < set->n ? set->n - (size_t)a->most : 0;
    const pg_cell_set listed = {.cells = set->cells + first, .n = set->n - first};
    bool rows = pg_format_is_rows((pg_table_format)a->output.format), all = a->only.n == 0 && a->state < 0 && first == 0;
    list *l = calloc(1, sizeof *l);
    if (l)
        pg_buf_init(&l->texts);
    int code = l ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for a list");
    if (code == PG_OK && rows)
        code = find_columns(store, &listed, all, &l->columns);
    if (code == PG_OK && rows)
        begin_rows(l, &a->output);
    else if (code == PG_OK && listed.n > 0)
        pg_print_hanging(HANG, "%-12s %-7s %13s %7s %7s %7s  %s\n", "cell", "state", "images", "clean%", "att%", "cert%",
                         "settings");
    for (size_t at = 0; code == PG_OK && at < listed.n; at += AT_ONCE) {
        code = pg_store_each_line(store, listed.cells + at, listed.n - at < AT_ONCE ? listed.n - at : AT_ONCE, add_line, l);
        if (code == PG_OK)
            code = print_lines(l, &a->output);
    }
    if (code == PG_OK && rows)
        code = pg_output_table(&a->output, &l->g);
    if (code == PG_OK && listed.n < set->n)
        pg_info("the newest %zu of %zu cells; --most 0 lists all", listed.n, set->n);
    if (l) {
        pg_tabular_release(&l->g);
        pg_buf_release(&l->texts);
        pg_memory_free(&l->columns.memory);
        free(l->columns.names);
        free(l->columns.modules);
    }
    free(l);
    return code;
}

static const char *const states[PG_CELL_STATES + 1] = {
    [PG_CELL_NEW] = "new", [PG_CELL_PARTIAL] = "partial", [PG_CELL_DONE] = "done", [PG_CELL_FAILED] = "failed"};

#define AT(field) offsetof(arguments, field)
static const pg_cli_row options[] = {
    {0, "state", "STATE", "only cells in this state", NULL, AT(state), PG_CHOICE(states), .absent = -1},
    PG_ONLY_ROW(AT(only)),
    {'n', "most", "N", "the newest N of them; 0: all", "500", AT(most), PG_INT(0, INT64_MAX)},
    PG_OUTPUT_FORMAT_ROW(AT(output), pg_row_formats),
    PG_OUTPUT_FILE_ROW(AT(output)),
    PG_OUTPUT_FORCE_ROW(AT(output)),
    PG_CLI_END,
};

static int run(const pg_context *context, void *request)
{
    arguments *a = request;
    pg_store *store = NULL;
    pg_cell_set set = {0};
    int code = pg_output_begin(&a->output, (const char *const[]){context->db_path, NULL});
    if (code == PG_OK)
        code = pg_store_open(context->db_path, PG_STORE_READ, &store);
    if (code == PG_OK)
        code = pg_only_choose_stored("--only", &a->only, store, a->state, &set);
    if (code == PG_OK)
        code = print_list(store, a, &set);
    pg_cell_set_release(&set);
    pg_store_close(store);
    return pg_output_end(&a->output, code);
}

const pg_command pg_command_ls = {
    .name = "ls",
    .synopsis = "ls [options]",
    .summary = "list the cells of the database",
    .help =
        "One line a cell: the first digits of its id, its state (new, partial, done, failed), images with outcomes, clean "
        "accuracy, accuracy under attack and certified accuracy so far in percent, defense, patch and options, and of attack, "
        "patch space, batch, dtype, seed and images what is not the default. Cells stand in the order in which they were "
        "planned. CSV and JSON have a column for each setting that occurs.\n",
    .examples = "  patchgauge ls --db try.db\n  patchgauge ls --state failed\n  patchgauge ls --only defense=ds -f csv\n",
    .rows = options,
    .request_size = sizeof(arguments),
    .run = run,
};
