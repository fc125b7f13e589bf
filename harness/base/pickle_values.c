/* The pickle machine: its values, stack and memo, and the opcodes that push numbers and texts. Source: Python's pickletools. */
#include "harness/base/pickle_machine.h"

#include "harness/base/memory.h"
#include "harness/base/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 1 << 20, MEMO_MAX = 1 << 20, BLOCK = PG_PICKLE_BLOCK, BIG_BYTES_MAX = 32, BIG_DIGITS_MAX = 80 };

static const char bytes_name[] = "bytes", large_name[] = "an integer of more than 32 bytes";

/* ---- Values ---- */

int pg_pickle_new_value(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out)
{
    if (p->n_values == VALUES_MAX)
        return PG_PICKLE_REFUSE(p, PG_EUNSUPPORTED, "more than %d values", VALUES_MAX);
    if (p->n_values % BLOCK == 0) {
        size_t n = p->n_values / BLOCK;
        pg_pickle_value **blocks = realloc(p->blocks, (n + 1) * sizeof *blocks);
        if (blocks)
            p->blocks = blocks;
        if (!blocks || !(blocks[n] = calloc(BLOCK, sizeof **blocks)))
            return pg_fail(PG_ENOMEM, "out of memory");
    }
    *out = &p->blocks[p->n_values / BLOCK][p->n_values % BLOCK];
    p->n_values++;
    (*out)->kind = kind;
    (*out)->at = p->opcode;
    (*out)->tensors = kind == PG_PICKLE_STORAGE || kind == PG_PICKLE_TENSOR;
    return PG_OK;
}

bool pg_pickle_is_container(const pg_pickle_value *v)
{
    return v->kind == PG_PICKLE_TUPLE || v->kind == PG_PICKLE_LIST || v->kind == PG_PICKLE_SET || v->kind == PG_PICKLE_DICT ||
           v->kind == PG_PICKLE_OPAQUE;
}

int pg_pickle_add_items(pg_pickle_value *to, pg_pickle_value *const *items, size_t n)
{
    if (to->n + n > to->room) {
        size_t room = to->room ? 2 * to->room : 4;
        room = room < to->n + n ? to->n + n : room;
        pg_pickle_value **all = realloc(to->items, room * sizeof *all);
        if (!all)
            return pg_fail(PG_ENOMEM, "out of memory");
        to->items = all;
        to->room = room;
    }
    for (size_t i = 0; i < n; i++) {
        to->items[to->n++] = items[i];
        to->tensors |= items[i]->tensors;
    }
    return PG_OK;
}

/* ---- The stack ---- */

int pg_pickle_push(pg_pickle *p, pg_pickle_value *v)
{
    pg_pickle_value **stack = pg_grow(p->stack, p->n_stack, &p->stack_room, sizeof *stack);
    if (!stack)
        return PG_ENOMEM;
    p->stack = stack;
    p->stack[p->n_stack++] = v;
    return PG_OK;
}

int pg_pickle_push_new(pg_pickle *p, pg_pickle_kind kind, pg_pickle_value **out)
{
    int code = pg_pickle_new_value(p, kind, out);
    return code != PG_OK ? code : pg_pickle_push(p, *out);
}

int pg_pickle_push_integer(pg_pickle *p, pg_pickle_kind kind, int64_t integer)
{
    pg_pickle_value *v = NULL;
    int code = pg_pickle_push_new(p, kind, &v);
    if (code == PG_OK)
        v->integer = integer;
    return code;
}

int pg_pickle_push_opaque(pg_pickle *p, const char *name, pg_pickle_value *const *items, size_t n)
{
    pg_pickle_value *v = NULL;
    int code = pg_pickle_new_value(p, PG_PICKLE_OPAQUE, &v);
    if (code == PG_OK) {
        v->name = name;
        code = pg_pickle_add_items(v, items, n);
    }
    return code != PG_OK ? code : pg_pickle_push(p, v);
}

