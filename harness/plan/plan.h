/* From a matrix file to the list of its cells.
 *
 * A matrix is expanded (fixed, axes, zip, exclude, -S), every row is resolved against the registries, the data set's manifest
 * and the header of the weights, and becomes a cell with an identity that no file name, key order or spelling of a default can
 * change. No libtorch. What is done already is asked of the store (harness/plan/tasks.h); commands that only
 * show results take the facts of missing files from the store, too. One thread. */
#ifndef PG_PLAN_PLAN_H
#define PG_PLAN_PLAN_H

#include "attacks/attack.h"
#include "db/store.h"
#include "defenses/defense.h"
#include "harness/data/resize.h"
#include "harness/plan/defended.h"
#include "models/classes.h"
#include "models/model.h"

typedef struct pg_plan pg_plan;

/* What is predicted: one of all outputs, or one of those that are labels. */
enum { PG_PREDICT_ALL, PG_PREDICT_DATASET };
extern const char *const pg_predicts[]; /* "all", "dataset", then NULL */

typedef struct pg_plan_request {
    const char *matrix_path;      /* of the file; with matrix_text only its name in messages */
    const char *matrix_text;      /* optional: the text, in the place of a file's */
    bool options;                 /* the text stands for options of the command line: messages name these and no lines */
    const char *const *overrides; /* "key=a,b", each replaces one key of the file; n_overrides of them */
    size_t n_overrides;
    const char *data_dir;
    /* optional: what it knows of weights and data sets that are not on this machine counts in their place, with a note, and a
     * cell of which it knows nothing is `absent`; NULL: every file has to be there. Borrowed for the call */
    pg_store *store;
} pg_plan_request;

/* Where a data set or a weights file was found. */
typedef enum pg_where {
    PG_WHERE_HERE,   /* on this machine */
    PG_WHERE_STORE,  /* not here: what is known of it comes from cells of the store */
    PG_WHERE_NOWHERE /* the store knows nothing of it either */
} pg_where;

/* Forward passes that cells share: everything a network needs, and where an attack runs or a defense works on images, all that
 * these depend on. Borrowed by its cells from the plan. */
typedef struct pg_forward {
    size_t index;               /* in the plan */
    char id[PG_HASH_HEX];       /* SHA-256 of canonical */
    char clean_id[PG_HASH_HEX]; /* the id of the same pass without an attack: what local logits of clean images depend on */
    char *canonical;            /* sorted key=value lines */
    char *dataset;              /* "cifar10:test" */
    char *weights;              /* path as given, or "null" */
    char **model_pairs;         /* "option=value" of the model given by the matrix */
    size_t n_model_pairs;
    pg_dtype dtype;
    int batch;
    int at_once;          /* images of one pass: the batch; 1 where masked images fill the batch */
    pg_weights_info info; /* with the map of the masked images, where there are any */
    char dataset_hash[PG_HASH_HEX];
    char dataset_split[16];
    int64_t dataset_images;
    /* the output of the network for each class, of which the first dataset_classes are the labels; owned; NULL: class i is
     * output i */
    int *outputs;
    int dataset_height, dataset_width, dataset_classes; /* images as the network takes them, */
    pg_resizing resize;                                 /* and from what; the same size twice where there is no resize */
    /* where the file is; of one that is not on this machine sizes, options and geometry may be 0: not known */
    pg_where data_where, weights_where;
    const pg_attack *attack;        /* NULL: none */
    void *attack_config;            /* resolved */
    char patches_hash[PG_HASH_HEX]; /* of the file of patches that it puts on; "": it has none, or the file is not here */
    pg_where patches_where;         /* HERE also where it has none */
    bool patches_targeted;          /* the file is here, and names targets */
    bool before_resize;             /* the attack puts its patch on before the resize, which changes the size */
    /* of a pass under attack or of an image-level defense; else defense is NULL, and nothing below is set */
    const pg_defense *defense;
    void *config; /* of the defense, resolved */
    pg_window window;
    /* under attack: of the patch as it is applied; else the pixels that it affects of what the network takes */
    int patch_height, patch_width;
    uint64_t seed;
    pg_defended masked_images; /* of an image-level defense, with the above; else its defense is NULL */
} pg_forward;

