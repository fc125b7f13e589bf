/* Modules of plug-ins that are not loaded, where results of them are only shown. See keys.h. */
#include "harness/plan/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pg_option no_options[] = {{0}};

static pg_certificate no_certificate(const void *config)
{
    (void)config;
    return PG_CERTIFICATE_NONE;
}

static void no_evidence(const void *config, pg_evidence_spec *out)
{
    (void)config;
    *out = (pg_evidence_spec){0};
}

static int no_check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    (void)config, (void)image_height, (void)image_width, (void)patch_height, (void)patch_width, (void)classes;
    return PG_OK;
}

static int count(const pg_known_cell *cell, int64_t cells, void *context)
{
    (void)cell;
    *(int64_t *)context += cells;
    return PG_OK;
}

/* The message that was recorded before stays where the store knows nothing either. */
static bool has_cells(pg_cell_builder *s, const char *kind, const char *name)
{
    int64_t cells = 0;
    return s->store && pg_store_each_named(s->store, kind, name, count, &cells) == PG_OK && cells > 0;
}

static const pg_placeholder *find(const pg_cell_builder *s, const char *name)
{
    for (size_t i = 0; i < s->n_placeholders; i++)
        if (strcmp(s->placeholders[i]->name, name) == 0)
            return s->placeholders[i];
    return NULL;
}

/* `kind` is "defense" or "attack". NULL: it is not known, or memory is out, which the message says. */
static const pg_placeholder *placeholder(pg_cell_builder *s, const char *kind, const char *name)
{
    const pg_placeholder *found = find(s, name);
    if (found || !has_cells(s, kind, name))
        return found;
    pg_placeholder **grown = realloc(s->placeholders, (s->n_placeholders + 1) * sizeof *grown);
    s->placeholders = grown ? grown : s->placeholders;
    pg_placeholder *made = calloc(1, sizeof *made);
    char *copy = strdup(name);
    if (!grown || !made || !copy) {
        free(made);
        free(copy);
        pg_fail(PG_ENOMEM, "planning: out of memory");
        return NULL;
    }
    const pg_module module = {.name = copy, .summary = "", .source = "", .options = no_options, .config_size = 1};
    made->name = copy;
    made->defense = (pg_defense){.module = module, .certificate = no_certificate, .evidence = no_evidence};
    made->attack = (pg_attack){.module = module, .check = no_check};
    made->attack.module.config_size = sizeof(pg_attack_common);
    return s->placeholders[s->n_placeholders++] = made;
}

const pg_defense *pg_cell_builder_defense(pg_cell_builder *s, const char *name)
{
    const pg_defense *defense = pg_defense_find(name);
    const pg_placeholder *other = defense ? NULL : placeholder(s, "defense", name);
    return other ? &other->defense : defense;
}

const pg_attack *pg_cell_builder_attack_named(pg_cell_builder *s, const char *name)
{
    const pg_attack *attack = pg_attack_find(name);
    const pg_placeholder *other = attack ? NULL : placeholder(s, "attack", name);
    return other ? &other->attack : attack;
}

bool pg_cell_builder_has_placeholder(pg_cell_builder *s, const char *name)
{
    const char *kind;
    return !pg_modules_find(name, &kind) && (placeholder(s, "defense", name) || placeholder(s, "attack", name));
}

void pg_placeholders_free(pg_placeholder **placeholders, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(placeholders[i]->name);
        free(placeholders[i]);
    }
    free(placeholders);
}

int pg_placeholder_settings(const pg_cell_builder *s, const pg_toml_value **values, const pg_module *module, pg_buf *out)
{
    char *pairs[PG_PAIRS_MAX];
    size_t n = 0;
    if (!pg_module_is_placeholder(module))
        return PG_OK;
    int code = pg_row_pairs(s, values, module->name, pairs, &n);
    for (size_t i = 0; code == PG_OK && i < n; i++) {
        char key[256];
        char *value = strchr(pairs[i], '=');
        *value++ = 0;
        snprintf(key, sizeof key, "%s.%s", module->name, pairs[i]);
        pg_settings_add(out, key, value);
    }
    pg_pairs_free(pairs, n);
    return code;
}
