/* Figures: a data file, a gnuplot script and the pictures it draws, side by side in one folder.
 *
 * A figure is one C file that writes the data and one script (plots/NAME.gp; figures of one kind share theirs), which make
 * embeds into the program behind plots/common.gp. Make gathers the PG_FIGURE(...) lines into the list. Nothing that a user
 * wrote (names, labels, paths) ever stands in a script or on gnuplot's command line: text reaches gnuplot as data, numbers as
 * a prelude that the driver
 * writes. One thread. */
#ifndef PG_PLOTS_FIGURE_H
#define PG_PLOTS_FIGURE_H

#include "plots/table.h"

/* What a figure hands to its script. */
typedef struct pg_figure_data {
    pg_buf data;    /* the data file */
    pg_buf prelude; /* "name = number" lines; numbers only */
} pg_figure_data;
void pg_figure_data_init(pg_figure_data *parts);
void pg_figure_data_release(pg_figure_data *parts);

typedef enum pg_figure_reads {
    PG_READS_ATTACKS = 1,  /* images under attack: pg_table_entry.attacks */
    PG_READS_TRAINING = 2, /* networks with the epochs of their training: pg_table.networks */
    PG_READS_TIMES = 4,    /* measured times: pg_table.times */
    PG_READS_MAPS = 8,     /* networks with the map of a position's gradients: pg_table.networks; runs them */
} pg_figure_reads;

typedef struct pg_figure {
    const char *name;     /* required: as in `patchgauge plot NAME`, and of the files */
    const char *summary;  /* required: what it shows, one line; users read it in `patchgauge help plot` */
    const char *requires; /* required: what the matrix or its results must have for it, a few words, read there too */
    const char *script;   /* required: text of the gnuplot script beside the figure's file */
    const char *columns;  /* optional: the setting that makes the columns of its table; NULL: as the user likes */
    unsigned reads;       /* optional: pg_figure_reads: what its table holds besides counts */
    bool computes;        /* optional: not only read from the database, so only drawn when asked for by name */
    /* required: fills both buffers from the cells of a matrix; PG_EINPUT where this figure cannot show them */
    int (*write)(const pg_table *table, pg_figure_data *out);
} pg_figure;

extern const pg_figure *const pg_figures[]; /* NULL-terminated, sorted by name */
/* The named figure, or PG_EINPUT with the nearest name. */
int pg_figure_find(const char *name, const pg_figure **out) PG_MUST_USE;

/* Writes NAME.tsv and NAME.gp into `folder` (made where it does not exist) and has gnuplot draw NAME.svg, NAME.png and NAME.pdf
 * beside them. All data are made, and gnuplot is found, before anything is written. PG_EINPUT, PG_EMISSING (no gnuplot),
 * PG_EIO. */
int pg_figure_draw(const pg_figure *figure, const pg_table *table, const char *folder) PG_MUST_USE;

/* The same for a picture that is of no matrix, with data made already. `name` is that of the files. */
int pg_figure_save(const char *name, const char *script, const pg_figure_data *parts, const char *folder) PG_MUST_USE;
/* Before work whose end is a picture: the folder exists or can be made, and there is a gnuplot. PG_EINPUT, PG_EMISSING. */
int pg_figure_check(const char *folder) PG_MUST_USE;
/* Whether the files of a figure may be written there: those of the same figure may be replaced (NAME.gp says that it is one),
 * others where `force`, `inputs` never (pg_output_check). PG_EINPUT. */
int pg_figure_check_files(const char *name, const char *folder, bool force, const char *const *inputs) PG_MUST_USE;

/* Appends a label as one field of a data file: one line, no tabs, nothing that gnuplot treats as more than text. */
void pg_figure_text(const char *label, pg_buf *out);
/* The same, at most `max` characters with "..." for what is cut off; returns their number. */
size_t pg_figure_text_cut(const char *label, size_t max, pg_buf *out);
/* The label of a row in the same way; keys whose values do not speak for themselves stand before them: "mean", "patch 2". */
size_t pg_figure_row(const char *keys, const char *label, size_t max, pg_buf *out);
/* The title of a table, or `fallback`, and a tab: the first field of every data file. The pixels that it takes. */
size_t pg_figure_title(const pg_table *table, const char *fallback, pg_buf *out);
/* "n = 1000 images" of the entries that have any; with `taken`, of those it takes. */
void pg_figure_count(const pg_table *table, bool (*taken)(const pg_table_entry *entry), pg_buf *out);

/* Runs `gnuplot -d SCRIPT` in `folder`. PG_EMISSING where there is no gnuplot; PG_EIO with what gnuplot said where it fails. */
int pg_gnuplot_run(const char *folder, const char *script) PG_MUST_USE;

#define PG_FIGURE(id)                      \
    extern const pg_figure pg_figure_##id; \
    extern const char pg_script_##id[];

#endif
