/* The built-in data set: ten kinds of small glyphs strewn over cluttered pictures; the label is the kind that is there most.
 *
 * Evidence lies in many places, each not wider than 3 pixels, so that models with small receptive fields and models that see
 * columns of 4 pixels can both find it, and an image's glyphs of its strongest rival class set how far it is from another
 * label: some images are certain, some are close, a few are undecidable. All arithmetic is on integers: an image is a function
 * of (seed, split, index), the same bytes on every machine.
 * The constants below set how hard it is; changing any of them changes the hash of the data set, and wants a new VERSION. */
#include "harness/base/buf.h"
#include "harness/base/rng.h"
#include "harness/data/kind.h"

#include <string.h>

#define CONSTANTS(X)                                                                                \
    X(VERSION, 1)                                                                                   \
    X(SEED, 20210)                                                                                  \
    X(GLYPHS, 36)       /* drawn in each image */                                                   \
    X(OTHERS, 3)        /* of these, of any class */                                                \
    X(RIVALS, 17)       /* of these, at most so many of one rival class: uniform from 0 */          \
    X(CONTRAST_MIN, 64) /* of a glyph above its background, 8-bit steps of the strongest channel */ \
    X(CONTRAST_MAX, 110)                                                                            \
    X(KNOT_MIN, 64) /* the background's colours */                                                  \
    X(KNOT_MAX, 159)                                                                                \
    X(CLUTTER, 4)       /* rectangles behind the glyphs */                                          \
    X(CLUTTER_STEP, 36) /* largest brightness step of a rectangle */                                \
    X(NOISE, 10)        /* largest noise of a pixel */

enum {
#define AS_ENUM(name, value) name = value,
    CONSTANTS(AS_ENUM)
#undef AS_ENUM
        SIDE = 32,
    PLANE = SIDE * SIDE,
    CLASSES = 10,
    GLYPH_HEIGHT = 5,
    GLYPH_WIDTH = 3,
    KNOT_PX = 8, /* distance of the background's knots */
    KNOTS = SIDE / KNOT_PX + 1,
    TRIES = 8, /* places tried for a glyph before it may cover another one */
};

/* Bit y * 3 + x. About half of the pixels of each are set, and no two look alike when moved or mirrored (largest
 * correlation 7 of 15). */
static const uint16_t glyphs[CLASSES] = {0x780f, 0x29f4, 0x65ac, 0x0c9b, 0x32cb, 0x3d0a, 0x2aae, 0x0787, 0x7152, 0x1347};
static const char *const class_names[CLASSES] = {"glyph-0", "glyph-1", "glyph-2", "glyph-3", "glyph-4",
                                                 "glyph-5", "glyph-6", "glyph-7", "glyph-8", "glyph-9"};
static const char *const splits[] = {"train", "val", "test", NULL};
static const int64_t split_images[] = {20000, 2000, 2000};

typedef int16_t canvas[3][SIDE][SIDE];

static int between(pg_rng *rng, int lo, int hi) { return lo + (int)pg_rng_below(rng, (uint32_t)(hi - lo + 1)); }

/* A smooth field of colours: random knots, bilinear between them. */
static void paint_background(pg_rng *rng, canvas out)
{
    int knots[KNOTS][KNOTS];
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < KNOTS * KNOTS; i++)
            knots[i / KNOTS][i % KNOTS] = between(rng, KNOT_MIN, KNOT_MAX);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const int *above = &knots[y / KNOT_PX][x / KNOT_PX], *below = above + KNOTS;
                int fy = y % KNOT_PX, fx = x % KNOT_PX;
                int top = above[0] * (KNOT_PX - fx) + above[1] * fx, bottom = below[0] * (KNOT_PX - fx) + below[1] * fx;
                out[c][y][x] = (int16_t)((top * (KNOT_PX - fy) + bottom * fy) / (KNOT_PX * KNOT_PX));
            }
    }
}

static void paint_clutter(pg_rng *rng, canvas out)
{
    for (int i = 0; i < CLUTTER; i++) {
        int height = between(rng, 2, 16), width = between(rng, 2, 16);
        int top = between(rng, 0, SIDE - height), left = between(rng, 0, SIDE - width);
        for (int c = 0; c < 3; c++) {
            int step = between(rng, -CLUTTER_STEP, CLUTTER_STEP);
            for (int y = top; y < top + height; y++)
                for (int x = left; x < left + width; x++)
                    out[c][y][x] = (int16_t)(out[c][y][x] + step);
        }
    }
}

