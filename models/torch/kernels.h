// What computes in this process: the text of pg_torch.kernels (torch.h). Private to the shim.
#ifndef PG_MODELS_TORCH_KERNELS_H
#define PG_MODELS_TORCH_KERNELS_H

#include "models/torch/torch.h"

void pg_find_kernels(const char *device, pg_kernels *out) noexcept;

#endif
