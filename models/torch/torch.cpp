// libtorch behind the C table of torch.h: every function is one expression inside a guard that turns exceptions into codes.
#include "models/torch/kernels.h"
#include "models/torch/norm_relu6.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/print_handler.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <malloc.h>
#include <sys/mman.h>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

struct pg_tensor {
    at::Tensor value;
};

struct pg_module_script {
    torch::jit::Module module;
};

namespace
{

using at::IntArrayRef;
using at::Tensor;

struct Scope : pg_scope {
    std::deque<pg_tensor> temporaries; // a deque keeps addresses
};

Scope *own(pg_scope *s) { return static_cast<Scope *>(s); }

bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

// libtorch's errors are prose; its code is told by the words of the message.
int classify(const std::string &text)
{
    if (has(text, "CUDA out of memory") || has(text, "CUDA error: out of memory") || has(text, "_STATUS_ALLOC_FAILED"))
        return PG_EDEVICEMEM; // the last: of cuBLAS and cuDNN
    if (has(text, "can't allocate memory") || has(text, "not enough memory") ||
        has(text, "Storage size calculation overflowed"))
        return PG_ENOMEM;
    for (const char *word : {"size", "shape", "dimension", "Dimension", "channels", "out of range", "index"})
        if (has(text, word))
            return PG_ESHAPE;
    return PG_ETORCH;
}

// What the user gave cannot do what is asked of it: told as it is.
struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

int refuse(pg_scope *s, const char *text)
{
    if (!s->error) {
        s->error = PG_EINPUT;
        std::snprintf(s->message, sizeof s->message, "%s", text);
    }
    return PG_EINPUT;
}

// TorchScript tells where it happened, and what happened in its last line.
std::string last_line(std::string text)
{
    text.erase(text.find_last_not_of(" \n") + 1);
    return text.substr(text.rfind('\n') + 1);
}

int record(pg_scope *s, const char *function, int code, std::string text)
{
    text = text.substr(0, text.find('\n'));
    if (!s->error) {
        s->error = code;
        std::snprintf(s->message, sizeof s->message, "libtorch, %s: %s", function, text.c_str());
    }
    return code;
}

// Call inside a catch block.
int record_current(pg_scope *s, const char *function) noexcept
{
    try {
        try {
            throw;
        } catch (const Refusal &e) {
            return refuse(s, e.what());
        } catch (const c10::Error &e) {
            return record(s, function, classify(e.what_without_backtrace()), e.what_without_backtrace());
        } catch (const std::bad_alloc &) {
            return record(s, function, PG_ENOMEM, "out of memory");
        } catch (const std::exception &e) {
            return record(s, function, classify(e.what()), e.what());
        } catch (...) {
            return record(s, function, PG_ETORCH, "unknown exception");
        }
    } catch (...) { // no memory for the message itself
        s->error = s->error ? s->error : PG_ENOMEM;
        return s->error;
    }
}

// A required operand is NULL only where an earlier call failed, or by the caller's mistake.
Tensor &in(pg_tensor *x)
{
    TORCH_CHECK(x, "operand of the wrong shape: it is missing");
    return x->value;
}

c10::optional<Tensor> maybe(pg_tensor *x) { return x ? c10::optional<Tensor>(x->value) : c10::optional<Tensor>(); }

template <class F> pg_tensor *build(pg_scope *s, const char *function, F f) noexcept
{
    if (s->error)
        return nullptr;
    try {
        own(s)->temporaries.push_back({f()});
        return &own(s)->temporaries.back();
    } catch (...) {
        record_current(s, function);
        return nullptr;
    }
}

template <class F> int act(pg_scope *s, const char *function, F f) noexcept
{
    if (s->error)
        return s->error;
    try {
        f();
        return PG_OK;
    } catch (...) {
        return record_current(s, function);
    }
}

#define BUILD(expression) return build(s, __func__, [&]() -> Tensor { return expression; })
#define ACT(...)          return act(s, __func__, [&]() { __VA_ARGS__; })

constexpr at::ScalarType types[] = {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16,
                                    at::kLong,  at::kInt,    at::kByte, at::kBool};

at::ScalarType scalar(pg_tensor_type type)
{
    TORCH_CHECK(type >= 0 && type <= PG_T_BOOL, "unknown tensor type ", int(type));
    return types[type];
}

IntArrayRef list(int n, const int64_t *values) { return IntArrayRef(values, size_t(n)); }

c10::Device device_of(const char *name) { return c10::Device(std::string(name)); }

at::TensorOptions on(const pg_scope *s, at::ScalarType type) { return at::TensorOptions(type).device(device_of(s->device)); }

// ---- set-up

// OpenBLAS takes a buffer at the first product of each thread, and tries for ever where there is no memory for it: so it takes
// them now, where there is. Later, memory that runs out is libtorch's, which says so.
bool take_buffers(int threads)
{
    size_t size = size_t(threads) * (160 << 20);
    void *room = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return false;
    munmap(room, size);
    at::parallel_for(0, threads, 1, [](int64_t, int64_t) { at::mm(at::ones({256, 256}), at::ones({256, 256})); });
    return true;
}

int configure(int threads)
{
    try {
        mallopt(M_MMAP_THRESHOLD, 1 << 30);
        mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
        mallopt(M_TOP_PAD, 64 << 20);
        at::set_num_threads(threads);
        // fp32 means fp32 on a GPU too: reduced products leak across receptive fields, and results have to repeat
        at::globalContext().setAllowTF32CuBLAS(false);
        at::globalContext().setAllowTF32CuDNN(false);
        at::globalContext().setDeterministicCuDNN(true);
        at::globalContext().setBenchmarkCuDNN(false);
        return take_buffers(threads) ? PG_OK : PG_ENOMEM;
    } catch (...) {
        return PG_ETORCH;
    }
}

int threads() { return at::get_num_threads(); }

int cuda_devices()
{
    try {
        return c10::impl::hasDeviceGuardImpl(at::kCUDA) ? int(c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount()) : 0;
    } catch (...) {
        return 0;
    }
}

pg_scope *scope_new();
void scope_clear(pg_scope *s) { own(s)->temporaries.clear(); }
void scope_free(pg_scope *s) { delete (s ? own(s) : nullptr); }
pg_tensor *keep(pg_scope *s, pg_tensor *x)
{
    pg_tensor *kept = nullptr;
    act(s, __func__, [&]() { kept = new pg_tensor{in(x)}; });
    return kept;
}
void tensor_free(pg_tensor *x) { delete x; }

// ---- creation

pg_tensor *from_data(pg_scope *s, const void *data, pg_tensor_type type, int rank, const int64_t *shape)
{
    BUILD(at::from_blob(const_cast<void *>(data), list(rank, shape), at::TensorOptions(scalar(type)))
              .to(device_of(s->device), scalar(type), false, true));
}
pg_tensor *full(pg_scope *s, double value, pg_tensor_type type, int rank, const int64_t *shape)
{
    BUILD(at::full(list(rank, shape), value, on(s, scalar(type))));
}
pg_tensor *arange(pg_scope *s, int64_t count, pg_tensor_type type) { BUILD(at::arange(count, on(s, scalar(type)))); }
pg_tensor *like(pg_scope *s, pg_tensor *x, double value) { BUILD(at::full_like(in(x), value)); }

// ---- inspection

int rank(const pg_tensor *x) { return x ? int(x->value.dim()) : -1; }
int64_t size(const pg_tensor *x, int dim)
{
    int n = rank(x);
    if (dim < 0)
        dim += n;
    return dim >= 0 && dim < n ? x->value.sizes()[size_t(dim)] : -1;
}
int64_t count(const pg_tensor *x) { return x ? x->value.numel() : 0; }
pg_tensor_type type(const pg_tensor *x)
{
    for (int i = 0; x && i <= PG_T_BOOL; i++)
        if (types[i] == x->value.scalar_type())
            return pg_tensor_type(i);
    return PG_T_F32;
}
int read(pg_scope *s, pg_tensor *x, void *out, pg_tensor_type to, int64_t n)
{
    ACT({
        TORCH_CHECK(in(x).numel() == n, "the tensor's size is ", in(x).numel(), " elements, not ", n);
        Tensor host = in(x).detach().to(at::kCPU).to(scalar(to)).contiguous();
        std::memcpy(out, host.data_ptr(), size_t(n) * host.element_size());
    });
}
double item(pg_scope *s, pg_tensor *x)
{
    double value = std::numeric_limits<double>::quiet_NaN();
    act(s, __func__, [&]() { value = in(x).item<double>(); });
    return value;
}

// ---- type, device, layout

pg_tensor *to_type(pg_scope *s, pg_tensor *x, pg_tensor_type to) { BUILD(in(x).to(scalar(to))); }
pg_tensor *channels_last(pg_scope *s, pg_tensor *x) { BUILD(in(x).contiguous(at::MemoryFormat::ChannelsLast)); }

// ---- arithmetic

pg_tensor *add(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::add(in(x), in(y))); }
pg_tensor *sub(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::sub(in(x), in(y))); }
pg_tensor *mul(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::mul(in(x), in(y))); }
pg_tensor *div(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::div(in(x), in(y))); }
pg_tensor *maximum(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::maximum(in(x), in(y))); }
pg_tensor *minimum(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::minimum(in(x), in(y))); }
pg_tensor *affine(pg_scope *s, pg_tensor *x, double scale, double shift) { BUILD(in(x)*scale + shift); }
pg_tensor *exp(pg_scope *s, pg_tensor *x) { BUILD(at::exp(in(x))); }
pg_tensor *log(pg_scope *s, pg_tensor *x) { BUILD(at::log(in(x))); }
pg_tensor *sqrt(pg_scope *s, pg_tensor *x) { BUILD(at::sqrt(in(x))); }
pg_tensor *abs(pg_scope *s, pg_tensor *x) { BUILD(at::abs(in(x))); }
pg_tensor *sign(pg_scope *s, pg_tensor *x) { BUILD(at::sign(in(x))); }
pg_tensor *round(pg_scope *s, pg_tensor *x) { BUILD(at::round(in(x))); }
pg_tensor *clamp(pg_scope *s, pg_tensor *x, double lo, double hi) { BUILD(at::clamp(in(x), lo, hi)); }
pg_tensor *relu(pg_scope *s, pg_tensor *x) { BUILD(at::relu(in(x))); }
pg_tensor *gelu(pg_scope *s, pg_tensor *x) { BUILD(at::gelu(in(x))); }
pg_tensor *relu6(pg_scope *s, pg_tensor *x)
{
    // libtorch 1.13 has no gradient of hardtanh in bf16
    BUILD(in(x).scalar_type() == at::kFloat ? at::hardtanh(in(x), 0, 6) : at::clamp(in(x), 0, 6));
}
pg_tensor *tanh(pg_scope *s, pg_tensor *x) { BUILD(at::tanh(in(x))); }
pg_tensor *sigmoid(pg_scope *s, pg_tensor *x) { BUILD(at::sigmoid(in(x))); }
pg_tensor *softmax(pg_scope *s, pg_tensor *x, int dim) { BUILD(at::softmax(in(x), dim)); }
pg_tensor *log_softmax(pg_scope *s, pg_tensor *x, int dim) { BUILD(at::log_softmax(in(x), dim)); }

