/* How the stages of a run overlap: the seconds of each stage beside those of the whole run, with one worker and with two. Where
 * they overlap, the whole takes little more than the network, whatever is certified meanwhile. Built-in images, a shipped
 * network and 500 cells; loading libtorch counts in the whole. */
#include "tests/support/program.h"

#include <sqlite3.h>

static const char matrix[] =
    "[fixed]\ndataset = \"synthetic:test\"\nweights = \"models/zoo/synthetic-bagnet.safetensors\"\nimages = \"0:600\"\n"
    "batch = 32\n[axes]\ndefense = [\"robust-masking\"]\npatch = [2, 3, 4, 5, 6]\n"
    "\"robust-masking.feature\" = [\"logits\", \"confidence\"]\n"
    "\"robust-masking.threshold\" = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3,"
    " 0.32, 0.34, 0.36, 0.38, 0.4, 0.45, 0.5, 0.6, 0.8]\n\"robust-masking.scope\" = [\"per-class\", \"predicted\"]\n";

static void show(const char *db, int workers)
{
    sqlite3 *file = NULL;
    sqlite3_stmt *row = NULL;
    const char *line = strstr(program_output, " tasks, ");
    if (!line || sqlite3_open_v2(scratch_path(db), &file, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(file, "SELECT sum(read_s), sum(forward_s), sum(certify_s) FROM attempt", -1, &row, NULL) !=
            SQLITE_OK ||
        sqlite3_step(row) != SQLITE_ROW)
        abort();
    printf("%d worker%s: reading %.2f s, network %.2f s, certificates %.2f s of all threads; the whole %.1f s\n", workers,
           workers > 1 ? "s" : "", sqlite3_column_double(row, 0), sqlite3_column_double(row, 1), sqlite3_column_double(row, 2),
           atof(line + strlen(" tasks, ")));
    sqlite3_finalize(row);
    sqlite3_close(file);
}

int main(void)
{
    if (scratch_make(NULL) != 0)
        return 1;
    scratch_write("m.toml", matrix, strlen(matrix));
    int code = 0;
    for (int workers = 1; workers <= 2 && code == 0; workers++) {
        char db[32];
        snprintf(db, sizeof db, "b%d.db", workers);
        code = program_run(db, "run %s --cache-size 0 --device cpu --task-images 64 -j %d", scratch_path("m.toml"), workers);
        if (code == 0)
            show(db, workers);
        else
            printf("%s\n", program_output);
    }
    scratch_remove(NULL);
    return code;
}
