/* Figures: a data file, a gnuplot script and the pictures it draws, side by side in one folder.
 *
 * A figure is one C file that writes the data and one script (plots/NAME.gp; figures of one kind share theirs), which make
 * embeds into the program behind plots/common.gp. Make gathers the PG_FIGURE(...) lines into the list. Nothing that a user
 * wrote (names, labels, titles, paths) ever stands in a script or on gnuplot's command line: text reaches gnuplot as data,
 * numbers as a prelude that the driver writes. The one exception is the name of a font, which pg_figure_font limits to
 * letters, digits, blanks and hyphens. One thread. */
#ifndef PG_PLOTS_FIGURE_H
#define PG_PLOTS_FIGURE_H

#include "plots/table.h"

enum { PG_FIGURE_LABELS = 32 };

/* How pictures look. Zeroed: as on a screen. Texts are borrowed. */
typedef struct pg_figure_style {
    bool paper;                /* a column of a paper: 85 mm, text of 7 pt or more, finer PNG */
    bool untitled;             /* neither title nor note */
    bool tex;                  /* also NAME-tex.tex and NAME-tex.pdf for LaTeX (gnuplot's cairolatex) */
    double width_mm;           /* 0: 85 mm on paper, else as the contents like */
    char font[64];             /* a family that fontconfig knows; "": DejaVu Sans */
    double font_pt;            /* size of most text; 0: 9, on paper 7 */
    const char *title;         /* NULL: the table's */
    const char *const *labels; /* n_labels of "OLD=NEW": labels, parts of labels and words of the scripts to rename */
    size_t n_labels;           /* at most PG_FIGURE_LABELS */
} pg_figure_style;

/* What a figure hands to its script. */
typedef struct pg_figure_data {
    pg_buf data;                  /* the data file */
    pg_buf prelude;               /* "name = number" lines; numbers only */
    const pg_figure_style *style; /* NULL: as on a screen */
    size_t renames;               /* lines behind the first of the data file: words of the script and what is put for them */
    size_t shared;                /* parts at the beginning of rows' labels that pg_figure_row leaves out */
    pg_buf seen;                  /* labels before they are renamed, one a line, for messages */
    bool used[PG_FIGURE_LABELS];  /* the style's labels that rename something here */
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

/* Data and prelude of a figure, whose words the style renames; pg_figure_data_release in any case. */
int pg_figure_make(const pg_figure *figure, const pg_table *table, const pg_figure_style *style,
                   pg_figure_data *out) PG_MUST_USE;
/* PG_EINPUT where a label of the style renames nothing in any of n figures, with the labels that there are. */
int pg_figure_check_labels(const pg_figure_style *style, const pg_figure_data *parts, size_t n) PG_MUST_USE;
/* Writes NAME.tsv and NAME.gp into `folder` (made where it does not exist) and has gnuplot draw NAME.svg, NAME.png and NAME.pdf
 * beside them, and what the style adds. gnuplot is found before anything is written. PG_EINPUT, PG_EMISSING (no gnuplot),
 * PG_EIO. `name` is that of the files, also for a picture that is of no matrix. */
int pg_figure_save(const char *name, const char *script, const pg_figure_data *parts, const char *folder) PG_MUST_USE;
/* All three for one figure. `style` NULL: as on a screen. */
int pg_figure_draw(const pg_figure *figure, const pg_table *table, const pg_figure_style *style,
                   const char *folder) PG_MUST_USE;
/* Before work whose end is a picture: the folder exists or can be made, and there is a gnuplot. PG_EINPUT, PG_EMISSING. */
int pg_figure_check(const char *folder) PG_MUST_USE;
/* Whether the files of a figure may be written there: those of the same figure may be replaced (NAME.gp says that it is one),
 * others where `force`, `inputs` never (pg_output_check). PG_EINPUT. */
int pg_figure_check_files(const char *name, const char *folder, bool force, const char *const *inputs) PG_MUST_USE;

/* ---- What users ask for (style.c) ---- */

/* "85mm", "8.5cm", "3.35in": millimetres, 40 to 1000. PG_EUSAGE: something else. */
int pg_figure_width(const char *text, double *mm) PG_MUST_USE;
/* "Liberation Serif" or "Liberation Serif,8": fills font and font_pt (5 to 40). PG_EUSAGE: no such text; PG_EINPUT: no such
 * font here, with the nearest. */
int pg_figure_font(const char *text, pg_figure_style *style) PG_MUST_USE;
/* Reorders entries, networks and times in place: those whose label is one of `names` (comma-separated), or has it as a part,
 * stand first, in the order of names. PG_EINPUT where a name is that of nothing, with what there is. */
int pg_figure_order(const char *names, pg_table_entry *entries, pg_table_network *networks, pg_table_time *times,
                    const pg_table *table) PG_MUST_USE;

/* Appends text as one field of a data file: one line, no tabs, nothing that gnuplot treats as more than text. */
void pg_figure_text(const char *text, pg_buf *out);
/* The same, at most `max` characters with "..." for what is cut off; returns their number. */
size_t pg_figure_text_cut(const char *text, size_t max, pg_buf *out);
/* The same of a label, renamed as the style says: as a whole, or its parts. */
size_t pg_figure_label(pg_figure_data *parts, const char *label, size_t max, pg_buf *out);
/* The label of a row in the same way; keys whose values do not speak for themselves stand before them: "mean", "patch 2". */
size_t pg_figure_row(pg_figure_data *parts, const char *keys, const char *label, size_t max, pg_buf *out);
/* Leaves out the parts at the beginning of rows' labels that all n rows of the figure have; "robust-masking; " goes to the note
 * instead, behind pg_figure_title. */
void pg_figure_share(pg_figure_data *parts, const char *keys, const char *const *rows, size_t n);
/* The label of a cell: of its row, and of its column where columns vary. */
size_t pg_figure_cell(pg_figure_data *parts, const pg_table *table, const pg_table_entry *entry, size_t max, pg_buf *out);
/* Begins a data file: the title of the table, or `fallback`, a tab, and what is fixed in all cells ("feature=confidence; "). */
void pg_figure_title(const pg_table *table, const char *fallback, pg_figure_data *out);
/* "n = 1000 images" of the entries that have any; with `taken`, of those it takes. */
void pg_figure_count(const pg_table *table, bool (*taken)(const pg_table_entry *entry), pg_buf *out);

/* Runs `gnuplot -d SCRIPT` in `folder`. PG_EMISSING where there is no gnuplot; PG_EIO with what gnuplot said where it fails. */
int pg_gnuplot_run(const char *folder, const char *script) PG_MUST_USE;

#define PG_FIGURE(id)                      \
    extern const pg_figure pg_figure_##id; \
    extern const char pg_script_##id[];

#endif
