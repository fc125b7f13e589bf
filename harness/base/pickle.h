/* A strict reader of pickles that hold tensors: what torch.save writes of a state dict and of the dictionaries round it, in
 * protocols 0 to 5.
 *
 * A pickle is a program that can call anything. This machine knows numbers, texts, containers, storages and views of them, and
 * calls nothing: whatever else is named in a pickle becomes an opaque value, which has that name and the values that were given
 * to it, and which nobody can use. Pickles are untrusted: size and number of values are bounded. Containers may hold themselves
 * (objects of Python do): who walks them keeps count. */
#ifndef PG_BASE_PICKLE_H
#define PG_BASE_PICKLE_H

#include "harness/base/error.h"
#include "harness/base/safetensors.h"

#include <stdbool.h>
#include <stdint.h>

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
                          PG_ELEMENT_C64, /* complex, of two f32 */
                          PG_ELEMENT_C128,
                          PG_ELEMENT_Q8, /* quantized, signed or not */
                          PG_ELEMENT_Q32,
                          PG_ELEMENT_BYTE, /* of storages without a type */
} pg_element;
size_t pg_element_size(pg_element element); /* bytes */

typedef enum pg_pickle_kind {
    PG_PICKLE_NONE,
    PG_PICKLE_BOOL,
    PG_PICKLE_INT,
    PG_PICKLE_BIG, /* an integer beyond 64 bits */
    PG_PICKLE_FLOAT,
    PG_PICKLE_TEXT,
    PG_PICKLE_TUPLE,
    PG_PICKLE_LIST,
    PG_PICKLE_SET,
    PG_PICKLE_DICT,
    PG_PICKLE_NAME, /* a name that the machine knows, not yet used */
    PG_PICKLE_STORAGE,
    PG_PICKLE_TENSOR,
    PG_PICKLE_OPAQUE, /* anything else: an object, a function, bytes */
} pg_pickle_kind;

typedef struct pg_pickle_value pg_pickle_value;

typedef struct pg_pickle_storage {
    pg_element element;
    const char *key;            /* its name in the file */
    int64_t count;              /* elements in the file */
    int64_t first, count_shown; /* those that its views can reach: all, but in old files */
} pg_pickle_storage;

/* A view that lies within its storage and has no more elements than it. */
typedef struct pg_pickle_tensor {
    const pg_pickle_storage *storage;
    int64_t offset; /* elements */
    int rank;
    int64_t shape[PG_ST_MAX_DIM], stride[PG_ST_MAX_DIM];
} pg_pickle_tensor;

struct pg_pickle_value {
    pg_pickle_kind kind;
    bool tensors;     /* it was given storages or tensors, or containers that had them by then */
    size_t at;        /* the byte of the pickle that made it */
    size_t n, room;   /* items; a dictionary has its keys and values in turn */
    const char *name; /* OPAQUE: "argparse.Namespace", "bytes"; printable, borrowed from the pickle */
    union {
        int64_t integer; /* BOOL, INT; NAME: which */
        double number;
        char *text;              /* TEXT; BIG: decimal digits */
        pg_pickle_value **items; /* TUPLE, LIST, SET, DICT, OPAQUE */
        pg_pickle_storage storage;
        pg_pickle_tensor tensor;
    };
};

typedef struct pg_pickle pg_pickle;

/* Reads the pickle at the start of data[size]; *new*, pg_pickle_free. `used` (may be NULL): the bytes up to its end.
 * PG_EDAMAGED, PG_EUNSUPPORTED, PG_ENOMEM; the message names what was met and where. */
int pg_pickle_read(const void *data, size_t size, pg_pickle **out, size_t *used) PG_MUST_USE;
void pg_pickle_free(pg_pickle *pickle);
const pg_pickle_value *pg_pickle_root(const pg_pickle *pickle); /* borrowed */
const pg_pickle_value *pg_pickle_at(const pg_pickle *pickle,
                                    size_t i); /* all values in the order they were made; NULL behind the last */
/* The contents of a value that is bytes, *borrowed* from the data that was read; false where it is anything else. */
bool pg_pickle_bytes(const pg_pickle *pickle, const pg_pickle_value *value, const uint8_t **bytes, size_t *size);
/* The view of a storage that offset, shape and strides state; *repeats: it has more elements than the storage, so that its size
 * is not one of the file. PG_EDAMAGED where these are no numbers, or an element lies outside the storage; PG_EUNSUPPORTED
 * beyond PG_ST_MAX_DIM axes. */
int pg_pickle_view(const pg_pickle_storage *storage, const pg_pickle_value *offset, const pg_pickle_value *shape,
                   const pg_pickle_value *stride, pg_pickle_tensor *out, bool *repeats) PG_MUST_USE;
/* The names of the pickle that the machine does not know, each once, printable; NULL behind the last. Borrowed. */
const char *pg_pickle_foreign(const pg_pickle *pickle, size_t i);

#endif