pg_pickle_value *pg_pickle_top(const pg_pickle *p) { return p->n_stack ? p->stack[p->n_stack - 1] : NULL; }

int pg_pickle_pop(pg_pickle *p, pg_pickle_value **out)
{
    if (!pg_pickle_top(p))
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an opcode finds nothing to work on");
    *out = p->stack[--p->n_stack];
    return PG_OK;
}

int pg_pickle_marked(pg_pickle *p, size_t *first, size_t *n)
{
    size_t at = p->n_stack;
    while (at > 0 && p->stack[at - 1])
        at--;
    if (at == 0)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "an opcode wants a mark and there is none");
    *first = at;
    *n = p->n_stack - at;
    return PG_OK;
}

/* ---- Bytes ---- */

int pg_pickle_take(pg_pickle *p, uint64_t n, const uint8_t **out)
{
    if (n > p->size - p->next)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "it ends within a value: %" PRIu64 " more bytes are stated, %zu are there", n,
                                p->size - p->next);
    *out = p->data + p->next;
    p->next += (size_t)n;
    return PG_OK;
}

int pg_pickle_take_number(pg_pickle *p, size_t bytes, uint64_t *out)
{
    const uint8_t *b = NULL;
    int code = pg_pickle_take(p, bytes, &b);
    *out = 0;
    for (size_t i = 0; code == PG_OK && i < bytes; i++)
        *out |= (uint64_t)b[i] << 8 * i;
    return code;
}

int pg_pickle_take_line(pg_pickle *p, const char **out, size_t *length)
{
    const uint8_t *start = p->data + p->next, *end = memchr(start, '\n', p->size - p->next);
    if (!end)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "it ends within a line");
    *out = (const char *)start;
    *length = (size_t)(end - start);
    p->next += *length + 1;
    return PG_OK;
}

/* ---- Numbers ---- */

/* Takes over `text`. */
static int push_own_text(pg_pickle *p, pg_pickle_kind kind, char *text)
{
    pg_pickle_value *v = NULL;
    int code = text ? pg_pickle_push_new(p, kind, &v) : pg_fail(PG_ENOMEM, "out of memory");
    if (code != PG_OK)
        free(text);
    else
        v->text = text;
    return code;
}

/* Little endian, two's complement, of 9 to BIG_BYTES_MAX bytes: by repeated division. */
static int push_big(pg_pickle *p, const uint8_t *b, size_t bytes)
{
    uint8_t rest[BIG_BYTES_MAX];
    char digits[BIG_DIGITS_MAX];
    bool negative = b[bytes - 1] >> 7;
    int carry = 1;
    for (size_t i = 0; i < bytes; i++) {
        int value = negative ? (uint8_t)~b[i] + carry : b[i];
        rest[i] = (uint8_t)value;
        carry = value >> 8;
    }
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    for (bool any = true; any;) {
        unsigned left = 0;
        any = false;
        for (size_t i = bytes; i-- > 0;) {
            left = left << 8 | rest[i];
            rest[i] = (uint8_t)(left / 10);
            left %= 10;
            any |= rest[i] != 0;
        }
        digits[--at] = (char)('0' + left);
    }
    if (negative)
        digits[--at] = '-';
    return push_own_text(p, PG_PICKLE_BIG, strdup(digits + at));
}

/* Little endian, two's complement if `sign`. */
static int push_bytes_integer(pg_pickle *p, uint64_t bytes, bool sign)
{
    const uint8_t *b = NULL;
    uint64_t n = 0;
    int code = pg_pickle_take(p, bytes, &b);
    if (code != PG_OK)
        return code;
    if (bytes > 8)
        return bytes > BIG_BYTES_MAX ? pg_pickle_push_opaque(p, large_name, NULL, 0) : push_big(p, b, (size_t)bytes);
    for (size_t i = 0; i < bytes; i++)
        n |= (uint64_t)b[i] << 8 * i;
    if (sign && bytes > 0 && bytes < 8 && n >> (8 * bytes - 1))
        n |= ~UINT64_C(0) << 8 * bytes;
    return pg_pickle_push_integer(p, PG_PICKLE_INT, (int64_t)n);
}

