/* What the processor can do, as libtorch is told and as the choice of bf16 needs it. See torch.h. */
#include "models/torch/cpu.h"
#include "models/torch/torch.h"

#include <stdlib.h>
#include <strings.h>

#if defined(__x86_64__)
#include <cpuid.h>

bool pg_cpu_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}

static bool multiplies_bf16(void)
{
    unsigned a, b, c, d;
    bool amx = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)); /* AMX-BF16 */
    bool dot = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));  /* AVX512_BF16 */
    return pg_cpu_has_avx512() && (amx || dot);
}
#else
bool pg_cpu_has_avx512(void) { return false; }
static bool multiplies_bf16(void) { return false; }
#endif

/* oneDNN uses no more than ONEDNN_MAX_CPU_ISA (DNNL_MAX_CPU_ISA where that is not set) allows, and refuses bf16
 * below AVX-512. */
static bool onednn_may_use_bf16(void)
{
    static const char *const without[] = {"SSE41",           "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE",
                                          "AVX512_CORE_VNNI"};
    const char *most = getenv("ONEDNN_MAX_CPU_ISA");
    if (!most)
        most = getenv("DNNL_MAX_CPU_ISA");
    for (size_t i = 0; most && i < sizeof without / sizeof *without; i++)
        if (strcasecmp(most, without[i]) == 0)
            return false;
    return true;
}

bool pg_cpu_has_fast_bf16(void) { return multiplies_bf16() && onednn_may_use_bf16(); }
