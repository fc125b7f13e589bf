/* Folders of images as data sets: import, order, identity, and what is refused. */
#include "tests/support/pets_fixture.h"
#include "tests/support/pillow.h"
#include "tests/support/program.h"

#include <pthread.h>
#include <sys/resource.h>

static int start(void **state) { return pillow_start(state) || make_pets(state) ? -1 : 0; }
static int stop(void **state) { return pillow_stop(state) | scratch_remove(state); }

/* ---- Reading ---- */

/* The image of the list's line as the file, the decoder and the resize have it. */
static void expect_image(const char *data, const char *folder, const char *line, const uint8_t *planes, int32_t label, int side)
{
    char path[700], hash[PG_HASH_HEX], *bytes;
    size_t size;
    pg_image image;
    const char *name = strchr(strchr(strchr(line, ' ') + 1, ' ') + 1, ' ') + 1;
    pg_manifest manifest;
    assert_int_equal(pg_manifest_read(data, &manifest), PG_OK);
    snprintf(path, sizeof path, "%s/%s/%.*s", folder, manifest.classes[label], (int)strcspn(name, "\n"), name);
    assert_int_equal(pg_file_read(path, 1 << 20, &bytes, &size), PG_OK);
    assert_int_equal(pg_hash_file(path, hash), PG_OK);
    assert_memory_equal(hash, line, PG_HASH_HEX - 1);
    assert_int_equal(pg_image_decode(bytes, size, &image), PG_OK);
    uint8_t *square = malloc((size_t)side * (size_t)side * 3);
    assert_int_equal(pg_resize_crop(&image, manifest.resize_px, manifest.filter, side, square), PG_OK);
    for (int i = 0; i < side * side; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(planes[c * side * side + i], square[3 * i + c]);
    free(square);
    free(bytes);
    pg_image_release(&image);
    pg_manifest_release(&manifest);
}

static void images_are_in_the_order_of_their_hashes(void **state)
{
    (void)state;
    const struct {
        const char *spec, *list, *folder;
        int images;
    } splits[] = {{"pets:val", "data/pets/val.list", "source/val", VAL * CLASSES},
                  {"pets:train", "data/pets/train.list", "source/train", TRAIN * CLASSES}};
    for (int s = 0; s < 2; s++) {
        pg_dataset *dataset = open_ok(scratch_path("data"), splits[s].spec);
        const pg_dataset_info *info = pg_dataset_info_of(dataset);
        assert_int_equal(info->images, splits[s].images);
        assert_true(info->height == SIDE && info->width == SIDE && info->classes == CLASSES);
        assert_string_equal(info->name, "pets");
        for (int c = 0; c < CLASSES; c++)
            assert_string_equal(info->class_names[c], classes[c]);
        uint8_t pixels[VAL * CLASSES][PIXELS], one[PIXELS];
        int32_t labels[VAL * CLASSES], seen[CLASSES] = {0}, label = -1;
        assert_int_equal(pg_dataset_read(dataset, 0, info->images, &pixels[0][0], labels), PG_OK);
        char *text;
        size_t size;
        assert_int_equal(pg_file_read(scratch_path(splits[s].list), 1 << 20, &text, &size), PG_OK);
        const char *line = text;
        for (int i = 0; i < info->images; i++, line = strchr(line, '\n') + 1) {
            expect_image(scratch_path("data/pets"), scratch_path(splits[s].folder), line, pixels[i], labels[i], SIDE);
            seen[labels[i]]++;
        }
        for (int c = 0; c < CLASSES; c++)
            assert_int_equal(seen[c], splits[s].images / CLASSES);
        free(text);
        /* parts, and one of the two alone */
        assert_int_equal(pg_dataset_read(dataset, 3, 1, one, NULL), PG_OK);
        assert_memory_equal(one, pixels[3], PIXELS);
        assert_int_equal(pg_dataset_read(dataset, 5, 1, NULL, &label), PG_OK);
        assert_int_equal(label, labels[5]);
        assert_int_equal(pg_dataset_read(dataset, info->images, 1, one, NULL), PG_EINPUT);
        pg_dataset_close(dataset);
    }
    assert_int_equal(scratch_count(scratch_path("data")),
                     1 + 3 + 2 * (1 + CLASSES) + (VAL + TRAIN) * CLASSES); /* nothing else */
}

static void lists_are_sorted(void **state)
{
    (void)state;
    char *text, last[PG_HASH_HEX] = "";
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("data/pets/val.list"), 1 << 20, &text, &size), PG_OK);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_true(strncmp(last, line, PG_HASH_HEX - 1) < 0);
        memcpy(last, line, PG_HASH_HEX - 1);
    }
    free(text);
}

