// See norm_relu6.h. Sums run over pieces of fixed size, so that results do not depend on the number of threads.
#include "models/torch/norm_relu6.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_THIS_PROCESSOR
#endif

namespace
{

using at::Tensor;

constexpr int64_t piece = 256; // rows; a row has a value of each channel

// Of x - first, the sums and sums of squares.
FOR_THIS_PROCESSOR void sums(const float *__restrict x, const float *__restrict first, int64_t rows, int64_t channels,
                             float *__restrict sum, float *__restrict square)
{
    for (int64_t c = 0; c < channels; c++)
        sum[c] = square[c] = 0;
    for (int64_t r = 0; r < rows; r++, x += channels)
        for (int64_t c = 0; c < channels; c++) {
            float d = x[c] - first[c];
            sum[c] += d;
            square[c] += d * d;
        }
}

FOR_THIS_PROCESSOR void scale(const float *__restrict x, const float *__restrict a, const float *__restrict b, int64_t rows,
                              int64_t channels, float *__restrict y)
{
    for (int64_t r = 0; r < rows; r++, x += channels, y += channels)
        for (int64_t c = 0; c < channels; c++) {
            float v = x[c] * a[c] + b[c];
            v = v > 0 ? v : 0;
            y[c] = v < 6 ? v : 6;
        }
}

// The gradient g where a x + b is between 0 and 6: its sums, and those of g (x - mean).
FOR_THIS_PROCESSOR void gradient_sums(const float *__restrict x, const float *__restrict g, const float *__restrict a,
                                      const float *__restrict b, const float *__restrict mean, int64_t rows, int64_t channels,
                                      float *__restrict sum, float *__restrict product)
{
    for (int64_t c = 0; c < channels; c++)
        sum[c] = product[c] = 0;
    for (int64_t r = 0; r < rows; r++, x += channels, g += channels)
        for (int64_t c = 0; c < channels; c++) {
            float v = x[c] * a[c] + b[c], d = v > 0 && v < 6 ? g[c] : 0;
            sum[c] += d;
            product[c] += d * (x[c] - mean[c]);
        }
}

// a g - p - q (x - mean)
FOR_THIS_PROCESSOR void gradient(const float *__restrict x, const float *__restrict g, const float *__restrict a,
                                 const float *__restrict b, const float *__restrict mean, const float *__restrict p,
                                 const float *__restrict q, int64_t rows, int64_t channels, float *__restrict out)
{
    for (int64_t r = 0; r < rows; r++, x += channels, g += channels, out += channels)
        for (int64_t c = 0; c < channels; c++) {
            float v = x[c] * a[c] + b[c], d = v > 0 && v < 6 ? g[c] : 0;
            out[c] = a[c] * d - p[c] - q[c] * (x[c] - mean[c]);
        }
}

Tensor by_rows(const Tensor &x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }
int64_t rows_of(const Tensor &x) { return x.numel() / x.size(1); }

// f(first row, rows, piece) for each piece.
template <class F> void for_pieces(int64_t rows, F f)
{
    at::parallel_for(0, (rows + piece - 1) / piece, 16, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++)
            f(i * piece, std::min(piece, rows - i * piece), i);
    });
}

// The two sums of each channel over all pieces, in double.
template <class F> std::vector<double> two_sums(int64_t rows, int64_t channels, F f)
{
    std::vector<float> parts(size_t((rows + piece - 1) / piece * 2 * channels));
    for_pieces(rows, [&](int64_t row, int64_t n, int64_t i) {
        f(row, n, parts.data() + i * 2 * channels, parts.data() + (i * 2 + 1) * channels);
    });
    std::vector<double> all(size_t(2 * channels));
    for (size_t i = 0; i < parts.size(); i++)
        all[i % all.size()] += parts[i];
    return all;
}

