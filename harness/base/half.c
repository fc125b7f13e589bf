/* IEEE 754 half precision in integer arithmetic, and tensors as float32. Declared in safetensors.h. */
#include "harness/base/safetensors.h"

#include <string.h>

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* x / 2^shift, to nearest, ties to even. 1 <= shift <= 31. */
static uint32_t shift_rounded(uint32_t x, unsigned shift)
{
    uint32_t kept = x >> shift, rest = x & ((1u << shift) - 1), halfway = 1u << (shift - 1);
    return kept + (rest > halfway || (rest == halfway && (kept & 1)));
}

uint16_t pg_half_from_float(float value)
{
    uint32_t x;
    memcpy(&x, &value, sizeof x);
    uint32_t sign = x >> 16 & 0x8000, result;
    x &= 0x7fffffff;
    if (x > 0x7f800000) /* NaN: quiet, upper payload kept */
        result = 0x7e00 | (x >> 13 & 0x3ff);
    else if (x >= 0x47800000) /* 65536 and above */
        result = 0x7c00;
    else if (x >= 0x38800000) /* normal: from 2^-14; a carry may reach infinity */
        result = shift_rounded(x - (112u << 23), 13);
    else if (x > 0x33000000) /* subnormal: above half of 2^-24 */
        result = shift_rounded((x & 0x7fffff) | 0x800000, 126 - (x >> 23));
    else
        result = 0;
    return (uint16_t)(sign | result);
}

float pg_half_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    if (exponent == 31)
        return float_of(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 is exact */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

int pg_st_to_float(const pg_st_tensor *tensor, float *out, size_t count)
{
    size_t item = pg_st_item_size(tensor->dtype);
    if (!tensor->data || tensor->size != count * item)
        return pg_fail(PG_EINPUT, "tensor '%s' has %zu elements, %zu are wanted", tensor->name, tensor->size / item, count);
    const uint16_t *half = tensor->data;
    const double *wide = tensor->data;
    switch (tensor->dtype) {
    case PG_ST_F32:
        if (count)
            memcpy(out, tensor->data, count * sizeof *out);
        return PG_OK;
    case PG_ST_F16:
        for (size_t i = 0; i < count; i++)
            out[i] = pg_half_to_float(half[i]);
        return PG_OK;
    case PG_ST_BF16:
        for (size_t i = 0; i < count; i++)
            out[i] = float_of((uint32_t)half[i] << 16);
        return PG_OK;
    case PG_ST_F64:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)wide[i];
        return PG_OK;
    default:
        return pg_fail(PG_EINPUT, "tensor '%s' holds %s: right would be F16, BF16, F32 or F64", tensor->name,
                       pg_st_dtype_name(tensor->dtype));
    }
}
