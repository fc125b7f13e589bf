/* Tests keep to their scratch folders: what a test program starts finds neither the user's caches nor data sets nor plug-ins,
 * and writes into none of them. */
/* Loads libtorch, also under sanitizers. */
#include "tests/support/pets_fixture.h"
#include "tests/support/program.h"

static const char matrix[] =
    "name = \"m\"\n[fixed]\ndataset = \"synthetic:test\"\nimages = \"0:4\"\ndefense = \"mean\"\npatch = 2\n"
    "weights = \"models/zoo/synthetic-ds.safetensors\"\n";

/* In a program that a user started, with the user's environment: what leaves files where nobody names a place. */
static void work_with_the_default_places(void **state)
{
    (void)state;
    char features[300], manifest[300];
    scratch_write("m.toml", matrix, strlen(matrix));
    make_source();
    assert_int_equal(program_run("x.db", "data import pets %s --resize 16 --crop 12", scratch_path("source")), 0);
    assert_int_equal(program_run("x.db", "run %s --quiet", scratch_path("m.toml")), 0);
    snprintf(features, sizeof features, "%s/.cache/patchgauge/features", getenv("HOME"));
    snprintf(manifest, sizeof manifest, "%s/data/pets/manifest.json", getenv("HOME"));
    assert_int_equal(scratch_count(features), 1);
    assert_int_equal(access(manifest, R_OK), 0);
    assert_int_equal(program_run("x.db", "list defenses"), 0); /* the user's plug-in is not there */
}

static void the_user_s_folders_stay_as_they_are(void **state)
{
    (void)state;
    static const char *const places[] = {"HOME=%s/user", "XDG_CACHE_HOME=%s/user/cache", "XDG_CONFIG_HOME=%s/user/config",
                                         "PATCHGAUGE_DATA=%s/user/data", "PATCHGAUGE_PLUGIN_PATH=%s/user/plugins"};
    char line[4096] = "exec 2>&1; exec env ";
    mkdir(scratch_path("user"), 0700);
    mkdir(scratch_path("user/plugins"), 0700);
    scratch_write("user/plugins/mine.so", "no plug-in", 10);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(line + strlen(line), sizeof line - strlen(line), places[i], scratch_folder);
        strcat(line, " ");
    }
    char self[512];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    snprintf(line + strlen(line), sizeof line - strlen(line), "%.*s --child", (int)size, self);
    if (program_shell(line) != 0)
        fail_msg("%s", program_output);
    assert_int_equal(scratch_count(scratch_path("user")), 2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--child") == 0) {
        const struct CMUnitTest child[] = {cmocka_unit_test(work_with_the_default_places)};
        return cmocka_run_group_tests(child, scratch_make, scratch_remove);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_user_s_folders_stay_as_they_are)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