static void *read_all(void *dataset)
{
    uint8_t pixels[PIXELS], first[PIXELS];
    if (pg_dataset_read(dataset, 0, 1, first, NULL))
        return dataset;
    for (int i = 0; i < 60; i++)
        if (pg_dataset_read(dataset, i % (VAL * CLASSES), 1, pixels, NULL) ||
            (i % (VAL * CLASSES) == 0 && memcmp(pixels, first, PIXELS) != 0))
            return dataset;
    return NULL;
}

static void threads_read_at_once(void **state)
{
    (void)state;
    pg_dataset *dataset = open_ok(scratch_path("data"), "pets:val");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, dataset), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    pg_dataset_close(dataset);
}

static void wrong_names_are_explained(void **state)
{
    (void)state;
    const struct {
        const char *spec, *message;
    } wrong[] = {{"pest:val", "did you mean 'pets'?"},
                 {"pets:vla", "did you mean 'pets:val'?"},
                 {"pets:everything", "one of train, val"},
                 {"pets:test", "one of train, val"},
                 {"../data/pets:val", "unknown data set"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pg_dataset *dataset = NULL;
        assert_int_equal(pg_dataset_open(scratch_path("data"), wrong[i].spec, &dataset), PG_EINPUT);
        assert_non_null(strstr(pg_error_message(), wrong[i].message));
        assert_null(dataset);
    }
    const char *const names[] = {"", "a/b", ".", "..", "-x", "a b", "a23456789012345678901234567890_2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(pg_image_folder_import(scratch_path("data"), names[i], scratch_path("source"), &fit, NULL), PG_EINPUT);
    const int sides[][2] = {{10, 11}, {0, 0}, {PG_MANIFEST_SIDE + 1, 5}, {5, 0}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"),
                                                &(pg_image_fit){sides[i][0], sides[i][1], 0}, NULL),
                         PG_EINPUT);
}

/* ---- Identity ---- */

static void hash_of(const char *spec, char hash[PG_HASH_HEX])
{
    pg_dataset *dataset = open_ok(scratch_path("data"), spec);
    strcpy(hash, pg_dataset_info_of(dataset)->hash);
    pg_dataset_close(dataset);
}

static void expect_identity(const char *spec, const char *before, bool same)
{
    char hash[PG_HASH_HEX];
    hash_of(spec, hash);
    assert_true(same == (strcmp(hash, before) == 0));
}

static void identity_is_content(void **state)
{
    (void)state;
    char val[PG_HASH_HEX], train[PG_HASH_HEX];
    hash_of("pets:val", val);
    hash_of("pets:train", train);
    assert_string_not_equal(val, train);
    import_again("animals", &fit); /* names of data sets are no matter, nor those of files */
    expect_identity("animals:val", val, true);
    assert_int_equal(rename(scratch_path("source/val/a cat/no 1.JPEG"), scratch_path("source/val/a cat/\xe9'\".png")), 0);
    import_again("pets", &fit);
    expect_identity("pets:val", val, true);
    const pg_image_fit others[] = {
        {17, SIDE, PG_FILTER_BILINEAR}, {16, SIDE - 1, PG_FILTER_BILINEAR}, {16, SIDE, PG_FILTER_BICUBIC}};
    for (int i = 0; i < 3; i++) {
        import_again("pets", &others[i]);
        expect_identity("pets:val", val, false);
    }
    /* another label */
    assert_int_equal(rename(scratch_path("source/val/a cat/\xe9'\".png"), scratch_path("source/val/dog's/0.png")), 0);
    import_again("pets", &fit);
    expect_identity("pets:val", val, false);
    expect_identity("pets:train", train, true);
    /* another image, another name of a class */
    make_source();
    put("source/val/a cat/no 0.JPEG", make_file(77));
    import_again("pets", &fit);
    expect_identity("pets:val", val, false);
    make_source();
    assert_int_equal(rename(scratch_path("source/val/a cat"), scratch_path("source/val/b cat")), 0);
    assert_int_equal(rename(scratch_path("source/train/a cat"), scratch_path("source/train/b cat")), 0);
    import_again("pets", &fit);
    expect_identity("pets:val", val, false);
    make_source();
    import_again("pets", &fit);
    expect_identity("pets:val", val, true);
    pg_folder_remove(scratch_path("data/animals"));
}

/* A set can be imported from where it lies: another size without the originals. */
static void a_set_can_be_imported_from_itself(void **state)
{
    (void)state;
    char first[PG_HASH_HEX];
    int entries = scratch_count(scratch_path("data"));
    hash_of("pets:val", first);
    for (int i = 0; i < 2; i++) {
        pg_image_fit other = {16, i ? SIDE : 9, PG_FILTER_BILINEAR};
        assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("data/pets"), &other, NULL), PG_OK);
        expect_identity("pets:val", first, i);
        assert_int_equal(scratch_count(scratch_path("data")), entries);
    }
}

