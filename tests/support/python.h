/* For tests: a Python program as a reference. */
#ifndef PG_TESTS_PYTHON_H
#define PG_TESTS_PYTHON_H

#include "tests/support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the script prints on the scratch folder and `more` arguments, by the first python3 that has the modules ("torch,
 * numpy"): the one in PATH, else Debian's own. NULL where none has them; pclose() otherwise. */
static inline FILE *python_reference(const char *modules, const char *script, const char *more)
{
    char line[2048];
    snprintf(
        line, sizeof line,
        "for p in python3 /usr/bin/python3; do $p -c 'import %s' 2>/dev/null && { echo ready; exec $p -W ignore %s '%s' %s; "
        "}; done; echo none",
        modules, script, scratch_folder, more);
    FILE *answer = popen(line, "r");
    if (!answer || !fgets(line, sizeof line, answer))
        abort();
    if (strcmp(line, "ready\n") == 0)
        return answer;
    pclose(answer);
    return NULL;
}

#endif
