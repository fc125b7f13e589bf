// The batch norm of a training step and the ReLU6 behind it as one operation.
#pragma once

namespace at
{
class Tensor;
}

// relu6(batch_norm(x)), [n][channels][height][width], with the statistics of the batch; mean and var are updated in place by
// momentum. Two operations of libtorch read and write x 13 times, forward and backward, this one 8 times.
at::Tensor pg_batch_norm_relu6(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, at::Tensor &mean,
                               at::Tensor &var, double momentum, double epsilon);
