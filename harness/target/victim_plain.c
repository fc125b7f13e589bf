/* Victims of models without gradients. See victim.h. */
#include "harness/target/victim.h"

#include "harness/base/memory.h"
#include "harness/target/paste.h"

#include <stdlib.h>
#include <string.h>

typedef struct plain_slot {
    const pg_example *example;
    int top, left;
} plain_slot;

typedef struct plain {
    pg_victim victim; /* first */
    pg_victim_request r;
    plain_slot *slots;
    int *predictions; /* of the last pass */
    pg_paste paste;
    uint8_t *patch, *pixels; /* one, rounded; one image with it */
    float *logits;           /* one map */
    int code;                /* of the last pass, and its message */
    char message[PG_MESSAGE_MAX];
    pg_memory memory; /* of all arrays */
} plain;

static int plain_hold(pg_victim *victim, int index, const pg_example *example, int top, int left)
{
    ((plain *)victim)->slots[index] = (plain_slot){example, top, left};
    return PG_OK;
}

static int plain_predict(plain *p, const plain_slot *x, const float *patch, int *prediction)
{
    const pg_victim *v = &p->victim;
    for (int i = 0; i < 3 * v->patch_height * v->patch_width; i++)
        p->patch[i] = pg_pixel_round(patch[i]);
    int code = pg_paste_patch(&p->paste, x->example->pixels, p->patch, x->top, x->left, p->pixels);
    if (code == PG_OK)
        code = pg_network_forward(p->r.network, p->pixels, x->example->index, 1, p->logits);
    if (code == PG_OK)
        *prediction = pg_evaluator_logits(p->r.evaluator, p->logits);
    return code;
}

static struct pg_tensor *plain_scores(pg_victim *victim, int n, const int *slots, const float *patches, int kind PG_UNUSED)
{
    plain *p = (plain *)victim;
    size_t patch = (size_t)3 * (size_t)victim->patch_height * (size_t)victim->patch_width;
    p->code = PG_OK;
    for (int i = 0; p->code == PG_OK && i < n; i++)
        p->code = plain_predict(p, &p->slots[slots[i]], patches + (size_t)i * patch, &p->predictions[i]);
    if (p->code != PG_OK)
        memcpy(p->message, pg_error_message(), sizeof p->message);
    return NULL;
}

static int plain_evaluate(pg_victim *victim, int i, int *prediction)
{
    const plain *p = (const plain *)victim;
    if (p->code != PG_OK)
        return pg_fail(p->code, "%s", p->message);
    *prediction = p->predictions[i];
    return PG_OK;
}

static bool plain_stopping(pg_victim *victim)
{
    const pg_victim_request *r = &((plain *)victim)->r;
    return r->stopping && r->stopping();
}

static void plain_close(pg_victim *victim)
{
    plain *p = (plain *)victim;
    pg_paste_release(&p->paste);
    pg_memory_free(&p->memory);
    free(p);
}

static const pg_victim_ops plain_ops = {
    .hold = plain_hold, .scores = plain_scores, .evaluate = plain_evaluate, .stopping = plain_stopping, .close = plain_close};

int pg_victim_plain_open(const pg_victim_request *r, const pg_geometry *g, pg_victim **out)
{
    plain *p = calloc(1, sizeof *p);
    if (!p)
        return pg_fail(PG_ENOMEM, "out of memory");
    p->r = *r;
    p->victim = (pg_victim){.ops = &plain_ops};
    p->slots = pg_memory_take(&p->memory, (size_t)r->slots, sizeof *p->slots);
    p->predictions = pg_memory_take(&p->memory, (size_t)r->slots, sizeof *p->predictions);
    p->patch = pg_memory_take(&p->memory, (size_t)r->patch_height * (size_t)r->patch_width, 3);
    p->pixels = pg_memory_take(&p->memory, (size_t)g->input_height * (size_t)g->input_width, 3);
    size_t positions = (size_t)g->rows.positions * (size_t)g->columns.positions;
    p->logits = pg_memory_take(&p->memory, positions * (size_t)g->classes, sizeof *p->logits);
    int code = pg_memory_check(&p->memory, "%d images under attack", r->slots);
    if (code == PG_OK)
        code = pg_paste_init(&p->paste, r->resize, g, r->patch_height, r->patch_width);
    if (code == PG_OK)
        *out = &p->victim;
    else
        plain_close(&p->victim);
    return code;
}
