/* See sheet.h. Coordinates of the picture are in units of an image's longer side, y downwards.
 *
 * Data file, blocks apart by two blank lines: 0: title and subtitle. 1 to 4: x, y, text: headings; first lines below the
 * pictures; those of broken images; second lines. 5, 6: outlines of patches and of masked windows, polylines apart by one blank
 * line. Small pictures are enlarged before they are written, so that no viewer smooths them. */
#include "plots/sheet.h"

#include "harness/base/file.h"
#include "harness/base/npy.h"
#include "plots/figure.h"

#include <math.h>

extern const char pg_script_sheet[];

enum { TILES = 4, SIDE_MIN = 128, TEXT_MAX = 17, NEXT_MAX = 22, TITLE_MAX = 120 };
static const double tile_pitch = 1.08, block_gap = 0.3, label_height = 0.36;
static const double first = 0.08, next = 0.20; /* lines of text below a picture */

/* Everything that follows from the sizes. */
typedef struct page {
    int height, width; /* pixels of an image */
    int enlarge;       /* pixels of the array for one of the image */
    int map_repeat[2]; /* rows and columns of the array for one position */
    size_t lines;      /* of images, */
    int blocks;        /* so many side by side */
    double unit;       /* of one pixel */
    double tile_height, tile_width;
} page;

static page page_of(const pg_sheet *s)
{
    page p = {.height = s->rows.size, .width = s->columns.size};
    int longer = p.height > p.width ? p.height : p.width;
    p.enlarge = (SIDE_MIN + longer - 1) / longer;
    p.map_repeat[0] = (SIDE_MIN + s->rows.positions - 1) / s->rows.positions;
    p.map_repeat[1] = (SIDE_MIN + s->columns.positions - 1) / s->columns.positions;
    p.blocks = s->n > 1 ? 2 : 1;
    p.lines = (s->n + (size_t)p.blocks - 1) / (size_t)p.blocks;
    p.unit = 1.0 / longer;
    p.tile_height = p.height * p.unit;
    p.tile_width = p.width * p.unit;
    return p;
}

static double left_of(const page *p, size_t image, int tile)
{
    return (double)(image % (size_t)p->blocks) * (TILES * tile_pitch + block_gap) + tile * tile_pitch;
}

static double top_of(const page *p, size_t image)
{
    return (double)(image / (size_t)p->blocks) * (p->tile_height + label_height);
}

/* ---- Texts and outlines ---- */

static void write_text(double x, double y, const char *text, size_t most, pg_buf *out)
{
    pg_buf_printf(out, "%.4f\t%.4f\t", x, y);
    pg_figure_text_cut(text, most, out);
    pg_buf_puts(out, "\n");
}

/* A line of text in the middle below a picture. */
static void write_below(const page *p, size_t image, int tile, double lower, const char *what, const char *name, pg_buf *out)
{
    pg_buf text;
    pg_buf_init(&text);
    pg_buf_printf(&text, "%s%s", what, name);
    write_text(left_of(p, image, tile) + p->tile_width / 2, top_of(p, image) + p->tile_height + lower, text.data,
               lower == next ? NEXT_MAX : TEXT_MAX, out);
    pg_buf_release(&text);
}

/* What the second map of every image shows. */
static const char *rival_heading(const pg_sheet *s)
{
    size_t won = 0;
    for (size_t i = 0; i < s->n; i++)
        won += s->images[i].won;
    return won == 0 ? "evidence, runner-up" : won == s->n ? "evidence, winner" : "evidence, rival";
}

/* Blocks 1 to 4. */
static void write_labels(const pg_sheet *s, const page *p, pg_buf *out)
{
    const char *const headings[TILES] = {"clean", "attacked, seen as", "evidence, true", rival_heading(s)};
    pg_buf plain, broken, second;
    pg_buf_init(&plain);
    pg_buf_init(&broken);
    pg_buf_init(&second);
    pg_buf_puts(out, "\n\n");
    for (int b = 0; b < p->blocks; b++)
        for (int t = 0; t < TILES; t++)
            write_text(left_of(p, (size_t)b, t) + p->tile_width / 2, -0.08, headings[t], NEXT_MAX, out);
    for (size_t i = 0; i < s->n; i++) {
        const pg_sheet_image *im = &s->images[i];
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)im->index);
        write_below(p, i, 0, first, "", im->label, &plain);
        write_below(p, i, 0, next, "image ", number, &second);
        write_below(p, i, 1, first, "", im->after, im->broken ? &broken : &plain);
        snprintf(number, sizeof number, "%lld", (long long)im->steps);
        write_below(p, i, 1, next, "steps ", number, &second);
        for (int m = 0; m < 2; m++) {
            snprintf(number, sizeof number, "%.2f", im->maps[m].score);
            write_below(p, i, 2 + m, first, "", im->maps[m].class_name, &plain);
            write_below(p, i, 2 + m, next, m == 0 ? "sum " : im->won ? "winner " : "runner-up ", number, &second);
        }
    }
    const pg_buf *blocks[] = {&plain, &broken, &second};
    for (int i = 0; i < 3; i++)
        pg_buf_printf(out, "\n\n%s", blocks[i]->size ? blocks[i]->data : "nan\tnan\t\n");
    out->failed |= plain.failed || broken.failed || second.failed;
    pg_buf_release(&plain);
    pg_buf_release(&broken);
    pg_buf_release(&second);
}

