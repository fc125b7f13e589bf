/* The files of an attack that a database holds: what `patchgauge attack` leaves to look at. */
#ifndef PG_CMD_ATTACK_EXPORT_H
#define PG_CMD_ATTACK_EXPORT_H

#include "db/store.h"
#include "harness/cmd/attack_plan.h"
#include "harness/cmd/class_names.h"

/* Names of all files in the folder, results.csv first, but for the database; ends with NULL. The first PG_ATTACK_DATA are data,
 * the others pictures. */
enum { PG_ATTACK_DATA = 3 };
extern const char *const pg_attack_names[];

/* Reads a cell with all its images from the database, runs its network over them without and with their patches for the local
 * logits, writes results.csv, patches.npy (uint8 [n][3][height][width]) and meta.json into the folder, which is there, and the
 * pictures sheet and local-logits beside them; prints a summary. Patches and their places are in pixels of what they are put
 * on, the sheet shows what the network takes. The data files take their places together, each whole. PG_EINTERRUPTED: nothing
 * is written. PG_EBROKEN, after all is written, where the attack broke a certificate that counts: the message names the first
 * such image, whose patch is in the files. */
int pg_attack_export(const pg_attack_request *request, const pg_cell *cell, const char *db_path) PG_MUST_USE;

/* ---- Private to the files of `attack` ---- */

/* Images kept for the contact sheet: the first ones on which the attack took a step, or that it broke. */
typedef struct pg_attack_sheet pg_attack_sheet;
/* *new*, pg_attack_sheet_free, also after a failure. Cell and names are borrowed. */
int pg_attack_sheet_new(const pg_cell *cell, const pg_class_names *names, int most, bool broken_only,
                        pg_attack_sheet **out) PG_MUST_USE;
void pg_attack_sheet_free(pg_attack_sheet *sheet);
/* clean, attacked: pixels as the network takes them, of which what the patch changes is outlined; logits: of the attacked
 * image. PG_ENOMEM. */
int pg_attack_sheet_add(pg_attack_sheet *sheet, const pg_attack_row *attack, const uint8_t *clean, const uint8_t *attacked,
                        const float *logits) PG_MUST_USE;
/* Nothing is drawn where the sheet has no image. */
int pg_attack_sheet_draw(pg_attack_sheet *sheet, const char *title, const char *subtitle, const char *folder) PG_MUST_USE;

#endif
