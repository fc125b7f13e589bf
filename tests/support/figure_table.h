/* For tests that draw: cells of a table, and a table with something for every figure. */
#ifndef PG_TESTS_FIGURE_TABLE_H
#define PG_TESTS_FIGURE_TABLE_H

#include "plots/figure.h"
#include "tests/support/scratch.h"

static inline pg_table_entry entry(const char *row, const char *column, int64_t clean, int64_t certified)
{
    return (pg_table_entry){.row = row,
                            .column = column,
                            .weights = "net",
                            .expected = 1000,
                            .n = 1000,
                            .clean = clean,
                            .certified = certified,
                            .published = -1,
                            .published_audited = -1,
                            .cases = {-1, -1, -1, -1, -1},
                            .attacked = -1,
                            .image_height = 32,
                            .image_width = 32,
                            .patch_height = 5,
                            .patch_width = 5};
}

static inline pg_table_entry published(const char *row, const char *column, int64_t clean, int64_t count)
{
    pg_table_entry e = entry(row, column, clean, 0);
    int64_t rest = 1000 - count;
    e.published = count;
    memcpy(e.cases, ((int64_t[]){rest - rest / 2 - rest / 4, rest / 2, rest / 4, 0, count}), sizeof e.cases);
    return e;
}

/* A table with something for every figure, in which every text is `name`. */
static inline int draw_with_all(const pg_figure *figure, const char *name, const pg_figure_style *style)
{
    char row[2][200];
    snprintf(row[0], sizeof row[0], "%s", name);
    snprintf(row[1], sizeof row[1], "%s 2", name);
    const pg_table_attack attacks[] = {{.steps = 3, .top = 2, .left = 5, .correct = true, .broken = true},
                                       {.steps = 9, .top = 12, .left = 15, .correct = true}};
    static const char *const numbers[2][2] = {{"0.1", "0.2"}, {"0:1", "0:2"}};
    bool clip = strcmp(figure->name, "clip") == 0;
    pg_table_entry e[4];
    for (int i = 0; i < 4; i++) {
        e[i] = i < 2 ? published(row[0], numbers[clip][i], 700, 300) : entry(row[1], numbers[clip][i - 2], 600, 200);
        e[i].attacked = 400;
        e[i].patch_height += i % 2;
        e[i].attacks = attacks;
        e[i].n_attacks = 2;
    }
    const pg_table_epoch epochs[] = {{2, 0.5}, {1, 0.6}};
    float map[4] = {0.5f, 1, 0, 0.25f};
    const pg_table_network net = {.name = name,
                                  .epochs = epochs,
                                  .n_epochs = 2,
                                  .map = map,
                                  .map_height = 2,
                                  .map_width = 2,
                                  .field_height = 2,
                                  .field_width = 1,
                                  .images = 3};
    const pg_table_time time = {
        .label = name, .device = name, .images = 10, .read_s = 1, .forward_s = 1, .certify_s = 1, .cells = 1};
    pg_table table = {.title = name,
                      .row_key = "defense",
                      .column_key = name,
                      .entries = e,
                      .n_entries = 4,
                      .networks = &net,
                      .n_networks = 1,
                      .times = &time,
                      .n_times = 1};
    return pg_figure_draw(figure, &table, style, scratch_folder);
}

#endif