static int push_stated_integer(pg_pickle *p, size_t bytes_of_size)
{
    uint64_t n = 0;
    int code = pg_pickle_take_number(p, bytes_of_size, &n);
    return code != PG_OK ? code : push_bytes_integer(p, n, true);
}

/* INT and LONG, in decimal; 00 and 01 are how protocol 0 writes False and True, and an L may stand behind a number
 * of Python 2. */
static int push_decimal(pg_pickle *p, bool booleans)
{
    const char *line = NULL;
    size_t n = 0;
    int code = pg_pickle_take_line(p, &line, &n);
    if (code != PG_OK)
        return code;
    if (booleans && n == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return pg_pickle_push_integer(p, PG_PICKLE_BOOL, line[1] == '1');
    n -= n > 0 && line[n - 1] == 'L';
    size_t sign = n > 0 && line[0] == '-';
    for (size_t i = sign; i < n; i++)
        if (line[i] < '0' || line[i] > '9')
            return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a number that is none");
    if (n == sign)
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a number that is none");
    if (n >= BIG_DIGITS_MAX)
        return pg_pickle_push_opaque(p, large_name, NULL, 0);
    char *text = strndup(line, n);
    errno = 0;
    long long value = text ? strtoll(text, NULL, 10) : 0;
    if (!text || errno)
        return push_own_text(p, PG_PICKLE_BIG, text);
    free(text);
    return pg_pickle_push_integer(p, PG_PICKLE_INT, value);
}

static int push_float(pg_pickle *p, double number)
{
    pg_pickle_value *v = NULL;
    int code = pg_pickle_push_new(p, PG_PICKLE_FLOAT, &v);
    if (code == PG_OK)
        v->number = number;
    return code;
}

static int push_binary_float(pg_pickle *p)
{
    const uint8_t *b = NULL;
    uint64_t bits = 0;
    double number;
    int code = pg_pickle_take(p, 8, &b);
    for (size_t i = 0; code == PG_OK && i < 8; i++)
        bits = bits << 8 | b[i];
    memcpy(&number, &bits, sizeof number);
    return code != PG_OK ? code : push_float(p, number);
}

static int push_decimal_float(pg_pickle *p)
{
    const char *line = NULL;
    char text[64];
    size_t n = 0;
    double number = 0;
    int code = pg_pickle_take_line(p, &line, &n);
    snprintf(text, sizeof text, "%.*s", n < sizeof text ? (int)n : 0, line ? line : "");
    if (code != PG_OK)
        return code;
    return pg_parse_double(text, &number) == PG_OK ? push_float(p, number) : pg_pickle_push_opaque(p, "a number", NULL, 0);
}

/* ---- Texts: names and keys here, so that one with a zero byte in it is none ---- */

static int push_text(pg_pickle *p, const void *bytes, size_t n)
{
    return memchr(bytes, 0, n) ? pg_pickle_push_opaque(p, bytes_name, NULL, 0)
                               : push_own_text(p, PG_PICKLE_TEXT, strndup(bytes, n));
}

/* A text, or bytes, whose length stands in `bytes_of_size` bytes. */
static int push_stated(pg_pickle *p, size_t bytes_of_size, bool text)
{
    const uint8_t *b = NULL;
    uint64_t length = 0;
    int code = pg_pickle_take_number(p, bytes_of_size, &length);
    if (code == PG_OK)
        code = pg_pickle_take(p, length, &b);
    if (code != PG_OK)
        return code;
    return text ? push_text(p, b, (size_t)length) : pg_pickle_push_opaque(p, bytes_name, NULL, 0);
}

/* Opcodes that push bytes, and in how many bytes their length stands. */
static size_t bytes_of_length(int opcode)
{
    return opcode == 'C' ? 1 : opcode == 'B' ? 4 : opcode == 0x8e || opcode == 0x96 ? 8 : 0;
}

/* Again from the opcode that made the value, whose length was checked then. */
bool pg_pickle_bytes(const pg_pickle *p, const pg_pickle_value *v, const uint8_t **bytes, size_t *size)
{
    size_t n = v->kind == PG_PICKLE_OPAQUE && v->name == bytes_name ? bytes_of_length(p->data[v->at]) : 0;
    *size = 0;
    for (size_t i = 0; i < n; i++)
        *size |= (size_t)p->data[v->at + 1 + i] << 8 * i;
    *bytes = p->data + v->at + 1 + n;
    return n > 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* The number of `digits` hexadecimal digits; -1 where they are not there. */
static int64_t hexadecimal(const char *text, size_t room, size_t digits)
{
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        const char *all = "0123456789abcdef", *digit = i < room && text[i] ? strchr(all, text[i] | 0x20) : NULL;
        if (!digit)
            return -1;
        value = value << 4 | (digit - all);
    }
    return value;
}

/* UNICODE: a line of Latin-1 with \uXXXX and \UXXXXXXXX. */
static int push_unicode_line(pg_pickle *p)
{
    const char *line = NULL;
    size_t n = 0, to = 0;
    int code = pg_pickle_take_line(p, &line, &n);
    char *text = code != PG_OK ? NULL : malloc(2 * n + 1);
    if (code != PG_OK || !text)
        return code != PG_OK ? code : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        size_t digits = line[i] == '\\' && i + 1 < n ? line[i + 1] == 'u' ? 4 : line[i + 1] == 'U' ? 8 : 0 : 0;
        int64_t c = digits ? hexadecimal(line + i + 2, n - i - 2, digits) : -1;
        bool escape = c >= 0 && c <= 0x10ffff;
        to += put_utf8(text + to, escape ? (uint32_t)c : (uint8_t)line[i]);
        i += escape ? digits + 1 : 0;
    }
    code = push_text(p, text, to);
    free(text);
    return code;
}