// ---- comparison and choice

pg_tensor *greater(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::gt(in(x), in(y))); }
pg_tensor *greater_equal(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::ge(in(x), in(y))); }
pg_tensor *equal(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::eq(in(x), in(y))); }
pg_tensor *where(pg_scope *s, pg_tensor *condition, pg_tensor *x, pg_tensor *y)
{
    BUILD(at::where(in(condition), in(x), in(y)));
}

// ---- reductions

std::vector<int64_t> dims_or_all(const Tensor &x, int n, const int64_t *dims)
{
    std::vector<int64_t> all(dims, dims + n);
    for (int64_t i = 0; n == 0 && i < x.dim(); i++)
        all.push_back(i);
    return all;
}
pg_tensor *sum(pg_scope *s, pg_tensor *x, int n, const int64_t *dims, bool keep_dims)
{
    BUILD(at::sum(in(x), dims_or_all(in(x), n, dims), keep_dims));
}
pg_tensor *mean(pg_scope *s, pg_tensor *x, int n, const int64_t *dims, bool keep_dims)
{
    BUILD(at::mean(in(x), dims_or_all(in(x), n, dims), keep_dims));
}
pg_tensor *amax(pg_scope *s, pg_tensor *x, int n, const int64_t *dims, bool keep_dims)
{
    BUILD(at::amax(in(x), dims_or_all(in(x), n, dims), keep_dims));
}
pg_tensor *argmax(pg_scope *s, pg_tensor *x, int dim) { BUILD(at::argmax(in(x), dim)); }
pg_tensor *median(pg_scope *s, pg_tensor *x, int dim) { BUILD(std::get<0>(at::median(in(x), dim, false))); }
pg_tensor *sort(pg_scope *s, pg_tensor *x, int dim, bool descending, pg_tensor **indices)
{
    Tensor order;
    pg_tensor *values = build(s, __func__, [&]() -> Tensor {
        auto sorted = at::sort(in(x), true, dim, descending);
        order = std::get<1>(sorted);
        return std::get<0>(sorted);
    });
    if (indices)
        *indices = build(s, __func__, [&]() { return order; });
    return values;
}

