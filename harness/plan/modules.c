#include "harness/plan/modules.h"

#include "harness/base/file.h"
#include "harness/base/log.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLUGINS_MAX = 32 };
static pg_plugin_file plugins[PLUGINS_MAX];
static size_t n_plugins;

const pg_plugin_file *pg_plugin_at(size_t i) { return i < n_plugins ? &plugins[i] : NULL; }

/* ---- Looking up ---- */

static const pg_module *defense_at(int i) { return pg_defenses[i] ? &pg_defenses[i]->module : NULL; }
static const pg_module *attack_at(int i) { return pg_attacks[i] ? &pg_attacks[i]->module : NULL; }
static const pg_module *model_at(int i) { return pg_models[i] ? &pg_models[i]->module : NULL; }
const pg_module_kind pg_module_kinds[] = {{"defense", defense_at}, {"attack", attack_at}, {"model", model_at}, {NULL, NULL}};

const pg_module *pg_modules_find(const char *name, const char **kind)
{
    const pg_module *module;
    for (const pg_module_kind *k = pg_module_kinds; k->name; k++)
        for (int i = 0; (module = k->at(i)); i++)
            if (strcmp(module->name, name) == 0) {
                *kind = k->name;
                return module;
            }
    return NULL;
}

static bool has_module(const pg_plugin *p, const pg_module *module)
{
    bool found = false;
    for (size_t i = 0; p->defenses && p->defenses[i]; i++)
        found |= &p->defenses[i]->module == module;
    for (size_t i = 0; p->attacks && p->attacks[i]; i++)
        found |= &p->attacks[i]->module == module;
    for (size_t i = 0; p->models && p->models[i]; i++)
        found |= &p->models[i]->module == module;
    return found;
}

const pg_plugin_file *pg_modules_origin(const pg_module *module)
{
    for (size_t i = 0; i < n_plugins; i++)
        if (has_module(plugins[i].plugin, module))
            return &plugins[i];
    return NULL;
}

void pg_modules_label(const char *kind, const pg_module *module, char out[PG_MODULE_LABEL_MAX])
{
    const pg_plugin_file *origin = pg_modules_origin(module);
    snprintf(out, PG_MODULE_LABEL_MAX, "%s '%s'%s%s", kind, module->name, origin ? " of " : "", origin ? origin->path : "");
}

int pg_modules_blame(int code, const char *kind, const pg_module *module, int64_t image)
{
    char label[PG_MODULE_LABEL_MAX], at[32] = "";
    pg_modules_label(kind, module, label);
    if (image >= 0)
        snprintf(at, sizeof at, ": image %lld", (long long)image);
    return pg_fail_at(code, "%s%s", label, at);
}

void pg_modules_plugin(const char *kind, const pg_module *module, pg_buf *out)
{
    const pg_plugin_file *origin = pg_modules_origin(module);
    if (origin)
        pg_buf_printf(out, "%s.plugin=%s\n", kind, origin->hash);
}

void pg_modules_identity(const char *kind, const pg_module *module, pg_buf *out)
{
    pg_modules_plugin(kind, module, out);
    pg_buf_printf(out, "%s.version=%d\n", kind, module->version);
}

/* ---- Loading ---- */

/* *new* path of a plug-in, NULL with a message. */
static char *find_file(const char *name)
{
    char *path = NULL;
    if (strchr(name, '/')) {
        if (access(name, R_OK) == 0)
            return realpath(name, NULL);
        pg_fail(PG_EMISSING, "--plugin %s: there is no such file that can be read", name);
        return NULL;
    }
    const char *folders = getenv("PATCHGAUGE_PLUGIN_PATH");
    for (const char *at = folders ? folders : ""; *at; at += at[strcspn(at, ":")] ? strcspn(at, ":") + 1 : strcspn(at, ":"))
        for (int suffix = 0; suffix < 2; suffix++) {
            if (asprintf(&path, "%.*s/%s%s", (int)strcspn(at, ":"), at, name, suffix ? ".so" : "") < 0)
                return NULL;
            if (access(path, R_OK) == 0 && pg_file_size(path) >= 0)
                return path;
            free(path);
        }
    pg_fail(PG_EMISSING, "--plugin %s: not in a folder of PATCHGAUGE_PLUGIN_PATH (%s); a file is named with a '/', as ./%s",
            name, folders && *folders ? folders : "not set", name);
    return NULL;
}

static int check_module(const pg_module *module, const char *kind)
{
    const char *taken;
    int code = pg_module_check(module, kind);
    if (code == PG_OK && pg_modules_find(module->name, &taken))
        code = pg_fail(PG_EINPUT, "%s %s: there is a %s of this name already", kind, module->name, taken);
    return code;
}

static int add_modules(const pg_plugin *p)
{
    int code = PG_OK;
    for (size_t i = 0; code == PG_OK && p->defenses && p->defenses[i]; i++) {
        code = check_module(&p->defenses[i]->module, "defense");
        if (code == PG_OK)
            code = pg_defense_add(p->defenses[i]);
    }
    for (size_t i = 0; code == PG_OK && p->attacks && p->attacks[i]; i++) {
        code = check_module(&p->attacks[i]->module, "attack");
        if (code == PG_OK)
            code = pg_attack_add(p->attacks[i]);
    }
    for (size_t i = 0; code == PG_OK && p->models && p->models[i]; i++) {
        code = check_module(&p->models[i]->module, "model");
        if (code == PG_OK)
            code = pg_model_add(p->models[i]);
    }
    return code;
}

static bool is_of_this_version(const pg_plugin *p)
{
    return p->abi == PG_PLUGIN_ABI && p->module_size == sizeof(pg_module) && p->option_size == sizeof(pg_option) &&
           p->defense_size == sizeof(pg_defense) && p->attack_size == sizeof(pg_attack) && p->model_size == sizeof(pg_model);
}

static int open_plugin(pg_plugin_file *f)
{
    int code = pg_hash_file(f->path, f->hash);
    if (code != PG_OK)
        return code;
    void *handle = dlopen(f->path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return pg_fail(PG_EINPUT, "cannot be loaded: %s", dlerror());
    f->plugin = dlsym(handle, "patchgauge_plugin"); /* never closed: its modules are in use to the end */
    if (!f->plugin)
        return pg_fail(PG_EINPUT, "is no plug-in of patchgauge: it has no symbol patchgauge_plugin");
    if (!is_of_this_version(f->plugin))
        return pg_fail(PG_EINPUT, "was built with the headers of another version: build it again with those of this one");
    return add_modules(f->plugin);
}

int pg_plugin_load(const char *name)
{
    if (n_plugins == PLUGINS_MAX)
        return pg_fail(PG_EINPUT, "--plugin %s: more than %d plug-ins", name, PLUGINS_MAX);
    pg_plugin_file *f = &plugins[n_plugins];
    f->path = find_file(name);
    if (!f->path)
        return PG_EMISSING;
    for (size_t i = 0; i < n_plugins; i++)
        if (strcmp(plugins[i].path, f->path) == 0) {
            free(f->path);
            return PG_OK;
        }
    int code = open_plugin(f);
    if (code != PG_OK) {
        pg_fail_at(code, "--plugin %s", f->path);
        free(f->path);
        return code;
    }
    n_plugins++;
    pg_info("plug-in %s, sha256 %.12s", f->path, f->hash);
    return PG_OK;
}
