/* The worst contents of a window under robust masking, as several variants: which of them does the most harm depends on where
 * the benign evidence lies.
 *
 * Source: defenses/CERTIFICATES.md, sections 12 and 13. Per class: the label is emptied, or raised where that gets a window
 * masked that holds benign evidence of it besides; the rival fills the window, or stays at most as high as masking allows.
 * Scope predicted: the rival stays just below the label, so that the mask falls on the label's heaviest window; with the label
 * raised inside that window, the rival may rise by as much; and the same with a third class in the part of the label. */
#ifndef PG_DEFENSES_MASK_WORST_H
#define PG_DEFENSES_MASK_WORST_H

#include "defenses/masks.h"
#include "defenses/worst.h"

/* Room for any window on a map. */
typedef struct pg_mask_worst {
    int32_t *map;                /* [height * width] one class */
    pg_plane held, rival, cells; /* windows of one class; of the rival; how many raised cells each holds */
} pg_mask_worst;
void pg_mask_worst_layout(pg_arena *arena, int height, int width, pg_mask_worst *room);

/* Evidence >= 0. As the hook `worst` of defenses/defense.h: false where there is no such variant. */
bool pg_mask_worst_per_class(pg_mask_worst *room, const pg_evidence *evidence, pg_window window, int64_t threshold_ppm,
                             const pg_worst *which, int32_t *contents);
bool pg_mask_worst_predicted(pg_mask_worst *room, const pg_evidence *evidence, pg_window window, int64_t threshold_ppm,
                             const pg_worst *which, int32_t *contents);

#endif
