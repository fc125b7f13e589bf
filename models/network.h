/* The inside of models/: how an architecture is written, how its parameters are kept.
 *
 * An architecture is one function over layers (models/layers.h). It is run in one of four passes: traced without libtorch,
 * which yields the list of parameters and the geometry from the layers themselves; for training; for evaluation; to settle. */
#ifndef PG_MODELS_NETWORK_H
#define PG_MODELS_NETWORK_H

#include "harness/base/rng.h"
#include "models/model.h"
#include "models/torch/torch.h"

enum { PG_SHAPE_DIMS = 8 };

typedef enum pg_pass {
    PG_PASS_TRACE,
    PG_PASS_TRAIN,
    PG_PASS_EVAL,
    PG_PASS_SETTLE, /* evaluation, in which norms that were folded get their statistics back (models/start.h) */
} pg_pass;

typedef enum pg_parameter_kind {
    PG_PARAMETER_WEIGHT, /* convolution or linear: decayed, Kaiming-normal start */
    PG_PARAMETER_BIAS,   /* starts at 0 */
    PG_PARAMETER_SCALE,  /* batch norm weight: starts at 1 */
    PG_PARAMETER_SHIFT,  /* batch norm bias: starts at 0 */
    PG_PARAMETER_MEAN,   /* running statistics: not trained */
    PG_PARAMETER_VAR,
    PG_PARAMETER_SCRIPT, /* bytes of a TorchScript module: no tensor */
} pg_parameter_kind;

typedef struct pg_parameter {
    char name[64];
    pg_parameter_kind kind;
    int rank;
    int64_t shape[4];
    bool head;                       /* its first axis is that of the classes */
    bool unsettled;                  /* a convolution into which its norm was folded, before PG_PASS_SETTLE */
    pg_tensor *tensor;               /* owned; NULL while traced */
    pg_tensor *folded, *folded_bias; /* owned, optional: convolution weight with its batch norm folded in */
    pg_module_script *script;        /* owned; of a script only */
} pg_parameter;

typedef struct pg_parameters {
    pg_parameter *items; /* in the order in which the architecture asks for them */
    size_t n, capacity;
} pg_parameters;

void pg_parameters_release(pg_parameters *parameters, const pg_torch *torch /* NULL if never loaded */);
bool pg_parameter_has_shape(const pg_parameter *parameter, int rank, const int64_t *shape);
int64_t pg_parameter_elements(const pg_parameter *parameter);
/* Of the head, the rows of these outputs in this order, in the place of all. PG_EINPUT where the architecture has no head made
 * of pg_layer_classifier. */
int pg_parameters_select(pg_parameters *parameters, pg_scope *scope, const int *outputs, int n) PG_MUST_USE;
static inline bool pg_parameter_trained(const pg_parameter *p) { return p->kind < PG_PARAMETER_MEAN; }

/* A value on its way through the layers: [n][channels][rows][columns] and how it sees the input. */
typedef struct pg_value {
    pg_tensor *tensor; /* borrowed from the scope; NULL while traced */
    int channels;
    pg_axis rows, columns;
} pg_value;

/* An evaluation of a network up to its cut (pg_layer_cut), or from there on. */
typedef enum pg_section { PG_SECTION_WHOLE, PG_SECTION_EARLY, PG_SECTION_LATE } pg_section;

typedef struct pg_builder {
    pg_pass pass;
    pg_section section;
    bool idle;             /* layers of the other part: they ask for their parameters, and compute nothing */
    pg_value cut;          /* what is there at the cut; of no channels where an architecture has none */
    bool overwrites;       /* evaluation without gradients: layers may overwrite what only they read */
    int64_t values, early; /* trace: those that layers make of an image, all and before the cut */
    pg_scope *scope;       /* NULL while traced */
    pg_parameters *parameters;
    size_t next; /* the parameter the next layer asks for */
    int classes;
    int error;     /* trace: the first failure (its message is the thread's) */
    pg_rng rng;    /* train: random choices of the architecture (bands), */
    int positions; /* and how many of them an image */
} pg_builder;

/* Whether layers compute: not where they are traced. */
static inline bool pg_builder_runs(const pg_builder *b) { return b->pass != PG_PASS_TRACE && !b->idle; }

/* The shapes of a state dict, by the names that layers use. */
typedef struct pg_shapes {
    const void *of;
    int (*shape)(const void *of, const char *name,
                 int64_t shape[PG_SHAPE_DIMS]); /* its rank; -1 where there is no such tensor */
} pg_shapes;

/* How the public files of an architecture name its tensors, for `model import`. */
typedef struct pg_file_layout {
    const char *marks[2];      /* a dictionary that has both behind one prefix may be such a network */
    const char *head;          /* the classifier: HEAD.weight [classes][channels], HEAD.bias */
    const char *sized;         /* optional: a tensor whose shape depends on the size of images */
    const char *aliases[4][2]; /* a part of a name, and what files may have in its place; up to NULL */
} pg_file_layout;

