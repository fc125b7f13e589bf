#include "defenses/published.h"

/* Outside the window w: the label's sum less the target's, and the label's alone. */
static int64_t outside(const pg_sums *sums, int class, int64_t inside) { return sums->total[class] - inside; }

static int64_t strongest(const pg_sums *sums, int w) { return PG_MAX(sums->before[w], sums->after[w]); }

/* Case II for one target: its heaviest window disjoint from w is masked, and the label loses more there than its margin. */
static bool case_two(const pg_windows *windows, const pg_sums *sums, int label, int target, const pg_plane *own,
                     const pg_plane *other, const pg_disjoint *disjoint)
{
    for (int top = 0, w = 0; top < windows->rows.places; top++)
        for (int left = 0; left < windows->columns.places; left++, w++) {
            pg_heaviest masked = pg_heavier(disjoint->rows[top], disjoint->columns[left]);
            int64_t margin = outside(sums, label, own->sum[w]) - outside(sums, target, other->sum[w]);
            if (masked.sum != PG_NONE && own->sum[masked.window] > margin)
                return true;
        }
    return false;
}

pg_published pg_published_run(const pg_evidence *evidence, const pg_windows *windows, const pg_sums *sums, int label,
                              const pg_plane *own, const int64_t *overlapping, pg_plane *other, pg_disjoint *disjoint)
{
    pg_published found = {.correct = pg_argmax(sums->total, evidence->classes) == label, .covered = windows->outside == 0};
    if (!found.correct || found.covered)
        return found;
    for (int w = 0; w < windows->count; w++) {
        int64_t rival = strongest(sums, w);
        if (overlapping[w] > outside(sums, label, own->sum[w]) - rival)
            found.partial = true;
    }
    for (int target = 0; target < evidence->classes && !found.benign; target++) {
        if (target == label)
            continue;
        pg_plane_run(other, evidence, windows, target);
        pg_disjoint_run(disjoint, windows, other->sum);
        found.benign = case_two(windows, sums, label, target, own, other, disjoint);
    }
    return found;
}

/* PG_NONE in place of a rival makes the margin too large for every case: one class alone has no target.
 * Case I for the strongest target, which has the smallest margin: s1 = margin / rest < T, rest the label's sum outside w; 0 / 0
 * is no failure. Case IV: the margin is negative. */
static bool case_one(const pg_windows *windows, const pg_sums *sums, int label, int64_t threshold_ppm)
{
    for (int w = 0; w < windows->count; w++) {
        int64_t rival = strongest(sums, w), rest = outside(sums, label, sums->own[w]);
        int64_t margin = rest - rival;
        if (margin < 0 || (pg_int128)margin * PG_PPM < (pg_int128)threshold_ppm * rest)
            return true;
    }
    return false;
}

int8_t pg_published_case(const pg_published *found, const pg_windows *windows, const pg_sums *sums, int label,
                         int64_t threshold_ppm)
{
    if (!found->correct)
        return 0;
    if (found->covered || case_one(windows, sums, label, threshold_ppm))
        return 1;
    return found->benign ? 2 : found->partial ? 3 : 4;
}
