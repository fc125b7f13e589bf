/* Audits of the certificates of a plan's cells. Source: defenses/CERTIFICATES.md, section 18.
 *
 * feature:  every image, every window, every wrong class: contents that the rule's `predict` evaluates
 * (harness/audit/auditor.h). locality: one random patch an image, through the network: the largest change of evidence (for
 * votes: of logits) at positions that the patch does not reach, what the deployed rule says of the patched image, and how many
 * certificates survive a change that large. pixel:    the certified images attacked through the deployed model
 * (harness/target/attacker.h).
 *
 * Images of a cell are audited by all threads of a pool; counts and witnesses do not depend on their number. */
#ifndef PG_AUDIT_AUDIT_H
#define PG_AUDIT_AUDIT_H

#include "attacks/attack.h"
#include "harness/plan/plan.h"
#include "harness/audit/auditor.h"

typedef enum pg_audit_level { PG_AUDIT_FEATURE, PG_AUDIT_LOCALITY, PG_AUDIT_PIXEL, PG_AUDIT_LEVELS } pg_audit_level;
extern const char *const pg_audit_level_names[]; /* "feature", "locality", "pixel", NULL */

/* One cell at one level. */
typedef struct pg_audit_row {
    const pg_cell *cell; /* borrowed from the plan */
    pg_audit_level level;
    pg_certificate certificate;
    int64_t n;                /* images */
    int64_t correct;          /* without a patch */
    int64_t certified;        /* locality: that survive the measured delta as well */
    int64_t broken;           /* certified and broken: 0 for a sound rule */
    int64_t unbroken;         /* correct, not certified, not broken: 0 for an exact rule; feature level */
    int64_t at_end;           /* the same, for want of values beyond the end of the grid: not in `unbroken` */
    int64_t published;        /* certified as published, where the rule has that */
    int64_t published_broken; /* of these */
    int64_t contents;         /* evaluated; pixel: images attacked; locality: patches */
    int64_t sampled;          /* images on which not every window and class was tried */
    int64_t delta;   /* locality: largest change, grid units of the evidence, for votes of logits; else, and where every
                      * position of every image depends on its patch, -1 */
    int64_t outside; /* locality: images that have one */
    char *witness;   /* of the first image that broke; key=value lines; NULL: none. Owned */
} pg_audit_row;

typedef struct pg_audit_request {
    const pg_plan *plan;
    bool levels[PG_AUDIT_LEVELS];
    pg_audit_effort effort;
    const pg_attack *attack; /* pixel: required */
    const void *attack_config;
    const char *data_dir, *device;
    int threads, workers; /* of the network, of the pool; 0: all cores */
    const char *folder;   /* of witness files. NULL: the current one, and none for certificates that are no proof anyway */
    /* Lends a store open for writing in which the cells are recorded; called once, when the first network has opened. */
    int (*begin)(void *context, pg_store **store);
    void *context;
} pg_audit_request;

/* Audits every cell and stores each row; rows[0..*n), *new*, pg_audit_rows_free, also after a failure: those that were
 * finished. PG_EINTERRUPTED where a signal asked to stop. A broken certificate is no failure here: see the rows. */
int pg_audit_run(const pg_audit_request *request, pg_audit_row **rows, size_t *n) PG_MUST_USE;
void pg_audit_rows_free(pg_audit_row *rows, size_t n);

/* PG_EBROKEN where a sound certificate broke, PG_ECELLS where a refused image of an exact rule did not although all was tried,
 * with the message for the user; else PG_OK. */
int pg_audit_conclude(const pg_audit_row *rows, size_t n) PG_MUST_USE;

#endif
