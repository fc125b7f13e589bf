/* patchgauge attack: one attack on a run of images; results as files, with pictures. */
#include "harness/base/option.h"
#include "harness/cmd/command.h"
#include "harness/cmd/attack_files.h"
#include "harness/base/signals.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

PG_COMMAND(attack)

enum { PAIRS_MAX = 64 };

typedef struct arguments {
    pg_attack_request request;
    const char *pairs[PAIRS_MAX];
} arguments;

static int read_number(const char *option, const char *text, int64_t least, int64_t most, int64_t *out)
{
    if (pg_parse_int(text, out) != PG_OK || *out < least || *out > most)
        return pg_fail(PG_EUSAGE, "%s %s: right would be a whole number from %lld to %lld", option, text, (long long)least,
                       (long long)most);
    return PG_OK;
}

static int read_images(const char *text, pg_attack_request *r)
{
    char first[32];
    size_t length = strcspn(text, ":");
    if (text[length] == ':' && length < sizeof first) {
        memcpy(first, text, length);
        first[length] = '\0';
        r->all = false;
        if (pg_parse_int(first, &r->first) == PG_OK && pg_parse_int(text + length + 1, &r->end) == PG_OK && r->first >= 0 &&
            r->end > r->first)
            return PG_OK;
    }
    return pg_fail(PG_EUSAGE, "--images %s: right would be FIRST:END with 0 <= FIRST < END", text);
}

static int set_number(pg_attack_request *r, int option, const char *text)
{
    int64_t value = 0;
    int code = PG_OK;
    switch (option) {
    case 'b':
        code = read_number("--batch", text, 1, 4096, &value);
        r->batch = (int)value;
        return code;
    case 't':
        code = read_number("--threads", text, 0, 1024, &value);
        r->threads = (int)value;
        return code;
    case 'c':
        code = read_number("--sheet", text, 0, 64, &value);
        r->sheet = (int)value;
        return code;
    default:
        code = read_number("--seed", text, 0, INT64_MAX, &value);
        r->seed = (uint64_t)value;
        return code;
    }
}

static int set(arguments *a, int option, const char *text)
{
    pg_attack_request *r = &a->request;
    const char **field = option == 'w'   ? &r->weights
                         : option == 'd' ? &r->dataset
                         : option == 'a' ? &r->attack
                         : option == 'p' ? &r->patch
                         : option == 'e' ? &r->defense
                         : option == 'o' ? &r->folder
                         : option == 'D' ? &r->device
                                         : NULL;
    if (field) {
        *field = text;
        return PG_OK;
    }
    if (option == 'i')
        return read_images(text, r);
    if (option == 'F') {
        r->force = true;
        return PG_OK;
    }
    if (option == 'y') {
        r->dtype = strcmp(text, "bf16") == 0 ? PG_DTYPE_BF16 : PG_DTYPE_F32;
        return r->dtype == PG_DTYPE_BF16 || strcmp(text, "fp32") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "--dtype %s: right would be fp32 or bf16", text);
    }
    if (option == 'A') {
        r->behind_resize = strcmp(text, "network") == 0;
        return r->behind_resize || strcmp(text, "input") == 0
                   ? PG_OK
                   : pg_fail(PG_EUSAGE, "--attacker %s: right would be input or network", text);
    }
    if (option != 's')
        return set_number(r, option, text);
    if (r->n_pairs == PAIRS_MAX)
        return pg_fail(PG_EUSAGE, "more than %d --set options", (int)PAIRS_MAX);
    a->pairs[r->n_pairs++] = text;
    return PG_OK;
}

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
                                            {"dataset", required_argument, NULL, 'd'},
                                            {"images", required_argument, NULL, 'i'},
                                            {"attack", required_argument, NULL, 'a'},
                                            {"patch", required_argument, NULL, 'p'},
                                            {"attacker", required_argument, NULL, 'A'},
                                            {"defense", required_argument, NULL, 'e'},
                                            {"set", required_argument, NULL, PG_COMMAND_MANY | 's'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"seed", required_argument, NULL, 'S'},
                                            {"sheet", required_argument, NULL, 'c'},
                                            {"device", required_argument, NULL, 'D'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"dtype", required_argument, NULL, 'y'},
                                            {"force", no_argument, NULL, 'F'},
                                            {NULL, 0, NULL, 0}};
    pg_attack_request *r = &a->request;
    *r = (pg_attack_request){
        .all = true, .defense = "mean", .device = "auto", .batch = PG_BATCH_DEFAULT, .sheet = 16, .pairs = a->pairs};
    optind = 0;
    for (int c; (c = pg_command_option_next(argc, argv, ":o:", options)) != -1;) {
        int code = c == '?' || c == ':' ? pg_command_option_error(argv, options, c) : set(a, c, optarg);
        if (code != PG_OK)
            return code;
    }
    if (optind < argc)
        return pg_fail(PG_EUSAGE, "attack takes options only, but was given \"%s\"", argv[optind]);
    const char *missing = !r->weights   ? "--weights"
                          : !r->dataset ? "--dataset"
                          : !r->attack  ? "--attack"
                          : !r->patch   ? "--patch"
                          : !r->folder  ? "-o"
                                        : NULL;
    if (missing)
        return pg_fail(PG_EUSAGE,
                       "%s is missing; usage: patchgauge attack --weights F --dataset D --attack NAME --patch 5 -o DIR",
                       missing);
    return PG_OK;
}

