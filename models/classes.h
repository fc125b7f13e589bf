/* The classes of a network by name, and the outputs that a data set's labels are.
 *
 * A weights file may store a name, and an id such as a WordNet id, for each output. The labels of a data set are found among
 * them by id or name, or the user says which outputs they are. No libtorch, no state. */
#ifndef PG_MODELS_CLASSES_H
#define PG_MODELS_CLASSES_H

#include "harness/data/dataset.h"

typedef struct pg_class {
    char *name; /* "tench, Tinca tinca": a name, or several with commas between them */
    char *id;   /* "n01440764"; "" where there is none */
} pg_class;

/* Output by output; n = 0: not known. Owned, pg_classes_release. */
typedef struct pg_classes {
    pg_class *items;
    int n;
} pg_classes;
void pg_classes_release(pg_classes *classes);

/* Reads the classes of a network of so many outputs from a file of others, at most 16 MiB: lines with a name, with a WordNet id
 * and a name, or with an id alone; or JSON: a list of names or of [id, name], an object from "0", "1", ... to such, or from
 * names to numbers. One more than there are outputs is right where the first is `background`, which is left out.
 * PG_EMISSING, PG_EIO, PG_EINPUT. */
int pg_classes_read(const char *path, int outputs, pg_classes *out) PG_MUST_USE;
/* As weights files store them: JSON. *new*; NULL: out of memory. */
char *pg_classes_text(const pg_classes *classes);
/* From that text; NULL: none are stored. PG_EDAMAGED. */
int pg_classes_parse(const char *text, int outputs, pg_classes *out) PG_MUST_USE;
/* Appends the first and the last of them for people, "class names  0 tench (n01440764); ...; 999 toilet tissue\n"; nothing
 * where they are not known. */
void pg_classes_describe(const pg_classes *classes, pg_buf *out);
/* Those that a weights file stores; none of "null". Errors of pg_st_open_header. */
int pg_classes_of(const char *weights, pg_classes *out) PG_MUST_USE;
/* The classes of `outputs`, in this order; copies. */
int pg_classes_select(const pg_classes *from, const int *outputs, int n, pg_classes *out) PG_MUST_USE;
/* The classes of a data set, in the order of its labels; copies. A WordNet id has the name that is known of it
 * (pg_imagenette_name), else its own. */
int pg_classes_of_dataset(const pg_dataset_info *data, pg_classes *out) PG_MUST_USE;

/* What is known of a network whose outputs are asked for. */
typedef struct pg_outputs_request {
    const char *network;       /* its name in messages */
    int outputs;               /* their number */
    const pg_classes *classes; /* n = 0: not known */
    const char *dataset;       /* its name in messages */
    const pg_classes *labels;  /* its classes, in the order of its labels */
    const char *given;         /* what the user says; "names" or NULL: the labels are found by id and name */
    const char *how;           /* how the user would say so, for messages: "--outputs 0,217,..." */
} pg_outputs_request;

#define PG_OUTPUTS_HOW "--outputs \"0 217 ...\" or a file"
/* The output of each label: out[labels->n], all different. `given` is numbers, with commas or blanks between them, or the name
 * of a file with a line for each label: a number, an id or a name. Where nothing is given, as many outputs as labels and no
 * classes known, label i is output i. PG_EINPUT, PG_EMISSING, PG_EIO, PG_ENOMEM. */
int pg_outputs_find(const pg_outputs_request *request, int *out) PG_MUST_USE;
/* Behind the outputs of labels, n_labels of them, all others of n_outputs in their order. */
void pg_outputs_complete(int *outputs, int n_labels, int n_outputs);
/* The output of each class of a cell: those of the labels, and behind them, unless `labels_only`, all others. *out is *new*,
 * *classes its length; NULL: class i is output i, and there are no others. Errors of pg_outputs_find. */
int pg_outputs_choose(const pg_outputs_request *request, bool labels_only, int **out, int *classes) PG_MUST_USE;
/* Whether label i is output i for each of them, and there are no other outputs. */
bool pg_outputs_are_labels(const int *outputs, int labels, int n_outputs);
/* "0,217,482" */
void pg_outputs_text(const int *outputs, int n, pg_buf *text);

#endif
