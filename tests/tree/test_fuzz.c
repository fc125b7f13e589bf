/* Replays the stored inputs of every fuzz target (tests/fuzz), crashes that were found and mended among them. A target aborts
 * where a promise is broken, which fails this program. */
#include "harness/base/file.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { INPUT_MAX = 1 << 20, NAME_MAX_BYTES = 300 };

#define TARGETS(X) \
    X(cifar10)     \
    X(classes)     \
    X(database)    \
    X(image)       \
    X(image_list) X(locality) X(manifest) X(matrix) X(npy) X(options) X(patches) X(pth) X(safetensors) X(unpack) X(weights)

#define DECLARE(name) int pg_fuzz_##name(const uint8_t *data, size_t size);
TARGETS(DECLARE)

typedef struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
} target;

#define ENTRY(name) {#name, pg_fuzz_##name},
static const target targets[] = {TARGETS(ENTRY)};
enum { N_TARGETS = sizeof targets / sizeof *targets };

/* Inputs of one target, each in memory of exactly its size, so that a sanitizer sees the first byte behind it. */
static void replay(void **state)
{
    const target *t = *state;
    char folder[64], path[NAME_MAX_BYTES + 64];
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", t->name);
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(entries));) {
        char *bytes = NULL;
        size_t size = 0;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%.*s", folder, NAME_MAX_BYTES, e->d_name);
        assert_int_equal(pg_file_read(path, INPUT_MAX, &bytes, &size), PG_OK);
        uint8_t *exact = malloc(size ? size : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        free(bytes);
        fprintf(stderr, "%s\n", path); /* the last one, where the program ends here */
        t->run(exact, size);
        free(exact);
        n++;
    }
    closedir(entries);
    print_message("%zu inputs\n", n);
    assert_true(n > 0);
}

/* A target that is not in the list above would never be replayed. */
static void every_target_is_listed(void **state)
{
    (void)state;
    DIR *entries = opendir("tests/fuzz");
    size_t n = 0;
    assert_non_null(entries);
    for (struct dirent *e; (e = readdir(entries));) {
        char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".c") != 0)
            continue;
        *end = 0;
        size_t i = 0;
        while (i < N_TARGETS && strcmp(targets[i].name, e->d_name) != 0)
            i++;
        if (i == N_TARGETS)
            fail_msg("tests/fuzz/%s.c is not in the list of tests/tree/test_fuzz.c", e->d_name);
        n++;
    }
    closedir(entries);
    assert_int_equal(n, N_TARGETS);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0); /* nothing here has to outlast a power cut */
    struct CMUnitTest tests[N_TARGETS + 1] = {cmocka_unit_test(every_target_is_listed)};
    for (size_t i = 0; i < N_TARGETS; i++)
        tests[i + 1] = (struct CMUnitTest){.name = targets[i].name, .test_func = replay, .initial_state = (void *)&targets[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
