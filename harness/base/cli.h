/* The command line as a table: the rows of a command drive parsing, error messages, `help`, the man page and completion.
 *
 * A table is a const array that ends with an empty row. A row is an option, or an operand where it has no name; it names a
 * field of the command's request, a plain struct, by offset. The kind of a row says what type this field has (see pg_cli_kind).
 *
 *     #define AT(field) offsetof(arguments, field)
 *     static const pg_cli_row rows[] = {
 *         {0, NULL, "FILE", NULL, NULL, AT(file), PG_TEXT, PG_REQUIRED},
 *         {'n', "most", "N", "lines to print", "10", AT(most), PG_INT(0, 1000)},
 *         {0, "force", NULL, "replace the file", NULL, AT(force), PG_FLAG},
 *         PG_CLI_END,
 *     };
 *
 * Options may follow operands, letters may be bundled, a long name may be cut where it stays unique, "--name=value" is
 * "--name value", and what follows "--" are operands. An option is given once, unless its kind is a list. */
#ifndef PG_BASE_CLI_H
#define PG_BASE_CLI_H

#include "harness/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pg_cli_kind {
    PG_CLI_NONE,   /* the end of a table */
    PG_CLI_FLAG,   /* bool: becomes true */
    PG_CLI_UNFLAG, /* bool: becomes false */
    PG_CLI_TEXT,   /* const char *: as given, at least `min` bytes; NULL: not given */
    PG_CLI_TEXTS,  /* pg_texts: all values; the option may be given several times, an operand takes all that no other needs */
    PG_CLI_INT,    /* int64_t in [min, max] */
    PG_CLI_SIZE,   /* int[2], height and width, both in [1, max]: "5" or "5x8"; 0, 0: not given */
    PG_CLI_CHOICE, /* int: index into `choices` */
    PG_CLI_CALL,   /* `set` reads the value */
    PG_CLI_TABLE,  /* no option itself: each row of `table` is one, "--NAME VALUE", for the struct at the offset */
    PG_CLI_TABLES, /* the same for the tables of `table_at`, unread: pg_texts gets names and values in turns. Those of bool are
                      flags, whose value is "true"; `help` leaves them out, as it cannot say what they are options of */
} pg_cli_kind;

/* Values in the order of the command line; the texts are borrowed from it. */
typedef struct pg_texts {
    const char **items;
    size_t n;
} pg_texts;

struct pg_option;

typedef struct pg_cli_row {
    char letter;          /* 'o' for -o; 0: none */
    const char *name;     /* "output" for --output; NULL: an operand */
    const char *argument; /* the value's name in help and messages, "DIR"; NULL for flags */
    const char *help;     /* what it means; range, choices and fallback are added. NULL: not listed */
    const char *fallback; /* INT, TEXT, CHOICE, CALL: the default, as the user would write it; NULL: none */
    size_t offset;        /* of the field in the request */
    pg_cli_kind kind;
    int64_t min, max;                            /* TEXT: bytes; INT, SIZE: inclusive, INT64_MAX: any */
    int64_t absent;                              /* INT, CHOICE without fallback: the value where it is not given */
    const char *const *choices;                  /* CHOICE: NULL-terminated */
    int (*set)(const char *value, void *field);  /* CALL: value NULL where `bare` allows it. PG_EUSAGE: not as `expected` */
    const char *expected;                        /* CALL: what would be right, for messages */
    const struct pg_option *table;               /* TABLE */
    const struct pg_option *(*table_at)(size_t); /* TABLES; NULL behind the last */
    bool required;                               /* has to be given */
    bool bare;                                   /* the value may be left out; it is given as --name=value or -lvalue only */
    bool again;                                  /* giving it twice does no harm */
} pg_cli_row;

#define PG_CLI_END          \
    {                       \
        .kind = PG_CLI_NONE \
    }
#define PG_FLAG                .kind = PG_CLI_FLAG
#define PG_UNFLAG              .kind = PG_CLI_UNFLAG
#define PG_TEXT                .kind = PG_CLI_TEXT
#define PG_TEXT_FULL           .kind = PG_CLI_TEXT, .min = 1
#define PG_TEXTS               .kind = PG_CLI_TEXTS
#define PG_INT(least, most)    .kind = PG_CLI_INT, .min = (least), .max = (most)
#define PG_SIZE(most)          .kind = PG_CLI_SIZE, .min = 1, .max = (most)
#define PG_CHOICE(list)        .kind = PG_CLI_CHOICE, .choices = (list)
#define PG_CALL(function, say) .kind = PG_CLI_CALL, .set = (function), .expected = (say)
#define PG_TABLE(rows)         .kind = PG_CLI_TABLE, .table = (rows)
#define PG_TABLES(function)    .kind = PG_CLI_TABLES, .table_at = (function)
#define PG_REQUIRED            .required = true

typedef struct pg_cli {
    const char *name;          /* of the command, "model import": begins messages. "": none */
    const char *usage;         /* the command with its arguments, for messages */
    const pg_cli_row *rows;    /* NULL: no arguments */
    const pg_cli_row *globals; /* options of all commands, taken out before; for "did you mean" only. NULL: none */
} pg_cli;

/* Fills a zeroed request with fallbacks, then with the arguments, of which argv[0] is the first. PG_EUSAGE with one message
 * that names the command and the option, what was given and what would be right; errors of `set`; PG_ENOMEM. pg_cli_release the
 * request in any case. */
int pg_cli_parse(const pg_cli *cli, int argc, char **argv, void *request) PG_MUST_USE;
void pg_cli_release(const pg_cli_row *rows, void *request); /* lists */

/* PG_EUSAGE: an option that no row has, with the nearest name of those there are. */
int pg_cli_fail_unknown(const pg_cli *cli, const char *given);

/* Takes options of all commands out of argv, wherever they stand before "--"; all else stays, with a NULL behind it. Names are
 * not cut, and letters count before the first word that stays only. Errors as pg_cli_parse. */
int pg_cli_take(const pg_cli_row *rows, int *argc, char **argv, void *request) PG_MUST_USE;

/* ---- What is printed of a table ---- */

/* Appends "-o, --output DIR", or the name of an operand. */
void pg_cli_spell(const pg_cli_row *row, pg_buf *out);
/* Appends the help of a row with what it may be: "lines to print (0 to 1000; default 10)". */
void pg_cli_describe(const pg_cli_row *row, pg_buf *out);
/* An option of a TABLE or TABLES row, NULL behind the last. */
const struct pg_option *pg_cli_sub(const pg_cli_row *row, size_t i);
/* Appends the rows, lines of at most `width` columns: names at the left, what they mean beside them. */
void pg_cli_help(const pg_cli_row *rows, size_t width, pg_buf *out);
void pg_cli_help_table(const struct pg_option *table, const char *prefix, size_t width, pg_buf *out);

/* Appends prose, broken at blanks into lines of at most `width` columns. A line of `text` is a paragraph; of one that begins
 * with blanks and has a gap of two blanks the lines go on behind the gap. */
void pg_cli_prose(const char *text, size_t width, pg_buf *out);

#endif
