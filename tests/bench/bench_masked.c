/* The cost of PatchCleanser, seconds of processor time an image: the loop as it is published, written plainly in PyTorch
 * (published_loop.py), and this program, in one run on the same network and images. Prints whether predictions and certificates
 * are the same. Arguments: [IMAGES [WEIGHTS DATA DATASET PATCH]]; without them two networks: ResNet-18 with masks on CIFAR-10,
 * from build/data, and MobileNetV2 at 224 px, the one of ../shared/weights and ImageNette where they are, else of random
 * weights on the built-in images. */
#include "defenses/certifier.h"
#include "harness/base/npy.h"
#include "harness/data/dataset.h"
#include "harness/target/open.h"
#include "tests/support/program.h"
#include "tests/support/random_net.h"

#include <sys/resource.h>

enum { BATCH = 128, FIRST = 0, MOST = 1000, THREADS = 1 };

typedef struct subject {
    const char *label, *weights, *data, *dataset; /* no dataset: noise */
    int patch, images, threads;
} subject;

static const char *data_folder(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("data"));
    return path;
}

static double processor_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + 1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void must(int code)
{
    if (code == PG_OK)
        return;
    fprintf(stderr, "bench_masked: %s\n", pg_error_message());
    exit(1);
}

/* Seconds of processor time an image; verdicts of the published loop's predictions. */
static double run_ours(const subject *b, const char *pairs, const uint8_t *pixels, const int32_t *labels, pg_verdict *verdicts)
{
    _Alignas(16) uint8_t config[PG_CONFIG_MAX];
    pg_weights_info info;
    pg_network *network = NULL;
    pg_certifier *certifier = NULL;
    const pg_defense *defense = pg_defense_find("patchcleanser");
    must(pg_weights_describe(b->weights, NULL, 0, &info));
    must(pg_module_configure(&defense->module, "defense", &pairs, 1, config));
    int height = info.geometry.input_height, width = info.geometry.input_width, classes = info.geometry.classes;
    pg_defended defended = {defense, config, {height, width, b->patch, b->patch}};
    must(pg_defended_open(&defended, b->weights, NULL, 0,
                          &(pg_network_options){.device = "cpu", .batch = BATCH, .threads = b->threads}, &network));
    const pg_geometry *g = &pg_network_info(network)->geometry;
    size_t map = (size_t)g->rows.positions * (size_t)g->columns.positions * (size_t)classes;
    float *logits = malloc(map * sizeof *logits);
    pg_job job = {.defense = defense, .config = config, .window = {g->rows.positions - 1, g->columns.positions - 1}};
    must(pg_certifier_new(&job, 1, g->rows.positions, g->columns.positions, classes, true, true, &certifier));
    double start = processor_s();
    for (int i = 0; logits && i < b->images; i++) {
        must(pg_network_forward_wanted(network, pixels + (size_t)i * 3 * (size_t)height * (size_t)width, i, 1, &labels[i],
                                       logits));
        pg_certifier_image_f32(certifier, logits, labels[i], &verdicts[i]);
    }
    double s = (processor_s() - start) / b->images;
    free(logits);
    pg_certifier_free(certifier);
    pg_network_close(network);
    return s;
}

/* Seconds of processor time an image of the published loop; its predictions and certificates. */
static double run_published(const subject *b, const uint8_t *pixels, int height, int width, int32_t *predictions,
                            bool *certified)
{
    char command[1024];
    const int64_t shape[] = {b->images, 3, height, width};
    double all = 0, s;
    int seen = 0, yes;
    FILE *f = fopen(scratch_path("images.npy"), "w");
    if (!f)
        exit(1);
    must(pg_npy_write_header(f, PG_NPY_U1, 4, shape));
    fwrite(pixels, (size_t)3 * (size_t)height * (size_t)width, (size_t)b->images, f);
    fclose(f);
    snprintf(command, sizeof command, "/usr/bin/python3 tests/bench/published_loop.py %s %s %d 6 %d %d", b->weights,
             scratch_path("images.npy"), b->patch, BATCH, b->threads);
    f = popen(command, "r");
    while (f && seen < b->images && fscanf(f, "%lf %d %d", &s, &predictions[seen], &yes) == 3) {
        certified[seen++] = yes;
        all += s;
    }
    if (!f || pclose(f) != 0 || seen < b->images)
        exit(1);
    return all / b->images;
}