/* ---- What is refused ---- */

/* The import fails with this code and message, and nothing is written, not even a temporary folder. */
static void expect_refusal(int code, const char *message)
{
    int result = pg_image_folder_import(scratch_path("fresh"), "pets", scratch_path("source"), &fit, NULL);
    if (result != code || !strstr(pg_error_message(), message))
        fail_msg("%d %s, not: %s", result, pg_error_message(), message);
    assert_int_not_equal(access(scratch_path("fresh"), F_OK), 0);
    make_source();
}

static void bad_folders_write_nothing(void **state)
{
    (void)state;
    pg_folder_remove(scratch_path("source"));
    expect_refusal(PG_EMISSING, "no such folder");
    pg_folder_remove(scratch_path("source/val"));
    assert_int_equal(rename(scratch_path("source/train"), scratch_path("source/training")), 0);
    expect_refusal(PG_EMISSING, "no folder train, val or test");
    scratch_write("source/val/list.txt", "x", 1);
    expect_refusal(PG_EINPUT, "source/val/list.txt: not a folder");
    mkdir(scratch_path("source/val/zebra"), 0700);
    expect_refusal(PG_EINPUT, "class 'zebra' is not in every split");
    mkdir(scratch_path("source/val/\xc3\xa4"), 0700); /* the last one */
    expect_refusal(PG_EINPUT, "class '\xc3\xa4' is not in every split");
    mkdir(scratch_path("source/train/\xc3\xa4"), 0700);
    expect_refusal(PG_EINPUT, "class '\xc3\xa4' is not in every split");
    pg_folder_remove(scratch_path("source/train/a cat"));
    expect_refusal(PG_EINPUT, "class 'a cat' is not in every split");
    pg_folder_remove(scratch_path("source/val/dog's"));
    expect_refusal(PG_EINPUT, "class 'dog's' is not in every split");
    mkdir(scratch_path("source/test"), 0700);
    expect_refusal(PG_EINPUT, "source/test: no folders of classes");
    mkdir(scratch_path("source/val/zebra"), 0700);
    mkdir(scratch_path("source/train/zebra"), 0700);
    expect_refusal(PG_EINPUT, "train/zebra: no images in it");
    mkdir(scratch_path("source/val/\xff\xfe"), 0700);
    mkdir(scratch_path("source/train/\xff\xfe"), 0700);
    expect_refusal(PG_EINPUT, "bytes of UTF-8");
    mkdir(scratch_path("source/val/a\nb"), 0700);
    mkdir(scratch_path("source/train/a\nb"), 0700);
    expect_refusal(PG_EINPUT, "printable");
}

