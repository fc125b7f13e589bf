/* Patches of a file on images: places, shifts, scales and rotations against a computation of their own
 * (tests/attacks/given_reference.py), what random choices depend on, and what is refused before any work. */
#include "attacks/attack.h"
#include "attacks/draw.h"
#include "harness/data/patches.h"
#include "tests/support/python.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

extern const pg_attack pg_attack_given;

enum { H = 40, W = 36, PATCH_H = 9, PATCH_W = 6, COUNT = 3, IMAGES = 12, CLASSES = 10, PATCHES_TOP = 15, PATCHES_LEFT = 14 };

static uint8_t images[IMAGES][3][H][W];
static float pixels[COUNT][3][PATCH_H][PATCH_W];
static uint8_t masks[COUNT][PATCH_H][PATCH_W];
static int64_t targets[COUNT] = {7, 99, 0};
static int tops[COUNT] = {PATCHES_TOP, 0, H - PATCH_H}, lefts[COUNT] = {PATCHES_LEFT, 0, W - PATCH_W};

static pg_patches patches_of(bool masked)
{
    return (pg_patches){.count = COUNT,
                        .height = PATCH_H,
                        .width = PATCH_W,
                        .pixels = &pixels[0][0][0][0],
                        .masks = masked ? &masks[0][0][0] : NULL,
                        .targets = targets,
                        .tops = tops,
                        .lefts = lefts};
}

static int make(void **state)
{
    for (uint32_t i = 0; i < IMAGES; i++) {
        pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, i);
        for (int k = 0; k < 3 * H * W; k++)
            (&images[i][0][0][0])[k] = (uint8_t)pg_rng_below(&rng, 256);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        pg_rng rng = pg_rng_make(2, PG_STREAM_TEST, i);
        for (int k = 0; k < 3 * PATCH_H * PATCH_W; k++)
            (&pixels[i][0][0][0])[k] = (float)pg_rng_unit(&rng);
        for (int k = 0; k < PATCH_H * PATCH_W; k++)
            (&masks[i][0][0])[k] = pg_rng_below(&rng, 3) > 0;
    }
    return scratch_make(state);
}

static void configure(void *config, const char *const *pairs)
{
    size_t n = 0;
    while (pairs[n])
        n++;
    if (pg_module_configure(&pg_attack_given.module, "attack", pairs, n, config) != PG_OK)
        fail_msg("%s", pg_error_message());
}

typedef struct found {
    pg_attack_outcome outcome[IMAGES];
    float patch[IMAGES][3][H][W]; /* of each its first values */
} found;

/* Attacks images [first, first + n) with a rectangle of height x width. */
static void attack(const void *config, const pg_patches *patches, int height, int width, uint64_t seed, int first, int n,
                   found *out)
{
    pg_victim victim = {.image_height = H,
                        .image_width = W,
                        .patch_height = height,
                        .patch_width = width,
                        .classes = CLASSES,
                        .slots = 1,
                        .kinds = 1};
    pg_example examples[IMAGES];
    for (int i = 0; i < n; i++) {
        examples[i] = (pg_example){.index = first + i, .label = 1, .prediction = 1, .pixels = &images[first + i][0][0][0]};
        out->outcome[i] = (pg_attack_outcome){.target = -1, .patch = &out->patch[i][0][0][0]};
    }
    int code = pg_attack_given.run(config, patches, seed, &victim, examples, (size_t)n, out->outcome);
    if (code != PG_OK)
        fail_msg("%s", pg_error_message());
}

/* ---- Against the reference ---- */

typedef struct choice {
    const char *pairs[8];
    int height, width; /* of the rectangle */
    int which;
    int top, left; /* of the patch before shifts; -1: of the file, -2: random */
    double shift, lo, hi, rotation;
    bool masked;
} choice;

