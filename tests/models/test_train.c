/* Training: it learns, it goes on after kills to the same bytes, it refuses what is not its own. */
/* Loads libtorch. */
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/log.h"
#include "harness/base/rng.h"
#include "models/train.h"
#include "models/weights.h"

#include <setjmp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/pg-train-XXXXXX";

static const char *strides = "strides=1,2,1,1"; /* no matter of the weights' shapes */

/* set: name, value, name, value, ..., NULL */
static const char *outputs; /* of the weights that training starts from */
static const char *validation = "synthetic:test";
static int train_by(const char *from, const char *out, int64_t epochs, const char *width, const char *const *set)
{
    const pg_model *model = pg_model_find("bagnet17");
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    const char *const pairs[] = {width, "kernel3=1100", strides, "blocks=1,1,1,1"};
    pg_train_options options;
    pg_options_defaults(pg_train_option_table, &options);
    options.epochs = epochs;
    options.batch = 64;
    options.threads = 1;
    int code = PG_OK;
    for (; code == PG_OK && *set; set += 2)
        code = pg_options_set(pg_train_option_table, &options, "train", set[0], set[1]);
    if (code == PG_OK)
        code = pg_module_configure(&model->module, "model", pairs, 4, config);
    return code != PG_OK ? code
                         : pg_train(&(pg_train_job){.model = model,
                                                    .config = config,
                                                    .data_dir = "unused",
                                                    .data = "synthetic:val",
                                                    .val = validation,
                                                    .from = from,
                                                    .outputs = outputs,
                                                    .out = out,
                                                    .device = "cpu",
                                                    .options = &options});
}

static int train_from(const char *from, const char *out, int64_t epochs, const char *width, const char *option,
                      const char *value)
{
    return train_by(from, out, epochs, width, (const char *const[]){option, value, NULL});
}

static int train_with(const char *out, int64_t epochs, const char *option, const char *value)
{
    return train_from(NULL, out, epochs, "width=4", option, value);
}

static int train(const char *out, int64_t epochs, const char *rate) { return train_with(out, epochs, "rate", rate); }

/* The exit status of a child that trains, or -1 where it was killed: after so many seconds (0: never), or as soon as a
 * checkpoint stands. */