/* STRING: a literal of Python 2 in quotes. */
static int push_string_line(pg_pickle *p)
{
    static const char escapes[] = "\\'\"nrtabfv", values[] = "\\'\"\n\r\t\a\b\f\v";
    const char *line = NULL;
    size_t n = 0, to = 0;
    int code = pg_pickle_take_line(p, &line, &n);
    if (code == PG_OK && (n < 2 || (line[0] != '\'' && line[0] != '"') || line[n - 1] != line[0]))
        code = PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a text without its quotes");
    char *text = code != PG_OK ? NULL : malloc(n + 1);
    if (code != PG_OK || !text)
        return code != PG_OK ? code : pg_fail(PG_ENOMEM, "out of memory");
    for (size_t i = 1; i + 1 < n; i++) {
        const char *escape = line[i] == '\\' && i + 2 < n ? strchr(escapes, line[i + 1]) : NULL;
        int64_t c = line[i] == '\\' && line[i + 1] == 'x' ? hexadecimal(line + i + 2, n - i - 3, 2) : -1;
        text[to++] = c >= 0 ? (char)c : escape && *escape ? values[escape - escapes] : line[i];
        i += c >= 0 ? 3 : escape && *escape ? 1 : 0;
    }
    code = push_text(p, text, to);
    free(text);
    return code;
}

