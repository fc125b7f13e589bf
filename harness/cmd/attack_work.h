/* What the parts of attack_files.c share: the work in progress and what it keeps for the contact sheet. Private to `attack`.
 */
#ifndef PG_CMD_ATTACK_WORK_H
#define PG_CMD_ATTACK_WORK_H

#include "defenses/certifier.h"
#include "harness/data/dataset.h"
#include "harness/cmd/attack_files.h"
#include "harness/plan/defended.h"
#include "harness/target/attacker.h"

/* Everything that an attack on a run of images stands on; resolved before work begins. */
typedef struct pg_attack_setup {
    const pg_attack_request *request;
    const char *model_pairs[64], *attack_pairs[64], *defense_pairs[64];
    size_t n_model, n_attack, n_defense;
    const pg_attack *attack;
    const pg_defense *defense;
    _Alignas(max_align_t) unsigned char attack_config[PG_CONFIG_MAX], config[PG_CONFIG_MAX];
    pg_dataset *dataset;
    pg_weights_info info;
    pg_resizing resize;            /* of the data set */
    bool before_resize;            /* the patch is put on before it, and it changes the size; else on what the network takes */
    int image_height, image_width; /* of what the patch is put on */
    int patch_height, patch_width, affected_height, affected_width; /* reach: what it changes of what the network takes */
    int at_once;                                                    /* images of one pass of the network */
    pg_defended defended;
    pg_window window;
    int64_t first, end, delta; /* delta: of the evidence, 0 where not measured */
    bool has_delta;
    pg_network *network;
    pg_attacker *attacker;
    pg_certifier *certifier;
} pg_attack_setup;

/* The first line of results.csv, by which a folder of an earlier attack is known, and all that a folder of results holds. */
#define PG_ATTACK_HEADER                                                                                                     \
    "image,label,before,after,broken,certified,top,left,target,loss,steps,largest_clean,largest_attacked,local_wrong_clean," \
    "local_wrong_attacked\n"
enum { PG_ATTACK_DATA = 3 };                /* the first ones; the others are pictures */
extern const char *const pg_attack_names[]; /* results.csv is the first; ends with NULL */

int pg_attack_setup_open(const pg_attack_request *request, pg_attack_setup *out) PG_MUST_USE;
void pg_attack_setup_close(pg_attack_setup *setup); /* also after a failure */

/* Images kept for the contact sheet: the first ones on which the attack took a step. */
typedef struct pg_attack_sheet pg_attack_sheet;
int pg_attack_sheet_new(const pg_attack_setup *setup, int most, pg_attack_sheet **out) PG_MUST_USE;
void pg_attack_sheet_free(pg_attack_sheet *sheet);
/* clean, attacked: pixels as the network takes them, of which what the patch changes is outlined; logits: of the attacked
 * image. PG_ENOMEM. */
int pg_attack_sheet_add(pg_attack_sheet *sheet, const pg_attack_result *result, int label, const uint8_t *clean,
                        const uint8_t *attacked, const float *logits) PG_MUST_USE;
/* Nothing is drawn where no image was attacked. */
int pg_attack_sheet_draw(pg_attack_sheet *sheet, const char *title, const char *subtitle) PG_MUST_USE;

#endif