static int train_child(const char *out, double kill_after_s, bool kill_at_checkpoint)
{
    char checkpoint[96];
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", out);
    pid_t child = fork();
    if (child == 0) {
        int e = train(out, 4, "0.1");
        if (e)
            fprintf(stderr, "%s\n", pg_error_message());
        _exit(e ? 1 : 0);
    }
    double start = pg_now_s();
    int status;
    for (pid_t ended = 0; ended == 0;) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        bool late = kill_after_s > 0 && pg_now_s() - start > kill_after_s;
        if (late || (kill_at_checkpoint && pg_file_size(checkpoint) > 0))
            kill(child, SIGKILL);
        ended = waitpid(child, &status, WNOHANG);
        assert_true(ended >= 0);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void three_kills_change_nothing(void **state)
{
    (void)state;
    char plain[64], killed[64], a[PG_HASH_HEX], b[PG_HASH_HEX], checkpoint[96];
    snprintf(plain, sizeof plain, "%s/plain", folder);
    snprintf(killed, sizeof killed, "%s/killed", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", killed);
    double start = pg_now_s();
    assert_int_equal(train_child(plain, 0, false), 0);
    double whole = pg_now_s() - start;
    pg_rng rng = pg_rng_make((uint64_t)(start * 1e6), PG_STREAM_TEST, 0);
    int kills = 0, seen = 0;
    for (int i = 0; i < 3; i++) {
        bool at_checkpoint = i == 0; /* one kill surely leaves something to go on from */
        kills += train_child(killed, at_checkpoint ? 0 : whole * (0.2 + 0.3 * pg_rng_unit(&rng)), at_checkpoint) == -1;
        seen += pg_file_size(checkpoint) > 0;
    }
    assert_int_equal(train_child(killed, 0, false), 0);
    print_message("%d kills, %d of them with a checkpoint behind\n", kills, seen);
    assert_true(kills >= 1);
    assert_int_equal(pg_hash_file(plain, a), PG_OK);
    assert_int_equal(pg_hash_file(killed, b), PG_OK);
    assert_string_equal(a, b);
    assert_int_equal(pg_file_size(checkpoint), -1); /* cleaned up at the end */
}

static void the_record_says_how_it_came_to_be(void **state)
{
    (void)state;
    char plain[64];
    snprintf(plain, sizeof plain, "%s/plain", folder);
    pg_weights_info info;
    assert_int_equal(pg_weights_describe(plain, NULL, 0, &info), PG_OK);
    assert_string_equal(info.model, "bagnet17");
    assert_int_equal(info.geometry.rows.field, 7);
    assert_int_equal(strlen(info.dataset_hash), 64);
    assert_true(info.locality.measured);
    assert_true(info.locality.trials > 0);
}

static void another_command_does_not_take_over_a_checkpoint(void **state)
{
    (void)state;
    char out[64], checkpoint[96];
    snprintf(out, sizeof out, "%s/other", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", out);
    assert_int_equal(train_child(out, 0, true), -1);
    assert_int_equal(train(out, 5, "0.1"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "belongs to another run"));
    assert_true(pg_file_size(checkpoint) > 0); /* and it is still there */
    FILE *f = fopen(checkpoint, "r+");
    long middle = (long)pg_file_size(checkpoint) / 2;
    fseek(f, middle, SEEK_SET);
    int byte = fgetc(f);
    fseek(f, middle, SEEK_SET);
    fputc(byte ^ 4, f);
    fclose(f);
    assert_int_equal(train(out, 4, "0.1"), PG_EDAMAGED); /* one bit of a tensor */
    assert_int_equal(truncate(checkpoint, pg_file_size(checkpoint) / 2), 0);
    assert_int_equal(train(out, 4, "0.1"), PG_EDAMAGED);
}

/* The same command finds its work done; another one does not overwrite it. */
static void finished_weights_are_kept(void **state)
{
    (void)state;
    char plain[64], before[PG_HASH_HEX], after[PG_HASH_HEX];
    snprintf(plain, sizeof plain, "%s/plain", folder);
    assert_int_equal(pg_hash_file(plain, before), PG_OK);
    assert_int_equal(train(plain, 4, "0.1"), PG_OK);
    assert_int_equal(train(plain, 4, "0.2"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "not of this run"));
    assert_int_equal(pg_hash_file(plain, after), PG_OK);
    assert_string_equal(before, after);
}

static void write_log(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Before any work: no epoch is trained for a file that cannot be written. */
static void bad_outputs_are_refused(void **state)
{
    (void)state;
    char missing[64];
    snprintf(missing, sizeof missing, "%s/nowhere/x", folder);
    assert_int_equal(train("", 4, "0.1"), PG_EINPUT);
    assert_int_equal(train(folder, 4, "0.1"), PG_EINPUT);
    assert_int_equal(train(missing, 4, "0.1"), PG_EINPUT);
    char log[96];
    snprintf(log, sizeof log, "%s.log.csv", folder);
    assert_int_equal(pg_file_size(log), -1);
    char foreign[64];
    snprintf(foreign, sizeof foreign, "%s/foreign", folder);
    snprintf(log, sizeof log, "%s.log.csv", foreign);
    write_log(log, "epoch,notes of mine\n");
    assert_int_equal(train(foreign, 4, "0.1"), PG_EINPUT);
}

/* Loss of the first epoch, from the log beside the weights. */
static double first_loss(const char *out)
{
    char path[96];
    double loss = 0;
    snprintf(path, sizeof path, "%s.log.csv", out);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*[^\n] 1,%lf", &loss), 1);
    fclose(f);
    return loss;
}

static void training_starts_from_other_weights(void **state)
{
    (void)state;
    char plain[64], on[64];
    snprintf(plain, sizeof plain, "%s/plain", folder);
    snprintf(on, sizeof on, "%s/on", folder);
    char log[96];
    snprintf(log, sizeof log, "%s.log.csv", on);
    write_log(log, ""); /* as a kill leaves it before the first line is written */
    assert_int_equal(train_from(plain, on, 1, "width=4", "rate", "0.001"), PG_OK);
    print_message("loss of the first epoch: %.3f from the seed, %.3f from trained weights\n", first_loss(plain),
                  first_loss(on));
    assert_true(first_loss(on) < first_loss(plain));
    char *text;
    size_t size;
    char hash[PG_HASH_HEX], recorded[96];
    assert_int_equal(pg_hash_file(plain, hash), PG_OK);
    snprintf(recorded, sizeof recorded, " from %s", hash);
    assert_int_equal(pg_file_read(on, 1 << 20, &text, &size), PG_OK);
    assert_non_null(memmem(text, size, recorded, strlen(recorded)));
    free(text);
    unlink(on);
    assert_int_equal(train_from(plain, on, 1, "width=8", "rate", "0.001"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "weights of other shapes, from other options"));
    assert_int_equal(train_from("nowhere", on, 1, "width=4", "rate", "0.001"), PG_EMISSING);
    assert_int_equal(pg_file_size(on), -1);
    strides = "strides=1,1,1,1";
    assert_int_equal(train_from(plain, on, 1, "width=4", "rate", "0.001"), PG_OK);
    strides = "strides=1,2,1,1";
    assert_true(first_loss(on) < first_loss(plain));
    unlink(on);
}

/* Squares as large as the image leave nothing to learn from but in one image of three. */
static void squares_hide_the_image(void **state)
{
    (void)state;
    char out[64], plain[64];
    snprintf(out, sizeof out, "%s/hidden", folder);
    snprintf(plain, sizeof plain, "%s/seen", folder);
    assert_int_equal(train_from(NULL, plain, 4, "width=4", "cutouts", "16"), PG_OK); /* so many squares of side 0 */
    assert_int_equal(train_from(NULL, out, 4, "width=4", "cutout", "4096"), PG_OK);
    print_message("loss of the first epoch: %.3f of whole images, %.3f of hidden ones\n", first_loss(plain), first_loss(out));
    assert_true(first_loss(out) > first_loss(plain));
}

/* Of more draws the worst is worse. */
static void the_hardest_squares_are_learned_from(void **state)
{
    (void)state;
    char any[64], hard[64];
    snprintf(any, sizeof any, "%s/any", folder);
    snprintf(hard, sizeof hard, "%s/hard", folder);
    assert_int_equal(train_by(NULL, any, 1, "width=4", (const char *const[]){"cutout", "16", NULL}), PG_OK);
    assert_int_equal(train_by(NULL, hard, 1, "width=4", (const char *const[]){"cutout", "16", "hardest", "8", NULL}), PG_OK);
    print_message("loss of the first epoch: %.3f of any squares, %.3f of the hardest of 8\n", first_loss(any),
                  first_loss(hard));
    assert_true(first_loss(hard) > first_loss(any) + 0.03);
}

static void a_warmup_longer_than_the_run_is_refused(void **state)
{
    (void)state;
    char out[64];
    snprintf(out, sizeof out, "%s/warm", folder);
    assert_int_equal(train_with(out, 1, "warmup", "2"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "warmup is 2 of 1 epochs"));
    assert_int_equal(pg_file_size(out), -1);
}

static void draws_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    char out[64];
    snprintf(out, sizeof out, "%s/draws", folder);
    assert_int_equal(train_with(out, 1, "hardest", "2"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "--cutout"));
    assert_int_equal(train_with(out, 1, "masking", "twice"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "--mask PIXELS"));
    const pg_model *bands = pg_model_find("ds-resnet18");
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_train_options options;
    pg_options_defaults(pg_train_option_table, &options);
    options.epochs = 1;
    options.cutout = 8;
    options.hardest = 2;
    assert_int_equal(pg_module_configure(&bands->module, "model", NULL, 0, config), PG_OK);
    assert_int_equal(pg_train(&(pg_train_job){.model = bands,
                                              .config = config,
                                              .data_dir = "unused",
                                              .data = "synthetic:val",
                                              .out = out,
                                              .device = "cpu",
                                              .options = &options}),
                     PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "ds-resnet18 learns from a few of its positions"));
    assert_int_equal(pg_file_size(out), -1);
}

static void two_trainings_of_one_file_are_refused(void **state)
{
    (void)state;
    char out[64], lock[96];
    snprintf(out, sizeof out, "%s/locked", folder);
    snprintf(lock, sizeof lock, "%s.lock", out);
    int held = open(lock, O_RDWR | O_CREAT, 0600);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_int_equal(train(out, 1, "0.1"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "another process"));
    close(held);
}

static void divergence_is_said(void **state)
{
    (void)state;
    char out[64];
    snprintf(out, sizeof out, "%s/diverged", folder);
    assert_int_equal(train(out, 1, "100"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "diverged in epoch 1: the loss is not finite"));
    assert_non_null(strstr(pg_error_message(), "try a lower --rate"));
    assert_null(strstr(pg_error_message(), ".checkpoint"));
    assert_int_equal(pg_file_size(out), -1);
}

/* A copy of weights whose tensor `name` is `scale` times as large. */
static void scale_weights(const char *from, const char *name, float scale, const char *to)
{
    pg_st_file *f = NULL;
    pg_st_tensor tensors[128];
    const char *keys[PG_WEIGHTS_KEYS_MAX], *values[PG_WEIGHTS_KEYS_MAX];
    static float scaled[1 << 12];
    size_t n = 0, all;
    assert_int_equal(pg_st_open(from, &f), PG_OK);
    for (const char *const *key = pg_weights_keys; *key; key++)
        if (pg_st_metadata(f, *key)) {
            keys[n] = *key;
            values[n++] = pg_st_metadata(f, *key);
        }
    all = pg_st_count(f);
    assert_true(all > 0 && all <= 128);
    for (size_t i = 0; i < all; i++) {
        tensors[i] = *pg_st_at(f, i);
        size_t count = tensors[i].size / pg_st_item_size(tensors[i].dtype);
        if (strcmp(tensors[i].name, name) != 0)
            continue;
        assert_true(count <= 1 << 12);
        assert_int_equal(pg_st_to_float(&tensors[i], scaled, count), PG_OK);
        for (size_t k = 0; k < count; k++)
            scaled[k] *= scale;
        tensors[i].dtype = PG_ST_F32;
        tensors[i].data = scaled;
        tensors[i].size = 4 * count;
    }
    assert_int_equal(pg_st_write(to, tensors, all, keys, values, n), PG_OK);
    pg_st_close(f);
}

enum { WIDE = 14 };

/* A copy of weights of ten classes with the rows of the head among those of WIDE outputs: row i is that of output at[i]. The
 * other rows are large. */
static void widen_head(const char *from, const int *at, const char *class_names, const char *to)
{
    pg_st_file *f = NULL;
    pg_st_tensor tensors[128];
    const char *keys[PG_WEIGHTS_KEYS_MAX], *values[PG_WEIGHTS_KEYS_MAX];
    static float rows[2][WIDE * 512], ten[10 * 512];
    size_t n = 0, heads = 0;
    assert_int_equal(pg_st_open(from, &f), PG_OK);
    for (const char *const *key = pg_weights_keys; *key; key++) {
        bool names = strcmp(*key, "class_names") == 0;
        const char *value = names ? class_names : strcmp(*key, "classes") == 0 ? "14" : pg_st_metadata(f, *key);
        if (value) {
            keys[n] = *key;
            values[n++] = value;
        }
    }
    for (size_t i = 0; i < pg_st_count(f); i++) {
        tensors[i] = *pg_st_at(f, i);
        if (strncmp(tensors[i].name, "fc.", 3) != 0)
            continue;
        size_t columns = tensors[i].rank == 2 ? (size_t)tensors[i].shape[1] : 1;
        float *wide = rows[heads++];
        assert_true(columns <= 512);
        assert_int_equal(pg_st_to_float(&tensors[i], ten, 10 * columns), PG_OK);
        for (size_t k = 0; k < WIDE * columns; k++)
            wide[k] = 50;
        for (size_t k = 0; k < 10; k++)
            memcpy(wide + (size_t)at[k] * columns, ten + k * columns, columns * sizeof *ten);
        tensors[i].shape[0] = WIDE;
        tensors[i].dtype = PG_ST_F32;
        tensors[i].data = wide;
        tensors[i].size = 4 * WIDE * columns;
    }
    assert_int_equal(heads, 2);
    assert_int_equal(pg_st_write(to, tensors, pg_st_count(f), keys, values, n), PG_OK);
    pg_st_close(f);
}

static bool same_tensors(const char *a, const char *b)
{
    pg_st_file *f = NULL, *g = NULL;
    assert_int_equal(pg_st_open(a, &f), PG_OK);
    assert_int_equal(pg_st_open(b, &g), PG_OK);
    bool same = pg_st_count(f) == pg_st_count(g);
    for (size_t i = 0; same && i < pg_st_count(f); i++) {
        const pg_st_tensor *x = pg_st_at(f, i), *y = pg_st_find(g, x->name);
        same = y && x->size == y->size && memcmp(x->data, y->data, x->size) == 0;
    }
    pg_st_close(f);
    pg_st_close(g);
    return same;
}

/* The value of a key of a weights file's metadata. */
static void assert_metadata(const char *path, const char *key, const char *wanted)
{
    pg_st_file *f = NULL;
    assert_int_equal(pg_st_open(path, &f), PG_OK);
    assert_non_null(pg_st_metadata(f, key));
    if (!strstr(pg_st_metadata(f, key), wanted))
        fail_msg("%s: %s", key, pg_st_metadata(f, key));
    pg_st_close(f);
}

static void the_rows_of_the_labels_are_taken_from_a_larger_head(void **state)
{
    (void)state;
    static const int at[] = {3, 0, 13, 12, 4, 5, 9, 8, 7, 1};
    static const char names[] = "[\"glyph-1\",\"glyph-9\",\"x\",\"GLYPH-0\",\"glyph-4\",\"glyph-5\",\"x\",\"glyph-8\","
                                "\"glyph-7\",\"glyph-6\",\"x\",\"x\",[\"g3\",\"a, glyph-3\"],\"glyph-2\"]";
    char ten[64], wide[64], named[64], want[64], got[64];
    snprintf(ten, sizeof ten, "%s/ten", folder);
    snprintf(wide, sizeof wide, "%s/wide", folder);
    snprintf(named, sizeof named, "%s/named", folder);
    snprintf(want, sizeof want, "%s/want", folder);
    snprintf(got, sizeof got, "%s/got", folder);
    validation = NULL;
    assert_int_equal(train_from(NULL, ten, 1, "width=4", "half", "false"), PG_OK);
    assert_metadata(ten, "class_names", "[\"glyph-0\",\"glyph-1\",");
    widen_head(ten, at, NULL, wide);
    widen_head(ten, at, names, named);
    assert_int_equal(train_from(ten, want, 1, "width=4", "batch", "500"), PG_OK);

    assert_int_equal(train_from(wide, got, 1, "width=4", "batch", "500"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "has 14 outputs, synthetic 10 labels, and the weights store no classes"));
    assert_int_equal(pg_file_size(got), -1);
    outputs = "3,0,13,12,4,5,9,8,7,1";
    assert_int_equal(train_from(wide, got, 1, "width=4", "batch", "500"), PG_OK);
    assert_true(same_tensors(want, got));
    assert_metadata(got, "command", " outputs 3,0,13,12,4,5,9,8,7,1");
    assert_metadata(got, "classes", "10");
    assert_metadata(got, "class_names", "\"glyph-0\"");
    unlink(got);
    outputs = NULL;
    assert_int_equal(train_from(named, got, 1, "width=4", "batch", "500"), PG_OK);
    assert_true(same_tensors(want, got));
    assert_metadata(got, "class_names", "[\"GLYPH-0\",\"glyph-1\",\"glyph-2\",[\"g3\",\"a, glyph-3\"],");
    unlink(got);
    outputs = "new";
    assert_int_equal(train_from(named, got, 1, "width=4", "batch", "500"), PG_OK);
    assert_metadata(got, "command", " outputs new");
    assert_metadata(got, "class_names", "\"glyph-0\"");
    assert_false(same_tensors(want, got));
    unlink(got);
    assert_int_equal(train_from(NULL, got, 1, "width=4", "batch", "500"), PG_EINPUT);
    assert_non_null(strstr(pg_error_message(), "--from FILE is missing"));
    outputs = NULL;
    validation = "synthetic:test";
}

/* A variance that overflows makes finite numbers of everything, so that the loss does not tell. */
static void weights_that_overflow_are_not_written(void **state)
{
    (void)state;
    char from[64], large[64], out[64], path[96];
    snprintf(from, sizeof from, "%s/small", folder);
    snprintf(large, sizeof large, "%s/large", folder);
    snprintf(out, sizeof out, "%s/overflown", folder);
    snprintf(path, sizeof path, "%s.checkpoint", out);
    assert_int_equal(train(from, 1, "0.1"), PG_OK);
    scale_weights(from, "conv1.weight", 1e30f, large);
    assert_int_equal(train_by(large, out, 1, "width=4", (const char *const[]){"dtype", "fp32", "batch", "2000", NULL}),
                     PG_EINPUT); /* one step */
    assert_non_null(strstr(pg_error_message(), "diverged in epoch 1: weights are not finite"));
    assert_int_equal(pg_file_size(out), -1);
    assert_int_equal(pg_file_size(path), -1);
}

static int setup(void **state)
{
    (void)state;
    pg_log_quiet(true);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_kills_change_nothing),
        cmocka_unit_test(the_record_says_how_it_came_to_be),
        cmocka_unit_test(another_command_does_not_take_over_a_checkpoint),
        cmocka_unit_test(finished_weights_are_kept),
        cmocka_unit_test(bad_outputs_are_refused),
        cmocka_unit_test(training_starts_from_other_weights),
        cmocka_unit_test(the_rows_of_the_labels_are_taken_from_a_larger_head),
        cmocka_unit_test(squares_hide_the_image),
        cmocka_unit_test(the_hardest_squares_are_learned_from),
        cmocka_unit_test(a_warmup_longer_than_the_run_is_refused),
        cmocka_unit_test(draws_that_mean_nothing_are_refused),
        cmocka_unit_test(two_trainings_of_one_file_are_refused),
        cmocka_unit_test(divergence_is_said),
        cmocka_unit_test(weights_that_overflow_are_not_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