/* One glyph at a free place, lighter than what is behind it, in a colour of its own. `taken` has a bit per pixel. */
static void paint_glyph(pg_rng *rng, int kind, uint32_t taken[SIDE], canvas out)
{
    int top = 0, left = 0;
    for (int i = 0; i < TRIES; i++) {
        top = between(rng, 0, SIDE - GLYPH_HEIGHT);
        left = between(rng, 0, SIDE - GLYPH_WIDTH);
        uint32_t hit = 0;
        for (int y = 0; y < GLYPH_HEIGHT; y++)
            hit |= taken[top + y] >> left & ((1u << GLYPH_WIDTH) - 1);
        if (!hit)
            break;
    }
    int contrast = between(rng, CONTRAST_MIN, CONTRAST_MAX), step[3];
    for (int c = 0; c < 3; c++)
        step[c] = contrast * between(rng, 1, 4) / 4;
    for (int y = 0; y < GLYPH_HEIGHT; y++)
        for (int x = 0; x < GLYPH_WIDTH; x++) {
            taken[top + y] |= 1u << (left + x);
            if (glyphs[kind] >> (y * GLYPH_WIDTH + x) & 1)
                for (int c = 0; c < 3; c++)
                    out[c][top + y][left + x] = (int16_t)(out[c][top + y][left + x] + step[c]);
        }
}

/* Noise of triangular distribution, and bytes. */
static void finish(pg_rng *rng, canvas in, uint8_t *pixels)
{
    uint32_t words[PLANE * 3 / 4];
    pg_rng_fill(rng, words, PLANE * 3 / 4);
    const int16_t *values = &in[0][0][0];
    for (int i = 0; i < 3 * PLANE; i++) {
        int byte = (int)(words[i / 4] >> 8 * (i % 4) & 255);
        int value = values[i] + ((byte & 15) + (byte >> 4) - 15) * NOISE / 15;
        pixels[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

static void make_image(int split, int64_t index, uint8_t *pixels, int32_t *label)
{
    pg_rng rng = pg_rng_make(SEED, PG_STREAM_SYNTHETIC, (uint32_t)split << 24 | (uint32_t)index);
    int kind = between(&rng, 0, CLASSES - 1);
    if (label)
        *label = kind;
    if (!pixels)
        return;
    int rival = (kind + between(&rng, 1, CLASSES - 1)) % CLASSES;
    int left[3] = {0, between(&rng, 0, RIVALS), OTHERS}; /* glyphs still to draw: own, rival, any */
    left[0] = GLYPHS - left[1] - left[2];
    canvas picture;
    uint32_t taken[SIDE] = {0};
    paint_background(&rng, picture);
    paint_clutter(&rng, picture);
    for (int i = GLYPHS; i > 0; i--) { /* in random order, so that none covers the others more often */
        int pick = between(&rng, 0, i - 1), which = pick < left[0] ? 0 : pick < left[0] + left[1] ? 1 : 2;
        left[which]--;
        paint_glyph(&rng, which == 0 ? kind : which == 1 ? rival : between(&rng, 0, CLASSES - 1), taken, picture);
    }
    finish(&rng, picture, pixels);
}

static int split_of(const pg_dataset *dataset)
{
    int split = 0;
    while (strcmp(splits[split], dataset->info.split) != 0)
        split++;
    return split;
}

static int synthetic_open(const char *data_dir PG_UNUSED, pg_dataset *dataset)
{
    pg_dataset_info *info = &dataset->info;
    info->images = split_images[split_of(dataset)];
    info->height = info->width = SIDE;
    info->classes = CLASSES;
    info->class_names = class_names;
    pg_buf text = PG_BUF_EMPTY;
    pg_buf_printf(&text, "dataset=%s\nsplit=%s\nimages=%lld\nshape=3x%dx%d\n", info->name, info->split, (long long)info->images,
                  SIDE, SIDE);
#define AS_TEXT(name, value) pg_buf_printf(&text, #name "=%d\n", name);
    CONSTANTS(AS_TEXT)
#undef AS_TEXT
    for (int i = 0; i < CLASSES; i++)
        pg_buf_printf(&text, "class=%s:%04x\n", class_names[i], glyphs[i]);
    return pg_hash_text(&text, info->hash);
}

static int synthetic_read(const pg_dataset *dataset, int64_t first, int64_t count, uint8_t *pixels, int32_t *labels)
{
    int split = split_of(dataset);
    for (int64_t i = 0; i < count; i++)
        make_image(split, first + i, pixels ? pixels + i * 3 * PLANE : NULL, labels ? labels + i : NULL);
    return PG_OK;
}

static const pg_option no_options[] = {{0}};
PG_DATASET(synthetic)
const pg_dataset_kind pg_dataset_kind_synthetic = {
    .module = {.name = "synthetic",
               .summary = "built in: 32 x 32 pictures strewn with ten kinds of glyphs",
               .source = "this program: generated from a fixed seed",
               .version = VERSION,
               .options = no_options},
    .splits = splits,
    .open = synthetic_open,
    .read = synthetic_read,
};