static const choice choices[] = {
    {{"location=centre"}, 9, 6, 0, 15, 15, 0, 1, 1, 0, false},
    {{"location=fixed", "top=3", "left=30", "which=1"}, 9, 6, 1, 3, 30, 0, 1, 1, 0, true},
    {{"location=fixed", "top=27", "left=20"}, 13, 12, 0, 29, 23, 0, 1, 1, 0, true},
    {{"location=own"}, 9, 6, 0, -1, -1, 0, 1, 1, 0, false},
    {{"location=own", "shift=0.2"}, 9, 6, 0, -1, -1, 0.2, 1, 1, 0, true},
    {{"location=own", "which=1", "shift=0.5"}, 12, 11, 1, -1, -1, 0.5, 1, 1, 0, false},
    {{"location=own", "shift=0.2", "rotation=45", "scale=0.7:1"}, 11, 11, 0, -1, -1, 0.2, 0.7, 1, 45, false},
    {{"location=own", "which=2", "shift=0.2", "rotation=180", "scale=0.7:1.3"}, 15, 15, 2, -1, -1, 0.2, 0.7, 1.3, 180, true},
    {{"location=random", "rotation=30"}, 11, 10, 0, -2, -2, 0, 1, 1, 30, false},
    {{"location=random", "scale=0.3:0.5"}, 5, 3, 0, -2, -2, 0, 0.3, 0.5, 0, true},
};
enum { CHOICES = sizeof choices / sizeof *choices };

static void write_case(int number, const choice *c, int image, const pg_attack_outcome *o)
{
    char name[32];
    pg_rng rng = pg_draw_make(5, image, PG_DRAW_WARP, 0);
    double scale = c->lo + (c->hi - c->lo) * pg_rng_unit(&rng), angle = c->rotation * (2 * pg_rng_unit(&rng) - 1);
    int most[2] = {(int)(c->shift * H), (int)(c->shift * W)}, moved[2] = {0, 0}, place[2] = {c->top, c->left};
    for (int k = 0; k < 2; k++)
        if (most[k])
            moved[k] = (int)pg_rng_below(&rng, 2 * (uint32_t)most[k] + 1) - most[k];
    if (c->top == -1) {
        place[0] = tops[c->which];
        place[1] = lefts[c->which];
    } else if (c->top == -2) {
        rng = pg_draw_make(5, image, PG_DRAW_PLACE, 0);
        int free_rows = H - c->height + 1, free_columns = W - c->width + 1;
        place[0] = (int)pg_rng_below(&rng, (uint32_t)free_rows) + (int)floor((c->height - PATCH_H) / 2.0);
        place[1] = (int)pg_rng_below(&rng, (uint32_t)free_columns) + (int)floor((c->width - PATCH_W) / 2.0);
    }
    snprintf(name, sizeof name, "case-%d.txt", number);
    FILE *f = fopen(scratch_path(name), "w");
    assert_non_null(f);
    fprintf(f, "%d %d %d %d %d %d %d %d %d %d %d %.17g %.17g %d %d\n", H, W, c->height, c->width, PATCH_H, PATCH_W, c->masked,
            place[0], place[1], moved[0], moved[1], scale, angle * acos(-1) / 180, o->top, o->left);
    fclose(f);
    snprintf(name, sizeof name, "case-%d.raw", number);
    f = fopen(scratch_path(name), "wb");
    assert_non_null(f);
    uint8_t all[PATCH_H * PATCH_W];
    memset(all, 1, sizeof all);
    fwrite(images[image], 1, sizeof images[image], f);
    fwrite(pixels[c->which], 1, sizeof pixels[c->which], f);
    fwrite(c->masked ? &masks[c->which][0][0] : all, 1, sizeof all, f);
    fwrite(o->patch, sizeof(float), (size_t)3 * (size_t)c->height * (size_t)c->width, f);
    fclose(f);
}

