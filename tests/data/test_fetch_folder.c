/* Fetching folders of images and single files from a server of our own: the archive of ImageNette in small, archives with what
 * they should not hold, and files whose size nobody states. */
#include "tests/support/server.h"

#include "tests/support/pets_fixture.h"
#include "tests/support/program.h"

enum { MOST_ENTRIES = 32 };
static entry entries[MOST_ENTRIES]; /* of the archive that is packed next */
static size_t n_entries;

static void add(const char *path, const char *data, size_t size, char type)
{
    entries[n_entries++] = (entry){path, data, size, type};
}

static char *files[MOST_ENTRIES]; /* contents of entries */
static size_t n_files;

static void drop_files(void)
{
    while (n_files > 0)
        free(files[--n_files]);
}

/* The folder "source" of the fixture below `top` ("" for none), and what ImageNette's archive has beside its splits. */
static void add_pets(const char *top)
{
    static char paths[MOST_ENTRIES][256];
    const char *const splits[] = {"train", "val"};
    int n = 0;
    n_entries = 0;
    drop_files();
    if (*top)
        add(top, NULL, 0, 'd');
    snprintf(paths[n], sizeof paths[n], "%snoisy.csv", top);
    add(paths[n++], "a,b", 3, 'f');
    for (int s = 0; s < 2; s++)
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i < (s ? VAL : TRAIN); i++) {
                char name[200], *bytes;
                size_t size;
                snprintf(name, sizeof name, "source/%s/%s/no %d.JPEG", splits[s], classes[c], i);
                assert_int_equal(pg_file_read(scratch_path(name), 1 << 20, &bytes, &size), PG_OK);
                snprintf(paths[n], sizeof paths[n], "%s%s", top, name + strlen("source/"));
                add(paths[n++], bytes, size, 'f');
                files[n_files++] = bytes;
            }
}

/* Serves the entries; `data` begins empty. */
static blob serve_entries(bool tar, const behaviour *script, pg_fetch *fetch)
{
    blob archive = pack_as(tar, entries, n_entries);
    *fetch = offer(&archive, script);
    fetch->size = 0;
    return archive;
}

static int fetch_pets(const pg_fetch *fetch) { return pg_image_folder_fetch(scratch_path("data"), "pets", fetch, &fit, NULL); }

static void expect_pets(const pg_fetch *fetch)
{
    if (fetch_pets(fetch) != PG_OK)
        fail_msg("%s", pg_error_message());
    pg_dataset *dataset = open_ok(scratch_path("data"), "pets:val");
    assert_int_equal(pg_dataset_info_of(dataset)->images, CLASSES * VAL);
    pg_dataset_close(dataset);
    assert_int_equal(scratch_hidden(scratch_path("data")), 0);
}

static void expect_refused(const pg_fetch *fetch, int code, const char *message)
{
    int result = fetch_pets(fetch);
    if (result != code || !strstr(pg_error_message(), message))
        print_error("%d %s\n", result, pg_error_message());
    assert_int_equal(result, code);
    assert_non_null(strstr(pg_error_message(), message));
    assert_int_not_equal(access(scratch_path("data/pets"), F_OK), 0);
    assert_int_not_equal(access(scratch_path("escaped"), F_OK), 0);
}

static void start_anew(void) { pg_folder_remove(scratch_path("data")); }

static void expect_output(const char *piece)
{
    if (!strstr(program_output, piece))
        print_error("not in the output: %s\n%s\n", piece, program_output);
    assert_non_null(strstr(program_output, piece));
}