static int run(const pg_context *context, int argc, char **argv)
{
    arguments a = {0};
    int code = parse(argc, argv, &a);
    a.request.data_dir = context->data_dir;
    if (code == PG_OK) {
        pg_signals_catch();
        pg_signals_answer();
    }
    return code == PG_OK ? pg_attack_write(&a.request) : code;
}

const pg_command pg_command_attack = {
    .name = "attack",
    .synopsis =
        "attack --weights F --dataset D [--images A:B] --attack NAME --patch 5 [--defense NAME] [--set key=value]... -o DIR",
    .summary = "attack images with a patch; results as files, with pictures",
    .help =
        "Writes DIR/results.csv (one line an image: label, predictions before and after, place, target, loss, steps, largest\n"
        "local logit), DIR/patches.npy (uint8, [n][3][height][width]) and DIR/meta.json (settings, hashes, counts), draws\n"
        "DIR/sheet (a contact sheet) and DIR/local-logits (a histogram) as SVG and PNG, and prints a summary. Every patch is\n"
        "rounded to 8 bits and evaluated by the deployed path. A matrix with `attack = \"NAME\"` keeps such results in the\n"
        "database instead, goes on after an interruption, and shows them in tables.\n"
        "\n"
        "  --weights F      weights file, or null\n"
        "  --dataset D      NAME:SPLIT; NAME:SPLIT@SIZE resizes its images\n"
        "  --images A:B     images A to B - 1; default all\n"
        "  --attack NAME    see `patchgauge list attacks`\n"
        "  --patch P        pixels (5), height x width (5x8) or a share of the image (2.4%, a square)\n"
        "  --attacker A     input (default) or network: whether the patch is put on before or after a resize. The patch, its\n"
        "                   places and patches.npy are in pixels of the images there; the sheet shows images as the network\n"
        "                   takes them, and outlines what the patch changes\n"
        "  --defense NAME   see `patchgauge list defenses`; default mean, no defense\n"
        "  --set KEY=VALUE  option of the attack or the defense, see `help attack NAME` and `help defense NAME`; where both\n"
        "                   have it, attack.KEY=VALUE or defense.KEY=VALUE; may be given several times\n"
        "  -o, --output D   folder, made where it is missing; what an attack wrote there before is replaced\n"
        "  --force          replace files of these names that are not from an attack\n"
        "  --seed N         of places, starts and targets; default 0\n"
        "  --sheet N        images of the contact sheet, 0 to 64; default 16; 0: no pictures, no gnuplot\n"
        "  --batch N        images of a forward pass; default 128\n"
        "  --dtype T        fp32 (default) or bf16\n"
        "  --device D       auto (default), cpu, cuda:N\n"
        "  --threads N      cores of a forward pass; default 0: all\n"
        "\n"
        "  patchgauge attack --weights models/zoo/synthetic-bagnet.safetensors --dataset synthetic:test --images 0:20 \\\n"
        "      --attack lavan --patch 5 --defense robust-masking --set steps=20 --set threshold=0.2 -o attacked\n",
    .run_words = run,
};
