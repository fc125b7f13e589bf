/* The tensor API: libtorch behind a table of C functions.
 *
 * The table lives in patchgauge-torch.so, which is loaded on first use (pg_torch_load). No C++ type and no exception crosses
 * this header.
 *
 * A **scope** owns temporaries and keeps the first error. Builder functions take the scope first and return a tensor that the
 * scope owns (*borrowed*: valid until scope_clear or scope_free). After an error every builder returns NULL and does nothing,
 * and a NULL operand is passed on, so a network is written straight through and checked once with pg_scope_check. What must
 * outlive the scope is made *new* with keep() and released with tensor_free().
 *
 *     const pg_torch *t = s->torch;
 *     pg_tensor *y = t->relu(s, t->conv2d(s, x, weight, NULL, 1, 1, 1, 1, 1));
 *     y = t->linear(s, t->mean(s, y, 2, (int64_t[]){2, 3}, false), head, bias);
 *     int e = pg_scope_check(s);
 *
 * Shapes are row-major; images are [n][channels][height][width]. "optional" operands may be NULL. dim < 0 counts from the
 * last. A scope belongs to one thread; different threads use different scopes. The same source builds against libtorch 1.13
 * to 2.11. */
#ifndef PG_MODELS_TORCH_TORCH_H
#define PG_MODELS_TORCH_TORCH_H

#include "harness/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PG_TORCH_VERSION = 4 }; /* raised whenever the table changes */

typedef enum pg_tensor_type { PG_T_F32, PG_T_F64, PG_T_F16, PG_T_BF16, PG_T_I64, PG_T_I32, PG_T_U8, PG_T_BOOL } pg_tensor_type;

typedef struct pg_tensor pg_tensor;               /* opaque */
typedef struct pg_module_script pg_module_script; /* a TorchScript module; opaque */

typedef struct pg_torch pg_torch;
typedef struct pg_scope {
    const pg_torch *torch;
    char device[16];              /* where creation puts tensors: "cpu" (the start) or "cuda:N"; the owner may set it */
    int error;                    /* PG_OK or the first failure's code */
    char message[PG_MESSAGE_MAX]; /* its message: the function and what libtorch said, one line */
} pg_scope;

/* What computes on a device, and so decides how results round. Lines without end; "unknown" where a library does not tell. */
typedef struct pg_kernels {
    char text[192]; /* "OpenBLAS 0.3.21 pthread SkylakeX; oneDNN 2.6.3 AVX512_CORE; ATen AVX512", "CUDA 12.4; cuDNN 9.1.0;
                       sm_90" */
    char isa[48]; /* the kind of instruction set alone: "avx512", "avx2", "avx", "sse", "sm_90". Where oneDNN, ATen and BLAS use
                   * several, all three in this order: "avx2/avx512/generic" */
} pg_kernels;

struct pg_torch {
    uint32_t version;    /* PG_TORCH_VERSION of the shim */
    const char *library; /* "libtorch 1.13.1" */

    /* ---- set-up. Once, before the first tensor; threads >= 1 is the number of cores for one operation. */
    int (*configure)(int threads);
    int (*threads)(void);
    void (*kernels)(const char *device, pg_kernels *out); /* cannot fail; "cpu", "cuda:0". After configure */
    int (*cuda_devices)(void);                            /* 0 where this libtorch or this machine has none */

    /* ---- scopes and ownership */
    pg_scope *(*scope_new)(void);     /* *new*; NULL when out of memory */
    void (*scope_clear)(pg_scope *s); /* releases the temporaries; keeps the error */
    void (*scope_free)(pg_scope *s);
    pg_tensor *(*keep)(pg_scope *s, pg_tensor *x); /* *new*: the same storage, owned by the caller */
    void (*tensor_free)(pg_tensor *x);

    /* ---- creation. `shape` has `rank` entries. from_data copies; all on the scope's device */
    pg_tensor *(*from_data)(pg_scope *s, const void *data, pg_tensor_type type, int rank, const int64_t *shape);
    pg_tensor *(*full)(pg_scope *s, double value, pg_tensor_type type, int rank, const int64_t *shape);
    pg_tensor *(*arange)(pg_scope *s, int64_t count, pg_tensor_type type); /* 0 .. count-1 */
    pg_tensor *(*like)(pg_scope *s, pg_tensor *x, double value);           /* same shape, type and device */