/* By the command: what an archive gives is what `import` makes of the folder. */
static void imagenette_is_fetched_as_it_is_imported(void **state)
{
    (void)state;
    char lines[1024];
    pg_fetch fetch;
    assert_int_equal(program_run("db", "--quiet --data %s/other data import imagenette %s/source --resize 16 --crop 12",
                                 scratch_folder, scratch_folder),
                     0);
    snprintf(lines, sizeof lines, "%.1000s", program_output);
    add_pets("imagenette2-320/");
    blob archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    start_anew();
    assert_int_equal(program_run("db", "--data %s/data list datasets", scratch_folder), 0);
    assert_int_equal(program_run("db",
                                 "--quiet --data %s/data data fetch imagenette --url %s --sha256 %s --resize 16 --crop 12",
                                 scratch_folder, fetch.url, fetch.hash),
                     0);
    assert_string_equal(program_output, lines);
    expect_output("imagenette:val 12 images ");
    assert_int_equal(program_run("db", "--data %s/data data verify imagenette", scratch_folder), 0);
    assert_int_equal(scratch_hidden(scratch_path("data")), 0);
    /* the official archive is another one: what the server has in its place is refused */
    assert_int_equal(program_run("db", "--data %s/none data fetch imagenette --side 160 --url %s", scratch_folder, fetch.url),
                     2);
    expect_output("right would be e793b78cc4c9e9a4ccc0c1155377a412");
    assert_int_equal(program_run("db", "--data %s/none data fetch imagenette --side 161", scratch_folder), 2);
    expect_output("one of 320, 160, full");
    static const char matrix[] =
        "fixed = { dataset = \"imagenette:val\", weights = \"null\", defense = \"mean\", patch = 3 }\n";
    scratch_write("m.toml", matrix, sizeof matrix - 1);
    assert_int_equal(program_run("db", "--data %s/none plan %s/m.toml", scratch_folder, scratch_folder), 2);
    expect_output("`patchgauge data fetch imagenette` or `patchgauge data import imagenette DIR` puts it there");
    free(archive.data);
}

static void archives_come_as_zip_and_without_a_folder(void **state)
{
    (void)state;
    pg_fetch fetch;
    add_pets("");
    for (int tar = 0; tar < 2; tar++) {
        blob archive = serve_entries(tar, SCRIPT(NORMAL), &fetch);
        start_anew();
        expect_pets(&fetch);
        free(archive.data);
    }
    add_pets("./a/b/"); /* not unpacked by name but by what is in it */
    blob archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    expect_pets(&fetch); /* in the place of the earlier one */
    free(archive.data);
}

/* What macOS and Windows put beside files, round a folder of its own, is no matter. */
static void archives_have_clutter(void **state)
{
    (void)state;
    pg_fetch fetch;
    for (int tar = 0; tar < 2; tar++) {
        add_pets("pets/");
        add("__MACOSX/pets/val/a cat/._no 0.JPEG", "\0\5\x16\7", 4, 'f');
        add("pets/.DS_Store", "x", 1, 'f');
        add("pets/val/.DS_Store", "x", 1, 'f');
        add("pets/val/dog's/Thumbs.db", "x", 1, 'f');
        blob archive = serve_entries(tar, SCRIPT(NORMAL), &fetch);
        start_anew();
        expect_pets(&fetch);
        free(archive.data);
    }
}

/* By the command, in the C locale, from a file: classes have the names that they have as folders. */
static void archives_are_imported_from_files(void **state)
{
    (void)state;
    char lines[1024];
    assert_int_equal(program_run("db", "--quiet --data %s/data data import pets %s/source --resize 16 --crop 12",
                                 scratch_folder, scratch_folder),
                     0);
    snprintf(lines, sizeof lines, "%.1000s", program_output);
    setenv("LC_ALL", "C", 1);
    for (int tar = 0; tar < 2; tar++) {
        add_pets("\xc3\xa4/");
        blob archive = pack_as(tar, entries, n_entries);
        scratch_write("pets.archive", archive.data, archive.size);
        free(archive.data);
        start_anew();
        assert_int_equal(program_run("db", "--quiet --data %s/data data import pets %s/pets.archive --resize 16 --crop 12",
                                     scratch_folder, scratch_folder),
                         0);
        assert_string_equal(program_output, lines);
        assert_int_equal(scratch_hidden(scratch_path("data")), 0);
    }
    unsetenv("LC_ALL");
    /* what cannot be used is told by its place in the archive, and can be left out */
    add("\xc3\xa4/val/a cat/bad.png", "no image", 8, 'f');
    blob archive = pack_as(true, entries, n_entries);
    scratch_write("pets.archive", archive.data, archive.size);
    free(archive.data);
    start_anew();
    assert_int_equal(
        program_run("db", "--quiet --data %s/data data import pets %s/pets.archive", scratch_folder, scratch_folder), 2);
    expect_output("pets.archive: 1 of 19 files cannot be used, nothing is imported; the first: val/a cat/bad.png: neither");
    assert_int_not_equal(access(scratch_path("data"), F_OK), 0);
    assert_int_equal(program_run("db",
                                 "--quiet --data %s/data data import pets %s/pets.archive --skip-damaged --resize 16 --crop 12",
                                 scratch_folder, scratch_folder),
                     0);
    expect_output(lines);
    expect_output("1 of 19 files left out");
}