static void pixels_are_those_of_the_reference(void **state)
{
    (void)state;
    static found f;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    int cases = 0;
    for (int k = 0; k < CHOICES; k++) {
        const choice *c = &choices[k];
        pg_patches patches = patches_of(c->masked);
        configure(config, c->pairs);
        int code = pg_attack_given.check_patches(config, &patches, H, W, c->height, c->width, 0, IMAGES);
        if (code != PG_OK)
            fail_msg("choice %d: %s", k, pg_error_message());
        attack(config, &patches, c->height, c->width, 5, 0, IMAGES, &f);
        for (int i = 0; i < IMAGES; i++)
            write_case(cases++, c, i, &f.outcome[i]);
    }
    char line[600];
    FILE *answer = python_reference("numpy", "tests/attacks/given_reference.py", "2>&1");
    if (!answer)
        skip();
    assert_non_null(fgets(line, sizeof line, answer));
    pclose(answer);
    if (atoi(line) != cases || cases != CHOICES * IMAGES)
        fail_msg("%d cases: %s", cases, line);
}

/* A patch as it is, whole and in its place. */
static void a_patch_alone_is_copied(void **state)
{
    (void)state;
    static found f;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_patches patches = patches_of(false);
    configure(config, (const char *const[]){"location=own", "which=1", NULL});
    attack(config, &patches, PATCH_H, PATCH_W, 0, 0, IMAGES, &f);
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(f.outcome[i].top, tops[1]);
        assert_int_equal(f.outcome[i].left, lefts[1]);
        assert_memory_equal(f.outcome[i].patch, pixels[1], sizeof pixels[1]);
    }
}

/* ---- What choices depend on ---- */

static void choices_depend_on_seed_and_image_alone(void **state)
{
    (void)state;
    static found all, part, other;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_patches patches = patches_of(false);
    enum { SIDE = 11, SIZE = 3 * SIDE * SIDE, FIRST = 5, SOME = 3 };
    configure(config, (const char *const[]){"location=own", "shift=0.2", "rotation=45", "scale=0.7:1", NULL});
    attack(config, &patches, SIDE, SIDE, 3, 0, IMAGES, &all);
    attack(config, &patches, SIDE, SIDE, 3, FIRST, SOME, &part);
    attack(config, &patches, SIDE, SIDE, 4, 0, IMAGES, &other);
    int moved = 0, unlike = 0;
    for (int i = 0; i < SOME; i++) {
        assert_int_equal(part.outcome[i].top, all.outcome[FIRST + i].top);
        assert_int_equal(part.outcome[i].left, all.outcome[FIRST + i].left);
        assert_memory_equal(part.patch[i], all.patch[FIRST + i], SIZE * sizeof(float));
    }
    for (int i = 0; i < IMAGES; i++) {
        moved += all.outcome[i].top != all.outcome[0].top || all.outcome[i].left != all.outcome[0].left;
        unlike += other.outcome[i].top != all.outcome[i].top || other.outcome[i].left != all.outcome[i].left;
        assert_in_range(all.outcome[i].top, PATCHES_TOP - 1 - 8, PATCHES_TOP - 1 + 8);
        assert_in_range(all.outcome[i].left, PATCHES_LEFT - 2 - 7, PATCHES_LEFT - 2 + 7);
    }
    assert_true(moved > IMAGES / 2 && unlike > IMAGES / 2);
}

/* Of the file, of an option, none, and of no output of the network. */
static void targets_are_classes_of_the_network(void **state)
{
    (void)state;
    static const struct {
        const char *pairs[3];
        int target;
    } cases[] = {{{"which=0"}, 7}, {{"which=1"}, -1}, {{"which=2"}, 0}, {{"which=0", "target=none"}, -1}, {{"target=3"}, 3}};
    static found f;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_patches patches = patches_of(false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        configure(config, cases[i].pairs);
        attack(config, &patches, PATCH_H, PATCH_W, 0, 0, 1, &f);
        assert_int_equal(f.outcome[0].target, cases[i].target);
    }
}