static pg_buf text_file(const char *text)
{
    pg_buf file;
    pg_buf_init(&file);
    pg_buf_puts(&file, text);
    return file;
}

static pg_buf cut(pg_buf file)
{
    file.size /= 2;
    return file;
}

static void bad_images_are_named(void **state)
{
    (void)state;
    const char *const name = "source/val/dog's/no 1.JPEG";
    const struct {
        pg_buf file;
        const char *reason;
    } bad[] = {{text_file(""), "neither a JPEG nor a PNG file, but empty"},
               {text_file("<html>not found</html>"), "an HTML page"},
               {text_file("GIF89a"), "a GIF image: right would be a JPEG or PNG file"},
               {cut(make_file(1)), "damaged JPEG"},
               {cut(make_file(0)), "damaged PNG"},
               {fixture_png_make(&(fixture_png){9, 7, 16, PNG_COLOR_TYPE_GRAY, false, -1}, 1), "a grayscale PNG of 16 bits"},
               {fixture_png_header(65536, 65536), "65536 x 65536 pixels"}};
    char message[128];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(name, bad[i].file);
        snprintf(message, sizeof message, "val/dog's/no 1.JPEG: %s", bad[i].reason);
        expect_refusal(PG_EINPUT, message);
    }
    for (int i = 0; i < 4; i++) {
        int result = i == 0   ? mkdir(scratch_path("source/val/dog's/more"), 0700)
                     : i == 1 ? mkfifo(scratch_path("source/val/dog's/more"), 0600)
                     : i == 2 ? symlink("nothing", scratch_path("source/val/dog's/more"))
                              : rename(scratch_path(name), scratch_path("source/val/dog's/mo\nre"));
        assert_int_equal(result, 0);
        expect_refusal(PG_EINPUT, "1 of ");
    }
    put("source/val/dog's/no 1.JPEG", text_file("x"));
    put("source/train/a cat/no 0.JPEG", text_file("x"));
    expect_refusal(PG_EINPUT, "2 of 18 files cannot be used, nothing is imported; the first: ");
}

/* ---- Names, clutter, what is left out ---- */

static void put_class(const char *split, const char *name, const char *file, int seed)
{
    char path[256];
    snprintf(path, sizeof path, "source/%s/%s", split, name);
    assert_int_equal(pg_make_folders(scratch_path(path)), PG_OK);
    snprintf(path, sizeof path, "source/%s/%s/%s", split, name, file);
    put(path, make_file(seed));
}

static void classes_have_any_printable_name(void **state)
{
    (void)state;
    char longest[201] = ""; /* that the fixture's paths have room for */
    memset(longest, 'y', 200);
    const char *const names[] = {"a 5\" disk", "back\\slash", "\\u0041", longest, "\xe7\x8c\xab", "{}[],:"};
    enum { N = sizeof names / sizeof *names };
    pg_folder_remove(scratch_path("source"));
    for (int i = 0; i < N; i++)
        put_class("test", names[i], "0.png", i);
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "named", scratch_path("source"), &fit, NULL), PG_OK);
    pg_dataset *dataset = open_ok(scratch_path("data"), "named:test");
    uint8_t pixels[N * PIXELS];
    int32_t labels[N];
    assert_int_equal(pg_dataset_info_of(dataset)->classes, N);
    for (int i = 0; i < N; i++) {
        bool found = false;
        for (int k = 0; k < N; k++)
            found = found || strcmp(pg_dataset_info_of(dataset)->class_names[k], names[i]) == 0;
        assert_true(found);
    }
    assert_int_equal(pg_dataset_read(dataset, 0, N, pixels, labels), PG_OK);
    pg_dataset_close(dataset);
    pg_folder_remove(scratch_path("data/named"));
    put_class("test",
              "\xc2\x9b"
              "31m",
              "0.png", 1);
    expect_refusal(PG_EINPUT, "a control character in the name of a class");
}