static void archives_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    static char zeros[3 << 20];
    char absolute[600], deep[80] = "", part[260] = "", path[1100] = "";
    for (int i = 0; i < 33; i++)
        strcat(deep, i ? "/d" : "d");
    memset(part, 'n', 256);
    for (size_t i = 0; i < 1024; i++)
        path[i] = i % 100 ? 'p' : i ? '/' : 'x';
    snprintf(absolute, sizeof absolute, "%s", scratch_path("escaped"));
    const struct {
        entry extra;
        const char *message;
    } cases[] = {
        {{"../escaped", "x", 1, 'f'}, "leads out"},
        {{"pets/../../../escaped", "x", 1, 'f'}, "leads out"},
        {{"pets/train/..", NULL, 0, 'd'}, "leads out"},
        {{absolute, "x", 1, 'f'}, "leads out"},
        {{"pets//x", "x", 1, 'f'}, "leads out"},
        {{"pets/link", "/etc", 0, 'l'}, "not a regular file"},
        {{"pets/link", "pets/noisy.csv", 0, 'h'}, "not a regular file"},
        {{"pets/noisy.csv", "x", 1, 'f'}, "twice"},
        {{"pets/bomb", zeros, sizeof zeros, 'f'}, "has more than"},
        {{"pets/__MACOSX/bomb", zeros, sizeof zeros, 'f'}, "has more contents than"},
        {{"pets/null", NULL, 0, 'c'}, "not a regular file"},
        {{"pets/pipe", NULL, 0, 'p'}, "not a regular file"},
        {{"pets/noisy.csv/x", "x", 1, 'f'}, "'pets/noisy.csv' as a file and as a folder"},
        {{"pets/noisy.csv/", NULL, 0, 'd'}, "'pets/noisy.csv' as a file and as a folder"},
        {{"pets/val", "x", 1, 'f'}, "twice"},
        {{deep, "x", 1, 'f'}, "more than 32 folders deep"},
        {{part, "x", 1, 'f'}, "a name of more than 255 bytes"},
        {{path, "x", 1, 'f'}, "is too long: at most 1023 bytes"},
    };
    start_anew();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pg_fetch fetch;
        add_pets("pets/");
        entries[n_entries++] = cases[i].extra;
        blob archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
        expect_refused(&fetch, PG_EDAMAGED, cases[i].message);
        assert_int_equal(scratch_hidden(scratch_path("data")), 0);
        free(archive.data);
    }
}

/* Files without contents cost nothing in an archive, and a place each on the disk. */
static void entries_are_counted(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    static char names[MANY][16];
    static entry many[MANY];
    pg_fetch fetch;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "x/%d", i);
        many[i] = (entry){names[i], "", 0, 'f'};
    }
    blob archive = pack(many, MANY);
    fetch = offer(&archive, SCRIPT(NORMAL));
    start_anew();
    expect_refused(&fetch, PG_EDAMAGED, " entries");
    assert_int_not_equal(access(scratch_path("data"), F_OK), 0); /* nor the folder that was made for it */
    free(archive.data);
}

