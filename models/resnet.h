/* ResNets of the published depths (He et al. 2016) and wide ones (Zagoruyko & Komodakis 2016), in torchvision's layout.
 * resnet.c makes them models of whole images, ds_resnet.c the networks behind de-randomized smoothing. */
#ifndef PG_MODELS_RESNET_H
#define PG_MODELS_RESNET_H

#include "models/layers.h"

/* The stem for small images is a 3 x 3 convolution; the publication's is 7 x 7 at every second pixel, then a 3 x 3 maximum at
 * every second position. */
typedef enum pg_stem { PG_STEM_SMALL, PG_STEM_IMAGENET } pg_stem;
extern const char *const pg_stems[]; /* for an option; NULL-terminated */

/* Layers with weights. Up to 34 with basic blocks, above with bottlenecks. */
typedef enum pg_resnet_depth {
    PG_RESNET_18,
    PG_RESNET_34,
    PG_RESNET_50,
    PG_RESNET_101,
    PG_RESNET_152,
    PG_RESNET_DEPTHS
} pg_resnet_depth;

/* Where a stage of bottlenecks strides: at the 3 x 3 convolution of its first block (torchvision, "v1.5") or at the first 1 x 1
 * (the publication, Caffe, "v1"). */
typedef enum pg_strided { PG_STRIDED_3X3, PG_STRIDED_1X1 } pg_strided;
extern const char *const pg_strideds[]; /* for an option; NULL-terminated */

typedef struct pg_resnet {
    int depth;     /* pg_resnet_depth. No option of modules that are named after it: their `normalize` sets it */
    int64_t width; /* channels of the stem */
    int64_t
        bottleneck; /* channels of the 3 x 3 convolutions of the first stage, twice the stem's in wide ResNets; 0: the stem's */
    int stem;       /* pg_stem */
    int strided;    /* pg_strided */
    pg_normalisation pixels;
} pg_resnet;

/* Rows of the option tables; `channels` says what width counts. */
/* clang-format off */
#define PG_RESNET_WIDTH(config_of, field, channels)                                      \
    {"width", PG_OPTION_INT, offsetof(config_of, field), "64", 4, 512, .help = channels}
#define PG_RESNET_STEM(config_of, field, stem_of, added_later)                                                 \
    {"stem", PG_OPTION_CHOICE, offsetof(config_of, field), stem_of, .choices = pg_stems, .later = added_later, \
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"}
#define PG_RESNET_STRIDED(config_of, field, added_later)                                                             \
    {"strided", PG_OPTION_CHOICE, offsetof(config_of, field), "3x3", .choices = pg_strideds, .later = added_later,   \
     .help = "the convolution that strides where a stage of bottlenecks begins: 3x3 (torchvision, v1.5) or the first 1x1 (v1)"}
/* clang-format on */
#define PG_RESNET18_CHANNELS "channels of the first stage; each stage doubles them"
#define PG_RESNET_CHANNELS \
    "channels of the stem; the stages end in 1, 2, 4, 8 times as many, with bottlenecks in 4, 8, 16, 32 times"
#define PG_RESNET50_CHANNELS "channels of the stem; the stages end in 4, 8, 16, 32 times as many"

/* Stem and four stages of blocks; pixels as they come. */
pg_value pg_resnet_blocks(pg_builder *b, const pg_resnet *net, pg_value x);
/* With the global mean and the classifier "fc": logits of the whole image. */
pg_value pg_resnet_trunk(pg_builder *b, const pg_resnet *net, pg_value x);

extern const pg_file_layout pg_resnet_layout; /* torchvision's, and the names usual at 32 px */
/* For `derive`: the pg_resnet_depth of weights, -1 where they are none of these; and the options width and stem from the shape
 * of the first layer, of any number of channels (false where it is neither stem). Weights whose
 * bottlenecks have another width than the stem are those of `resnet` alone. */
int pg_resnet_depth_of(const pg_shapes *shapes);
bool pg_resnet_is_wide(const pg_shapes *shapes);
bool pg_resnet_derive(const pg_shapes *shapes, pg_buf *pairs);

#endif
