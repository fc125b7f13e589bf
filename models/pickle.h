/* A strict reader of pickles that hold tensors: what torch.save writes of a state dict and of the dictionaries round it.
 *
 * A pickle is a program that can call anything. This machine knows numbers, texts, lists, tuples, dictionaries, storages and views of
 * them, and calls nothing: whatever else is named in a pickle is refused by its name, with the byte where it stands. Pickles are
 * untrusted: size, depth and number of values are bounded, and no container holds itself. */
#ifndef PG_MODELS_PICKLE_H
#define PG_MODELS_PICKLE_H

#include "harness/base/error.h"
#include "harness/base/safetensors.h"

typedef enum pg_element { /* types of elements that torch has */
    PG_ELEMENT_F16,
    PG_ELEMENT_BF16,
    PG_ELEMENT_F32,
    PG_ELEMENT_F64,
    PG_ELEMENT_I64,
    PG_ELEMENT_I32,
    PG_ELEMENT_I16,
    PG_ELEMENT_I8,
    PG_ELEMENT_U8,
    PG_ELEMENT_BOOL,
} pg_element;
size_t pg_element_size(pg_element element); /* bytes */

typedef enum pg_pickle_kind {
    PG_PICKLE_NONE,
    PG_PICKLE_BOOL,
    PG_PICKLE_INT,
    PG_PICKLE_FLOAT,
    PG_PICKLE_TEXT,
    PG_PICKLE_TUPLE,
    PG_PICKLE_LIST,
    PG_PICKLE_DICT,
    PG_PICKLE_NAME, /* a name that the machine knows, not yet used */
    PG_PICKLE_STORAGE,
    PG_PICKLE_TENSOR,
} pg_pickle_kind;

typedef struct pg_pickle_value pg_pickle_value;

typedef struct pg_pickle_storage {
    pg_element element;
    const char *key; /* its name in the file */
    int64_t count;   /* elements */
} pg_pickle_storage;

/* A view that lies within its storage and has no element twice. */
typedef struct pg_pickle_tensor {
    const pg_pickle_storage *storage;
    int64_t offset; /* elements */
    int rank;
    int64_t shape[PG_ST_MAX_DIM], stride[PG_ST_MAX_DIM];
} pg_pickle_tensor;

struct pg_pickle_value {
    pg_pickle_kind kind;
    unsigned seen;  /* of walks: 0 not yet, 1 within, 2 done */
    size_t at;      /* the byte of the pickle that made it */
    size_t n, room; /* items; a dictionary has its keys and values in turn */
    union {
        int64_t integer; /* BOOL, INT; NAME: which */
        double number;
        char *text;
        pg_pickle_value **items; /* TUPLE, LIST, DICT */
        pg_pickle_storage storage;
        pg_pickle_tensor tensor;
    };
};

typedef struct pg_pickle pg_pickle;

/* Reads the pickle at the start of data[size]; *new*, pg_pickle_free. `used` (may be NULL): the bytes up to its end. PG_EDAMAGED,
 * PG_EUNSUPPORTED, PG_ENOMEM; the message names what was met and where. */
int pg_pickle_read(const void *data, size_t size, pg_pickle **out, size_t *used) PG_MUST_USE;
void pg_pickle_free(pg_pickle *pickle);
const pg_pickle_value *pg_pickle_root(const pg_pickle *pickle);        /* borrowed */
const pg_pickle_value *pg_pickle_at(const pg_pickle *pickle, size_t i); /* all values in the order they were made; NULL behind the last */

#endif
