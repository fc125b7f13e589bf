/* Patches of a file, as they are: made by others, or by this program for another network (transfer).
 *
 * Source: Pintor et al. 2023 (ImageNet-Patch), whose patches are turned by up to 45 degrees, shifted by up to 0.2 of the image
 * and scaled by 0.7 to 1. A patch is turned and scaled about its middle, and read bilinearly, beyond its last pixels as there;
 * it covers the pixels whose centres lie within its rectangle, but for those whose nearest pixel of the patch is masked. A
 * shift is a whole number of pixels. Differs from the publication's torchvision.transforms, which turn the canvas about the
 * middle of the image and blend the edge of the patch with the zeros round it.
 *
 * The rectangle that the certificates of a cell speak of, its `patch`, has to hold every pixel that can change: a patch of 50 x
 * 50 px that is turned by up to 45 degrees needs 71 px. The rest of the rectangle shows the image. What of a patch lies outside
 * the image is cut off. Every image is attacked once, also one that is misclassified without a patch. */
#include "attacks/attack.h"
#include "attacks/draw.h"
#include "attacks/warp.h"
#include "harness/data/patches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 128, OF_IMAGE = -1, TARGET_OF_FILE = -2, TARGET_NONE = -1 };

enum { OWN, FIXED, CENTRE, RANDOM };
static const char *const locations[] = {"own", "fixed", "centre", "random", NULL};

typedef struct given {
    pg_attack_common common;
    char file[PG_OPTION_TEXT_MAX], which[PG_OPTION_TEXT_MAX], target[PG_OPTION_TEXT_MAX];
    int location, which_number, target_class; /* the last two: of the texts */
    int64_t top, left;
    double shift, rotation;
    pg_range scale;
} given;

static const pg_option options[] = {
    {"file", PG_OPTION_TEXT, offsetof(given, file), "", .recorded_only = true, /* its contents are part of identity */
     .help =
         "the patches: .npy, .npz, safetensors, PNG, a pickle of PyTorch tensors or its gzip, a folder of `attack -o` or of a "
         "cell of `export --images --files`"},
    {"which", PG_OPTION_TEXT, offsetof(given, which), "0",
     .help = "which patch of the file: its number from 0, or image, the one that was made for the image (without such a "
             "record, the "
             "one of its number)"},
    {"location", PG_OPTION_CHOICE, offsetof(given, location), "random", .choices = locations,
     .help = "own: where the file has the patch; fixed: at top and left; centre; random: within the image"},
    {"top", PG_OPTION_INT, offsetof(given, top), "0", 0, 65535, .help = "location fixed: first row of the rectangle `patch`"},
    {"left", PG_OPTION_INT, offsetof(given, left), "0", 0, 65535, .help = "location fixed: first column"},
    {"shift", PG_OPTION_DECIMAL, offsetof(given, shift), "0", 0, 1,
     .help = "largest random shift from there along each side, as a share of the image's side; not with location random"},
    {"scale", PG_OPTION_RANGE, offsetof(given, scale), "1:1", 0.05, 20, .help = "random scale of the patch"},
    {"rotation", PG_OPTION_DECIMAL, offsetof(given, rotation), "0", 0, 180,
     .help = "largest random rotation to either side, degrees"},
    {"target", PG_OPTION_TEXT, offsetof(given, target), "file",
     .help = "the class whose share is counted: file (the file's, where it names one), none, or the number of a class"},
    {0},
};

static int read_number(const char *name, const char *text, const char *words, int *out)
{
    int64_t value;
    if (pg_parse_int(text, &value) != PG_OK || value < 0 || value > 1000000000)
        return pg_fail(PG_EINPUT, "%s \"%s\": right would be %s or a number from 0", name, text, words);
    *out = (int)value;
    return PG_OK;
}

static int normalize(void *config)
{
    given *c = config;
    c->common = (pg_attack_common){.batch = AT_ONCE, .gradient = PG_GRADIENT_MEAN}; /* nothing is differentiated */
    if (c->location != FIXED)
        c->top = c->left = 0;
    if (c->location == RANDOM && c->shift > 0)
        return pg_fail(PG_EINPUT, "shift: a random location has no place to shift from");
    c->which_number = OF_IMAGE;
    c->target_class = strcmp(c->target, "file") == 0 ? TARGET_OF_FILE : TARGET_NONE;
    int code = strcmp(c->which, "image") == 0 ? PG_OK : read_number("which", c->which, "image", &c->which_number);
    bool word = strcmp(c->target, "file") == 0 || strcmp(c->target, "none") == 0;
    return code == PG_OK && !word ? read_number("target", c->target, "file, none", &c->target_class) : code;
}