int pg_pickle_scalars(pg_pickle *p, int opcode, bool *mine)
{
    switch (opcode) {
    case 'J':
        return push_bytes_integer(p, 4, true);
    case 'K':
        return push_bytes_integer(p, 1, false);
    case 'M':
        return push_bytes_integer(p, 2, false);
    case 0x8a: /* LONG1, LONG4 */
        return push_stated_integer(p, 1);
    case 0x8b:
        return push_stated_integer(p, 4);
    case 'I':
        return push_decimal(p, true);
    case 'L':
        return push_decimal(p, false);
    case 'F':
        return push_decimal_float(p);
    case 'G':
        return push_binary_float(p);
    case 'N':
        return pg_pickle_push_integer(p, PG_PICKLE_NONE, 0);
    case 0x88:
        return pg_pickle_push_integer(p, PG_PICKLE_BOOL, 1);
    case 0x89:
        return pg_pickle_push_integer(p, PG_PICKLE_BOOL, 0);
    case 'X': /* BINUNICODE, BINSTRING, and the short ones and the long one */
    case 'T':
        return push_stated(p, 4, true);
    case 'U':
    case 0x8c:
        return push_stated(p, 1, true);
    case 0x8d:
        return push_stated(p, 8, true);
    case 'B': /* BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8 */
    case 'C':
    case 0x8e:
    case 0x96:
        return push_stated(p, bytes_of_length(opcode), false);
    case 'V':
        return push_unicode_line(p);
    case 'S':
        return push_string_line(p);
    default:
        *mine = false;
        return PG_OK;
    }
}

/* ---- The memo ---- */

static int memo_put(pg_pickle *p, uint64_t place)
{
    if (!pg_pickle_top(p))
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "nothing to remember");
    if (place >= MEMO_MAX)
        return PG_PICKLE_REFUSE(p, PG_EUNSUPPORTED, "place %" PRIu64 " of the memo; at most %d are kept", place, MEMO_MAX);
    if (place >= p->n_memo) {
        size_t n = (size_t)place + 1 + (size_t)place / 2;
        pg_pickle_value **memo = realloc(p->memo, n * sizeof *memo);
        if (!memo)
            return pg_fail(PG_ENOMEM, "out of memory");
        memset(memo + p->n_memo, 0, (n - p->n_memo) * sizeof *memo);
        p->memo = memo;
        p->n_memo = n;
    }
    p->remembered += !p->memo[place];
    p->memo[place] = pg_pickle_top(p);
    return PG_OK;
}

static int memo_get(pg_pickle *p, uint64_t place)
{
    if (place >= p->n_memo || !p->memo[place])
        return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "asks for place %" PRIu64 " of the memo, where nothing is", place);
    return pg_pickle_push(p, p->memo[place]);
}

/* The place of PUT and GET, in decimal. */
static int take_place(pg_pickle *p, uint64_t *out)
{
    const char *line = NULL;
    size_t n = 0;
    int code = pg_pickle_take_line(p, &line, &n);
    *out = 0;
    for (size_t i = 0; code == PG_OK && (i < n || n == 0); i++) {
        if (n == 0 || n > 18 || line[i] < '0' || line[i] > '9')
            return PG_PICKLE_REFUSE(p, PG_EDAMAGED, "a place of the memo that is no number");
        *out = 10 * *out + (uint64_t)(line[i] - '0');
    }
    return code;
}

int pg_pickle_memory(pg_pickle *p, int opcode, bool *mine)
{
    uint64_t n = 0;
    int code = PG_OK;
    switch (opcode) {
    case 'q':
        code = pg_pickle_take_number(p, 1, &n);
        return code != PG_OK ? code : memo_put(p, n);
    case 'r':
        code = pg_pickle_take_number(p, 4, &n);
        return code != PG_OK ? code : memo_put(p, n);
    case 'p':
        code = take_place(p, &n);
        return code != PG_OK ? code : memo_put(p, n);
    case 'h':
        code = pg_pickle_take_number(p, 1, &n);
        return code != PG_OK ? code : memo_get(p, n);
    case 'j':
        code = pg_pickle_take_number(p, 4, &n);
        return code != PG_OK ? code : memo_get(p, n);
    case 'g':
        code = take_place(p, &n);
        return code != PG_OK ? code : memo_get(p, n);
    case 0x94: /* MEMOIZE */
        return memo_put(p, p->remembered);
    default:
        *mine = false;
        return PG_OK;
    }
}
