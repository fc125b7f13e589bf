#include "defenses/mask_worst.h"

#include <string.h>

void pg_mask_worst_layout(pg_arena *arena, int height, int width, pg_mask_worst *room)
{
    room->map = pg_arena_take(arena, (size_t)height * (size_t)width, sizeof *room->map);
    pg_plane_layout(arena, height, width, &room->held);
    pg_plane_layout(arena, height, width, &room->rival);
    pg_plane_layout(arena, height, width, &room->cells);
}

typedef struct scene {
    const pg_evidence *evidence;
    pg_windows windows;
    const pg_worst *which;
    pg_value_range range;
    int64_t threshold_ppm;
    pg_mask_worst *room;
    int32_t *contents;
} scene;

static scene scene_of(pg_mask_worst *room, const pg_evidence *evidence, pg_window window, int64_t threshold_ppm,
                      const pg_worst *which, int32_t *contents)
{
    scene s = {.evidence = evidence,
               .windows = pg_windows_of(evidence, window),
               .which = which,
               .range = pg_value_range_of(evidence->spec),
               .threshold_ppm = threshold_ppm,
               .room = room,
               .contents = contents};
    memset(contents, 0, (size_t)s.windows.k * (size_t)evidence->classes * sizeof *contents);
    return s;
}

/* ---- Cells and planes ---- */

static int position(const scene *s, int cell) { return pg_worst_position(s->evidence, &s->windows, s->which, cell); }

static int32_t *content(const scene *s, int cell, int class)
{
    return &s->contents[(size_t)cell * (size_t)s->evidence->classes + (size_t) class];
}

static bool along(const pg_window_axis *axis, int place, int at)
{
    int distance = at < place ? at - place + axis->size : at - place;
    return distance < axis->length;
}

/* Whether window x holds a cell of the malicious window. */
static bool holds(const scene *s, int x, int cell)
{
    const pg_windows *w = &s->windows;
    int at = position(s, cell), width = s->evidence->width;
    return along(&w->rows, x / w->columns.places, at / width) && along(&w->columns, x % w->columns.places, at % width);
}

/* Window sums of the map in the room. */
static void run_plane(const scene *s, pg_plane *plane)
{
    pg_evidence one = *s->evidence;
    one.q = s->room->map;
    one.classes = 1;
    pg_plane_run(plane, &one, &s->windows, 0);
}

/* Window sums of a class with the contents as they are now; returns its total. */
static int64_t class_plane(const scene *s, int class, pg_plane *plane)
{
    int positions = s->evidence->height * s->evidence->width;
    int32_t *map = s->room->map;
    int64_t total = 0;
    for (int p = 0; p < positions; p++)
        map[p] = s->evidence->q[(size_t)p * (size_t)s->evidence->classes + (size_t) class];
    for (int i = 0; i < s->windows.k; i++)
        map[position(s, i)] = *content(s, i, class);
    for (int p = 0; p < positions; p++)
        total += map[p];
    run_plane(s, plane);
    return total;
}

/* Cells that are raised together: those of [first, end), or of these only the corners of the window. */
typedef struct cell_set {
    int first, end;
    bool corners;
} cell_set;

static cell_set all_cells(const scene *s) { return (cell_set){0, (int)s->windows.k, false}; }

static bool among(const scene *s, int cell, const cell_set *some)
{
    int rows = s->windows.rows.length, columns = s->windows.columns.length, row = cell / columns, column = cell % columns;
    bool corner = (row == 0 || row == rows - 1) && (column == 0 || column == columns - 1);
    return cell >= some->first && cell < some->end && (corner || !some->corners);
}

/* How many of these cells every window holds; returns their number. */
static int64_t cell_plane(const scene *s, cell_set some)
{
    int64_t count = 0;
    memset(s->room->map, 0, (size_t)s->evidence->height * (size_t)s->evidence->width * sizeof *s->room->map);
    for (int cell = 0; cell < s->windows.k; cell++)
        if (among(s, cell, &some)) {
            s->room->map[position(s, cell)] = 1;
            count++;
        }
    run_plane(s, &s->room->cells);
    return count;
}

/* A value that can be written, at most `value`. */
static int32_t reachable(const scene *s, int64_t value)
{
    if (value >= s->range.hi)
        return s->range.hi;
    return value < 0 || s->range.votes ? 0 : (int32_t)value;
}

static bool exceeds(const scene *s, int64_t window, int64_t total)
{
    return (pg_int128)window * PG_PPM > (pg_int128)s->threshold_ppm * total;
}

/* ---- What one class can do ---- */