typedef struct pg_cell {
    char id[PG_HASH_HEX]; /* SHA-256 of canonical: the identity */
    char *canonical;      /* identity: sorted key=value lines, content hashes, module versions; no file names */
    char *settings;       /* the same settings with names instead of hashes and versions: equal for a stale cell */
    char *details;        /* what was derived: window, certificate, delta, map, hashes; key=value lines */
    pg_setting *values;   /* settings and details, sorted by key */
    size_t n_values;
    const pg_forward *forward;
    const pg_defense *defense;
    void *config;                  /* resolved options of the defense */
    int image_height, image_width; /* that the attacker sees: before or after a resize */
    int patch_height, patch_width; /* pixels of it */
    /* pixels that such a patch affects of what the network takes: the patch, or more of them */
    int affected_height, affected_width;
    pg_window window;            /* positions that see so many */
    bool any_batch;              /* certificates hold wherever an image stands in a batch, as far as that was measured */
    bool has_delta;              /* the locality was measured */
    int64_t delta;               /* of the evidence, grid units; 0 where it was not */
    int64_t logit_delta;         /* of a logit, likewise */
    pg_locality_result locality; /* whence these are */
    bool here;                   /* all that its identity depends on is on this machine: weights, data set, modules */
    bool absent;          /* it is not, and the store has no outcomes of it: the cell shows as new, and its id may be another */
    int64_t first, count; /* images */
    size_t row;           /* of the matrix: the order of cells and of those like them */
    size_t like;          /* pg_plan_like: 1 + the next that is the same cell, 0 for none */
} pg_cell;

/* Reads a matrix and resolves it; *new*, pg_plan_free. All problems of the file are printed to standard error, one line each
 * with file and line number; the recorded message counts them. One problem with options of the command line is the message.
 * PG_EINPUT, PG_EMISSING, PG_EDAMAGED, ... */
int pg_plan_open(const pg_plan_request *request, pg_plan **out) PG_MUST_USE;
void pg_plan_free(pg_plan *plan);

const char *pg_plan_name(const pg_plan *plan); /* `name` of the file, else its file name without .toml. Borrowed */
size_t pg_plan_count(const pg_plan *plan);
const pg_cell *pg_plan_at(const pg_plan *plan, size_t i); /* in the order of rows: the first axis changes slowest */
const pg_cell *pg_plan_find(const pg_plan *plan, const char *cell_id); /* NULL if absent */

/* Rows of the matrix that are written otherwise and resolve to a cell of the plan: its id with settings as written (two names
 * of one weights file, "2.4%" and 5), without the texts of identity. Not among the cells above. */
size_t pg_plan_likes(const pg_plan *plan);
const pg_cell *pg_plan_like(const pg_plan *plan, size_t i);

/* Leaves in the plan the cells whose values, sorted by key, are chosen, and of the rows like them those whose values are. A
 * cell for which only such a row is chosen takes its settings as written. Forward passes that serve no cell any more are freed.
 */
void pg_plan_choose(pg_plan *plan, bool (*chosen)(const pg_setting *values, size_t n, void *context), void *context);

/* Value of a key in a cell, as a table shows it: "patch" as written ("2.4%"), options in canonical form, defaults included; ""
 * where the cell has no such key. Keys without a dot fall back to an option of the cell's defense, then of its attack.
 * Borrowed. */
const char *pg_cell_value(const pg_cell *cell, const char *key);

/* The same for people, where the key is "patch": of a share the pixels as well, "2.4% = 5x5 px"; of all cells of the plan with
 * that share, "2.4% = 5x5 or 35x35 px", or of this one alone, where plan is NULL. */
void pg_patch_add(const pg_plan *plan, const pg_cell *cell, pg_buf *out);

/* The forward passes of the cells. Some may be left over and serve no cell. */
size_t pg_plan_forwards(const pg_plan *plan);
const pg_forward *pg_plan_forward(const pg_plan *plan, size_t i);
/* What the attack of an attacked pass differentiates: "defense", or "mean" where the defense has no surrogate or the user wants
 * it. */
const char *pg_forward_gradient(const pg_forward *forward);
const char *pg_plan_matrix_text(const pg_plan *plan); /* the file as it was read; borrowed */
const char *pg_plan_overrides(const pg_plan *plan);   /* one a line; borrowed */

/* The keys that the matrix lets vary (axes, then zip lists), in the order of lines. */
size_t pg_plan_axes(const pg_plan *plan);
const char *pg_plan_axis(const pg_plan *plan, size_t i); /* borrowed */

/* The keys of a matrix file that are not options of modules, with meaning and default, one a line, for `help matrix`. */
void pg_plan_keys_help(pg_buf *text);

#endif