/* What file managers leave, and a folder of its own round the splits. */
static void clutter_is_left_out(void **state)
{
    (void)state;
    char val[PG_HASH_HEX];
    hash_of("pets:val", val);
    mkdir(scratch_path("source/val/__MACOSX"), 0700);
    scratch_write("source/val/.DS_Store", "x", 1);
    scratch_write("source/val/desktop.ini", "x", 1);
    scratch_write("source/val/dog's/Thumbs.db", "x", 1);
    scratch_write("source/val/dog's/._no 1.JPEG", "\0\5\x16\7", 4);
    mkdir(scratch_path("source/val/dog's/@eaDir"), 0700);
    import_again("pets", &fit);
    expect_identity("pets:val", val, true);
    mkdir(scratch_path("outer"), 0700);
    mkdir(scratch_path("outer/__MACOSX"), 0700);
    assert_int_equal(rename(scratch_path("source"), scratch_path("outer/pets")), 0);
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("outer"), &fit, NULL), PG_OK);
    expect_identity("pets:val", val, true);
    pg_folder_remove(scratch_path("outer"));
    make_source();
}

static void expect_file(const char *name, const char *expected)
{
    char *text;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path(name), 1 << 16, &text, &size), PG_OK);
    assert_string_equal(text, expected);
    free(text);
}

/* Without the damaged files the set is the one that was never damaged. */
static void damaged_files_can_be_left_out(void **state)
{
    (void)state;
    char val[PG_HASH_HEX], train[PG_HASH_HEX];
    int64_t left_out = -1;
    assert_int_equal(unlink(scratch_path("source/val/dog's/no 1.JPEG")), 0);
    assert_int_equal(unlink(scratch_path("source/train/a cat/no 0.JPEG")), 0);
    import_again("pets", &fit);
    hash_of("pets:val", val);
    hash_of("pets:train", train);
    make_source();
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, &left_out), PG_OK);
    assert_int_equal(left_out, 0); /* nothing is damaged, and nothing listed */
    assert_int_not_equal(access(scratch_path("data/pets/skipped.txt"), F_OK), 0);
    expect_identity("pets:val", val, false);
    put("source/val/dog's/no 1.JPEG", text_file("GIF89a"));
    put("source/train/a cat/no 0.JPEG", text_file(""));
    put("source/train/labels.csv", text_file("a,b"));
    mkdir(scratch_path("source/val/dog's/a\n\x1b\\"), 0700);
    assert_int_equal(mkfifo(scratch_path("source/val/dog's/pipe"), 0600), 0);
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, &left_out), PG_OK);
    assert_int_equal(left_out, 5);
    expect_identity("pets:val", val, true);
    expect_identity("pets:train", train, true);
    expect_file("data/pets/skipped.txt", "train/labels.csv\tnot a folder: right would be SPLIT/CLASS/FILE\n"
                                         "val/dog's/a\\x0a\\x1b\\x5c\ta control character in the file's name\n"
                                         "train/a cat/no 0.JPEG\tneither a JPEG nor a PNG file, but empty\n"
                                         "val/dog's/no 1.JPEG\ta GIF image: right would be a JPEG or PNG file\n"
                                         "val/dog's/pipe\tnot a regular file\n");
    pg_dataset *dataset = open_ok(scratch_path("data"), "pets:val");
    uint8_t pixels[PIXELS];
    assert_int_equal(pg_dataset_info_of(dataset)->images, VAL * CLASSES - 1);
    assert_int_equal(pg_dataset_read(dataset, VAL * CLASSES - 2, 1, pixels, NULL), PG_OK);
    pg_dataset_close(dataset);
    make_source();
    for (int i = 0; i < VAL; i++) {
        char name[100];
        snprintf(name, sizeof name, "source/val/a cat/no %d.JPEG", i);
        put(name, text_file("x"));
    }
    int code = pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, &left_out);
    assert_int_equal(code, PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "no image of val/a cat can be used"));
    expect_identity("pets:val", val, true); /* the last good import stays */
    make_source();
    import_again("pets", &fit);
}