static void compare(const subject *b, const uint8_t *pixels, int height, int width)
{
    static const char *const pairs[] = {"pairs=all", "pairs=certificate", "pairs=prediction"};
    int32_t predictions[MOST];
    bool certified[MOST];
    int n = 0;
    double published = run_published(b, pixels, height, width, predictions, certified);
    for (int i = 0; i < b->images; i++)
        n += certified[i];
    printf("%s: %d images, %d certified, patch %d px, batch %d, %d threads\n", b->label, b->images, n, b->patch, BATCH,
           b->threads);
    printf("  %-28s %8.2f s an image\n", "published loop, PyTorch", published);
    for (int p = 0; p < 3; p++) {
        pg_verdict verdicts[MOST];
        double s = run_ours(b, pairs[p], pixels, predictions, verdicts);
        int same = 0;
        for (int i = 0; i < b->images; i++)
            same += verdicts[i].prediction == predictions[i] && (p == 2 || verdicts[i].certified == certified[i]);
        printf("  %-28s %8.2f s an image, %5.2f times as fast; %d of %d alike\n", pairs[p], s, published / s, same, b->images);
    }
}

static void bench(subject b)
{
    pg_weights_info info;
    pg_dataset *dataset = NULL;
    must(pg_weights_describe(b.weights, NULL, 0, &info));
    int height = info.geometry.input_height, width = info.geometry.input_width;
    size_t bytes = (size_t)b.images * 3 * (size_t)height * (size_t)width;
    uint8_t *pixels = malloc(bytes);
    int32_t labels[MOST];
    if (!pixels)
        exit(1);
    if (b.dataset) {
        must(pg_dataset_open(b.data, b.dataset, &dataset));
        must(pg_dataset_read(dataset, FIRST, b.images, pixels, labels));
        pg_dataset_close(dataset);
    } else {
        pg_rng rng = pg_rng_make(1, PG_STREAM_TEST, 0);
        for (size_t i = 0; i < bytes; i++)
            pixels[i] = (uint8_t)pg_rng_below(&rng, 256);
    }
    compare(&b, pixels, height, width);
    free(pixels);
}

/* Some images of each class of ImageNette, and CIFAR-10, from build/data; NULL where they are not there. */
static const char *import(const char *spec, const char *name, const char *source)
{
    bool there = program_run(NULL, "--data %s data import %s %s", data_folder(), name, source) == 0;
    return there ? spec : NULL;
}

static const char *import_photographs(void)
{
    char text[1024];
    snprintf(text, sizeof text,
             "for c in build/data/imagenette/val/*; do d=%s/val/${c##*/}; mkdir -p $d; cp $(ls $c/*val* | head -3) $d || exit "
             "1; done",
             scratch_path("photographs"));
    return system(text) == 0 ? import("photographs:val", "photographs", scratch_path("photographs")) : NULL;
}

/* The network of ../shared/weights for ImageNette's ten classes; of random weights where it is not there. */
static void write_mobilenet(const pg_torch *t, const char *path)
{
    static const char real[] = "../shared/weights/mobilenet_v2-imagenet.pth";
    static const int outputs[] = {0, 217, 482, 491, 497, 566, 569, 571, 574, 701};
    static const char *const options[] = {"padding=same", "mean=0.5", "std=0.5"};
    bool there = access(real, R_OK) == 0;
    random_net x = random_net_new(t, "mobilenet-v2", 224, 224, there ? 1000 : 10, 3, options);
    if (there) {
        char imported[512];
        snprintf(imported, sizeof imported, "%s", scratch_path("imported.safetensors"));
        if (program_run(NULL, "model import %s --input 224x224 --set %s --set %s --set %s -o %s", real, options[0], options[1],
                        options[2], imported) != 0) {
            fprintf(stderr, "%s", program_output);
            exit(1);
        }
        pg_parameters_release(&x.parameters, t);
        must(pg_model_trace(x.model, x.config, 224, 224, 1000, &x.parameters, &x.geometry));
        must(pg_weights_load(imported, x.scope, &x.parameters));
        must(pg_parameters_select(&x.parameters, x.scope, outputs, 10));
        x.geometry.classes = 10;
    }
    random_net_save(&x, path, false);
    random_net_release(&x, t);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 0;
    const pg_torch *t;
    if (scratch_make(NULL) != 0 || n < 0 || n > MOST)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(pg_torch_load(THREADS, &t));
    if (argc > 5) {
        bench((subject){argv[2], argv[2], argv[3], argv[4], atoi(argv[5]), n ? n : 1, THREADS});
    } else {
        bench((subject){.label = "ResNet-18 of width 32, 32 px",
                        .weights = "models/zoo/resnet18-masks-cifar10.safetensors",
                        .data = data_folder(),
                        .dataset = import("cifar10:test", "cifar10", "build/data/cifar-10-batches-bin"),
                        .patch = 5,
                        .images = n ? n : 24,
                        .threads = THREADS});
        char path[512];
        snprintf(path, sizeof path, "%s", scratch_path("mobilenet.safetensors"));
        write_mobilenet(t, path);
        bench((subject){.label = "MobileNetV2, 224 px",
                        .weights = path,
                        .data = data_folder(),
                        .dataset = import_photographs(),
                        .patch = 32,
                        .images = n ? n : 2,
                        .threads = THREADS});
    }
    scratch_remove(NULL);
    return 0;
}
