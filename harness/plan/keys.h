/* From one row of a matrix to a cell: registries, data set, weights, patch, identity. Private to harness/plan. */
#ifndef PG_PLAN_KEYS_H
#define PG_PLAN_KEYS_H

#include "harness/data/dataset.h"
#include "harness/data/patches.h"
#include "harness/base/hash_table.h"
#include "harness/plan/matrix.h"
#include "harness/plan/modules.h"
#include "harness/plan/plan.h"

/* Keys that are not options of modules. */
typedef enum pg_key_id {
    PG_KEY_ATTACK,
    PG_KEY_BATCH,
    PG_KEY_DATASET,
    PG_KEY_DATASET_HASH,
    PG_KEY_DEFENSE,
    PG_KEY_DELTA,
    PG_KEY_DTYPE,
    PG_KEY_IMAGES,
    PG_KEY_OUTPUTS,
    PG_KEY_PATCH,
    PG_KEY_PATCH_SPACE,
    PG_KEY_PREDICT,
    PG_KEY_SEED,
    PG_KEY_WEIGHTS,
    PG_KEY_WEIGHTS_HASH,
    PG_KEYS
} pg_key_id;

typedef struct pg_key {
    const char *name;
    const char *fallback; /* NULL: has to be given */
    const char *help;
} pg_key;
extern const pg_key pg_keys[PG_KEYS + 1]; /* by name; ends with a NULL name */

enum { PG_SIDE_MAX = 1 << 14 }; /* pixels: shares of larger images would not fit 64 bits */

typedef enum pg_file_role { PG_FILE_DATASET, PG_FILE_WEIGHTS, PG_FILE_PATCHES } pg_file_role;

/* A data set, weights or patches that were looked at, so that each is looked at once. */
typedef struct pg_seen_file {
    char *name, *hash; /* as given; of the hash the first digits, "" for any. Owned */
    pg_file_role role;
    pg_where where;
    char *why;                     /* of one that is not here: what opening it said. Owned */
    pg_dataset_info dataset;       /* without class_names */
    int image_height, image_width; /* of patches: pixels that they are for, */
    pg_patches *patches;           /* and what they are; NULL where the file is not here. Owned */
    pg_weights_info weights;       /* with default options; of one that is not here without geometry but for its classes */
    pg_classes classes;            /* of the data set, or that the weights store; of one that is not here none. Owned */
} pg_seen_file;

/* A defense or an attack that is not in this program, while the store has cells of it: it has a name, and version 0. Its
 * options are not known, only those that the matrix and the stored cells name. */
typedef struct pg_placeholder {
    char *name; /* owned */
    pg_defense defense;
    pg_attack attack;
} pg_placeholder;
static inline bool pg_module_is_placeholder(const pg_module *module) { return module->version == 0; }

/* Forward passes by what they were resolved from (rows with the same text share one without being resolved
 * again), and by id. */
typedef struct pg_forward_name {
    pg_forward *forward;
    UT_hash_handle hh;
    char name[];
} pg_forward_name;

typedef struct pg_cell_builder {
    const char *data_dir;
    pg_store *store; /* NULL: files have to be there */
    pg_problems *problems;
    const pg_matrix *matrix;
    int key_of[PG_KEYS]; /* index into matrix->keys, -1: not given */
    pg_seen_file **files;
    size_t n_files;
    pg_placeholder **placeholders; /* owned by the plan */
    size_t n_placeholders;
    pg_forward **forwards; /* owned by the plan */
    size_t n_forwards;
    pg_forward_name *names; /* hash table */
} pg_cell_builder;

/* Checks every key and every value of the matrix on its own; all faults go to problems. PG_ENOMEM only. */
int pg_cell_builder_init(pg_cell_builder *builder, const pg_plan_request *request, const pg_matrix *matrix,
                         pg_problems *problems) PG_MUST_USE;
/* Forwards and placeholders are handed to the plan first. */
void pg_cell_builder_release(pg_cell_builder *builder);

/* Looked at once, then remembered. `hash`: the first digits of the one that is meant, "" for any. NULL with the message
 * recorded. Borrowed. */
const pg_seen_file *pg_cell_builder_dataset(pg_cell_builder *builder, const char *spec, const char *hash);
const pg_seen_file *pg_cell_builder_weights(pg_cell_builder *builder, const char *weights, const char *hash);

/* A file of patches for images of this size; where the file is not here, without them. */
const pg_seen_file *pg_cell_builder_patches(pg_cell_builder *builder, const char *path, int image_height, int image_width);

/* The defense or the attack of this name, in this program or a placeholder (placeholder.c). NULL with the message recorded. */
const pg_defense *pg_cell_builder_defense(pg_cell_builder *builder, const char *name);
const pg_attack *pg_cell_builder_attack_named(pg_cell_builder *builder, const char *name);
/* Whether the store has cells of a module of this name, and this program has none. */
bool pg_cell_builder_has_placeholder(pg_cell_builder *builder, const char *name);
void pg_placeholders_free(pg_placeholder **placeholders, size_t n);
/* Options of a placeholder, as the row gives them. */
int pg_placeholder_settings(const pg_cell_builder *builder, const pg_toml_value **values, const pg_module *module,
                            pg_buf *out) PG_MUST_USE;