static void what_was_not_imported_is_kept(void **state)
{
    (void)state;
    assert_int_equal(pg_make_folders(scratch_path("data/photos/holiday")), PG_OK);
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "photos", scratch_path("source"), &fit, NULL), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "was not imported"));
    assert_int_equal(access(scratch_path("data/photos/holiday"), F_OK), 0);
    pg_folder_remove(scratch_path("data/photos"));
    assert_int_equal(symlink("loop", scratch_path("data/loop")), 0);
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "loop", scratch_path("source"), &fit, NULL), PG_EINPUT);
    assert_int_equal(unlink(scratch_path("data/loop")), 0);
    put("source/val/dog's/no 1.JPEG", text_file("x"));
    int entries = scratch_count(scratch_path("data"));
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, NULL), PG_EINPUT);
    assert_int_equal(scratch_count(scratch_path("data")), entries); /* the last good import stays */
    pg_dataset_close(open_ok(scratch_path("data"), "pets:val"));
    make_source();
}

/* The list cannot be written, as on a full disk. */
static void an_import_that_breaks_off_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit old, small;
    int entries = scratch_count(scratch_path("data"));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int code = pg_image_folder_import(scratch_path("data"), "pets", scratch_path("source"), &fit, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(code, PG_EIO);
    assert_int_equal(scratch_count(scratch_path("data")), entries);
    pg_dataset_close(open_ok(scratch_path("data"), "pets:val"));
}

/* ---- The program, and real images ---- */

static void expect_output(int code, int expected, const char *part)
{
    if (code != expected || !strstr(program_output, part))
        fail_msg("exit code %d: %s", code, program_output);
}

static void the_program_imports_and_runs(void **state)
{
    (void)state;
    char data[300];
    snprintf(data, sizeof data, "--data '%s' --quiet", scratch_path("new"));
#define RUN(...) program_run("x.db", "%s " __VA_ARGS__)
    expect_output(RUN("data import pets '%s' --resize 40 --crop=32 --filter bicubic", data, scratch_path("source")), 0,
                  "pets:val 12 images");
    expect_output(RUN("list datasets", data), 0, "pets:train           6 images, 32 x 32 px, 3 classes");
    expect_output(RUN("data verify pets", data), 0, "val.list: ok");
    const char matrix[] =
        "[fixed]\ndataset = \"pets:val\"\nweights = \"null\"\ndefense = \"ds\"\npatch = 5\nbatch = 5\n\"null.classes\" = 3\n";
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    expect_output(RUN("run '%s'", data, scratch_path("m.toml")), 0, "");
    expect_output(RUN("table '%s'", data, scratch_path("m.toml")), 0, "n = 12 images");
    scratch_write("file", "", 0);
    assert_int_equal(program_run("x.db", "--data %s/file data import pets %s/source", scratch_folder, scratch_folder), 2);
    expect_output(RUN("data import pets '%s' --crop 257", data, scratch_path("source")), 2, "1 <= crop <= resize");
    expect_output(RUN("data import pets '%s' --filter nearest", data, scratch_path("source")), 2, "one of bilinear, bicubic");
    expect_output(RUN("data import pets '%s' --resize 5000", data, scratch_path("source")), 2, "an integer from 1 to 4096");
    expect_output(RUN("data import cifar10 '%s' --resize 32", data, scratch_path("source")), 2, "not for cifar10");
    expect_output(RUN("data fetch pets", data), 2, "was imported");
    put("source/val/dog's/no 1.JPEG", text_file("x"));
    expect_output(RUN("data import pets '%s'", data, scratch_path("source")), 2, "neither a JPEG nor a PNG");
    expect_output(RUN("data import less '%s' --skip-damaged", data, scratch_path("source")), 0, "1 of 18 files left out; ");
    expect_output(RUN("data import cifar10 '%s' --skip-damaged", data, scratch_path("source")), 2, "not for cifar10");
    make_source();
    unlink(scratch_path("new/pets/val/dog's/no 1.JPEG"));
    expect_output(RUN("data verify pets", data), 2, "no 1.JPEG: DAMAGED");
    expect_output(RUN("run '%s' -S seed=1 -S batch=6", data, scratch_path("m.toml")), 1,
                  "`patchgauge data import pets FOLDER` makes it again");
#undef RUN
}