// ---- shape

pg_tensor *reshape(pg_scope *s, pg_tensor *x, int n, const int64_t *shape) { BUILD(at::reshape(in(x), list(n, shape))); }
pg_tensor *permute(pg_scope *s, pg_tensor *x, int n, const int64_t *order) { BUILD(at::permute(in(x), list(n, order))); }
pg_tensor *expand(pg_scope *s, pg_tensor *x, int n, const int64_t *shape) { BUILD(in(x).expand(list(n, shape))); }
pg_tensor *unsqueeze(pg_scope *s, pg_tensor *x, int dim) { BUILD(at::unsqueeze(in(x), dim)); }
pg_tensor *slice(pg_scope *s, pg_tensor *x, int dim, int64_t start, int64_t end, int64_t step)
{
    BUILD(at::slice(in(x), dim, start, end, step));
}
std::vector<Tensor> values(int n, pg_tensor *const *xs)
{
    std::vector<Tensor> all;
    for (int i = 0; i < n; i++)
        all.push_back(in(xs[i]));
    return all;
}
pg_tensor *cat(pg_scope *s, int n, pg_tensor *const *xs, int dim) { BUILD(at::cat(values(n, xs), dim)); }
pg_tensor *pad(pg_scope *s, pg_tensor *x, int n, const int64_t *pads, double value)
{
    BUILD(at::constant_pad_nd(in(x), list(n, pads), value));
}
pg_tensor *pad_circular(pg_scope *s, pg_tensor *x, int n, const int64_t *pads)
{
    BUILD(at::pad(in(x), list(n, pads), "circular", c10::nullopt));
}
pg_tensor *gather(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index) { BUILD(at::gather(in(x), dim, in(index))); }
pg_tensor *scatter(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index, pg_tensor *source)
{
    BUILD(at::scatter(in(x), dim, in(index), in(source)));
}
pg_tensor *index_select(pg_scope *s, pg_tensor *x, int dim, pg_tensor *index)
{
    BUILD(at::index_select(in(x), dim, in(index)));
}
pg_tensor *unfold(pg_scope *s, pg_tensor *x, int dim, int64_t length, int64_t step) { BUILD(in(x).unfold(dim, length, step)); }

