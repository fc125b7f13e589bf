/* What a row of a matrix says, and the text of identities that is made of it. See keys.h. */
#include "harness/plan/keys.h"

#include "harness/base/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pg_row_value(const pg_cell_builder *s, const pg_toml_value **values, pg_key_id id)
{
    int k = s->key_of[id];
    return k >= 0 ? values[k]->text : pg_keys[id].fallback;
}

int pg_row_line(const pg_cell_builder *s, const pg_toml_value **values, pg_key_id id)
{
    int k = s->key_of[id];
    return k >= 0 ? values[k]->line : 1;
}

int pg_row_pairs(const pg_cell_builder *s, const pg_toml_value **values, const char *module, char **pairs, size_t *n)
{
    size_t length = strlen(module);
    *n = 0;
    for (size_t k = 0; k < s->matrix->n_keys && *n < PG_PAIRS_MAX; k++) {
        const char *key = s->matrix->keys[k].key;
        if (strncmp(key, module, length) != 0 || key[length] != '.')
            continue;
        if (asprintf(&pairs[*n], "%s=%s", key + length + 1, values[k]->text) < 0)
            return pg_fail(PG_ENOMEM, "out of memory");
        ++*n;
    }
    return PG_OK;
}

/* ---- Canonical text ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

int pg_lines_canonical(pg_buf *text)
{
    pg_buf stored = PG_BUF_EMPTY;
    pg_lines_stored(text->data, &stored);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < stored.size; i++)
        n += stored.data[i] == '\n';
    char **lines = malloc((n + 1) * sizeof *lines);
    if (pg_buf_check(text) != PG_OK || pg_buf_check(&stored) != PG_OK || !lines) {
        pg_buf_release(&stored);
        free(lines);
        return pg_fail(PG_ENOMEM, "out of memory");
    }
    for (char *line = stored.data; at < n; at++) {
        lines[at] = line;
        line += strcspn(line, "\n");
        *line++ = 0;
    }
    qsort(lines, n, sizeof *lines, by_text);
    pg_buf_clear(text);
    for (size_t i = 0; i < n; i++) {
        pg_buf_puts(text, lines[i]);
        pg_buf_puts(text, "\n");
    }
    pg_buf_release(&stored);
    free(lines);
    return pg_buf_check(text);
}

static void patch_text(const pg_cell *c, char out[32])
{
    if (c->patch_height == c->patch_width)
        snprintf(out, 32, "%d", c->patch_height);
    else
        snprintf(out, 32, "%dx%d", c->patch_height, c->patch_width);
}

static const char *patches_of(const pg_forward *f)
{
    bool has = f->attack && f->attack->patches;
    return has ? f->attack->patches(f->attack_config) : NULL;
}

void pg_patches_setting(const pg_forward *f, pg_buf *out)
{
    char key[80];
    if (!patches_of(f))
        return;
    snprintf(key, sizeof key, "%s.file", f->attack->module.name);
    pg_settings_add(out, key, patches_of(f));
}

bool pg_is_patches_hash(const pg_forward *f, const char *key)
{
    size_t length = patches_of(f) ? strlen(f->attack->module.name) : 0;
    return length > 0 && strncmp(key, f->attack->module.name, length) == 0 && strcmp(key + length, ".file.hash") == 0;
}

void pg_cell_defended_text(const pg_cell_builder *s, const pg_toml_value **values, const pg_cell *c, pg_buf *out)
{
    char patch[32], prefix[80];
    int64_t seed = 0;
    int parsed = pg_parse_int(pg_row_value(s, values, PG_KEY_SEED), &seed);
    patch_text(c, patch);
    snprintf(prefix, sizeof prefix, "%s.", c->defense->module.name);
    pg_settings_add(out, "patch-space", pg_row_value(s, values, PG_KEY_PATCH_SPACE));
    pg_settings_add(out, "defense", c->defense->module.name);
    pg_settings_add(out, "patch", patch);
    pg_buf_printf(out, "seed=%lld\n", (long long)(parsed == PG_OK ? seed : 0));
    pg_options_canonical(c->defense->module.options, c->config, prefix, true, out);
}