/* The real data, where they are: every image of a part, as Pillow has it. */
static void imagenette_is_that_of_pillow(void **state)
{
    (void)state;
    enum { STEP = 25, REAL = 224 };
    const char *base = getenv("PATCHGAUGE_TEST_DATA");
    char source[600], file[900], *text, *bytes;
    size_t size;
    snprintf(source, sizeof source, "%s/imagenette/val", base && *base ? base : "build/data");
    if (access(source, R_OK) != 0 || !pillow_ready())
        skip();
    char *real = realpath(source, NULL);
    assert_int_equal(pg_make_folders(scratch_path("real")), PG_OK);
    assert_int_equal(symlink(real, scratch_path("real/val")), 0);
    free(real);
    pg_image_fit how = {256, REAL, PG_FILTER_BICUBIC};
    assert_int_equal(pg_image_folder_import(scratch_path("data"), "imagenette", scratch_path("real"), &how, NULL), PG_OK);
    pg_dataset *dataset = open_ok(scratch_path("data"), "imagenette:val");
    const pg_dataset_info *info = pg_dataset_info_of(dataset);
    assert_int_equal(info->images, 3925);
    assert_int_equal(info->classes, 10);
    assert_int_equal(pg_file_read(scratch_path("data/imagenette/val.list"), 1 << 20, &text, &size), PG_OK);
    const char *line = text;
    uint8_t *planes = malloc(3 * REAL * REAL);
    for (int i = 0; i < info->images; i++, line = strchr(line, '\n') + 1) {
        int32_t label = -1;
        const char *name = strchr(strchr(strchr(line, ' ') + 1, ' ') + 1, ' ') + 1;
        if (i % STEP)
            continue;
        assert_int_equal(pg_dataset_read(dataset, i, 1, planes, &label), PG_OK);
        snprintf(file, sizeof file, "%s/%s/%.*s", source, info->class_names[label], (int)strcspn(name, "\n"), name);
        assert_int_equal(pg_file_read(file, 1 << 20, &bytes, &size), PG_OK);
        pg_image image = pillow_ask(bytes, size, "decode %zu", size);
        pg_image square = pillow_ask(image.pixels, (size_t)image.height * (size_t)image.width * 3, "crop %d %d bicubic %d %d",
                                     image.width, image.height, how.resize_px, REAL);
        for (int k = 0; k < 3 * REAL * REAL; k++)
            assert_int_equal(planes[k], square.pixels[k % (REAL * REAL) * 3 + k / (REAL * REAL)]);
        pg_image_release(&square);
        pg_image_release(&image);
        free(bytes);
    }
    free(planes);
    free(text);
    pg_dataset_close(dataset);
}

int main(void)
{
    pg_log_quiet(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_in_the_order_of_their_hashes),
        cmocka_unit_test(lists_are_sorted),
        cmocka_unit_test(threads_read_at_once),
        cmocka_unit_test(wrong_names_are_explained),
        cmocka_unit_test(identity_is_content),
        cmocka_unit_test(a_set_can_be_imported_from_itself),
        cmocka_unit_test(bad_folders_write_nothing),
        cmocka_unit_test(bad_images_are_named),
        cmocka_unit_test(classes_have_any_printable_name),
        cmocka_unit_test(clutter_is_left_out),
        cmocka_unit_test(damaged_files_can_be_left_out),
        cmocka_unit_test(what_was_not_imported_is_kept),
        cmocka_unit_test(an_import_that_breaks_off_leaves_nothing),
        cmocka_unit_test(the_program_imports_and_runs),
        cmocka_unit_test(imagenette_is_that_of_pillow),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
