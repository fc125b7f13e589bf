/* One attack on a run of images, without a database: what `patchgauge attack` does. What it finds is written as files, with
 * pictures to look at. Results that belong into tables come from a matrix with an attack and `run`. */
#ifndef PG_CMD_ATTACK_FILES_H
#define PG_CMD_ATTACK_FILES_H

#include "models/model.h"

typedef struct pg_attack_request {
    const char *data_dir, *dataset, *weights;
    const char *attack, *defense, *patch; /* names; "5", "5x8", "2.4%" */
    const char *const *pairs;             /* "option=value" or "module.option=value" of attack, defense or the null model */
    size_t n_pairs;
    bool behind_resize; /* the patch is put on what the network takes, also where the data set is resized to that */
    const char *device;
    int threads, batch; /* batch: of the network, as in `run` */
    pg_dtype dtype;
    bool all;           /* the whole split; else: */
    int64_t first, end; /* images first to end - 1 */
    uint64_t seed;
    int sheet; /* images of the contact sheet, 0 to PG_SHEET_MAX; 0: no pictures */
    const char *folder;
    bool force; /* over files of the names that it writes which are not from an attack */
} pg_attack_request;

/* Writes results.csv, patches.npy (uint8 [n][3][height][width]) and meta.json into the folder, and the pictures sheet and
 * local-logits beside them; patches and their places are in pixels of what they are put on, the sheet shows what the network
 * takes; prints a summary. Each file appears whole; before an error in the input, and when interrupted (PG_EINTERRUPTED),
 * nothing is written. PG_EBROKEN, after all is written, where the attack broke a certificate that counts: the message names the
 * first such image, whose patch is in the files. */
int pg_attack_write(const pg_attack_request *request) PG_MUST_USE;

#endif
