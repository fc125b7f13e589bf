/* The audit of certificates at the level of features: tries to break the verdict of a rule on one image.
 *
 * Source: defenses/CERTIFICATES.md, section 18. For every window and every wrong class the rule's own hook names the worst
 * contents, and the general ones (harness/audit/contents.h) are tried as well; whether they break the image only the rule's
 * `predict` says, on a tensor with those contents in the place of the window.
 *
 * A tie counts as broken, but for rules whose certificate may rest on one. To see ties, the label trades places with the last
 * class, which loses every tie; rules treat classes alike in everything else. With measured locality a certificate must also
 * survive that everything outside the window moves against the label; this is tried too. One pg_auditor per thread. */
#ifndef PG_AUDIT_AUDITOR_H
#define PG_AUDIT_AUDITOR_H

#include "defenses/certifier.h"

typedef struct pg_audit_effort {
    int64_t tries;  /* pairs of window and wrong class an image, at random where there are more; 0: all */
    int64_t random; /* general contents an image, at random where there are more */
    uint64_t seed;
} pg_audit_effort;

/* What breaks an image: contents of the window at (top, left), as local evidence or (pixel level) as pixels. */
typedef struct pg_audit_break {
    const char *by; /* "worst", "general", "random" */
    bool tie;       /* the wrong class reaches the label's score and no more */
    bool shifted;   /* the outside moved by delta besides */
    int top, left, rival;
    int prediction;          /* of the rule, ties included: the label where `tie` */
    const int32_t *contents; /* [height][width][classes] grid units, borrowed until the next image */
} pg_audit_break;

typedef struct pg_audited {
    pg_verdict verdict; /* as the cell has it, with its delta */
    bool correct;       /* the prediction is the label */
    bool claimed;       /* certified, by the cell or without locality: must not break */
    bool broken;        /* `how` says by what; also true where the prediction is wrong already (then without `how`) */
    bool at_end;        /* nothing broke it for want of larger values: the grid ends; see auditor.c */
    bool sampled;       /* not every window and class was tried */
    int64_t contents;   /* evaluated */
    pg_audit_break how;
} pg_audited;

typedef struct pg_auditor pg_auditor;

/* *new*, pg_auditor_free. The job as a certifier gets it; a map of this size. PG_EINPUT, PG_ENOMEM. */
int pg_auditor_new(const pg_job *job, const pg_audit_effort *effort, int height, int width, int classes, bool wrap_rows,
                   bool wrap_columns, pg_auditor **out) PG_MUST_USE;
void pg_auditor_free(pg_auditor *auditor);

/* Local logits [height][width][classes] of an image. `attack` false: the verdict alone. PG_EINPUT where the rule gives an
 * impossible verdict or prediction, or its hook names contents outside the range of its evidence; the caller names the rule. */
int pg_auditor_image(pg_auditor *auditor, const float *logits, int64_t image, int label, bool attack,
                     pg_audited *out) PG_MUST_USE;

/* Evidence of local logits, for the caller's own questions: borrowed until the next call; NULL where it is not finite. */
const pg_evidence *pg_auditor_evidence(pg_auditor *auditor, const float *logits);
/* The rule's prediction on such evidence. */
int pg_auditor_predict(pg_auditor *auditor, const pg_evidence *evidence);
pg_window pg_auditor_window(const pg_auditor *auditor); /* cut to the map */

#endif
