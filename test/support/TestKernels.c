// Kernels of the small program that runtime tests work on: a linear model of three inputs with squared loss,
// written by hand so that the runtime is tested without the compiler. Each obeys the kernel ABI: it touches
// what its launch declares and nothing else.
#include <stdint.h>

typedef void *const *Buffers;

static float asFloat(int64_t bits) {
  union {
    uint32_t bits;
    float value;
  } u = {(uint32_t)bits};
  return u.value;
}

// y[r] = sum_c x[r,c] * w[c] + bias; a unit a row. scalars: columns, bias.
void dot(Buffers buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch) {
  const float *x = buffers[0], *w = buffers[1];
  float *y = buffers[2], *sum = scratch;
  for (int64_t row = begin; row < end; ++row) {
    sum[0] = asFloat(scalars[1]);
    for (int64_t column = 0; column < scalars[0]; ++column)
      sum[0] += x[row * scalars[0] + column] * w[column];
    y[row] = sum[0];
  }
}

// loss = mean (y - label)^2, finite = loss is; one unit. scalars: rows.
void squared_loss(Buffers buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch) {
  const float *y = buffers[0];
  const int32_t *label = buffers[1];
  float *loss = buffers[2], *finite = buffers[3];
  float sum = 0;
  for (int64_t row = 0; row < scalars[0]; ++row)
    sum += (y[row] - (float)label[row]) * (y[row] - (float)label[row]);
  loss[0] = sum / (float)scalars[0];
  finite[0] = loss[0] - loss[0] == 0 ? 1.0f : 0.0f;
}

// momentum = mu * momentum + gradient, w -= lr * momentum, where finite; a unit a column. scalars: lr, mu,
// rows, columns.
void sgd(Buffers buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch) {
  const float *x = buffers[0], *y = buffers[1], *finite = buffers[3];
  const int32_t *label = buffers[2];
  float *w = buffers[5], *momentum = buffers[7]; // the same memory as buffers 4 and 6, which are read
  if (finite[0] == 0)
    return;
  for (int64_t column = begin; column < end; ++column) {
    float gradient = 0;
    for (int64_t row = 0; row < scalars[2]; ++row)
      gradient += 2 * (y[row] - (float)label[row]) * x[row * scalars[3] + column] / (float)scalars[2];
    momentum[column] = asFloat(scalars[1]) * momentum[column] + gradient;
    w[column] -= asFloat(scalars[0]) * momentum[column];
  }
}

// out = a * in; a unit an element. scalars: a.
void scale(Buffers buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch) {
  const float *in = buffers[0];
  float *out = buffers[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = asFloat(scalars[0]) * in[i];
}

// out[i] = i + 1000 * seed + 1000000 * step, so that tests see what a run was given. scalars: step, seed.
void mark(Buffers buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch) {
  float *out = buffers[0];
  for (int64_t i = begin; i < end; ++i)
    out[i] = (float)(i + 1000 * scalars[1] + 1000000 * scalars[0]);
}
