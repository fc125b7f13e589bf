/* ResNet-18 and ResNet-50 (He et al. 2016), the stride of a stage on the 3 x 3 convolution of its first block, as torchvision
 * has it. resnet.c makes them models of whole images, ds_resnet.c the networks behind de-randomized smoothing. */
#ifndef PG_MODELS_RESNET_H
#define PG_MODELS_RESNET_H

#include "models/layers.h"

/* The stem for small images is a 3 x 3 convolution; the publication's is 7 x 7 at every second pixel, then a 3 x 3 maximum at
 * every second position. */
typedef enum pg_stem { PG_STEM_SMALL, PG_STEM_IMAGENET } pg_stem;
extern const char *const pg_stems[]; /* for an option; NULL-terminated */

typedef struct pg_resnet {
    int depth;     /* 18: basic blocks; 50: bottlenecks. No option: `normalize` of the module sets it */
    int64_t width; /* channels of the stem */
    int stem;      /* pg_stem */
    pg_normalisation pixels;
} pg_resnet;

/* Rows of the option tables; `channels` says what width counts. */
/* clang-format off */
#define PG_RESNET_WIDTH(config_of, field, channels)                                      \
    {"width", PG_OPTION_INT, offsetof(config_of, field), "64", 4, 512, .help = channels}
#define PG_RESNET_STEM(config_of, field, stem_of, added_later)                                                 \
    {"stem", PG_OPTION_CHOICE, offsetof(config_of, field), stem_of, .choices = pg_stems, .later = added_later, \
     .help = "small: 3 x 3, for 32 px; imagenet: 7 x 7 and a maximum, a quarter of the side"}
/* clang-format on */
#define PG_RESNET18_CHANNELS "channels of the first stage; each stage doubles them"
#define PG_RESNET50_CHANNELS "channels of the stem; the stages end in 4, 8, 16, 32 times as many"

/* Stem and four stages of blocks; pixels as they come. */
pg_value pg_resnet_blocks(pg_builder *b, const pg_resnet *net, pg_value x);
/* With the global mean and the classifier "fc": logits of the whole image. */
pg_value pg_resnet_trunk(pg_builder *b, const pg_resnet *net, pg_value x);

extern const pg_file_layout pg_resnet_layout; /* torchvision's, and the names usual at 32 px */
/* For `derive`: whether these are the weights of a ResNet of this depth; and the options width and stem from the shape of the
 * first layer, of any number of channels (false where it is neither stem). */
bool pg_resnet_shapes(int depth, const pg_shapes *shapes);
bool pg_resnet_derive(const pg_shapes *shapes, pg_buf *pairs);

#endif
