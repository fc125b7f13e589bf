/* For tests: the rows that `table -f json` and `export -f json` print. */
#ifndef PG_TESTS_TIDY_H
#define PG_TESTS_TIDY_H

#include "tests/support/program.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Whether a value is what a text says: of numbers and booleans as CSV has them, "" for null. */
static inline bool tidy_is(const json_t *value, const char *text)
{
    char room[64] = "";
    if (json_is_string(value))
        return strcmp(json_string_value(value), text) == 0;
    if (json_is_number(value))
        snprintf(room, sizeof room, "%.17g", json_number_value(value));
    else if (json_is_boolean(value))
        snprintf(room, sizeof room, "%d", json_is_true(value));
    return value && (strcmp(room, text) == 0 ||
                     (*text && json_is_number(value) && !(atof(room) < atof(text)) && !(atof(room) > atof(text))));
}

/* The rows with all of `where`, "KEY=VALUE KEY=VALUE", of what the last program_run printed; *first: the number in a column of
 * the first of them, NAN where it is null or there is no row. */
static inline int tidy_find(const char *where, const char *column, double *first)
{
    const char *start = strstr(program_output, "{\"form\"");
    json_error_t error;
    json_t *all = start ? json_loads(start, JSON_DISABLE_EOF_CHECK, &error) : NULL, *rows = json_object_get(all, "rows"), *row;
    size_t i;
    int found = 0;
    if (!rows)
        fail_msg("no rows in %s", program_output);
    *first = NAN;
    json_array_foreach(rows, i, row)
    {
        char text[512], *rest = NULL;
        bool holds = true;
        snprintf(text, sizeof text, "%s", where);
        for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
            char *value = strchr(word, '=');
            *value++ = '\0';
            if (!json_object_get(row, word))
                fail_msg("no column %s in %s", word, program_output);
            holds = holds && tidy_is(json_object_get(row, word), value);
        }
        if (holds && found++ == 0 && json_is_number(json_object_get(row, column)))
            *first = json_number_value(json_object_get(row, column));
    }
    json_decref(all);
    return found;
}

/* The value of the one row with all of `where`; NAN: null. */
static inline double tidy_number(const char *where, const char *column)
{
    double value;
    int found = tidy_find(where, column, &value);
    if (found != 1)
        fail_msg("%d rows have %s in %s", found, where, program_output);
    return value;
}

#endif
