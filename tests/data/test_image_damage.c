/* Folders of images that change after their import: nothing of it is ever read as it is not. */
#include "harness/base/rng.h"
#include "harness/data/image_list.h"
#include "tests/support/pets_fixture.h"

typedef struct tally {
    int ok, damaged;
    char last[PG_MESSAGE_MAX];
} tally;

static void count(void *context, const char *file, const char *fault)
{
    tally *t = context;
    t->ok += fault == NULL;
    t->damaged += fault != NULL;
    if (fault)
        snprintf(t->last, sizeof t->last, "%s: %s", file, fault);
}

static int read_split(void)
{
    uint8_t *pixels = malloc((size_t)VAL * CLASSES * PIXELS);
    pg_dataset *dataset = NULL;
    int code = pg_dataset_open(scratch_path("data"), "pets:val", &dataset);
    if (code == PG_OK)
        code = pg_dataset_read(dataset, 0, VAL * CLASSES, pixels, NULL);
    pg_dataset_close(dataset);
    free(pixels);
    return code;
}

/* A byte of the file becomes another one, the file is cut, or goes. */
static void damage(const char *name, pg_rng *rng, int how)
{
    char path[600];
    snprintf(path, sizeof path, "%s", scratch_path(name));
    int64_t size = pg_file_size(path), at = (int64_t)pg_rng_below(rng, (uint32_t)size);
    if (how == 2)
        assert_int_equal(unlink(path), 0);
    else if (how == 1)
        assert_int_equal(truncate(path, at), 0);
    else {
        FILE *stream = fopen(path, "r+b");
        assert_int_equal(fseek(stream, (long)at, SEEK_SET), 0);
        int byte = fgetc(stream);
        assert_int_equal(fseek(stream, (long)at, SEEK_SET), 0);
        fputc(byte ^ (1 + (int)pg_rng_below(rng, 255)), stream);
        assert_int_equal(fclose(stream), 0);
    }
}

static void damage_is_never_read(void **state)
{
    (void)state;
    const char *const names[] = {"data/pets/val/a cat/no 0.JPEG", "data/pets/val/z\xc3\xbc/no 3.JPEG", "data/pets/val.list"};
    pg_rng rng = pg_rng_make(3, PG_STREAM_TEST, 0);
    for (int round = 0; round < 150; round++) {
        const char *name = names[round % 3];
        tally t = {0};
        damage(name, &rng, round < 90 ? 0 : round < 147 ? 1 : 2);
        if (read_split() != PG_EDAMAGED || !strstr(pg_error_message(), strrchr(name, '/')) ||
            !strstr(pg_error_message(), "`patchgauge data import pets FOLDER` makes it again"))
            fail_msg("round %d: %s", round, pg_error_message());
        assert_int_equal(pg_image_folder_verify(scratch_path("data"), "pets", count, &t), PG_EDAMAGED);
        assert_int_equal(t.damaged, 1);
        assert_int_equal(t.ok, round % 3 == 2 ? 1 : 3); /* a split is whole or not; it is not read where its list is damaged */
        assert_non_null(strstr(t.last, strrchr(name, '/') + 1));
        make_source();
        import_again("pets", &fit);
    }
    tally t = {0};
    assert_int_equal(pg_image_folder_verify(scratch_path("data"), "pets", count, &t), PG_OK);
    assert_int_equal(t.ok, 4); /* two lists, two splits */
}

