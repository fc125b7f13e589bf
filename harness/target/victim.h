/* The defended classifier as attacks see it (attacks/attack.h), made of a network and a defense.
 *
 * An image in a slot keeps its clean local logits; a pass computes the local logits of its crop only (models/model.h), puts
 * them into the clean map, and asks the surrogate of the defense for scores, its integer rule for the evaluator. Gradients are
 * recorded where the thread records them (grad_mode), which is the caller's choice.
 *
 * With `resize` the patch is put on before a resize: images, patches and places are those before it, and examples bring the
 * resized image along (`resized`). What the patch changes of that image is then the patch that the rest works with
 * (resized_patch.h). */
#ifndef PG_TARGET_VICTIM_H
#define PG_TARGET_VICTIM_H

#include "attacks/attack.h"
#include "harness/data/resize.h"
#include "harness/target/evaluator.h"

#include <math.h>

/* The 8 bits of a pixel in [0, 1]; what is below 0, above 1 or not a number is cut. */
static inline uint8_t pg_pixel_round(float value) { return value >= 1 ? 255 : value > 0 ? (uint8_t)lrintf(value * 255) : 0; }

/* The image as the network takes it. */
static inline const uint8_t *pg_example_input(const pg_example *e) { return e->resized ? e->resized : e->pixels; }

typedef struct pg_victim_request {
    pg_network *network; /* borrowed until close; its scope is used */
    pg_evaluator
        *evaluator; /* borrowed until close; the surrogate is its defense's, unless `gradient_of_mean` or it has none */
    const pg_resizing *resize; /* between the patch and the network, borrowed until close; NULL: none */
    int patch_height, patch_width, slots;
    bool gradient_of_mean;
    bool sizes_only;        /* of an attack that asks nothing: images are held by nobody, and only `close` is there */
    bool (*stopping)(void); /* optional */
} pg_victim_request;

/* *new*, pg_victim_close. PG_ENOMEM, PG_EINPUT. */
int pg_victim_open(const pg_victim_request *request, pg_victim **out) PG_MUST_USE;
static inline void pg_victim_close(pg_victim *victim)
{
    if (victim)
        victim->ops->close(victim);
}

/* ---- For the files of the three kinds: sizes, classes, slots and kinds are left to the caller ---- */

/* Of models without gradients: the whole image is forwarded for each pass, and evaluated as soon as it is scored. */
int pg_victim_plain_open(const pg_victim_request *request, const pg_geometry *geometry, pg_victim **out) PG_MUST_USE;
/* Of networks with gradients: a pass computes what a patch affects of an image, its crop, and the rest of the map is that of
 * the clean image. */
int pg_victim_crop_open(const pg_victim_request *request, const pg_geometry *geometry, pg_victim **out) PG_MUST_USE;
/* Behind a defense of images, whose network is one of masked images: the gradient is that of the undefended network, since a
 * pass through all masked images would cost hundreds of passes a step; the evaluator is the defense itself, on all masked
 * images, asked wherever the undefended network errs. */
int pg_victim_masked_open(const pg_victim_request *request, pg_victim **out) PG_MUST_USE;

/* The sizes of a victim, of the geometry of its network. */
static inline void pg_victim_set_sizes(pg_victim *victim, const pg_victim_request *r, const pg_geometry *g)
{
    victim->image_height = r->resize ? r->resize->from_height : g->input_height;
    victim->image_width = r->resize ? r->resize->from_width : g->input_width;
    victim->patch_height = r->patch_height;
    victim->patch_width = r->patch_width;
    victim->classes = g->classes;
    victim->outputs = pg_network_outputs(r->network);
    victim->slots = r->slots;
}

#endif
