#include "harness/target/evaluator.h"

#include "defenses/certifier.h"
#include "defenses/evidence.h"
#include "harness/base/memory.h"
#include "harness/plan/defended.h"
#include "harness/plan/modules.h"

#include <stdlib.h>

struct pg_evaluator {
    const pg_defense *defense;
    const void *config;
    pg_evidence_spec spec;
    pg_map map;
    int32_t *q;  /* [H][W][classes] */
    double *row; /* [classes] */
    void *scratch;
    pg_memory memory; /* of these arrays */
};

int pg_evaluator_new(const pg_geometry *g, const pg_defense *defense, const void *config, pg_window window, pg_evaluator **out)
{
    *out = NULL;
    pg_evaluator *j = calloc(1, sizeof *j);
    if (!j)
        return pg_fail(PG_ENOMEM, "out of memory");
    *j = (pg_evaluator){.defense = defense, .config = config, .map = pg_defended_map_of(g, window)};
    int height = j->map.height, width = j->map.width;
    defense->evidence(config, &j->spec);
    size_t size = defense->scratch_size(height, width, g->classes, 1);
    j->q = pg_memory_take(&j->memory, (size_t)height * (size_t)width * (size_t)g->classes, sizeof *j->q);
    j->row = pg_memory_take(&j->memory, (size_t)g->classes, sizeof *j->row);
    j->scratch = pg_memory_take(&j->memory, size, 1);
    int code = pg_memory_check(&j->memory, "feature maps of %dx%dx%d", height, width, g->classes);
    if (code == PG_OK)
        *out = j;
    else
        pg_evaluator_free(j);
    return code;
}

void pg_evaluator_free(pg_evaluator *j)
{
    if (!j)
        return;
    pg_memory_free(&j->memory);
    free(j);
}

const pg_map *pg_evaluator_map(const pg_evaluator *j) { return &j->map; }
const pg_defense *pg_evaluator_defense(const pg_evaluator *j) { return j->defense; }
const void *pg_evaluator_config(const pg_evaluator *j) { return j->config; }

bool pg_evaluator_evidence(pg_evaluator *j, const float *logits, size_t positions, int32_t *q)
{
    return pg_evidence_f32(&j->spec, logits, positions, j->map.classes, j->row, q);
}

int pg_evaluator_predict(pg_evaluator *j, const int32_t *q)
{
    pg_evidence evidence = pg_evidence_of(&j->map, q, &j->spec);
    int prediction = j->defense->predict(&evidence, j->map.window, j->config, j->scratch);
    return prediction == -1 ? PG_UNPREDICTED : prediction;
}

int pg_evaluator_check(const pg_evaluator *j, int prediction, int64_t image)
{
    int code = pg_prediction_check(prediction, j->map.classes);
    return code == PG_OK ? PG_OK : pg_modules_blame(code, "defense", &j->defense->module, image);
}

int pg_evaluator_logits(pg_evaluator *j, const float *logits)
{
    bool finite = pg_evaluator_evidence(j, logits, (size_t)j->map.height * (size_t)j->map.width, j->q);
    return finite ? pg_evaluator_predict(j, j->q) : -1;
}