typedef struct pg_model_hooks {
    bool opaque; /* somebody else's program: it is not trained, and its crops are the whole image */
    /* Models over libtorch. pixels [n][3][h][w] in [0, 1] -> local logits [n][classes][H][W]. */
    pg_value (*forward)(pg_builder *b, const void *config, pg_value pixels);
    /* optional: what training looks at, where that is not `forward`: local logits [n][classes][H][W] of some positions,
     * b->positions of them. */
    pg_value (*train)(pg_builder *b, const void *config, pg_value pixels);
    /* optional, of networks of tokens: local logits of masked images without the tokens whose pixels are all hidden:
     * hidden[n][height][width], 1 or 0 */
    pg_value (*masked)(pg_builder *b, const void *config, pg_value pixels, const uint8_t *hidden);
    /* Local logits of n crops of one size, as pg_network_crop_logits; pixels [n][3][h][w], those of the crops; g: of the whole
     * image. Required where crops run across the seam of an axis that wraps; without it such an axis is always seen whole, and
     * a crop is `forward` of its pixels. */
    pg_value (*crop)(pg_builder *b, const void *config, pg_value pixels, const pg_geometry *g, const pg_crop *crops, int n);
    /* optional, for `model import`: whether these are weights of this architecture, and the options that their shapes tell,
     * appended as "key=value\n" lines */
    bool (*derive)(const pg_shapes *shapes, pg_buf *pairs);
    const pg_file_layout *layout; /* of those files; NULL: none are read */
    /* Models without libtorch have only this: logits[count][H][W][N] of images first .. first+count-1 of their data set. */
    int (*compute)(const void *config, const pg_geometry *geometry, const uint8_t *pixels, int64_t first, int count,
                   float *logits);
} pg_model_hooks;

/* The size of one axis of a tensor; -1 where there is no such tensor or axis. */
int64_t pg_shape_size(const pg_shapes *shapes, const char *name, int axis);
/* How many blocks a stage of a ResNet has: layer<stage>.0, layer<stage>.1 and so on, by the name of their first convolution or
 * batch norm. */
int pg_shape_blocks(const pg_shapes *shapes, int stage);

/* Runs the architecture without libtorch: its parameters (released by the caller) and the geometry of its output. */
int pg_model_trace(const pg_model *model, const void *config, int input_height, int input_width, int classes,
                   pg_parameters *parameters, pg_geometry *geometry) PG_MUST_USE;
/* The same for architectures whose `geometry` hook is the traced one. */
int pg_model_traced_geometry(const pg_model *model, const void *config, int input_height, int input_width, int classes,
                             pg_geometry *geometry) PG_MUST_USE;

/* The crop of a patch (model.h). Along an axis without padding: the positions of the worst window, moved into the map, and the
 * pixels from the first one's field to the last one's. The whole axis where it is padded or the field is larger than the image;
 * and where it wraps, unless `seam`: the model takes crops that run across the seam. */
pg_crop pg_geometry_crop(const pg_geometry *g, bool seam, pg_rect patch);

/* Local logits [n][classes][H][W] of pixels [n][3][h][w], u8 or float in [0, 1]; temporaries in `scope`. */
pg_tensor *pg_model_forward(const pg_model *model, const void *config, pg_pass pass, pg_scope *scope, pg_parameters *parameters,
                            int classes, pg_tensor *pixels);
/* The two parts of a network with a cut (pg_layer_cut): features of pixels [n][3][height][width] of any size, and local logits
 * of features[n][channels][rows][columns] of whole images. */
pg_value pg_model_early(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters, int classes,
                        pg_tensor *pixels);
pg_tensor *pg_model_late(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters,
                         const pg_geometry *geometry, pg_tensor *features);
/* What a pass makes of an image. */
typedef struct pg_footprint {
    pg_value cut;          /* what is there at the cut; of no channels where the architecture has none */
    int64_t values, early; /* that layers make, all and before the cut; 0: not known */
} pg_footprint;
int pg_model_footprint(const pg_model *model, const void *config, const pg_geometry *geometry, pg_footprint *out) PG_MUST_USE;
/* The same of masked images, where the model has the hook `masked`. */
pg_tensor *pg_model_forward_masked(const pg_model *model, const void *config, pg_scope *scope, pg_parameters *parameters,
                                   int classes, pg_tensor *pixels, const uint8_t *hidden);
/* What training looks at: local logits [n][classes][H][W] with their axes; `positions` of them an image where the model sees
 * them one at a time. `rng` for the architecture's random choices. */
pg_value pg_model_train_logits(const pg_model *model, const void *config, pg_pass pass, pg_scope *scope,
                               pg_parameters *parameters, int classes, pg_tensor *pixels, int positions, pg_rng rng);

#endif