static const char *patches_of(const void *config) { return ((const given *)config)->file; }

/* Pixels along a side that a patch of `along` x `across` can cover, turned by 0 to `most` radians. */
static int covered(int along, int across, double scale, double most)
{
    double widest = atan2(across, along), angle = most < widest ? most : widest;
    return (int)ceil(scale * (along * cos(angle) + across * sin(angle)) - 1e-9);
}

static double radians(double degrees) { return degrees * (3.14159265358979323846 / 180); }

static int check(const void *config, int image_height, int image_width, int patch_height, int patch_width, int classes)
{
    const given *c = config;
    int code = pg_attack_check_patch(image_height, image_width, patch_height, patch_width, classes);
    if (code == PG_OK && (c->top > image_height - patch_height || c->left > image_width - patch_width))
        code = pg_fail(PG_EINPUT, "a patch of %d x %d px at top %lld, left %lld leaves the image of %d x %d px", patch_height,
                       patch_width, (long long)c->top, (long long)c->left, image_height, image_width);
    if (code == PG_OK && c->target_class >= classes)
        code = pg_fail(PG_EINPUT, "target %d: there are %d classes, 0 to %d", c->target_class, classes, classes - 1);
    return code;
}

/* The patch for an image; -1: there is none. */
static int find_patch(const given *c, const pg_patches *p, int64_t image)
{
    int lo = 0, hi = p->count;
    if (c->which_number >= 0)
        return c->which_number < p->count ? c->which_number : -1;
    if (!p->images)
        return image < p->count ? (int)image : -1;
    while (lo < hi) {
        int middle = lo + (hi - lo) / 2;
        if (p->images[middle] < image)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < p->count && p->images[lo] == image ? lo : -1;
}

static int check_patches(const void *config, const pg_patches *p, int image_height, int image_width, int patch_height,
                         int patch_width, int64_t first, int64_t count)
{
    const given *c = config;
    double most = radians(c->rotation);
    int height = covered(p->height, p->width, c->scale.hi, most), width = covered(p->width, p->height, c->scale.hi, most);
    if (c->which_number >= p->count)
        return pg_fail(PG_EINPUT, "which %d: %s has %d patch%s, from 0", c->which_number, c->file, p->count,
                       p->count == 1 ? "" : "es");
    for (int64_t i = first; c->which_number < 0 && i < first + count; i++)
        if (find_patch(c, p, i) < 0)
            return pg_fail(PG_EINPUT, "which image: %s has no patch for image %lld", c->file, (long long)i);
    if (patch_height < height || patch_width < width)
        return pg_fail(
            PG_EINPUT,
            "patch %dx%d is too small: patches of %d x %d px cover up to %d x %d px with this scale and rotation, and "
            "certificates have to speak of all of them; right would be patch = \"%dx%d\"",
            patch_height, patch_width, p->height, p->width, height, width, height, width);
    if (c->location == OWN && !p->tops)
        return pg_fail(
            PG_EINPUT,
            "location own: %s has no places, and its patches of %d x %d px are not of the size of the images; choose "
            "another location",
            c->file, p->height, p->width);
    for (int i = 0; c->location == OWN && image_height > 0 && i < p->count; i++)
        if (p->tops[i] > image_height - p->height || p->lefts[i] > image_width - p->width)
            return pg_fail(PG_EINPUT, "location own: %s has patch %d at row %d, column %d, outside images of %d x %d px",
                           c->file, i, p->tops[i], p->lefts[i], image_height, image_width);
    return PG_OK;
}

/* ---- Putting a patch on ---- */

/* A shift of whole pixels, as likely one as another. */
static int draw_shift(pg_rng *rng, double share, int side)
{
    int most = (int)floor(share * side);
    return most ? (int)pg_rng_below(rng, 2 * (uint32_t)most + 1) - most : 0;
}

static int within(int x, int most) { return x < 0 ? 0 : x > most ? most : x; }

typedef struct placed {
    int top, left; /* of the rectangle in the image */
    double y, x;   /* middle of the patch in the rectangle, pixels */
    pg_warp warp;
} placed;

/* Where the patch would lie if it were neither turned nor scaled, then the rectangle round it. */
static placed place(const given *c, const pg_patches *p, int patch, const pg_victim *v, uint64_t seed, int64_t image)
{
    pg_rng rng = pg_draw_make(seed, image, PG_DRAW_PLACE, 0);
    int rows = v->image_height - v->patch_height, columns = v->image_width - v->patch_width;
    int round_y = (v->patch_height - p->height) >> 1,
        round_x = (v->patch_width - p->width) >> 1; /* floor; below 0 where it shrinks */
    int top = (int)c->top, left = (int)c->left;
    if (c->location == CENTRE) {
        top = rows / 2;
        left = columns / 2;
    } else if (c->location == RANDOM) {
        top = (int)pg_rng_below(&rng, (uint32_t)rows + 1);
        left = (int)pg_rng_below(&rng, (uint32_t)columns + 1);
    }
    top = c->location == OWN ? p->tops[patch] : top + round_y;
    left = c->location == OWN ? p->lefts[patch] : left + round_x;
    rng = pg_draw_make(seed, image, PG_DRAW_WARP, 0);
    pg_warp warp = {.scale = c->scale.lo + (c->scale.hi - c->scale.lo) * pg_rng_unit(&rng), .whole = true};
    warp.angle = radians(c->rotation * (2 * pg_rng_unit(&rng) - 1));
    top += draw_shift(&rng, c->shift, v->image_height);
    left += draw_shift(&rng, c->shift, v->image_width);
    placed out = {.top = within(top - round_y, rows), .left = within(left - round_x, columns), .warp = warp};
    out.y = top + 0.5 * p->height - out.top;
    out.x = left + 0.5 * p->width - out.left;
    return out;
}

static void own_pixels(const pg_victim *v, const uint8_t *pixels, const placed *at, float *out)
{
    for (int c = 0; c < 3; c++)
        for (int y = at->top; y < at->top + v->patch_height; y++)
            for (int x = at->left; x < at->left + v->patch_width; x++)
                *out++ =
                    (float)pixels[((size_t)c * (size_t)v->image_height + (size_t)y) * (size_t)v->image_width + (size_t)x] / 255;
}

/* A class that the victim does not have is reached by no image: it is none. Files of others name outputs of a network. */
static int target_of(const given *c, const pg_patches *p, int patch, const pg_victim *victim)
{
    if (c->target_class != TARGET_OF_FILE)
        return c->target_class;
    if (p->targets && p->targets_are_classes)
        return p->targets[patch] < victim->classes ? (int)p->targets[patch] : TARGET_NONE;
    return p->targets ? pg_victim_class(victim, p->targets[patch]) : TARGET_NONE;
}

static int run(const void *config, const void *state, uint64_t seed, pg_victim *victim, const pg_example *examples, size_t n,
               pg_attack_outcome *outcome)
{
    const given *c = config;
    const pg_patches *p = state;
    size_t size = (size_t)p->height * (size_t)p->width;
    for (size_t i = 0; i < n; i++) {
        const pg_example *e = &examples[i];
        int patch = find_patch(c, p, e->index);
        if (patch < 0)
            return pg_fail(PG_EINPUT, "%s has no patch for image %lld", c->file, (long long)e->index);
        placed at = place(c, p, patch, victim, seed, e->index);
        pg_attack_outcome *o = &outcome[i];
        *o = (pg_attack_outcome){
            .top = at.top, .left = at.left, .target = target_of(c, p, patch, victim), .steps = 1, .patch = o->patch};
        own_pixels(victim, e->pixels, &at, o->patch);
        pg_warp_place(p->pixels + (size_t)patch * 3 * size, p->masks ? p->masks + (size_t)patch * size : NULL, p->height,
                      p->width, at.warp, at.y, at.x, o->patch, victim->patch_height, victim->patch_width);
    }
    return PG_OK;
}

PG_ATTACK(given)
const pg_attack pg_attack_given = {
    .module = {.name = "given",
               .summary = "patches of a file, at places, scales and rotations: of others, or of another network (transfer)",
               .source = "Pintor et al. 2023 (ImageNet-Patch)",
               .version = 1,
               .options = options,
               .config_size = sizeof(given),
               .normalize = normalize},
    .patches = patches_of,
    .check_patches = check_patches,
    .check = check,
    .run = run,
};
