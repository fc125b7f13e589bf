/* Every module there is, built in or from a plug-in, and the loading of plug-ins.
 *
 * A plug-in is a shared object with the one symbol `patchgauge_plugin` (plugin.h): descriptors as a built-in module has
 * them, built against the headers of this very version. Its code runs in this process, with all rights of the user: it is
 * loaded only where the user names it, and is printed and hashed. A command that loads one runs in a child process
 * (harness/base/process.h), and what takes pixels or tensors in workers below it, where an early end costs tasks of its own
 * cells.
 *
 * The hash of the file stands in the identity of every cell that uses one of its modules, so that another build makes them
 * stale. Loading is for the main thread before any other starts; the rest is thread-safe. */
#ifndef PG_PLAN_MODULES_H
#define PG_PLAN_MODULES_H

#include "harness/base/buf.h"
#include "harness/base/hash.h"
#include "harness/plan/plugin.h"

/* ---- Loading ---- */

typedef struct pg_plugin_file {
    char *path; /* as it was found */
    char hash[PG_HASH_HEX];
    const pg_plugin *plugin;
} pg_plugin_file;

/* Loads a plug-in and adds its modules behind the built-in ones. A name without '/' is looked for, with and without ".so", in
 * the folders of $PATCHGAUGE_PLUGIN_PATH (separated by ':'). What it states is checked as for built-in modules. PG_EMISSING,
 * PG_EINPUT (no plug-in, of another version, a module that is not whole or whose name is taken). */
int pg_plugin_load(const char *name) PG_MUST_USE;
const pg_plugin_file *pg_plugin_at(size_t i); /* NULL behind the last; borrowed */

/* ---- Looking up ---- */

/* The kinds of modules that plug-ins bring, each with its list; NULL-terminated by name. */
typedef struct pg_module_kind {
    const char *name;              /* "defense", "attack", "model" */
    const pg_module *(*at)(int i); /* NULL behind the last */
} pg_module_kind;
extern const pg_module_kind pg_module_kinds[];

/* The module of this name, and its kind: "defense", "attack" or "model". NULL, without a message. */
const pg_module *pg_modules_find(const char *name, const char **kind);
const pg_plugin_file *pg_modules_origin(const pg_module *module); /* NULL: built in */
/* What a module adds to identity: "KIND.plugin=HASH\n" where it is of a plug-in, and with it "KIND.version=N\n". */
void pg_modules_plugin(const char *kind, const pg_module *module, pg_buf *out);
/* "defense 'mine' of FILE", without the file for built-in ones. */
enum { PG_MODULE_LABEL_MAX = 512 };
void pg_modules_label(const char *kind, const pg_module *module, char out[PG_MODULE_LABEL_MAX]);
/* Puts before the message of a failure whose fault a module is: "defense 'mine' of FILE: image 3: ". image < 0: none. Returns
 * `code`. */
int pg_modules_blame(int code, const char *kind, const pg_module *module, int64_t image);
void pg_modules_identity(const char *kind, const pg_module *module, pg_buf *out);

#endif
