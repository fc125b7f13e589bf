/* Scores of training: means, masked windows worked out by hand, and windows that wrap. */
/* Loads libtorch. */
#include "models/train_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const pg_torch *torch;
static pg_scope *scope;

static int start(void **state)
{
    (void)state;
    int code = pg_torch_load(1, &torch);
    scope = code != PG_OK ? NULL : torch->scope_new();
    return scope ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    torch->scope_free(scope);
    return 0;
}

static pg_train_options options_of(int evidence, int64_t mask)
{
    pg_train_options o;
    pg_options_defaults(pg_train_option_table, &o);
    o.evidence = evidence;
    o.mask = mask;
    return o;
}

/* Two classes on one row of six positions, one a pixel column of a 1 x 6 image. */
static pg_value row_of_six(const float values[12], int field, bool wrap)
{
    return (pg_value){.tensor = torch->from_data(scope, values, PG_T_F32, 4, (const int64_t[]){1, 2, 1, 6}),
                      .channels = 2,
                      .rows = {.positions = 1, .field = 1, .stride = 1},
                      .columns = {.positions = 6, .field = field, .stride = 1, .wrap = wrap}};
}

static void scores_of(const pg_train_options *o, const pg_value *local, int64_t label, float out[2])
{
    pg_tensor *labels = torch->from_data(scope, &label, PG_T_I64, 1, (const int64_t[]){1});
    float scores[2];
    torch->read(scope, pg_train_scores(scope, o, local, 1, local->columns.positions, labels), scores, PG_T_F32, 2);
    assert_int_equal(pg_scope_check(scope), PG_OK);
    torch->scope_clear(scope);
    out[0] = scores[0];
    out[1] = scores[1];
}

static const float ramp[12] = {6, 0, 0, 1, 0, 5, 3, 3, 3, 3, 3, 3};

static void plain_scores_are_means(void **state)
{
    (void)state;
    pg_train_options o = options_of(PG_TRAIN_LOGITS, 0);
    pg_value local = row_of_six(ramp, 1, false);
    float scores[2];
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 2, 1e-6);
    assert_float_equal(scores[1], 3, 1e-6);
}

static void the_heaviest_window_of_the_label_counts_as_nothing(void **state)
{
    (void)state;
    float scores[2];
    pg_train_options o = options_of(PG_TRAIN_LOGITS, 1);
    pg_value local = row_of_six(ramp, 2, false); /* a patch of one pixel meets two positions: 6 + 0 is the heaviest pair */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 1, 1e-6);
    assert_float_equal(scores[1], 3, 1e-6);
    local = row_of_six(ramp, 2, true); /* round the edge it is 5 + 6 */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 1.0F / 6, 1e-6);
    local = row_of_six(ramp, 2, true);
    scores_of(&o, &local, 1, scores);
    assert_float_equal(scores[0], 2, 1e-6);
    assert_float_equal(scores[1], 2, 1e-6);
    const float negative[12] = {-1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0};
    local = row_of_six(negative, 2, false); /* nothing to lose */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], -1, 1e-6);
}

static void two_windows_count_as_nothing_for_all_classes(void **state)
{
    (void)state;
    float scores[2];
    pg_train_options o = options_of(PG_TRAIN_LOGITS, 1);
    o.masking = PG_TRAIN_MASK_TWICE;
    pg_value local = row_of_six(ramp, 1, false); /* the label leads by 3, -3, -3, -2, -3, 2: the first goes, then the last */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 1.0F / 6, 1e-6);
    assert_float_equal(scores[1], 2, 1e-6);
    local = row_of_six(ramp, 1, false); /* two of the three positions where class 1 leads by 3 */
    scores_of(&o, &local, 1, scores);
    assert_float_equal(scores[0], 2, 1e-6);
    assert_float_equal(scores[1], 2, 1e-6);
    local = row_of_six(ramp, 2, true); /* 5 and 6 round the edge; any other pair would help, so the second mask is the first */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 1.0F / 6, 1e-6);
    assert_float_equal(scores[1], 2, 1e-6);
    local =
        row_of_six(ramp, 2, false); /* the pairs lead by 0, -6, -5, -5 and -1: the first costs nothing, and others only help */
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], 1, 1e-6);
    assert_float_equal(scores[1], 2, 1e-6);
}

static void confidences_are_masked_before_the_logarithm(void **state)
{
    (void)state;
    float values[12] = {0}, scores[2];
    values[0] = values[7] =
        30; /* sure of the label, sure of the other class, four undecided: the first goes, then one of these */
    pg_train_options o = options_of(PG_TRAIN_CONFIDENCE, 1);
    o.masking = PG_TRAIN_MASK_TWICE;
    pg_value local = row_of_six(values, 1, false);
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], (float)log(1.5 / 6 + 0.01), 1e-5);
    assert_float_equal(scores[1], (float)log(2.5 / 6 + 0.01), 1e-5);
}

/* Scores of a map of one class that matters; the other is 0. Label 0. */
static void scores_of_map(int rows, int columns, bool wrap_rows, int field, int64_t mask, const float *values, float out[2])
{
    pg_train_options o = options_of(PG_TRAIN_LOGITS, mask);
    o.masking = PG_TRAIN_MASK_TWICE;
    pg_value local = {.tensor = torch->from_data(scope, values, PG_T_F32, 4, (const int64_t[]){1, 2, rows, columns}),
                      .channels = 2,
                      .rows = {.positions = rows, .field = field, .stride = 1, .wrap = wrap_rows},
                      .columns = {.positions = columns, .field = 1, .stride = 1}};
    int64_t label = 0;
    pg_tensor *labels = torch->from_data(scope, &label, PG_T_I64, 1, (const int64_t[]){1});
    out[0] = out[1] = -1;
    torch->read(scope, pg_train_scores(scope, &o, &local, rows, columns, labels), out, PG_T_F32, 2);
}