/* The patch that was made for an image, by number and by the record of the file. */
static void patches_of_images_are_found(void **state)
{
    (void)state;
    static found f;
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    static int64_t made_for[COUNT] = {2, 5, 6};
    pg_patches patches = patches_of(false);
    configure(config, (const char *const[]){"which=image", NULL});
    attack(config, &patches, PATCH_H, PATCH_W, 0, 0, COUNT, &f);
    for (int i = 0; i < COUNT; i++)
        assert_memory_equal(f.outcome[i].patch, pixels[i], sizeof pixels[i]);
    patches.images = made_for;
    attack(config, &patches, PATCH_H, PATCH_W, 0, 5, 2, &f);
    assert_memory_equal(f.outcome[0].patch, pixels[1], sizeof pixels[1]);
    assert_memory_equal(f.outcome[1].patch, pixels[2], sizeof pixels[2]);
    assert_int_equal(pg_attack_given.check_patches(config, &patches, H, W, PATCH_H, PATCH_W, 5, 2), PG_OK);
    assert_int_equal(pg_attack_given.check_patches(config, &patches, H, W, PATCH_H, PATCH_W, 4, 2), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no patch for image 4"));
}

/* ---- Refused ---- */

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pairs[4];
        int height, width;
        const char *says;
    } cases[] = {
        {{"which=3"}, 9, 6, "has 3 patches"},
        {{"which=0"}, 8, 6, "right would be patch = \"9x6\""},
        {{"which=0"}, 9, 5, "right would be patch = \"9x6\""},
        {{"rotation=45"}, 9, 9, "right would be patch = \"11x11\""},
        {{"rotation=90"}, 10, 11, "right would be patch = \"11x11\""},
        {{"scale=0.5:2"}, 17, 12, "right would be patch = \"18x12\""},
    };
    static const struct {
        const char *pairs[4], *says;
    } options[] = {{{"which=-1"}, "which \"-1\""},     {{"which=all"}, "image or a number from 0"},
                   {{"target=cat"}, "target \"cat\""}, {{"location=random", "shift=0.1"}, "no place to shift from"},
                   {{"location=near"}, "location"},    {{"scale=0:1"}, "scale"}};
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_patches patches = patches_of(false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        configure(config, cases[i].pairs);
        int code = pg_attack_given.check_patches(config, &patches, H, W, cases[i].height, cases[i].width, 0, IMAGES);
        if (code != PG_EINPUT || !strstr(pg_error_message(), cases[i].says))
            fail_msg("case %zu: %d, %s", i, code, pg_error_message());
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        size_t n = 0;
        while (options[i].pairs[n])
            n++;
        int code = pg_module_configure(&pg_attack_given.module, "attack", options[i].pairs, n, config);
        if (code != PG_EINPUT || !strstr(pg_error_message(), options[i].says))
            fail_msg("%s: %d, %s", options[i].pairs[0], code, pg_error_message());
    }
    configure(config, (const char *const[]){"location=own", NULL});
    assert_int_equal(pg_attack_given.check_patches(config, &patches, H - 1, W, 9, 6, 0, 1), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "outside images of 39 x 36 px"));
    patches.tops = patches.lefts = NULL;
    assert_int_equal(pg_attack_given.check_patches(config, &patches, H, W, 9, 6, 0, 1), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "has no places"));
    configure(config, (const char *const[]){"location=fixed", "top=32", NULL});
    assert_int_equal(pg_attack_given.check(config, H, W, 9, 6, CLASSES), PG_EINPUT);
    configure(config, (const char *const[]){"target=10", NULL});
    assert_int_equal(pg_attack_given.check(config, H, W, 9, 6, CLASSES), PG_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_those_of_the_reference),
        cmocka_unit_test(a_patch_alone_is_copied),
        cmocka_unit_test(choices_depend_on_seed_and_image_alone),
        cmocka_unit_test(targets_are_classes_of_the_network),
        cmocka_unit_test(patches_of_images_are_found),
        cmocka_unit_test(what_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, make, scratch_remove);
}
