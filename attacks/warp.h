/* A patch that is scaled and turned inside its h x w rectangle, and the adjoint of that.
 *
 * The texture has the size of the rectangle. Pixel centres are turned about the middle by -angle, divided by scale, and read
 * bilinearly; beyond its last centres the texture goes on as there. Only points inside the shape (the ellipse that fills the
 * rectangle, or the rectangle) are painted; elsewhere the image shows. */
#ifndef PG_ATTACKS_WARP_H
#define PG_ATTACKS_WARP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pg_warp {
    double scale; /* 1: as large as the rectangle */
    double angle; /* radians */
    bool whole;   /* the rectangle; else the ellipse */
} pg_warp;

/* Paints texture[3][h][w] over out[3][out_h][out_w], the middle of the texture at (y, x), pixels from the upper left corner of
 * out. mask[h][w] (NULL: all 1): where the texel that is nearest to a point has 0, the point is not painted. */
void pg_warp_place(const float *texture, const uint8_t *mask, int h, int w, pg_warp warp, double y, double x, float *out,
                   int out_h, int out_w);
/* The same in the middle of a rectangle of its own size: paints texture[3][h][w] over out[3][h][w]. */
void pg_warp_paint(const float *texture, int h, int w, pg_warp warp, float *out);
/* Adds to sum[3][h][w] what d / d out[3][h][w] means for the texture: the transpose of pg_warp_paint. */
void pg_warp_adjoint(const float *gradient, int h, int w, pg_warp warp, double *sum);

#endif
