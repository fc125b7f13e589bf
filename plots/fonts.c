/* See fonts.h. Fontconfig is what gnuplot's libraries find their fonts by. */
#include "plots/fonts.h"

#include "harness/base/option.h"

#include <fontconfig/fontconfig.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* All fonts that are installed, each with this property; *new*, FcFontSetDestroy. NULL: memory ran out. */
static FcFontSet *list_fonts(const char *property)
{
    FcPattern *any = FcPatternCreate();
    FcObjectSet *what = FcObjectSetBuild(property, (char *)NULL);
    FcFontSet *fonts = any && what ? FcFontList(NULL, any, what) : NULL;
    if (what)
        FcObjectSetDestroy(what);
    if (any)
        FcPatternDestroy(any);
    return fonts;
}

/* The characters of all fonts that are installed; *new*. NULL: memory ran out. */
static FcCharSet *all_characters(void)
{
    FcFontSet *fonts = list_fonts(FC_CHARSET);
    FcCharSet *all = fonts ? FcCharSetCreate() : NULL;
    for (int i = 0; all && i < fonts->nfont; i++) {
        FcCharSet *one;
        if (FcPatternGetCharSet(fonts->fonts[i], FC_CHARSET, 0, &one) == FcResultMatch && !FcCharSetMerge(all, one, NULL)) {
            FcCharSetDestroy(all);
            all = NULL;
        }
    }
    if (fonts)
        FcFontSetDestroy(fonts);
    return all;
}

static bool is_plain(const pg_buf *text)
{
    for (size_t i = 0; i < text->size; i++)
        if ((unsigned char)text->data[i] >= 0x80)
            return false;
    return true;
}

static void note(const char *at, size_t size, size_t *noted, pg_buf *missing)
{
    char one[8] = {0};
    memcpy(one, at, size);
    if (*noted >= 20 || (missing->size > 0 && strstr(missing->data, one)))
        return;
    pg_buf_printf(missing, "%s%s", *noted > 0 ? " " : "", one);
    ++*noted;
}

int pg_fonts_replace(pg_buf *text, pg_buf *missing)
{
    if (text->failed || is_plain(text))
        return pg_buf_check(text);
    FcCharSet *fonts = all_characters();
    if (!fonts)
        return pg_fail(PG_ENOMEM, "out of memory for the fonts of this machine");
    size_t noted = 0, to = 0;
    for (size_t at = 0; at < text->size;) {
        FcChar32 c;
        int size = FcUtf8ToUcs4((const FcChar8 *)text->data + at, &c, (int)(text->size - at));
        bool there = size <= 1 || FcCharSetHasChar(fonts, c);
        size_t bytes = size > 0 ? (size_t)size : 1;
        if (!there)
            note(text->data + at, bytes, &noted, missing);
        memmove(text->data + to, there ? text->data + at : "?", there ? bytes : 1);
        to += there ? bytes : 1;
        at += bytes;
    }
    text->size = to;
    text->data[to] = '\0';
    FcCharSetDestroy(fonts);
    FcFini();
    return pg_buf_check(missing);
}

int pg_fonts_check(const char *family)
{
    FcFontSet *fonts = list_fonts(FC_FAMILY);
    const char **names = fonts ? calloc((size_t)fonts->nfont + 1, sizeof *names) : NULL;
    bool there = false;
    for (int i = 0, n = 0; names && i < fonts->nfont; i++) {
        FcChar8 *name;
        if (FcPatternGetString(fonts->fonts[i], FC_FAMILY, 0, &name) == FcResultMatch)
            names[n++] = (const char *)name;
        there |= n > 0 && strcasecmp(names[n - 1], family) == 0;
    }
    const char *near = names && !there ? pg_nearest(family, names) : NULL;
    int code = !names  ? pg_fail(PG_ENOMEM, "out of memory for the fonts of this machine")
               : there ? PG_OK
                       : pg_fail(PG_EINPUT, "no font '%s' is installed here%s%s%s; `fc-list : family` lists those that are",
                                 family, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    free(names);
    if (fonts)
        FcFontSetDestroy(fonts);
    FcFini();
    return code;
}