static void damaged_manifests_are_found(void **state)
{
    (void)state;
    const char *const name = "data/pets/manifest.json";
    const struct {
        const char *from, *to, *message;
    } edits[] = {{"\"name\": \"pets\"", "\"name\": \"pest\"",
                  "not the manifest of a folder of images: `patchgauge data import pets FOLDER` makes it again"},
                 {"  \"resize\": 16,\n  \"filter\": \"bilinear\",\n", "", "not the manifest of"},
                 {"[3, 12, 12]", "[3, 12, 11]", "not the manifest of"},
                 {"\"a cat\"", "\"..\"", "not the manifest of"},
                 {"\"a cat\"", "\"a/cat\"", "not the manifest of"},
                 {"\"images\": 12", "\"images\": 0", "not the manifest of"},
                 {"\"resize\": 16", "\"resize\": 11", "resize is not"},
                 {"\"resize\": 16", "\"resize\": 4097", "resize is not"},
                 {"  \"resize\": 16,\n", "", "resize is not"},
                 {"bilinear", "nearest", "filter is none"},
                 {"\"filter\": \"bilinear\"", "\"filter\": 0", "filter is none"},
                 {"\"val.list\"", "\"../l.list\"", "no plain name"},
                 {"\"images\": 12", "\"images\": 11", "12 images, the manifest says 11"},
                 {"\"a cat\", ", "", "is not \"SHA-256 BYTES LABEL FILE\""}};
    char *text, damaged[8300];
    size_t size;
    assert_int_equal(pg_file_read(scratch_path(name), 8192, &text, &size), PG_OK);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(text, edits[i].from);
        assert_non_null(at);
        int n = snprintf(damaged, sizeof damaged, "%.*s%s%s", (int)(at - text), text, edits[i].to, at + strlen(edits[i].from));
        scratch_write(name, damaged, (size_t)n);
        int code = read_split();
        if (code != PG_EDAMAGED || !strstr(pg_error_message(), edits[i].message))
            fail_msg("%s: %d %s", edits[i].to, code, pg_error_message());
    }
    scratch_write(name, text, size);
    free(text);
    assert_int_equal(read_split(), PG_OK);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Lists that a manifest vouches for, made by someone who is not a friend. */
static void crafted_lists_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t images;
        const char *message; /* NULL: good */
    } lists[] = {{HASH " 10 2 a b\n" HASH " 67108864 0 c\n", 2, NULL},
                 {HASH " 10 2 a b\n", 2, "1 images, the manifest says 2"},
                 {HASH " 10 3 x\n", 1, "line 1"},
                 {HASH " 10 -1 x\n", 1, "line 1"},
                 {HASH " 10 4294967296 x\n", 1, "line 1"},
                 {HASH " 10 0 ../x\n", 1, "line 1"},
                 {HASH " 10 0 ..\n", 1, "line 1"},
                 {HASH " 10 0 a/../../x\n", 1, "line 1"},
                 {HASH " 10 0 \n", 1, "line 1"},
                 {HASH " 10 0 a\tb\n", 1, "line 1"},
                 {HASH " 10 0\n", 1, "line 1"},
                 {HASH " 0 0 x\n", 1, "line 1"},
                 {HASH " 268435457 0 x\n", 1, "line 1"},
                 {HASH " ten 0 x\n", 1, "line 1"},
                 {HASH " 1 0 x\n" HASH "0 1 0 x\n", 1, "line 2"},
                 {HASH " 1 0 x", 1, "no end"}};
    pg_manifest manifest = {.name = "crafted", .n_classes = 3};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        pg_manifest_file file = {.name = "crafted.list", .images = lists[i].images, .bytes = (int64_t)strlen(lists[i].text)};
        pg_image_list list;
        scratch_write(file.name, lists[i].text, strlen(lists[i].text));
        assert_int_equal(pg_hash_bytes(lists[i].text, strlen(lists[i].text), file.hash), PG_OK);
        int code = pg_image_list_read(scratch_folder, &manifest, &file, &list);
        if (code != (lists[i].message ? PG_EDAMAGED : PG_OK) ||
            (code != PG_OK && !strstr(pg_error_message(), lists[i].message)))
            fail_msg("%s: %d %s", lists[i].text, code, pg_error_message());
        if (code == PG_OK)
            assert_string_equal(list.entries[0].file, "a b");
        pg_image_list_release(&list);
    }
}

int main(void)
{
    pg_log_quiet(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_never_read),
        cmocka_unit_test(damaged_manifests_are_found),
        cmocka_unit_test(crafted_lists_are_refused),
    };
    return cmocka_run_group_tests(tests, make_pets, scratch_remove);
}