struct NormRelu6 : torch::autograd::Function<NormRelu6> {
    static Tensor forward(torch::autograd::AutogradContext *context, const Tensor &given, const Tensor &weight,
                          const Tensor &bias, Tensor mean, Tensor var, double momentum, double epsilon)
    {
        Tensor x = by_rows(given);
        int64_t channels = x.size(1), rows = rows_of(x);
        TORCH_CHECK(rows > 1, "statistics of a batch of one value for each channel: its size has to be larger");
        const float *from = x.data_ptr<float>(), *w = weight.data_ptr<float>(), *shift = bias.data_ptr<float>();
        std::vector<double> sum = two_sums(rows, channels, [&](int64_t row, int64_t n, float *one, float *two) {
            sums(from + row * channels, from, n, channels, one, two);
        });
        Tensor line = at::empty({4, channels}, weight.options()); // a, b, mean, 1 / deviation
        float *a = line.data_ptr<float>(), *b = a + channels, *m = b + channels, *inverse = m + channels,
              *running_mean = mean.data_ptr<float>(), *running_var = var.data_ptr<float>();
        for (int64_t c = 0; c < channels; c++) {
            double away = sum[c] / rows, v = std::max(sum[channels + c] / rows - away * away, 0.0), at = from[c] + away;
            m[c] = float(at);
            inverse[c] = float(1 / std::sqrt(v + epsilon));
            a[c] = w[c] * inverse[c];
            b[c] = float(shift[c] - at * a[c]);
            running_mean[c] += float(momentum * (at - running_mean[c]));
            running_var[c] += float(momentum * (v * rows / (rows - 1) - running_var[c]));
        }
        Tensor y = at::empty_like(x);
        float *to = y.data_ptr<float>();
        for_pieces(rows, [&](int64_t row, int64_t n, int64_t) {
            scale(from + row * channels, a, b, n, channels, to + row * channels);
        });
        context->save_for_backward({x, line});
        return y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                   torch::autograd::variable_list outside)
    {
        auto saved = context->get_saved_variables();
        Tensor x = saved[0], line = saved[1], g = by_rows(outside[0]);
        int64_t channels = x.size(1), rows = rows_of(x);
        const float *from = x.data_ptr<float>(), *in = g.data_ptr<float>(), *a = line.data_ptr<float>(), *b = a + channels,
                    *m = b + channels, *inverse = m + channels;
        std::vector<double> sum = two_sums(rows, channels, [&](int64_t row, int64_t n, float *one, float *two) {
            gradient_sums(from + row * channels, in + row * channels, a, b, m, n, channels, one, two);
        });
        Tensor of_weight = at::empty({channels}, line.options()), of_bias = at::empty({channels}, line.options()),
               of_x = at::empty_like(x);
        std::vector<float> p(size_t(channels), 0), q(size_t(channels), 0);
        for (int64_t c = 0; c < channels; c++) {
            double i = inverse[c];
            of_bias.data_ptr<float>()[c] = float(sum[c]);
            of_weight.data_ptr<float>()[c] = float(sum[channels + c] * i);
            p[c] = float(a[c] * sum[c] / rows);
            q[c] = float(a[c] * i * i * sum[channels + c] / rows);
        }
        float *to = of_x.data_ptr<float>();
        for_pieces(rows, [&](int64_t row, int64_t n, int64_t) {
            gradient(from + row * channels, in + row * channels, a, b, m, p.data(), q.data(), n, channels, to + row * channels);
        });
        return {of_x, of_weight, of_bias, Tensor(), Tensor(), Tensor(), Tensor()};
    }
};

} // namespace

at::Tensor pg_batch_norm_relu6(const Tensor &x, const Tensor &weight, const Tensor &bias, Tensor &mean, Tensor &var,
                               double momentum, double epsilon)
{
    if (x.device().is_cpu() && x.scalar_type() == at::kFloat)
        return NormRelu6::apply(x, weight, bias, mean, var, momentum, epsilon);
    Tensor y = at::batch_norm(x, weight, bias, mean, var, true, momentum, epsilon, true);
    // libtorch 1.13 has no gradient of hardtanh in bf16
    return y.scalar_type() == at::kFloat ? at::hardtanh_(y, 0, 6) : at::clamp(y, 0, 6);
}