    /* ---- inspection. A NULL tensor has rank -1, size -1, count 0 */
    int (*rank)(const pg_tensor *x);
    int64_t (*size)(const pg_tensor *x, int dim);
    int64_t (*count)(const pg_tensor *x); /* elements */
    pg_tensor_type (*type)(const pg_tensor *x);
    /* Copies all elements, converted to `type`, row-major, to out[count]; PG_ESHAPE unless x has `count` elements. Waits for
     * the device. */
    int (*read)(pg_scope *s, pg_tensor *x, void *out, pg_tensor_type type, int64_t count);
    double (*item)(pg_scope *s, pg_tensor *x); /* the one element; NaN on error */

    /* ---- type, device, layout */
    pg_tensor *(*to_type)(pg_scope *s, pg_tensor *x, pg_tensor_type type);
    pg_tensor *(*channels_last)(pg_scope *s, pg_tensor *x); /* rank 4: NHWC in memory, same shape */

    /* ---- arithmetic, broadcasting */
    pg_tensor *(*add)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*sub)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*mul)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*div)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*affine)(pg_scope *s, pg_tensor *x, double scale, double shift); /* scale * x + shift */
    pg_tensor *(*exp)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*log)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*sqrt)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*abs)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*round)(pg_scope *s, pg_tensor *x); /* half to even */
    pg_tensor *(*clamp)(pg_scope *s, pg_tensor *x, double lo, double hi);
    pg_tensor *(*relu)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*relu6)(pg_scope *s, pg_tensor *x); /* min(max(x, 0), 6) */
    pg_tensor *(*gelu)(pg_scope *s, pg_tensor *x);  /* x times the normal distribution at x: not its approximation by tanh */
    pg_tensor *(*tanh)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*sigmoid)(pg_scope *s, pg_tensor *x);
    pg_tensor *(*softmax)(pg_scope *s, pg_tensor *x, int dim);
    pg_tensor *(*log_softmax)(pg_scope *s, pg_tensor *x, int dim);

    /* ---- comparison (bool results) and choice */
    pg_tensor *(*greater)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*greater_equal)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*equal)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*where)(pg_scope *s, pg_tensor *condition, pg_tensor *x, pg_tensor *y);

    /* ---- reductions. dims has n_dims entries; n_dims = 0 reduces all */
    pg_tensor *(*sum)(pg_scope *s, pg_tensor *x, int n_dims, const int64_t *dims, bool keep_dims);
    pg_tensor *(*mean)(pg_scope *s, pg_tensor *x, int n_dims, const int64_t *dims, bool keep_dims);
    pg_tensor *(*amax)(pg_scope *s, pg_tensor *x, int n_dims, const int64_t *dims, bool keep_dims);
    pg_tensor *(*argmax)(pg_scope *s, pg_tensor *x, int dim); /* i64 */
    pg_tensor *(*median)(pg_scope *s, pg_tensor *x, int dim); /* the lower one of the two middle values */
    pg_tensor *(*sort)(pg_scope *s, pg_tensor *x, int dim, bool descending, pg_tensor **indices /* optional */);

    /* ---- shape. slice: [start, end) by step along dim; pad: pairs (before, after) from the last dim on */
    pg_tensor *(*reshape)(pg_scope *s, pg_tensor *x, int rank, const int64_t *shape);
    pg_tensor *(*permute)(pg_scope *s, pg_tensor *x, int rank, const int64_t *order);
    pg_tensor *(*expand)(pg_scope *s, pg_tensor *x, int rank, const int64_t *shape);
    pg_tensor *(*unsqueeze)(pg_scope *s, pg_tensor *x, int dim);
    pg_tensor *(*slice)(pg_scope *s, pg_tensor *x, int dim, int64_t start, int64_t end, int64_t step);
    pg_tensor *(*cat)(pg_scope *s, int n, pg_tensor *const *xs, int dim);
    pg_tensor *(*pad)(pg_scope *s, pg_tensor *x, int n_pads, const int64_t *pads, double value);
    pg_tensor *(*pad_circular)(pg_scope *s, pg_tensor *x, int n_pads, const int64_t *pads);
    pg_tensor *(*gather)(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index);
    pg_tensor *(*scatter)(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index, pg_tensor *source);
    pg_tensor *(*index_select)(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index);
    pg_tensor *(*unfold)(pg_scope *s, pg_tensor *x, int dim, int64_t size,
                         int64_t step); /* sliding windows as a new last dim */

    /* ---- layers. Weights: linear [out][in], conv2d [out][in/groups][kh][kw]; bias optional */
    pg_tensor *(*matmul)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*linear)(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias);
    pg_tensor *(*conv2d)(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, int stride_y, int stride_x, int pad_y,
                         int pad_x, int groups);
    /* training: statistics of the batch, and mean and var are updated in place by momentum */
    pg_tensor *(*batch_norm)(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, pg_tensor *mean, pg_tensor *var,
                             bool training, double momentum, double epsilon);
    /* over the last dim; weight and bias have its size */
    /* training, and relu6 behind it: one pass over memory where two operations make several */
    pg_tensor *(*batch_norm_relu6)(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, pg_tensor *mean,
                                   pg_tensor *var, double momentum, double epsilon);
    pg_tensor *(*layer_norm)(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, double epsilon);
    pg_tensor *(*max_pool2d)(pg_scope *s, pg_tensor *x, int kernel, int stride, int padding);
    /* mean over the batch; logits [n][classes], labels i64 [n]; smoothing in [0, 1) */
    pg_tensor *(*cross_entropy)(pg_scope *s, pg_tensor *logits, pg_tensor *labels, double smoothing);

    /* ---- autograd. Gradients are recorded unless switched off; grad_mode and autocast act on this thread and return what was
     * set before */
    bool (*grad_mode)(bool on);
    int (*requires_grad)(pg_scope *s, pg_tensor *x, bool on); /* in place */
    pg_tensor *(*detach)(pg_scope *s, pg_tensor *x);
    int (*backward)(pg_scope *s, pg_tensor *loss);                  /* adds to the gradients of leaf tensors */
    pg_tensor *(*grad)(pg_scope *s, pg_tensor *loss, pg_tensor *x); /* d loss / d x, other gradients untouched */
    bool (*autocast)(pg_scope *s, const char *device, bool on);     /* bf16 for matrix work */

    /* ---- in place, without recording */
    int (*copy)(pg_scope *s, pg_tensor *to, pg_tensor *from);             /* same shape; converts type and device */
    int (*clamp_over)(pg_scope *s, pg_tensor *x, double lo, double hi);   /* x = min(max(x, lo), hi) */
    int (*add_over)(pg_scope *s, pg_tensor *x, pg_tensor *y);             /* x += y, of the same shape */
    int (*lerp)(pg_scope *s, pg_tensor *x, pg_tensor *to, double weight); /* x += weight * (to - x) */
    /* One step of SGD on n parameters with their gradients, which are cleared: buffers[i] is the momentum of
     * parameters[i]; decay[i] adds decay[i] * parameter to its gradient. torch.optim's convention (first step: the buffer
     * starts at zero). */
    int (*sgd)(pg_scope *s, int n, pg_tensor *const *parameters, pg_tensor *const *buffers, const double *decay, double rate,
               double momentum, bool nesterov);

    /* ---- TorchScript: code, run only when the user names the file */
    int (*script_open)(const char *path, const char *device, pg_module_script **out, char *message, size_t message_size);
    void (*script_close)(pg_module_script *module);
    pg_tensor *(*script_call)(pg_scope *s, pg_module_script *module, pg_tensor *x);

    /* ---- for plug-ins, which may use the whole table: nothing in the tree calls these three, but surrogates and attacks that
     * follow the sign of a gradient do. Elementwise, broadcasting */
    pg_tensor *(*maximum)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*minimum)(pg_scope *s, pg_tensor *x, pg_tensor *y);
    pg_tensor *(*sign)(pg_scope *s, pg_tensor *x);
};