// ---- layers

pg_tensor *matmul(pg_scope *s, pg_tensor *x, pg_tensor *y) { BUILD(at::matmul(in(x), in(y))); }
pg_tensor *linear(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias)
{
    BUILD(at::linear(in(x), in(weight), maybe(bias)));
}
pg_tensor *conv2d(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, int stride_y, int stride_x, int pad_y,
                  int pad_x, int groups)
{
    BUILD(at::conv2d(in(x), in(weight), maybe(bias), IntArrayRef({stride_y, stride_x}), IntArrayRef({pad_y, pad_x}),
                     IntArrayRef({1, 1}), groups));
}
pg_tensor *batch_norm(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, pg_tensor *m, pg_tensor *v, bool training,
                      double momentum, double epsilon)
{
    BUILD(at::batch_norm(in(x), maybe(weight), maybe(bias), maybe(m), maybe(v), training, momentum, epsilon, true));
}
pg_tensor *layer_norm(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, double epsilon)
{
    BUILD(at::layer_norm(in(x), in(weight).sizes(), maybe(weight), maybe(bias), epsilon));
}
pg_tensor *batch_norm_relu6(pg_scope *s, pg_tensor *x, pg_tensor *weight, pg_tensor *bias, pg_tensor *m, pg_tensor *v,
                            double momentum, double epsilon)
{
    BUILD(pg_batch_norm_relu6(in(x), in(weight), in(bias), in(m), in(v), momentum, epsilon));
}
pg_tensor *max_pool2d(pg_scope *s, pg_tensor *x, int kernel, int stride, int padding)
{
    BUILD(at::max_pool2d(in(x), {kernel, kernel}, {stride, stride}, {padding, padding}));
}
pg_tensor *cross_entropy(pg_scope *s, pg_tensor *logits, pg_tensor *labels, double smoothing)
{
    BUILD(at::cross_entropy_loss(in(logits), in(labels), c10::optional<Tensor>(), at::Reduction::Mean, -100, smoothing));
}