/* ---- In the place of files that are not here (stored.c) ---- */

/* What the store knows of the data set or the weights of this name: *found, or nothing. PG_EINPUT where it knows several
 * contents under this name. */
int pg_stored_dataset(pg_store *store, const char *spec, const char *hash, pg_dataset_info *out, bool *found) PG_MUST_USE;
int pg_stored_weights(pg_store *store, const char *weights, const char *hash, pg_weights_info *out, bool *found) PG_MUST_USE;
/* The cell becomes the stored one with these settings, these contents and these versions of modules; where there is none it is
 * left as it is, and *found is false. Of several, which differ by what was measured of the weights, the one with the largest
 * delta. For a cell with settings, some file of which is not here. */
int pg_cell_builder_stored(pg_cell_builder *builder, const pg_toml_value **values, pg_cell *cell, bool *ok,
                           bool *found) PG_MUST_USE;
/* Says which files are not here. PG_EINPUT, all of them among the problems, where `nothing` of the matrix is stored. */
int pg_cell_builder_tell(const pg_cell_builder *builder, size_t absent, bool nothing) PG_MUST_USE;
static inline bool pg_forward_is_here(const pg_forward *f)
{
    return f->data_where == PG_WHERE_HERE && f->weights_where == PG_WHERE_HERE && f->patches_where == PG_WHERE_HERE;
}
/* The identity of a cell as far as its files are known: sorted lines, and their SHA-256. */
int pg_cell_canonical(const pg_cell_builder *builder, const pg_toml_value **values, const pg_cell *cell, char **canonical,
                      char id[PG_HASH_HEX]) PG_MUST_USE;

/* One row; *new* inside `out`, pg_cell_release. Faults go to problems (*ok = false); the code is for failures of the system. */
int pg_cell_builder_cell(pg_cell_builder *builder, const pg_toml_value **values, pg_cell *out, bool *ok) PG_MUST_USE;
void pg_cell_release(pg_cell *cell);

/* The forward pass of a row without an attack: *out is borrowed from the builder, and unsealed (canonical NULL) where model and
 * data set do not fit (*ok = false, told once). */
int pg_cell_builder_forward(pg_cell_builder *builder, const pg_toml_value **values, const pg_forward **out,
                            bool *ok) PG_MUST_USE;
/* For a cell of an image-level defense, once its defense and patch are resolved: cell->forward becomes the pass of its masked
 * images. */
int pg_cell_builder_masked(pg_cell_builder *builder, const pg_toml_value **values, pg_cell *cell) PG_MUST_USE;
/* The row's attack, once defense, patch and window of the cell are resolved: cell->forward becomes the attacked pass. Does
 * nothing where the attack is none. */
int pg_cell_builder_attack(pg_cell_builder *builder, const pg_toml_value **values, pg_cell *cell, bool *ok) PG_MUST_USE;
void pg_forward_free(pg_forward *forward);
/* Lines of the outputs that the labels are, and of what is predicted; none where label i is output i. */
void pg_forward_outputs_text(const pg_forward *forward, pg_buf *out);

/* The value of a known key in this row, or its default, and its line; "option=value" for every key "MODULE.option" of the row:
 * *new* strings, at most PG_PAIRS_MAX, pg_pairs_free. */
enum { PG_PAIRS_MAX = 64 };
const char *pg_row_value(const pg_cell_builder *builder, const pg_toml_value **values, pg_key_id id);
int pg_row_line(const pg_cell_builder *builder, const pg_toml_value **values, pg_key_id id);
int pg_row_pairs(const pg_cell_builder *builder, const pg_toml_value **values, const char *module, char **pairs,
                 size_t *n) PG_MUST_USE;
void pg_pairs_free(char **pairs, size_t n);

/* Appends MODULE.file=PATH of an attack that puts patches of a file on; nothing of another. */
void pg_patches_setting(const pg_forward *forward, pg_buf *out);
/* Whether a key of an identity is the hash of these patches. */
bool pg_is_patches_hash(const pg_forward *forward, const char *key);

/* What a defended classifier is, but for its forward pass and its images: attacker, defense with options, patch, seed. */
void pg_cell_defended_text(const pg_cell_builder *builder, const pg_toml_value **values, const pg_cell *cell, pg_buf *out);

/* "5", "5x8", "2.4%" to pixels on an image of this size. A share becomes the larger of two squares: the largest one within
 * it, so that a certificate holds for every square of that share, and the smallest one that has at least 97% of it, so that
 * 0.4/2.4/6.2% of 32 px are 2/5/8, 1/2/3% of 224 px are 23/32/39, 2% of 299 px is 42, as in the paper, whose shares are
 * rounded. It says nothing of other shapes. PG_EINPUT. */
int pg_patch_parse(const char *text, int height, int width, int *patch_height, int *patch_width) PG_MUST_USE;

/* Canonical text: lines with the names of the store (harness/base/names.h), sorted, so that the order of keys is no matter. In
 * place. */
int pg_lines_canonical(pg_buf *text) PG_MUST_USE;

#endif