/* A rectangle of pixels, cut to the image. */
static void write_box(const page *p, size_t image, int tile, double top, double left, double bottom, double right, pg_buf *out)
{
    double x = left_of(p, image, tile), y = top_of(p, image);
    double x0 = x + fmax(left, 0) * p->unit, x1 = x + fmin(right, p->width) * p->unit;
    double y0 = y + fmax(top, 0) * p->unit, y1 = y + fmin(bottom, p->height) * p->unit;
    pg_buf_printf(out, "%.5f\t%.5f\n%.5f\t%.5f\n%.5f\t%.5f\n%.5f\t%.5f\n%.5f\t%.5f\n\n", x0, y0, x1, y0, x1, y1, x0, y1, x0,
                  y0);
}

/* The one or, where the window wraps, two runs of pixels that `count` positions from `from` on cover. */
static int pixel_runs(const pg_sheet_axis *a, int from, int count, double runs[2][2])
{
    double start = a->start + from * a->step, length = count * a->step;
    if (a->wrap)
        start = fmod(start, a->size);
    runs[0][0] = start;
    runs[0][1] = start + length;
    if (!a->wrap || start + length <= a->size)
        return 1;
    runs[1][0] = 0;
    runs[1][1] = start + length - a->size;
    return 2;
}

static void write_mask(const pg_sheet *s, const page *p, size_t image, int m, pg_buf *out)
{
    const pg_sheet_map *map = &s->images[image].maps[m];
    double rows[2][2], columns[2][2];
    int n_rows = pixel_runs(&s->rows, map->top, map->height, rows);
    int n_columns = pixel_runs(&s->columns, map->left, map->width, columns);
    for (int i = 0; i < n_rows; i++)
        for (int j = 0; j < n_columns; j++)
            write_box(p, image, 2 + m, rows[i][0], columns[j][0], rows[i][1], columns[j][1], out);
}

/* Blocks 5 and 6; whether there is a masked window. */
static bool write_outlines(const pg_sheet *s, const page *p, pg_buf *out)
{
    pg_buf_puts(out, "\n\n");
    for (size_t i = 0; i < s->n; i++) {
        const pg_sheet_image *im = &s->images[i];
        write_box(p, i, 1, im->patch_top, im->patch_left, im->patch_top + im->patch_height, im->patch_left + im->patch_width,
                  out);
    }
    pg_buf_puts(out, "\n");
    size_t before = out->size;
    for (size_t i = 0; i < s->n; i++)
        for (int m = 0; m < 2; m++)
            if (s->images[i].maps[m].masked)
                write_mask(s, p, i, m, out);
    bool masked = out->size > before;
    if (!masked)
        pg_buf_puts(out, "nan\tnan\n");
    return masked;
}

/* ---- Arrays ---- */

static int put(FILE *stream, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, stream) == size ? PG_OK : pg_fail(PG_EIO, "the contact sheet cannot be written");
}

/* One image, three bytes a pixel, enlarged. */
static int write_pixels(const page *p, const uint8_t *planes, FILE *stream)
{
    size_t plane = (size_t)p->height * (size_t)p->width;
    int code = PG_OK;
    for (int y = 0; y < p->height * p->enlarge && code == PG_OK; y++)
        for (int x = 0; x < p->width * p->enlarge && code == PG_OK; x++) {
            size_t at = (size_t)(y / p->enlarge) * (size_t)p->width + (size_t)(x / p->enlarge);
            const uint8_t colour[3] = {planes[at], planes[at + plane], planes[at + 2 * plane]};
            code = put(stream, colour, sizeof colour);
        }
    return code;
}

/* The position whose evidence stands at place i of the axis: where fields wrap, the first pixel's comes first. */
static int position_at(const pg_sheet_axis *a, int i)
{
    int shift = a->wrap ? (int)floor(a->start / a->step) % a->positions : 0;
    return (i - shift + a->positions) % a->positions;
}

/* One map as a share of `scale`, each position repeated. */
static int write_map(const pg_sheet *s, const page *p, const float *values, float scale, FILE *stream)
{
    int code = PG_OK;
    for (int y = 0; y < s->rows.positions * p->map_repeat[0] && code == PG_OK; y++)
        for (int x = 0; x < s->columns.positions * p->map_repeat[1] && code == PG_OK; x++) {
            int row = position_at(&s->rows, y / p->map_repeat[0]), column = position_at(&s->columns, x / p->map_repeat[1]);
            float share = values[(size_t)row * (size_t)s->columns.positions + (size_t)column] / scale;
            code = put(stream, &share, sizeof share);
        }
    return code;
}

