// Which libraries compute, and with which instruction set. See pg_kernels in torch.h.
//
// Nobody but the process itself can tell: Debian's alternatives choose the BLAS when it starts, environment variables choose
// the instruction sets, and a libtorch from elsewhere brings its own. So the libraries that are loaded are asked, by functions
// of theirs that are looked up by name, and where they have none, what libtorch prints of itself (at::show_config) and the
// names of their files.
#include "models/torch/kernels.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <dlfcn.h>
#include <cctype>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace
{

struct Part {
    std::string text; // name, version, instruction set
    std::string isa;  // its kind: "avx512"; "" where it has none
};

template <class F> F *find(void *library, const char *name) { return reinterpret_cast<F *>(dlsym(library, name)); }

// The text of `all` behind `start`, up to one of `ends`; "unknown" where there is none.
std::string between(const std::string &all, const std::string &start, const char *ends)
{
    size_t at = all.find(start);
    if (at == std::string::npos)
        return "unknown";
    at += start.size();
    std::string found = all.substr(at, all.find_first_of(ends, at) - at);
    return found.empty() ? "unknown" : found;
}

std::string lower(std::string text)
{
    for (char &c : text)
        c = char(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

// The kind of a core by the name that OpenBLAS has for it. Those of other processors are kinds of their own.
std::string kind_of_core(const std::string &name)
{
    static const struct {
        const char *kind, *cores;
    } kinds[] = {
        {"avx512", " skylakex cooperlake sapphirerapids "},
        {"avx2", " haswell zen excavator "},
        {"avx", " sandybridge bulldozer piledriver steamroller "},
        {"sse", " prescott core2 penryn dunnington nehalem atom nano katmai coppermine northwood banias athlon opteron "
                "opteron_sse3 barcelona bobcat "},
    };
    std::string core = lower(name);
    for (const auto &k : kinds)
        if (std::strstr(k.cores, (" " + core + " ").c_str()))
            return k.kind;
    return core;
}

// Digits and dots of a file's name behind "lib....so.": libblas.so.3.11.0 is "3.11.0".
std::string version_of_file(const char *path)
{
    char real[PATH_MAX];
    return realpath(path, real) ? between(real, ".so.", "") : "unknown";
}

Part openblas(void *library)
{
    auto config = find<const char *()>(library, "openblas_get_config");
    auto core = find<const char *()>(library, "openblas_get_corename");
    auto parallel = find<int()>(library, "openblas_get_parallel");
    static const char *const threading[] = {"serial", "pthread", "openmp"};
    int kind = parallel ? parallel() : -1;
    std::string name = core ? core() : "unknown";
    return {"OpenBLAS " + between(config(), "OpenBLAS ", " ") + " " + (kind >= 0 && kind < 3 ? threading[kind] : "unknown") +
                " " + name,
            kind_of_core(name)};
}

Part blis(void *library)
{
    auto version = find<const char *()>(library, "bli_info_get_version_str");
    auto query = find<int()>(library, "bli_arch_query_id");
    auto name = find<const char *(int)>(library, "bli_arch_string");
    std::string core = query && name ? name(query()) : "unknown";
    return {std::string("BLIS ") + (version ? version() : "unknown") + " " + core, kind_of_core(core)};
}

// The library that libtorch's products come from: the one that has sgemm_.
Part blas(const std::string &config)
{
    Dl_info about{};
    void *product = dlsym(RTLD_DEFAULT, "sgemm_");
    void *library = product && dladdr(product, &about) ? dlopen(about.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
    Part found;
    std::string path = library ? about.dli_fname : "";
    if (library && dlsym(library, "openblas_get_config"))
        found = openblas(library);
    else if (path.find("blis") != std::string::npos)
        found = blis(library);
    else if (at::hasMKL())
        found = {"MKL " + between(config, "Math Kernel Library Version ", " -\n"), "mkl"};
    else if (path.find("atlas") != std::string::npos)
        found = {"ATLAS " + version_of_file(path.c_str()), "atlas"};
    else if (path.find("libblas") != std::string::npos)
        found = {"reference BLAS " + version_of_file(path.c_str()), "generic"};
    else
        found = {"BLAS unknown", "unknown"};
    if (library)
        dlclose(library);
    return found;
}

// dnnl_cpu_isa_t: bits that grow with the instruction set. The names of the sets above AVX512_CORE moved between versions.
const char *dnnl_name(unsigned isa)
{
    static const struct {
        unsigned bits;
        const char *name;
    } names[] = {{0xfef, "AVX512_CORE_AMX"},
                 {0x3e7, "AVX512_CORE_AMX"},
                 {0x1ef, "AVX512_CORE_FP16"},
                 {0xe7, "AVX512_CORE_BF16"},
                 {0x67, "AVX512_CORE_VNNI"},
                 {0x27, "AVX512_CORE"},
                 {0x407, "AVX2_VNNI"},
                 {0x7, "AVX2"},
                 {0x3, "AVX"},
                 {0x1, "SSE41"}};
    for (const auto &n : names)
        if ((isa & n.bits) == n.bits)
            return n.name;
    return "unknown";
}

// Where the library does not say: what it is told to use at most, or what the processor has.
std::string dnnl_guess()
{
    for (const char *variable : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
        const char *most = std::getenv(variable);
        if (most && *most && std::strcmp(most, "ALL") != 0 && std::strcmp(most, "DEFAULT") != 0)
            return std::string("at most ") + most;
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return "AVX512_CORE";
    return __builtin_cpu_supports("avx2") ? "AVX2" : __builtin_cpu_supports("avx") ? "AVX" : "SSE41";
#else
    return "unknown";
#endif
}

Part onednn(const std::string &config)
{
    struct Version {
        int major, minor, patch;
        const char *hash;
    };
    if (!at::globalContext().hasMKLDNN())
        return {"no oneDNN", ""};
    auto version = find<const Version *()>(RTLD_DEFAULT, "dnnl_version");
    auto effective = find<unsigned()>(RTLD_DEFAULT, "dnnl_get_effective_cpu_isa");
    std::string number = between(config, "MKL-DNN v", " \n"), isa;
    if (version)
        number =
            std::to_string(version()->major) + "." + std::to_string(version()->minor) + "." + std::to_string(version()->patch);
#if defined(__x86_64__)
    isa = effective ? dnnl_name(effective()) : dnnl_guess();
#else
    isa = effective ? "" : dnnl_guess();
#endif
    std::string kind = isa.find("AVX512") != std::string::npos ? "avx512"
                       : isa.find("AVX2") != std::string::npos ? "avx2"
                       : isa.find("AVX") != std::string::npos  ? "avx"
                       : isa.find("SSE") != std::string::npos  ? "sse"
                                                               : "unknown";
    return {"oneDNN " + number + (isa.empty() ? "" : " " + isa), kind};
}

Part aten(const std::string &config)
{
    std::string name = between(config, "CPU capability usage: ", "\n ");
    if (name == "NO")
        name = "DEFAULT"; // "NO AVX" of libtorch 1.13
    return {"ATen " + name, name == "DEFAULT" ? "sse" : lower(name)};
}

// Kinds of the parts in order, one where all are the same.
std::string joined(std::initializer_list<Part> parts)
{
    std::string all, last;
    bool same = true;
    for (const Part &p : parts) {
        if (p.isa.empty())
            continue;
        same = same && (last.empty() || last == p.isa);
        last = p.isa;
        all += (all.empty() ? "" : "/") + p.isa;
    }
    return same ? last : all;
}

void of_cpu(pg_kernels *out)
{
    std::string config = at::show_config();
    Part products = blas(config), convolutions = onednn(config), rest = aten(config);
    std::snprintf(out->text, sizeof out->text, "%s; %s; %s", products.text.c_str(), convolutions.text.c_str(),
                  rest.text.c_str());
    std::snprintf(out->isa, sizeof out->isa, "%s", joined({convolutions, rest, products}).c_str());
}

// CUDA's own function, from the runtime that libtorch brings; attributes 75 and 76 are the compute capability.
std::string compute_capability(int device)
{
    auto attribute = find<int(int *, int, int)>(RTLD_DEFAULT, "cudaDeviceGetAttribute");
    int major = 0, minor = 0;
    bool known = attribute && attribute(&major, 75, device) == 0 && attribute(&minor, 76, device) == 0;
    return known ? "sm_" + std::to_string(10 * major + minor) : "unknown";
}

void of_cuda(const char *device, pg_kernels *out)
{
    std::string config = at::detail::getCUDAHooks().showConfig();
    const char *colon = std::strchr(device, ':');
    std::string capability = compute_capability(colon ? std::atoi(colon + 1) : 0);
    std::snprintf(out->text, sizeof out->text, "CUDA %s; cuDNN %s; %s", between(config, "CUDA Runtime ", " \n").c_str(),
                  between(config, "CuDNN ", " \n").c_str(), capability.c_str());
    std::snprintf(out->isa, sizeof out->isa, "%s", capability.c_str());
}

} // namespace

void pg_find_kernels(const char *device, pg_kernels *out) noexcept
{
    std::strcpy(out->text, "unknown");
    std::strcpy(out->isa, "unknown");
    try {
        std::strncmp(device, "cuda", 4) == 0 ? of_cuda(device, out) : of_cpu(out);
    } catch (...) { // no memory for a text
    }
}