/* What is no folder of images leaves what was imported before. */
static void a_failure_leaves_the_earlier_set(void **state)
{
    (void)state;
    pg_fetch fetch;
    add_pets("pets/");
    blob archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    start_anew();
    expect_pets(&fetch);
    free(archive.data);
    add("pets/val/a cat/bad.png", "no image", 8, 'f');
    archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    assert_int_equal(fetch_pets(&fetch), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "bad.png"));
    free(archive.data);
    n_entries = 0;
    add("pets/readme", "x", 1, 'f');
    archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    assert_int_equal(fetch_pets(&fetch), PG_EMISSING);
    free(archive.data);
    archive = (blob){strdup("no archive"), 10, 10};
    fetch = offer(&archive, SCRIPT(NORMAL));
    assert_int_equal(fetch_pets(&fetch), PG_EDAMAGED);
    assert_non_null(strstr(pg_error_message(), "not a sound archive"));
    free(archive.data);
    assert_int_equal(scratch_hidden(scratch_path("data")), 0);
    pg_dataset_close(open_ok(scratch_path("data"), "pets:val"));
    /* names that cannot be are refused before a byte is asked for */
    int connections = server.connections;
    assert_int_equal(pg_image_folder_fetch(scratch_path("data"), "../pets", &fetch, &fit, NULL), PG_EINPUT);
    assert_int_equal(server.connections, connections);
}