static void windows_have_two_axes(void **state)
{
    (void)state;
    static const float wide[24] = {1, 2, 4, 8, 0, 3,
                                   1, 1, 1, 2, 0, 0}; /* the columns in the middle hold 15, then the first two 5 */
    float scores[2];
    scores_of_map(2, 6, false, 1, 2, wide, scores);
    assert_int_equal(pg_scope_check(scope), PG_OK);
    torch->scope_clear(scope);
    assert_float_equal(scores[0], 3.0F / 12, 1e-6);
    assert_float_equal(scores[1], 0, 1e-6);
    static const float ring[12] = {6, 0, 0, 1, 0, 5}; /* 5 and 6 round the edge, then 0 and 1 */
    scores_of_map(6, 1, true, 2, 1, ring, scores);
    assert_int_equal(pg_scope_check(scope), PG_OK);
    torch->scope_clear(scope);
    assert_float_equal(scores[0], 0, 1e-6);
}

/* Nothing would be left, and nothing learned. */
static void windows_that_cover_the_map_are_refused(void **state)
{
    (void)state;
    static const float values[16] = {0};
    float scores[2];
    pg_scope *kept = scope;
    for (int columns = 3; columns <= 5; columns++) { /* 5: one position of the map alone */
        scope = torch->scope_new();                  /* keeps its first error */
        scores_of_map(columns == 5 ? 1 : 2, columns == 5 ? 1 : columns, false, 1, columns == 5 ? 1 : 2, values, scores);
        assert_int_equal(pg_scope_check(scope), PG_EINPUT);
        assert_non_null(
            strstr(pg_error_message(),
                   columns == 5 ? "two windows of 1x1 positions cover the 1x1 that are learned from; right would be no --mask"
                                : "--masking twice: two windows of 2x2 positions cover the 2x"));
        torch->scope_free(scope);
    }
    scope = kept;
}

static void confidences_are_averaged_before_the_logarithm(void **state)
{
    (void)state;
    float values[12] = {0};
    values[0] = 30; /* one position is sure of class 0, five are undecided */
    pg_train_options o = options_of(PG_TRAIN_CONFIDENCE, 0);
    pg_value local = row_of_six(values, 1, false);
    float scores[2];
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], (float)log(3.5 / 6 + 0.01), 1e-5);
    assert_float_equal(scores[1], (float)log(2.5 / 6 + 0.01), 1e-5);
    o = options_of(PG_TRAIN_CONFIDENCE, 1);
    local = row_of_six(values, 1, false);
    scores_of(&o, &local, 0, scores);
    assert_float_equal(scores[0], (float)log(2.5 / 6 + 0.01), 1e-5);
}

/* Of the loss of a row of six, label 0. */
static void gradient_of(const pg_train_options *o, const pg_value *local, float out[12])
{
    torch->grad_mode(true);
    torch->requires_grad(scope, local->tensor, true);
    int64_t label = 0;
    pg_tensor *labels = torch->from_data(scope, &label, PG_T_I64, 1, (const int64_t[]){1});
    pg_tensor *loss = torch->cross_entropy(scope, pg_train_scores(scope, o, local, 1, 6, labels), labels, 0);
    torch->read(scope, torch->grad(scope, loss, local->tensor), out, PG_T_F32, 12);
    torch->grad_mode(false);
    assert_int_equal(pg_scope_check(scope), PG_OK);
    torch->scope_clear(scope);
}

static void a_mask_lets_gradients_through_the_rest(void **state)
{
    (void)state;
    pg_train_options o = options_of(PG_TRAIN_LOGITS, 1);
    pg_value local = row_of_six(ramp, 2, true);
    float gradient[12];
    gradient_of(&o, &local, gradient);
    for (int i = 0; i < 6; i++) {
        if (i == 0 || i == 5) /* masked */
            assert_float_equal(gradient[i], 0, 1e-7);
        else
            assert_true(gradient[i] < -1e-3);
        assert_true(gradient[6 + i] > 1e-3);
    }
}

static void both_masks_let_gradients_through_the_rest(void **state)
{
    (void)state;
    pg_train_options o = options_of(PG_TRAIN_LOGITS, 1);
    o.masking = PG_TRAIN_MASK_TWICE;
    pg_value local = row_of_six(ramp, 1, false);
    float gradient[12];
    gradient_of(&o, &local, gradient);
    for (int i = 0; i < 6; i++)
        if (i == 0 || i == 5) { /* masked, for both classes */
            assert_float_equal(gradient[i], 0, 1e-7);
            assert_float_equal(gradient[6 + i], 0, 1e-7);
        } else {
            assert_true(gradient[i] < -1e-3 && gradient[6 + i] > 1e-3);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scores_are_means),
        cmocka_unit_test(the_heaviest_window_of_the_label_counts_as_nothing),
        cmocka_unit_test(two_windows_count_as_nothing_for_all_classes),
        cmocka_unit_test(confidences_are_masked_before_the_logarithm),
        cmocka_unit_test(windows_have_two_axes),
        cmocka_unit_test(windows_that_cover_the_map_are_refused),
        cmocka_unit_test(both_masks_let_gradients_through_the_rest),
        cmocka_unit_test(confidences_are_averaged_before_the_logarithm),
        cmocka_unit_test(a_mask_lets_gradients_through_the_rest),
    };
    return cmocka_run_group_tests(tests, start, end);
}
