/* De-randomized smoothing (Levine & Feizi 2020): a network sees one cell of the image at a time, and each cell is one position
 * of the map. Cells are bands of columns, bands of rows, or square blocks, `stride` pixels apart; they wrap round the image's
 * edge. What is not said here is the trunk, the network that sees a cell: an architecture of its own
 * (ds_resnet.c). */
#ifndef PG_MODELS_SMOOTHING_H
#define PG_MODELS_SMOOTHING_H

#include "models/layers.h"

typedef struct pg_smoothing {
    int64_t band, stride; /* pixels: the shorter side of a cell; between cells */
    int encoding, shape;
} pg_smoothing;

typedef enum pg_encoding { PG_ENCODING_BAND, PG_ENCODING_ABLATION } pg_encoding;
typedef enum pg_cells { PG_CELLS_COLUMN, PG_CELLS_ROW, PG_CELLS_BLOCK } pg_cells;
extern const char *const pg_smoothing_encodings[], *const pg_smoothing_shapes[]; /* for options; NULL-terminated */

/* The rows of the option table; defaults are texts. */
/* clang-format off */
#define PG_SMOOTHING_BANDS(config_of, field, band_px)                                                               \
    {"band", PG_OPTION_INT, offsetof(config_of, field.band), band_px, 1, 512,                                       \
     .help = "columns in a band (or its rows, or the side of a block), pixels"},                                    \
    {"stride", PG_OPTION_INT, offsetof(config_of, field.stride), "1", 1, 512,                                       \
     .help = "pixels between bands, or blocks on either axis"}
#define PG_SMOOTHING_SHAPE(config_of, field)                                                                        \
    {"shape", PG_OPTION_CHOICE, offsetof(config_of, field.shape), "column", .choices = pg_smoothing_shapes,         \
     .later = true, .help = "what the network sees at a time: a band of columns, a band of rows, a square block"}
#define PG_SMOOTHING_OPTIONS(config_of, field, band_px, encoded)                                                    \
    PG_SMOOTHING_BANDS(config_of, field, band_px),                                                                  \
    {"encoding", PG_OPTION_CHOICE, offsetof(config_of, field.encoding), encoded, .choices = pg_smoothing_encodings, \
     .help = "band: the band alone with its place; ablation: the full image, zero outside the band"},               \
    PG_SMOOTHING_SHAPE(config_of, field)
/* clang-format on */

/* The tokens of cells, for a trunk that has any. */
typedef struct pg_cell_tokens {
    int rows, columns; /* of the image */
    /* [cells][tokens of a cell][tokens of the image], one-hot; of zeros where a cell touches fewer tokens than others. NULL
     * while traced: a cell has all tokens of the image */
    pg_tensor *places;
    bool ragged; /* there are such tokens */
} pg_cell_tokens;

/* An architecture with its resolved options. */
typedef struct pg_smoothed {
    const pg_smoothing *cells;
    pg_normalisation pixels; /* before the encoding; with tokens behind it, since pixels outside a cell are black */
    bool upright;            /* bands of columns are not turned */
    int token; /* pixels: the trunk sees squares of this side, and the encoding of `cells` means nothing; 0: pixels */
    /* cells as images -> logits, one position */
    pg_value (*trunk)(pg_builder *b, const void *config, pg_value x, const pg_cell_tokens *tokens);
    const void *config; /* of the trunk */
} pg_smoothed;

/* PG_EINPUT where cells do not fit into the image. */
int pg_smoothing_check(const pg_smoothing *cells, int height, int width) PG_MUST_USE;
/* For `derive`: the options that the first layer tells, encoding, and shape where it does; false where it takes no cells.
 * `first`: the weight of that layer. */
bool pg_smoothing_derive(const pg_shapes *shapes, const char *first, pg_buf *pairs);

/* The hooks of pg_model_hooks. A forward pass runs in parts of bounded size, so that memory does not grow with cells and batch.
 * Training looks at evenly spaced cells of each image, from a random one on; of blocks, at a grid of them. */
pg_value pg_smoothing_forward(pg_builder *b, const pg_smoothed *s, pg_value pixels);
pg_value pg_smoothing_train(pg_builder *b, const pg_smoothed *s, pg_value pixels);
pg_value pg_smoothing_crop(pg_builder *b, const pg_smoothed *s, pg_value pixels, const pg_geometry *g, const pg_crop *crops,
                           int n);

#endif