static void fill(const scene *s, int class, int32_t value)
{
    for (int i = 0; i < s->windows.k; i++)
        *content(s, i, class) = value;
}

/* Puts up to `amount` of a class into the cells that window x does not hold (-1: into any). */
static void pour(const scene *s, int class, int64_t amount, int x)
{
    for (int i = 0; i < s->windows.k; i++) {
        if (x >= 0 && holds(s, x, i))
            continue;
        *content(s, i, class) = reachable(s, amount);
        amount -= *content(s, i, class);
    }
}

/* The largest value v that leaves a class of sum t outside unmasked when all n raised cells have it: h + m v <= T (t + n v) for
 * every window, h what it holds outside, m the raised cells that it holds. 0 if there is none. */
static int32_t unmasked_level(const scene *s, int64_t outside, int64_t cells)
{
    int64_t level = s->range.hi;
    for (int x = 0; x < s->windows.count; x++) {
        pg_int128 slope = (pg_int128)s->room->cells.sum[x] * PG_PPM - (pg_int128)s->threshold_ppm * cells;
        pg_int128 room = (pg_int128)s->threshold_ppm * outside - (pg_int128)s->room->held.sum[x] * PG_PPM;
        if (slope > 0 && room < slope * level)
            level = room < 0 ? 0 : (int64_t)(room / slope);
    }
    return reachable(s, level);
}

/* The cell whose windows hold the least of a class outside: planes of the class and of all cells. */
static int loneliest_cell(const scene *s)
{
    int best = 0;
    int64_t least = INT64_MAX;
    for (int i = 0; i < s->windows.k; i++) {
        int64_t most = 0;
        for (int x = 0; x < s->windows.count; x++)
            if (s->room->cells.sum[x] > 0 && s->room->held.sum[x] > most && holds(s, x, i))
                most = s->room->held.sum[x];
        if (most < least) {
            best = i;
            least = most;
        }
    }
    return best;
}

enum { EVENLY, AT_CORNERS, IN_ONE_CELL, WAYS };
/* Raises the rival as far as it can go unmasked: on all cells; on the corners, which no window but this one holds together; or
 * on the one cell where other windows hold the least of it. Votes, which have one height, are given to fewer cells instead. */
static void raise_unmasked(const scene *s, int way)
{
    int64_t outside = class_plane(s, s->which->rival, &s->room->held), count;
    (void)cell_plane(s, all_cells(s));
    cell_set some = all_cells(s);
    some.corners = way == AT_CORNERS;
    if (way == IN_ONE_CELL) {
        some.first = loneliest_cell(s);
        some.end = some.first + 1;
    }
    count = cell_plane(s, some);
    int32_t level = unmasked_level(s, outside, count);
    while (s->range.votes && level == 0 && some.end - some.first > 1) {
        some.end--;
        count = cell_plane(s, some);
        level = unmasked_level(s, outside, count);
    }
    for (int i = 0; i < s->windows.k; i++)
        *content(s, i, s->which->rival) = among(s, i, &some) ? level : 0;
}

/* Raises the label in the window that then is masked and holds the most of it outside; nothing where no window can be. */
static void raise_label(const scene *s)
{
    int best = -1;
    int64_t most = 0, hi = s->range.hi, outside = class_plane(s, s->which->label, &s->room->held);
    (void)cell_plane(s, all_cells(s));
    for (int x = 0; x < s->windows.count; x++) {
        int64_t held = s->room->held.sum[x], added = s->room->cells.sum[x] * hi;
        if (added > 0 && held > most && exceeds(s, held + added, outside + added)) {
            best = x;
            most = held;
        }
    }
    for (int i = 0; i < s->windows.k && best >= 0; i++)
        *content(s, i, s->which->label) = holds(s, best, i) ? s->range.hi : 0;
}

bool pg_mask_worst_per_class(pg_mask_worst *room, const pg_evidence *evidence, pg_window window, int64_t threshold_ppm,
                             const pg_worst *which, int32_t *contents)
{
    enum { FILLED = WAYS, RIVALS };
    if (which->variant >= (threshold_ppm == 0 ? 1 : 2 * RIVALS))
        return false;
    scene s = scene_of(room, evidence, window, threshold_ppm, which, contents);
    int way = (which->variant + FILLED) % RIVALS; /* filled comes first */
    if (which->variant >= RIVALS)
        raise_label(&s);
    if (way == FILLED)
        fill(&s, which->rival, s.range.hi);
    else
        raise_unmasked(&s, way);
    return true;
}

/* Scope predicted
 * -------------------------------------------------------------------------------------------------------------- */

