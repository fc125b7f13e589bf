/* Scaled and turned patches. See warp.h. */
#include "attacks/warp.h"

#include <math.h>
#include <stddef.h>

/* Where one pixel reads: four texels and their weights. */
typedef struct reading {
    int at[4];
    double weight[4];
} reading;

static double within(double x, double most) { return x < 0 ? 0 : x > most ? most : x; }

/* (dy, dx): from the middle, pixels. false: this point is not painted. */
static bool read_at(int h, int w, pg_warp warp, double sine, double cosine, double dy, double dx, reading *r)
{
    double ty = (cosine * dy - sine * dx) / warp.scale, tx = (sine * dy + cosine * dx) / warp.scale;
    double vy = ty / (0.5 * h), vx = tx / (0.5 * w); /* -1 to 1 across the texture */
    bool inside = warp.whole ? fabs(vy) <= 1 && fabs(vx) <= 1 : vy * vy + vx * vx <= 1;
    if (!inside)
        return false;
    ty = within(ty + 0.5 * h - 0.5, h - 1);
    tx = within(tx + 0.5 * w - 0.5, w - 1);
    int top = (int)ty, left = (int)tx, down = top + 1 < h ? top + 1 : top, right = left + 1 < w ? left + 1 : left;
    double fy = ty - top, fx = tx - left;
    *r = (reading){.at = {top * w + left, top * w + right, down * w + left, down * w + right},
                   .weight = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
    return true;
}

/* The texel that a point lies in. */
static bool is_masked(const uint8_t *mask, const reading *r)
{
    int most = 0;
    for (int k = 1; k < 4; k++)
        most = r->weight[k] > r->weight[most] ? k : most;
    return mask && !mask[r->at[most]];
}

void pg_warp_place(const float *texture, const uint8_t *mask, int h, int w, pg_warp warp, double y, double x, float *out,
                   int out_h, int out_w)
{
    double sine = sin(warp.angle), cosine = cos(warp.angle);
    reading r;
    for (int i = 0; i < out_h; i++)
        for (int j = 0; j < out_w; j++) {
            if (!read_at(h, w, warp, sine, cosine, i + 0.5 - y, j + 0.5 - x, &r) || is_masked(mask, &r))
                continue;
            for (int c = 0; c < 3; c++) {
                double value = 0;
                for (int k = 0; k < 4; k++)
                    value += r.weight[k] * (double)texture[c * h * w + r.at[k]];
                out[(c * out_h + i) * out_w + j] = (float)within(value, 1);
            }
        }
}

void pg_warp_paint(const float *texture, int h, int w, pg_warp warp, float *out)
{
    pg_warp_place(texture, NULL, h, w, warp, 0.5 * h, 0.5 * w, out, h, w);
}

void pg_warp_adjoint(const float *gradient, int h, int w, pg_warp warp, double *sum)
{
    double sine = sin(warp.angle), cosine = cos(warp.angle);
    reading r;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            if (!read_at(h, w, warp, sine, cosine, y + 0.5 - 0.5 * h, x + 0.5 - 0.5 * w, &r))
                continue;
            for (int c = 0; c < 3; c++)
                for (int k = 0; k < 4; k++)
                    sum[c * h * w + r.at[k]] += r.weight[k] * (double)gradient[(c * h + y) * w + x];
        }
}