// ---- autograd

bool grad_mode(bool on)
{
    bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(on);
    return before;
}
int requires_grad(pg_scope *s, pg_tensor *x, bool on) { ACT(in(x).set_requires_grad(on)); }
pg_tensor *detach(pg_scope *s, pg_tensor *x) { BUILD(in(x).detach()); }
int backward(pg_scope *s, pg_tensor *loss) { ACT(torch::autograd::backward({in(loss)}, {})); }
pg_tensor *grad(pg_scope *s, pg_tensor *loss, pg_tensor *x)
{
    BUILD(([&]() {
        static const char none[] = "no gradients reach the pixels: use random-search, which needs none";
        if (!in(loss).requires_grad())
            throw Refusal(none);
        auto found = torch::autograd::grad({in(loss)}, {in(x)}, {}, c10::nullopt, false, true);
        if (!found[0].defined())
            throw Refusal(none);
        return found[0];
    })());
}
bool autocast(pg_scope *s, const char *device, bool on)
{
    bool before = false;
    act(s, __func__, [&]() {
        bool cuda = device_of(device).is_cuda();
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
        auto kind = cuda ? at::kCUDA : at::kCPU;
        before = at::autocast::is_autocast_enabled(kind);
        at::autocast::set_autocast_dtype(kind, at::kBFloat16);
        at::autocast::set_autocast_enabled(kind, on);
#else
        before = cuda ? at::autocast::is_enabled() : at::autocast::is_cpu_enabled();
        cuda ? at::autocast::set_autocast_gpu_dtype(at::kBFloat16) : at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
        cuda ? at::autocast::set_enabled(on) : at::autocast::set_cpu_enabled(on);
#endif
        if (on && !before)
            at::autocast::increment_nesting();
        if (!on && before && at::autocast::decrement_nesting() == 0)
            at::autocast::clear_cache();
    });
    return before;
}

// ---- in place

int copy(pg_scope *s, pg_tensor *to, pg_tensor *from)
{
    ACT({
        c10::NoGradGuard no_grad;
        TORCH_CHECK(in(to).sizes() == in(from).sizes(), "copy between tensors of different shape");
        in(to).copy_(in(from));
    });
}
int clamp_over(pg_scope *s, pg_tensor *x, double lo, double hi)
{
    ACT({
        c10::NoGradGuard no_grad;
        if (std::isinf(hi) && lo == 0)
            in(x).relu_();
        else
            in(x).clamp_(lo, hi);
    });
}
int add_over(pg_scope *s, pg_tensor *x, pg_tensor *y)
{
    ACT({
        c10::NoGradGuard no_grad;
        in(x).add_(in(y));
    });
}
int lerp(pg_scope *s, pg_tensor *x, pg_tensor *to, double weight)
{
    ACT({
        c10::NoGradGuard no_grad;
        in(x).lerp_(in(to), weight);
    });
}
int sgd(pg_scope *s, int n, pg_tensor *const *parameters, pg_tensor *const *buffers, const double *decay, double rate,
        double momentum, bool nesterov)
{
    ACT({
        c10::NoGradGuard no_grad;
        for (int i = 0; i < n; i++) {
            Tensor &p = in(parameters[i]), &b = in(buffers[i]);
            Tensor g = p.grad();
            TORCH_CHECK(g.defined(), "parameter ", i, " has no gradient");
            if (decay[i] != 0)
                g.add_(p, decay[i]);
            b.mul_(momentum).add_(g);
            if (nesterov)
                g.add_(b, momentum);
            p.add_(nesterov ? g : b, -rate);
            p.mutable_grad().reset();
        }
    });
}

// ---- TorchScript

int script_open(const char *path, const char *device, pg_module_script **out, char *message, size_t message_size)
{
    std::string text = "unknown exception";
    try {
        torch::jit::setPrintHandler([](const std::string &) {}); // standard output is for results
        auto module = torch::jit::load(path, device_of(device));
        module.eval();
        *out = new pg_module_script{module};
        return PG_OK;
    } catch (const c10::Error &e) {
        text = e.what_without_backtrace();
    } catch (const std::exception &e) {
        text = e.what();
    } catch (...) {
    }
    text.erase(0, text.find_first_not_of(" \n"));
    std::snprintf(message, message_size, "%s", text.substr(0, text.find('\n')).c_str());
    return PG_EDAMAGED;
}
void script_close(pg_module_script *module) { delete module; }

