#include "harness/target/paste.h"

#include <stdlib.h>
#include <string.h>

int pg_paste_init(pg_paste *p, const pg_resizing *resize, const pg_geometry *g, int patch_height, int patch_width)
{
    *p = (pg_paste){.resize = resize,
                    .image_height = resize ? resize->from_height : g->input_height,
                    .image_width = resize ? resize->from_width : g->input_width,
                    .patch_height = patch_height,
                    .patch_width = patch_width};
    if (resize)
        p->scratch = malloc((size_t)3 * (size_t)p->image_height * (size_t)p->image_width);
    return !resize || p->scratch ? PG_OK : pg_fail(PG_ENOMEM, "out of memory for an image with a patch");
}

void pg_paste_release(pg_paste *p) { free(p->scratch); }

int pg_paste_patch(pg_paste *p, const uint8_t *image, const uint8_t *patch, int top, int left, uint8_t *out)
{
    size_t width = (size_t)p->image_width, plane = (size_t)p->image_height * width, row = (size_t)p->patch_width;
    uint8_t *pasted = p->resize ? p->scratch : out;
    memcpy(pasted, image, 3 * plane);
    for (size_t c = 0; c < 3; c++)
        for (int y = 0; y < p->patch_height; y++, patch += row)
            memcpy(pasted + c * plane + (size_t)(top + y) * width + (size_t)left, patch, row);
    return p->resize ? pg_resize_planes(p->resize, pasted, out) : PG_OK;
}