/* Where nobody states the size it is the server's; interruptions, other contents and MD5 are as with one. */
static void sizes_may_be_unknown(void **state)
{
    (void)state;
    pg_fetch fetch;
    add_pets("pets/");
    blob archive = serve_entries(true, SCRIPT(CUT, SILENT, CUT, NORMAL), &fetch);
    start_anew();
    expect_pets(&fetch);
    assert_int_equal(server.ranges[1], (long long)(archive.size / 3));
    start_anew();
    fetch = offer(&archive, SCRIPT(CUT, SILENT));
    fetch.size = 0;
    expect_refused(&fetch, PG_EIO, "127.0.0.1");
    fetch = offer(&archive, SCRIPT(NORMAL));
    fetch.size = 0;
    expect_pets(&fetch);
    assert_int_equal(server.connections, 1);
    assert_int_equal(server.ranges[0], (long long)(archive.size / 3));
    const struct {
        behaviour how;
        int code;
        const char *message;
    } cases[] = {{OTHER_BYTES, PG_EDAMAGED, "the download has SHA-256"},
                 {HTML, PG_EDAMAGED, "is a page of HTML"},
                 {CHUNKED_HTML, PG_EDAMAGED, "is a page of HTML"},
                 {ENDLESS, PG_EDAMAGED, "the download has SHA-256"},
                 {NOT_FOUND, PG_EMISSING, "answered 404"},
                 {REDIRECT_OUT, PG_EINPUT, "http://192.0.2.1/elsewhere: right would be"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start_anew();
        fetch = offer(&archive, SCRIPT(cases[i].how));
        fetch.size = 0;
        expect_refused(&fetch, cases[i].code, cases[i].message);
        assert_int_equal(scratch_hidden(scratch_path("data")), 0);
    }
    start_anew();
    fetch = offer(&archive, SCRIPT(CUT, WRONG_TOTAL)); /* another size than the first answer's */
    fetch.size = 0;
    expect_refused(&fetch, PG_EDAMAGED, "right would be");
    free(archive.data);
}

static void md5_counts_where_it_is_all_there_is(void **state)
{
    (void)state;
    pg_fetch fetch;
    char md5[PG_HASH_HEX];
    add_pets("pets/");
    blob archive = serve_entries(true, SCRIPT(NORMAL), &fetch);
    scratch_write("archive", archive.data, archive.size);
    assert_int_equal(pg_hash_file_md5(scratch_path("archive"), md5), PG_OK);
    assert_int_equal(strlen(md5), 32);
    fetch.hash = md5;
    start_anew();
    expect_pets(&fetch);
    start_anew();
    md5[31] = md5[31] == '0' ? '1' : '0';
    expect_refused(&fetch, PG_EDAMAGED, "the download has MD5");
    free(archive.data);
    scratch_write("abc", "abc", 3); /* RFC 1321, A.5 */
    assert_int_equal(pg_hash_file_md5(scratch_path("abc"), md5), PG_OK);
    assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72");
}

static void a_file_goes_where_it_is_wanted(void **state)
{
    (void)state;
    blob file = {strdup("weights of a network"), 20, 20};
    pg_fetch fetch = offer(&file, SCRIPT(NORMAL));
    char fetched[600];
    start_anew();
    mkdir(scratch_path("data"), 0700);
    snprintf(fetched, sizeof fetched, "data fetch %s --sha256 %s -o %s/data/w.safetensors", fetch.url, fetch.hash,
             scratch_folder);
    assert_int_equal(program_run("db", "%s", fetched), 0);
    assert_int_equal(program_run("db", "%s", fetched), 0); /* it is there */
    assert_int_equal(server.connections, 1);
    char *bytes;
    size_t size;
    assert_int_equal(pg_file_read(scratch_path("data/w.safetensors"), 100, &bytes, &size), PG_OK);
    assert_string_equal(bytes, file.data);
    free(bytes);
    scratch_write("data/w.safetensors", "mine", 4);
    assert_int_equal(program_run("db", "%s", fetched), 2);
    expect_output("is there already and holds something else");
    assert_int_equal(pg_file_size(scratch_path("data/w.safetensors")), 4);
    unlink(scratch_path("data/w.safetensors"));
    (void)offer(&file, SCRIPT(HTML));
    assert_int_equal(program_run("db", "%s", fetched), 2);
    expect_output("is a page of HTML");
    assert_int_equal(scratch_count(scratch_path("data")), 0);
    free(file.data);
}

static void what_is_asked_for_has_to_make_sense(void **state)
{
    (void)state;
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
    static const char *const cases[][2] = {
        {"http://192.0.2.1/x --sha256 " ZEROS " -o x", "begins with https://"},
        {"http://192.0.2.1/x --sha256 " ZEROS " --name x", "begins with https://"},
        {"cifar10 --url http://192.0.2.1/x", "begins with https://"},
        {"http://127.0.0.1.example/x --sha256 " ZEROS " -o x", "begins with https://"},
        {"http://localhost@192.0.2.1/x --sha256 " ZEROS " -o x", "begins with https://"},
        {"ftp://127.0.0.1/x --sha256 " ZEROS " -o x", "begins with https://"},
        {"https://127.0.0.1/x -o x", "wants its SHA-256"},
        {"https://127.0.0.1/x --sha256 ABC -o x", "64 lower-case"},
        {"https://127.0.0.1/x --sha256 " ZEROS, "-o FILE for a file"},
        {"https://127.0.0.1/x --sha256 " ZEROS " -o x --name x", "-o FILE for a file"},
        {"https://127.0.0.1/x --sha256 " ZEROS " -o x --resize 20", "-o FILE for a file"},
        {"https://127.0.0.1/x --sha256 " ZEROS " --name synthetic", "a data set of its own kind"},
        {"https://127.0.0.1/x --sha256 " ZEROS " --name cifar10", "a data set of its own kind"},
        {"https://127.0.0.1/x --sha256 " ZEROS " --name x --side 160", "--side is not for image-folder"},
        {"https://127.0.0.1/x --sha256 " ZEROS " --name x --crop 500", "1 <= crop"},
        {"cifar10 --resize 20", "not for cifar10"},
        {"imagenette -o x", "are for an address"},
        {"imagenete", "did you mean 'imagenette'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(program_run("db", "--data %s/never data fetch %s", scratch_folder, cases[i][0]), 2);
        expect_output(cases[i][1]);
        assert_int_not_equal(access(scratch_path("never"), F_OK), 0);
    }
}

static int start(void **state)
{
    if (server_start(state) != 0)
        return -1;
    make_source();
    return 0;
}

static int stop(void **state)
{
    drop_files();
    return server_stop(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imagenette_is_fetched_as_it_is_imported),  cmocka_unit_test(archives_come_as_zip_and_without_a_folder),
        cmocka_unit_test(archives_that_lead_elsewhere_are_refused), cmocka_unit_test(archives_have_clutter),
        cmocka_unit_test(archives_are_imported_from_files),         cmocka_unit_test(entries_are_counted),
        cmocka_unit_test(a_failure_leaves_the_earlier_set),         cmocka_unit_test(sizes_may_be_unknown),
        cmocka_unit_test(md5_counts_where_it_is_all_there_is),      cmocka_unit_test(a_file_goes_where_it_is_wanted),
        cmocka_unit_test(what_is_asked_for_has_to_make_sense),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
