/* From one row of a matrix to a cell: registries, data set, weights, patch, identity. Private to harness/plan. */
#ifndef PG_PLAN_KEYS_H
#define PG_PLAN_KEYS_H

#include "harness/data/dataset.h"
#include "harness/base/hash_table.h"
#include "harness/plan/matrix.h"
#include "harness/plan/modules.h"
#include "harness/plan/plan.h"

/* Keys that are not options of modules. */
typedef enum pg_key_id {
    PG_KEY_ATTACK,
    PG_KEY_BATCH,
    PG_KEY_DATASET,
    PG_KEY_DEFENSE,
    PG_KEY_DELTA,
    PG_KEY_DTYPE,
    PG_KEY_IMAGES,
    PG_KEY_PATCH,
    PG_KEY_PATCH_SPACE,
    PG_KEY_SEED,
    PG_KEY_WEIGHTS,
    PG_KEYS
} pg_key_id;

typedef struct pg_key {
    const char *name;
    const char *fallback; /* NULL: has to be given */
    const char *help;
} pg_key;
extern const pg_key pg_keys[PG_KEYS + 1]; /* by name; ends with a NULL name */

enum { PG_SIDE_MAX = 1 << 14 }; /* pixels: shares of larger images would not fit 64 bits */

/* Data sets and weights that were looked at, so that each is looked at once. */
typedef struct pg_seen_dataset {
    char *spec;
    pg_dataset_info info; /* without class_names */
} pg_seen_dataset;
typedef struct pg_seen_weights {
    char *weights;
    pg_weights_info info; /* with default options */
} pg_seen_weights;

/* Forward passes by what they were resolved from (rows with the same text share one without being resolved
 * again), and by id. */
typedef struct pg_forward_name {
    pg_forward *forward;
    UT_hash_handle hh;
    char name[];
} pg_forward_name;

typedef struct pg_cell_builder {
    const char *data_dir;
    pg_problems *problems;
    const pg_matrix *matrix;
    int key_of[PG_KEYS]; /* index into matrix->keys, -1: not given */
    pg_seen_dataset **datasets;
    size_t n_datasets;
    pg_seen_weights **weights;
    size_t n_weights;
    pg_forward **forwards; /* owned by the plan */
    size_t n_forwards;
    pg_forward_name *names; /* hash table */
} pg_cell_builder;

/* Checks every key and every value of the matrix on its own; all faults go to problems. PG_ENOMEM only. */
int pg_cell_builder_init(pg_cell_builder *builder, const char *data_dir, const pg_matrix *matrix,
                         pg_problems *problems) PG_MUST_USE;
/* Forwards are handed to the plan first. */
void pg_cell_builder_release(pg_cell_builder *builder);

/* Looked at once, then remembered. NULL with the message recorded. Borrowed. */
const pg_dataset_info *pg_cell_builder_dataset(pg_cell_builder *builder, const char *spec);
const pg_weights_info *pg_cell_builder_weights(pg_cell_builder *builder, const char *weights);

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

/* The value of a known key in this row, or its default, and its line; "option=value" for every key "MODULE.option" of the row:
 * *new* strings, at most PG_PAIRS_MAX, pg_pairs_free. */
enum { PG_PAIRS_MAX = 64 };
const char *pg_row_value(const pg_cell_builder *builder, const pg_toml_value **values, pg_key_id id);
int pg_row_line(const pg_cell_builder *builder, const pg_toml_value **values, pg_key_id id);
int pg_row_pairs(const pg_cell_builder *builder, const pg_toml_value **values, const char *module, char **pairs,
                 size_t *n) PG_MUST_USE;
void pg_pairs_free(char **pairs, size_t n);

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
