#include "harness/cmd/attack_plan.h"

#include "harness/base/option.h"
#include "harness/base/text.h"
#include "harness/plan/matrix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- --set ---- */

static bool is_name(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && strncmp(name, text, size) == 0;
}

/* The module that "module.option=value" names ("attack", "defense" and "model" are names too), or the one that has "option";
 * *option: "option=value". */
static int find_owner(const pg_attack_request *r, const char *pair, const char **module, const char **option)
{
    size_t key = strcspn(pair, "="), dot = strcspn(pair, ".");
    static const char *const kinds[] = {"attack", "defense", "model"};
    const pg_attack *attack = pg_attack_find(r->attack);
    const pg_defense *defense = pg_defense_find(r->defense);
    const pg_model *model = pg_model_find("null");
    if (!attack || !defense)
        return PG_EINPUT;
    const char *names[] = {attack->module.name, defense->module.name, model->module.name};
    const pg_option *tables[] = {attack->module.options, defense->module.options, model->module.options};
    size_t modules = strcmp(r->weights, "null") == 0 ? 3 : 2, found = 0, owner = 0;
    bool named = dot < key;
    char text[128];
    snprintf(text, sizeof text, "%.*s", (int)key, pair);
    if (!pair[key])
        return pg_fail(PG_EUSAGE, "--set %s: right would be KEY=VALUE", pair);
    for (size_t i = 0; i < modules; i++)
        if (named ? is_name(names[i], pair, dot) || is_name(kinds[i], pair, dot) : pg_option_find(tables[i], text) != NULL) {
            owner = i;
            found++;
        }
    if (found > 1)
        return pg_fail(PG_EUSAGE, "--set %s: both %s and %s have this option: write %s.%s or %s.%s", pair, names[0],
                       owner == 2 ? names[owner] : names[1], names[0], pair, owner == 2 ? names[owner] : names[1], pair);
    if (found == 0)
        return pg_fail(
            PG_EUSAGE,
            "--set %s: no option of attack %s or defense %s; `patchgauge help attack %s` and `help defense %s` list them", pair,
            names[0], names[1], names[0], names[1]);
    *module = names[owner];
    *option = named ? pair + dot + 1 : pair;
    return PG_OK;
}

/* ---- The matrix ---- */

static int add_text(pg_buf *out, const char *option, const char *text)
{
    const char *at = text;
    for (size_t size; *at && (size = pg_utf8_size(at)) > 0; at += size) {
    }
    if (*at)
        return pg_fail(PG_EINPUT, "%s %s: is not UTF-8, and meta.json names it; rename the file", option, text);
    pg_matrix_string(out, text);
    return PG_OK;
}

static int add_value(pg_buf *out, const char *key, const char *text)
{
    char option[32];
    snprintf(option, sizeof option, "--%s", key);
    pg_buf_printf(out, "%s = ", key);
    int code = add_text(out, option, text);
    pg_buf_puts(out, "\n");
    return code;
}

/* `lavan."steps" = "5"` */
static int add_pair(const pg_attack_request *r, size_t i, pg_buf *out)
{
    const char *module, *option, *other, *before;
    int code = find_owner(r, r->pairs.items[i], &module, &option);
    if (code != PG_OK)
        return code;
    size_t key = strcspn(option, "=");
    for (size_t k = 0; k < i; k++)
        if (find_owner(r, r->pairs.items[k], &other, &before) == PG_OK && strcmp(other, module) == 0 &&
            strncmp(before, option, key + 1) == 0)
            return pg_fail(PG_EUSAGE, "--set: one option is given twice, as '%s' and '%s': leave one of them out",
                           r->pairs.items[k], r->pairs.items[i]);
    char *name = strndup(option, key);
    if (!name)
        return pg_fail(PG_ENOMEM, "out of memory");
    pg_buf_printf(out, "%s.", module);
    code = add_text(out, "--set", name);
    pg_buf_puts(out, " = ");
    if (code == PG_OK)
        code = add_text(out, "--set", option + key + 1);
    pg_buf_puts(out, "\n");
    free(name);
    return code;
}

static int write_matrix(const pg_attack_request *r, pg_buf *out)
{
    const char *const values[][2] = {{"dataset", r->dataset},
                                     {"weights", r->weights},
                                     {"defense", r->defense},
                                     {"attack", r->attack},
                                     {"patch", r->patch},
                                     {"patch-space", r->behind_resize ? "network" : "image"},
                                     {"predict", pg_predicts[r->predict]},
                                     {"dtype", pg_dtype_names[r->dtype]}};
    int code = PG_OK;
    pg_buf_puts(out, "name = \"attack\"\n[fixed]\n");
    for (size_t i = 0; code == PG_OK && i < sizeof values / sizeof *values; i++)
        code = add_value(out, values[i][0], values[i][1]);
    pg_buf_printf(out, "batch = %" PRId64 "\nseed = %" PRId64 "\n", r->batch, r->seed);
    if (code == PG_OK && r->images)
        code = add_value(out, "images", r->images);
    if (code == PG_OK && r->outputs)
        code = add_value(out, "outputs", r->outputs);
    for (size_t i = 0; code == PG_OK && i < r->pairs.n; i++)
        code = add_pair(r, i, out);
    return code == PG_OK ? pg_buf_check(out) : code;
}

int pg_attack_plan_open(const pg_attack_request *r, pg_plan **out)
{
    pg_buf text = PG_BUF_EMPTY;
    int code = write_matrix(r, &text);
    pg_plan_request request = {.matrix_path = "attack", .options = true, .matrix_text = text.data, .data_dir = r->data_dir};
    if (code == PG_OK)
        code = pg_plan_open(&request, out);
    if (code == PG_OK && !pg_plan_at(*out, 0)->forward->attack) {
        pg_plan_free(*out);
        *out = NULL;
        code = pg_fail(PG_EUSAGE, "--attack none attacks nothing; `patchgauge list attacks` has the names");
    }
    pg_buf_release(&text);
    return code;
}
