/* The options of training. See train.h. */
#include "models/train.h"

static const char *const schedules[] = {"cosine", "step", NULL};
static const char *const evidences[] = {"logits", "confidence", NULL};
static const char *const maskings[] = {"label", "twice", NULL};
static const char *const dtypes[] = {"auto", "fp32", "bf16", NULL};

#define AT(field) offsetof(pg_train_options, field)
const pg_option pg_train_option_table[] = {
    {"epochs", PG_OPTION_INT, AT(epochs), "100", 1, 10000, .help = "passes over the training images"},
    {"batch", PG_OPTION_INT, AT(batch), "128", 2, 65536, .help = "images a step"},
    {"rate", PG_OPTION_DECIMAL, AT(rate), "0.1", 1e-9, 100, .help = "largest learning rate"},
    {"schedule", PG_OPTION_CHOICE, AT(schedule), "cosine", .choices = schedules,
     .help = "cosine to 0, or step: a tenth at 1/2 and at 3/4 of the epochs"},
    {"warmup", PG_OPTION_INT, AT(warmup), "0", 0, 1000, .help = "epochs of linear rise at the start"},
    {"momentum", PG_OPTION_DECIMAL, AT(momentum), "0.9", 0, 1, .help = "of SGD"},
    {"nesterov", PG_OPTION_BOOL, AT(nesterov), "true", .help = "Nesterov's momentum"},
    {"decay", PG_OPTION_DECIMAL, AT(decay), "0.0005", 0, 1, .help = "weight decay, on convolution and linear weights"},
    {"smoothing", PG_OPTION_DECIMAL, AT(smoothing), "0", 0, 0.99, .help = "label smoothing"},
    {"ema", PG_OPTION_DECIMAL, AT(ema), "0.999", 0, 0.99999,
     .help = "moving average of the weights, which is what is validated and written; 0: off"},
    {"crop", PG_OPTION_INT, AT(crop), "4", 0, 64, .help = "random crop from the image padded by so many black pixels"},
    {"flip", PG_OPTION_BOOL, AT(flip), "true", .help = "random horizontal flip"},
    {"cutout", PG_OPTION_INT, AT(cutout), "0", 0, 4096,
     .help = "side of grey squares at random places of an image, pixels; 0: none"},
    {"cutouts", PG_OPTION_INT, AT(cutouts), "2", 1, 16, .help = "an image has from none to so many squares"},
    {"hardest", PG_OPTION_INT, AT(hardest), "1", 1, 64, .later = true,
     .help = "of so many draws of an image's squares the one with the largest loss is learned from; not for bands"},
    {"positions", PG_OPTION_INT, AT(positions), "1", 1, 4096,
     .help = "evenly spaced positions an image, where a model sees one at a time (bands); others see all"},
    {"evidence", PG_OPTION_CHOICE, AT(evidence), "logits", .choices = evidences,
     .help = "what is averaged over the positions before the loss"},
    {"mask", PG_OPTION_INT, AT(mask), "0", 0, 4096,
     .help = "masked training: windows under a patch of so many pixels a side count as nothing; 0: off"},
    {"masking", PG_OPTION_CHOICE, AT(masking), "label", .choices = maskings, .later = true,
     .help = "label: the label's heaviest window, for the label alone; twice: for all classes, the window that costs the most, "
             "and then the one that costs the most of what is left"},
    {"dtype", PG_OPTION_CHOICE, AT(dtype), "auto", .choices = dtypes,
     .help = "bf16 autocast where the processor is fast at it (auto)"},
    {"half", PG_OPTION_BOOL, AT(half), "true", .help = "write the weights in half precision"},
    {"seed", PG_OPTION_INT, AT(seed), "1", 0, 1e15, .help = "of weights, order and augmentation"},
    {"threads", PG_OPTION_INT, AT(threads), "0", 0, 1024, .recorded_only = true,
     .help = "cores to use; 0: all (the last bits depend on it)"},
    {0},
};