/* The one symbol of the shared object: NULL if it was built for another PG_TORCH_VERSION. */
typedef const pg_torch *pg_torch_table_fn(uint32_t version);

/* Loads the shim once per process: $PATCHGAUGE_TORCH, else patchgauge-torch.so beside the program. Sets what OpenMP, OpenBLAS
 * and ATen read from the environment (unless the user has set it), then configures `threads` (0: the cores this process may
 * use). Starts no thread of its own; OMP_PROC_BIND pins the calling thread, so start other threads first. PG_ETORCH or
 * PG_EMISSING with one message that says what to do. Later calls return the same table. */
int pg_torch_load(int threads, const pg_torch **out) PG_MUST_USE;

/* SHA-256 of the shim that is loaded; "" before. A shim that the user named in PATCHGAUGE_TORCH is printed with it. */
const char *pg_torch_hash(void);

/* The scope's first error as this thread's error, or PG_OK. */
int pg_scope_check(const pg_scope *s) PG_MUST_USE;

/* Whether bf16 is faster than fp32 on this CPU: AMX, or AVX-512 with bf16 dot products, unless ONEDNN_MAX_CPU_ISA keeps oneDNN
 * from them. */
bool pg_cpu_has_fast_bf16(void);

#ifdef __cplusplus
}
#endif
#endif