/* The largest size of a value of all maps; 1 where all are 0. */
static float scale_of(const pg_sheet *s)
{
    float largest = 0;
    size_t positions = (size_t)s->rows.positions * (size_t)s->columns.positions;
    for (size_t k = 0; k < 2 * s->n; k++)
        for (size_t i = 0; i < positions; i++)
            if (fabsf(s->images[k / 2].maps[k % 2].values[i]) > largest)
                largest = fabsf(s->images[k / 2].maps[k % 2].values[i]);
    return largest > 0 ? largest : 1;
}

/* sheet-pixels.npy [images][2][height][width][3], sheet-evidence.npy [images][2][rows][columns]; the bytes of their headers. */
static int write_arrays(const pg_sheet *s, const page *p, float scale, const char *folder, long head[2])
{
    static const char *const names[2] = {"sheet-pixels.npy", "sheet-evidence.npy"};
    int64_t n = (int64_t)s->n;
    const int64_t shapes[2][5] = {{n, 2, p->height * p->enlarge, p->width * p->enlarge, 3},
                                  {n, 2, s->rows.positions * p->map_repeat[0], s->columns.positions * p->map_repeat[1]}};
    int code = PG_OK;
    for (int a = 0; a < 2 && code == PG_OK; a++) {
        pg_file_writer writer = {0};
        pg_buf path;
        pg_buf_init(&path);
        pg_buf_printf(&path, "%s/%s", folder, names[a]);
        code = pg_buf_check(&path);
        if (code == PG_OK)
            code = pg_file_begin(&writer, path.data);
        if (code == PG_OK)
            code = pg_npy_write_header(writer.stream, a == 0 ? PG_NPY_U1 : PG_NPY_F4, a == 0 ? 5 : 4, shapes[a]);
        head[a] = code == PG_OK ? ftell(writer.stream) : 0;
        for (size_t i = 0; i < s->n && code == PG_OK; i++)
            for (int k = 0; k < 2 && code == PG_OK; k++) {
                const pg_sheet_image *im = &s->images[i];
                code = a == 0 ? write_pixels(p, k == 0 ? im->clean : im->attacked, writer.stream)
                              : write_map(s, p, im->maps[k].values, scale, writer.stream);
            }
        if (code == PG_OK)
            code = pg_file_commit(&writer);
        pg_file_abort(&writer);
        pg_buf_release(&path);
    }
    return code;
}

/* ---- The sheet ---- */

static void write_prelude(const pg_sheet *s, const page *p, const long head[2], pg_buf *out)
{
    const pg_sheet_axis *axes[2] = {&s->columns, &s->rows};
    static const char *const letters[2] = {"x", "y"};
    pg_buf_printf(out, "images = %zu\nblocks = %d\nlines = %zu\n", s->n, p->blocks, p->lines);
    pg_buf_printf(out, "tile_width = %.6f\ntile_height = %.6f\npitch = %.6f\ngap = %.6f\nlabels = %.6f\n", p->tile_width,
                  p->tile_height, tile_pitch, block_gap, label_height);
    pg_buf_printf(out, "pixels_head = %ld\npixels_width = %d\npixels_height = %d\npixel = %.9f\n", head[0],
                  p->width * p->enlarge, p->height * p->enlarge, p->unit / p->enlarge);
    pg_buf_printf(out, "map_head = %ld\nmap_width = %d\nmap_height = %d\n", head[1], s->columns.positions * p->map_repeat[1],
                  s->rows.positions * p->map_repeat[0]);
    for (int i = 0; i < 2; i++) { /* middle of the first cell, and from cell to cell */
        double step = axes[i]->step * p->unit / p->map_repeat[1 - i], start = axes[i]->wrap ? 0 : axes[i]->start * p->unit;
        pg_buf_printf(out, "map_%s = %.9f\nmap_d%s = %.9f\n", letters[i], start + step / 2, letters[i], step);
    }
}

int pg_sheet_draw(const pg_sheet *sheet, const char *folder)
{
    page p = page_of(sheet);
    float scale = scale_of(sheet);
    long head[2] = {0};
    pg_figure_data parts;
    pg_figure_data_init(&parts);
    int code = pg_figure_check(folder);
    if (code == PG_OK)
        code = pg_make_folders(folder);
    if (code == PG_OK)
        code = write_arrays(sheet, &p, scale, folder, head);
    pg_figure_text_cut(sheet->title, TITLE_MAX, &parts.data);
    pg_buf_puts(&parts.data, "\t");
    pg_figure_text_cut(sheet->subtitle, TITLE_MAX, &parts.data);
    pg_buf_puts(&parts.data, "\n");
    write_labels(sheet, &p, &parts.data);
    bool masked = write_outlines(sheet, &p, &parts.data);
    write_prelude(sheet, &p, head, &parts.prelude);
    pg_buf_printf(&parts.prelude, "scale = %.9g\nmasked = %d\n", (double)scale, masked);
    if (code == PG_OK)
        code = pg_figure_save("sheet", pg_script_sheet, &parts, folder);
    pg_figure_data_release(&parts);
    return code;
}