// The answer of a module as float32. The module may change its input in place, and fails by its own fault unless memory ran
// out.
Tensor call(torch::jit::Module &module, const Tensor &x)
{
    std::string text;
    try {
        auto answer = module.forward({x.clone()});
        if (!answer.isTensor())
            throw Refusal("it answers with a " + answer.tagKind() + ", not with one tensor of local logits");
        Tensor y = answer.toTensor();
        if (!y.defined() || !y.is_floating_point() || y.layout() != at::kStrided || y.device().type() != x.device().type())
            throw Refusal("it answers with a tensor of " + std::string(y.defined() ? y.toString() : "nothing") +
                          ", not of floating-point numbers on the device of the images");
        return y.to(at::kFloat);
    } catch (const Refusal &) {
        throw;
    } catch (const c10::Error &e) {
        text = e.what_without_backtrace();
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &e) {
        text = e.what();
    }
    if (int code = classify(text); code == PG_ENOMEM || code == PG_EDEVICEMEM)
        throw std::runtime_error(last_line(text));
    throw Refusal(last_line(text));
}
pg_tensor *script_call(pg_scope *s, pg_module_script *module, pg_tensor *x) { BUILD(call(module->module, in(x))); }

const pg_torch table = {
    .version = PG_TORCH_VERSION,
    .library = "libtorch " TORCH_VERSION,
    .configure = configure,
    .threads = threads,
    .kernels = pg_find_kernels,
    .cuda_devices = cuda_devices,
    .scope_new = scope_new,
    .scope_clear = scope_clear,
    .scope_free = scope_free,
    .keep = keep,
    .tensor_free = tensor_free,
    .from_data = from_data,
    .full = full,
    .arange = arange,
    .like = like,
    .rank = rank,
    .size = size,
    .count = count,
    .type = type,
    .read = read,
    .item = item,
    .to_type = to_type,
    .channels_last = channels_last,
    .add = add,
    .sub = sub,
    .mul = mul,
    .div = div,
    .affine = affine,
    .exp = exp,
    .log = log,
    .sqrt = sqrt,
    .abs = abs,
    .round = round,
    .clamp = clamp,
    .relu = relu,
    .relu6 = relu6,
    .gelu = gelu,
    .tanh = tanh,
    .sigmoid = sigmoid,
    .softmax = softmax,
    .log_softmax = log_softmax,
    .greater = greater,
    .greater_equal = greater_equal,
    .equal = equal,
    .where = where,
    .sum = sum,
    .mean = mean,
    .amax = amax,
    .argmax = argmax,
    .median = median,
    .sort = sort,
    .reshape = reshape,
    .permute = permute,
    .expand = expand,
    .unsqueeze = unsqueeze,
    .slice = slice,
    .cat = cat,
    .pad = pad,
    .pad_circular = pad_circular,
    .gather = gather,
    .scatter = scatter,
    .index_select = index_select,
    .unfold = unfold,
    .matmul = matmul,
    .linear = linear,
    .conv2d = conv2d,
    .batch_norm = batch_norm,
    .batch_norm_relu6 = batch_norm_relu6,
    .layer_norm = layer_norm,
    .max_pool2d = max_pool2d,
    .cross_entropy = cross_entropy,
    .grad_mode = grad_mode,
    .requires_grad = requires_grad,
    .detach = detach,
    .backward = backward,
    .grad = grad,
    .autocast = autocast,
    .copy = copy,
    .clamp_over = clamp_over,
    .add_over = add_over,
    .lerp = lerp,
    .sgd = sgd,
    .script_open = script_open,
    .script_close = script_close,
    .script_call = script_call,
    .maximum = maximum,
    .minimum = minimum,
    .sign = sign,
};

pg_scope *scope_new()
{
    Scope *s = new (std::nothrow) Scope{};
    if (s) {
        s->torch = &table;
        std::strcpy(s->device, "cpu");
    }
    return s;
}

} // namespace

extern "C" __attribute__((visibility("default"))) const pg_torch *pg_torch_table(uint32_t version)
{
    return version == PG_TORCH_VERSION ? &table : nullptr;
}