/* The most of the rival that leaves `class`, whose total is given, the largest: ties go to the lower index. */
static int64_t just_below(const scene *s, int class, int64_t total) { return total - (s->which->rival < class); }

/* The label emptied, and the rival just below it: the label loses its heaviest window. */
static void rival_just_below(const scene *s)
{
    int64_t rival = class_plane(s, s->which->rival, &s->room->held);
    int64_t label = class_plane(s, s->which->label, &s->room->held);
    int masked = pg_argmax(s->room->held.sum, s->windows.count);
    pour(s, s->which->rival, just_below(s, s->which->label, label) - rival, masked);
}

/* The window x that it pays most to raise the label in: what x holds of the label outside is lost, what it holds of the rival
 * is too, and the rival may rise in the other cells by as much as the label is raised. -1 if masking cannot be made to choose
 * any. */
static int window_to_raise(const scene *s, int64_t label, int64_t rival)
{
    int best = -1;
    int64_t most = 0, k = s->windows.k, hi = s->range.hi;
    for (int x = 0; x < s->windows.count; x++) {
        int64_t held = s->room->held.sum[x], cells = s->room->cells.sum[x];
        if (cells == 0 || cells == k || !exceeds(s, held + cells * hi, label + cells * hi))
            continue;
        int64_t reached = PG_MIN(rival + (k - cells) * hi, just_below(s, s->which->label, label + cells * hi));
        int64_t gain = held + reached - s->room->rival.sum[x];
        if (best < 0 || gain > most) {
            best = x;
            most = gain;
        }
    }
    return best;
}

static void rival_just_below_raised(const scene *s)
{
    int64_t rival = class_plane(s, s->which->rival, &s->room->rival);
    int64_t label = class_plane(s, s->which->label, &s->room->held);
    (void)cell_plane(s, all_cells(s));
    int x = window_to_raise(s, label, rival);
    for (int i = 0; i < s->windows.k && x >= 0; i++)
        *content(s, i, s->which->label) = holds(s, x, i) ? s->range.hi : 0;
    label = class_plane(s, s->which->label, &s->room->held);
    int masked = pg_argmax(s->room->held.sum, s->windows.count);
    pour(s, s->which->rival, just_below(s, s->which->label, label) - rival, masked);
}

/* Raises a class evenly, as far as its heaviest window stays one that the malicious window does not meet. */
static void raise_elsewhere(const scene *s, int class)
{
    int64_t most = PG_NONE, level = s->range.hi;
    (void)class_plane(s, class, &s->room->held);
    (void)cell_plane(s, all_cells(s));
    for (int x = 0; x < s->windows.count; x++)
        if (s->room->cells.sum[x] == 0)
            most = PG_MAX(s->room->held.sum[x], most);
    for (int x = 0; x < s->windows.count; x++) {
        int64_t cells = s->room->cells.sum[x], room = most - s->room->held.sum[x] - 1;
        if (cells > 0 && room < cells * level)
            level = room < 0 ? 0 : room / cells;
    }
    fill(s, class, reachable(s, level));
}

/* Another class is made the largest, and the rival stays just below that one. */
static void win_by_third(const scene *s)
{
    int third = -1;
    int64_t most = 0, rival = class_plane(s, s->which->rival, &s->room->held);
    for (int c = 0; c < s->evidence->classes; c++) {
        int64_t total = c == s->which->label || c == s->which->rival ? 0 : class_plane(s, c, &s->room->held);
        if (total > most) {
            third = c;
            most = total;
        }
    }
    if (third < 0)
        return;
    raise_elsewhere(s, third);
    most = class_plane(s, third, &s->room->held);
    pour(s, s->which->rival, just_below(s, third, most) - rival, -1);
}

bool pg_mask_worst_predicted(pg_mask_worst *room, const pg_evidence *evidence, pg_window window, int64_t threshold_ppm,
                             const pg_worst *which, int32_t *contents)
{
    enum { BELOW, BELOW_RAISED, FILL, ELSEWHERE, THIRD, UNMASKED };
    if (which->variant >= (threshold_ppm == 0 ? UNMASKED : UNMASKED + WAYS))
        return false;
    scene s = scene_of(room, evidence, window, threshold_ppm, which, contents);
    if (which->variant == BELOW)
        rival_just_below(&s);
    else if (which->variant == BELOW_RAISED)
        rival_just_below_raised(&s);
    else if (which->variant == FILL)
        fill(&s, which->rival, s.range.hi);
    else if (which->variant == ELSEWHERE)
        raise_elsewhere(&s, which->rival);
    else if (which->variant == THIRD)
        win_by_third(&s);
    else
        raise_unmasked(&s, which->variant - UNMASKED);
    return true;
}
