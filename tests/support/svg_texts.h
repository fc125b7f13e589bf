/* For tests that draw: the texts of an SVG that gnuplot writes, with their place and size. */
#ifndef PG_TESTS_SVG_TEXTS_H
#define PG_TESTS_SVG_TEXTS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct svg_text {
    double x, y, size; /* of its anchor; of the font: pixels */
    bool upright;      /* rotated by 270 degrees */
    char anchor;       /* 's'tart, 'm'iddle or 'e'nd */
    char text[400];
} svg_text;

/* The next text behind *at, which moves on; false: none. */
static inline bool svg_next_text(const char **at, svg_text *out)
{
    const char *group = strstr(*at, "<g transform=\"translate("), *begin = group ? strstr(group, "<text>") : NULL,
               *end = begin ? strstr(begin, "</text>") : NULL;
    if (!end)
        return false;
    const char *size = strstr(group, "font-size=\""), *anchor = strstr(group, "text-anchor=\""),
               *rotated = strstr(group, "rotate(270)");
    if (!size || !anchor || sscanf(group, "<g transform=\"translate(%lf,%lf)", &out->x, &out->y) != 2)
        abort();
    out->size = atof(size + 11);
    out->anchor = anchor[13];
    out->upright = rotated && rotated < begin;
    size_t n = 0;
    for (const char *c = begin; c < end && n + 1 < sizeof out->text; c++) {
        if (*c == '<')
            c = strchr(c, '>');
        else if (*c == '&') {
            out->text[n++] = c[1] == 'l' ? '<' : c[1] == 'g' ? '>' : '&';
            c = strchr(c, ';');
        } else {
            out->text[n++] = *c;
        }
    }
    out->text[n] = '\0';
    *at = end;
    return true;
}

/* Pixels that a text takes in DejaVu Sans, within some percent. */
static inline double svg_text_width(const svg_text *t)
{
    double em = 0;
    for (const char *c = t->text; *c; c++)
        em += ((unsigned char)*c & 0xc0) == 0x80 ? 0
              : strchr("ijl.,:;'|!()[] ft", *c)  ? 0.34
              : strchr("mwMW%@", *c)             ? 0.92
              : *c >= 'A' && *c <= 'Z'           ? 0.68
                                                 : 0.6;
    return em * t->size;
}

/* Whether a text lies within a picture of this size. */
static inline bool svg_text_fits(const svg_text *t, double width, double height)
{
    double length = svg_text_width(t), behind = t->anchor == 's' ? 0 : t->anchor == 'm' ? length / 2 : length;
    if (t->upright) /* its reading runs up */
        return t->y + behind <= height + 1 && t->y + behind - length >= -1 && t->x >= t->size * 0.7 && t->x <= width;
    return t->x - behind >= -1 && t->x - behind + length <= width + 1 && t->y >= t->size * 0.7 && t->y <= height;
}

#endif
