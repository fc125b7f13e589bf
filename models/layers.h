/* The layers architectures are written in. Each takes and returns a pg_value and asks for its parameters by name; the geometry
 * (receptive field, stride, positions) is carried along, so that it is never stated twice.
 *
 * Names follow the public layouts: "layer1.0.conv1" has the parameter "layer1.0.conv1.weight", its batch norm "layer1.0.bn1"
 * the parameters weight, bias, running_mean, running_var. */
#ifndef PG_MODELS_LAYERS_H
#define PG_MODELS_LAYERS_H

#include "models/network.h"

/* A padding as TensorFlow's SAME: ceil(n / stride) positions of n, the smaller half of the zeros before them. */
enum { PG_PADDING_SAME = -1 };

typedef struct pg_conv {
    int out;             /* channels */
    int kernel;          /* square */
    int stride, padding; /* zeros on each side, or PG_PADDING_SAME */
} pg_conv;

/* The input of an architecture: geometry of single pixels. */
pg_value pg_layer_input(pg_builder *b, pg_tensor *pixels, int channels, int height, int width);
/* How an architecture wants its pixels: (x - mean) / std of each channel. The two options go into its table; networks of this
 * program are trained with the fallbacks. */
typedef struct pg_normalisation {
    pg_rgb mean, std;
} pg_normalisation;
/* clang-format off */
#define PG_NORMALISATION_OPTIONS(config_of, field)                                                                 \
    {"mean", PG_OPTION_RGB, offsetof(config_of, field.mean), "0.5", -1000, 1000, .later = true,                    \
     .help = "of pixels in [0, 1], for each channel: the network sees (pixel - mean) / std"},                      \
    {"std", PG_OPTION_RGB, offsetof(config_of, field.std), "0.25", 0.001, 1000, .later = true, .help = "see mean"}
/* clang-format on */
pg_value pg_layer_normalise(pg_builder *b, pg_value pixels, const pg_normalisation *n);
/* Channels as the fastest axis in memory, as oneDNN computes convolutions of few channels fastest; layers keep it. */
pg_value pg_layer_channels_last(pg_builder *b, pg_value x);

/* Convolution without bias, then batch norm (none where `bn` is NULL); `conv` and `bn` are the names. Where the map is one row
 * high, only the middle row of a 3 x 3 kernel with padding 1 can meet anything but zeros, and only that row is used (exact);
 * the same for columns. */
pg_value pg_layer_conv_bn(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape);
/* The same, and min(max(x, 0), 6) behind it. */
pg_value pg_layer_conv_bn_relu6(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape);
/* That with a kernel for each channel; shape.out is the channels of x. */
pg_value pg_layer_depthwise_bn_relu6(pg_builder *b, const char *conv, const char *bn, pg_value x, pg_conv shape);
pg_value pg_layer_relu(pg_builder *b, pg_value x);
pg_value pg_layer_relu6(pg_builder *b, pg_value x); /* min(max(x, 0), 6) */
/* relu (most INFINITY) or relu6 (6) of x, which nothing else reads: in its memory, where no gradients are recorded. */
pg_value pg_layer_relu_over(pg_builder *b, pg_value x, double most);
/* Where a network may be cut in two, at most once: the layers before see a small field of pixels each, so that for an image of
 * which some pixels are masked only the positions near them have to be computed anew (models/mosaic.h). Nothing but x is taken
 * over from before the cut to behind it. */
pg_value pg_layer_cut(pg_builder *b, pg_value x);
pg_value pg_layer_max_pool(pg_builder *b, pg_value x, int kernel, int stride, int padding);
/* Without the first n and the last n positions on both axes. */
pg_value pg_layer_trim(pg_builder *b, pg_value x, int n);
/* x + y; the larger map is cropped at the bottom and the right. */
pg_value pg_layer_add(pg_builder *b, pg_value x, pg_value y);
/* The same where nothing else reads x: in its memory, where no gradients are recorded. */
pg_value pg_layer_add_over(pg_builder *b, pg_value x, pg_value y);
/* The shortcut of a block that changes stride or channels: a 1 x 1 convolution with its batch norm, or, without weights, every
 * stride-th position with zeros in the new channels, half of them before the old ones. */
typedef enum pg_shortcut { PG_SHORTCUT_CONV, PG_SHORTCUT_PAD } pg_shortcut;
/* A basic block of ResNet-18: two 3 x 3 convolutions, each with its batch norm, and the shortcut. */
pg_value pg_layer_basic_block(pg_builder *b, const char *prefix, pg_value x, int out, int stride, pg_shortcut shortcut);
/* A bottleneck of ResNet-50: 1 x 1 at `stride`, `middle`, 1 x 1 to `out` channels, and the shortcut at both strides, each with
 * its batch norm. */
pg_value pg_layer_bottleneck(pg_builder *b, const char *prefix, pg_value x, int stride, pg_conv middle, int out);
/* The mean over all positions: a 1 x 1 map that sees the whole input. */
pg_value pg_layer_global_mean(pg_builder *b, pg_value x);
/* Logits at every position: a 1 x 1 convolution with bias, named like a linear layer (weight [classes][channels]). */
pg_value pg_layer_classifier(pg_builder *b, const char *name, pg_value x);

/* ---- Tokens: values [n][tokens][channels], whose axes mean nothing ---- */

/* Squares of `side` pixels as tokens, row by row: a convolution with bias whose kernels do not overlap. */
pg_value pg_layer_tokens(pg_builder *b, const char *name, pg_value x, int side, int width);
pg_value pg_layer_linear(pg_builder *b, const char *name, pg_value x, int out);
pg_value pg_layer_norm(pg_builder *b, const char *name, pg_value x, double epsilon); /* of each token */
pg_value pg_layer_gelu(pg_builder *b, pg_value x);
/* The first `queries` tokens attend to all ("prefix.qkv", then "prefix.proj"): softmax(q k / sqrt(d) + bias) v for each of
 * `heads` parts of the channels. bias: [n][1][1][tokens], or NULL. */
pg_value pg_layer_attention(pg_builder *b, const char *prefix, pg_value x, int heads, int queries, pg_tensor *bias);
/* A parameter as it is, which starts at 0 and does not decay: [1][tokens][channels]. NULL while traced. */
pg_tensor *pg_layer_vectors(pg_builder *b, const char *name, int tokens, int channels);

/* ---- Memory ---- */

/* `part` of x, in a scope of its own, whose temporaries are gone when it returns. */
typedef pg_value pg_layer_part(pg_builder *b, const void *context, pg_value x);
pg_value pg_layer_within(pg_builder *b, pg_layer_part *part, const void *context, pg_value x);
/* The same for at most so many images of x at a time. `part` computes each image on its own. */
pg_value pg_layer_by_images(pg_builder *b, pg_layer_part *part, const void *context, pg_value x, int64_t images);

/* The answer of a TorchScript module of so many bytes; its channels and axes are the caller's to set. */
pg_value pg_layer_script(pg_builder *b, int64_t bytes, pg_value x);

/* "prefix.suffix" into out. */
void pg_layer_name(char out[64], const char *prefix, const char *suffix);

#endif
