/* What the processor can do. */
#ifndef PG_MODELS_TORCH_CPU_H
#define PG_MODELS_TORCH_CPU_H

#include <stdbool.h>

/* AVX-512 with the parts (F, BW, VL, DQ) that ATen's kernels of that name need; false on other processors than x86-64. */
bool pg_cpu_has_avx512(void);

#endif
