// A value or the Status that says why there is none. Reading the value of a failure is a programming error
// and stops the process. MOERT_ASSIGN unwraps a result or returns its failure.
#pragma once

#include "runtime/base/Status.h"

#include <cstdio>
#include <cstdlib>
#include <optional>

namespace moert {

template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : value_(std::move(value)) {}
  template <typename U>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, Status> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result<T>> && !std::is_same_v<std::remove_cvref_t<U>, T>)
  Result(U &&value) : value_(std::forward<U>(value)) {}
  Result(Status status) : status_(std::move(status)) {
    if (status_.ok())
      status_ = internalError("a result without a value must carry a failure");
  }

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Status &status() const & { return status_; }
  Status status() && { return std::move(status_); }

  T &operator*() & { return check(), *value_; }
  const T &operator*() const & { return check(), *value_; }
  T &&operator*() && { return check(), std::move(*value_); }
  T *operator->() { return check(), &*value_; }
  const T *operator->() const { return check(), &*value_; }

private:
  void check() const {
    if (value_)
      return;
    fprintf(stderr, "internal: the value of a failure was read: %s\n", status_.message().c_str());
    abort();
  }

  std::optional<T> value_;
  Status status_;
};

} // namespace moert

#define MOERT_JOIN2(a, b) a##b
#define MOERT_JOIN(a, b) MOERT_JOIN2(a, b)
/// MOERT_ASSIGN(auto value, expression): unwraps, or returns the failure from the function.
#define MOERT_ASSIGN(declaration, expression)                                                                \
  auto MOERT_JOIN(result_, __LINE__) = (expression);                                                         \
  if (!MOERT_JOIN(result_, __LINE__).ok())                                                                   \
    return std::move(MOERT_JOIN(result_, __LINE__)).status();                                                \
  declaration = *std::move(MOERT_JOIN(result_, __LINE__))
