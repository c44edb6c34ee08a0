// What an operation of the runtime returns instead of throwing: a code that says whose fault a failure is,
// and a message for that person. Messages follow one voice: lower case, no full stop, what was expected, what
// was found, what to do. The code alone decides the exit status of the process.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace moert {

enum class Code {
  ok,
  invalid_input, // a file, a value in it, or the machine is not what is needed: the user can mend it
  usage,         // the command line asks for something that does not exist
  internal,      // an invariant of ours does not hold: report it
};

class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::ok; }
  explicit operator bool() const { return ok(); }
  Code code() const { return code_; }
  const std::string &message() const { return message_; }

  /// The same failure with what was being done in front: "program.moe: ..."
  Status in(std::string_view context) && {
    if (!ok())
      message_.insert(0, ": ").insert(0, context);
    return std::move(*this);
  }

  /// What main returns: 0 ok, 1 wrong input, 2 usage, 3 internal.
  int exitCode() const { return static_cast<int>(code_); }

private:
  Code code_ = Code::ok;
  std::string message_;
};

inline Status okStatus() { return {}; }

/// For what prints numbers: the sign of NaN means nothing, and which one a machine makes is its own.
inline double withoutNanSign(double value) { return std::isnan(value) ? std::fabs(value) : value; }

namespace detail {
inline void append(std::string &out, std::string_view text) { out += text; }
inline void append(std::string &out, const char *text) { out += text; }
inline void append(std::string &out, const std::string &text) { out += text; }
inline void append(std::string &out, char c) { out += c; }
inline void append(std::string &out, double value) { // shortest of %.6g, as a person would write it
  char text[32];
  snprintf(text, sizeof text, "%.6g", withoutNanSign(value));
  out += text;
}
template <typename T>
  requires std::is_integral_v<T>
void append(std::string &out, T value) {
  out += std::to_string(value);
}
} // namespace detail

/// Joins texts and numbers: concat("expected ", 3, " buffers, found ", n).
template <typename... Parts> std::string concat(const Parts &...parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

template <typename... Parts> Status invalidInput(const Parts &...parts) {
  return {Code::invalid_input, concat(parts...)};
}
template <typename... Parts> Status usageError(const Parts &...parts) {
  return {Code::usage, concat(parts...)};
}
template <typename... Parts> Status internalError(const Parts &...parts) {
  return {Code::internal, concat(parts...)};
}

} // namespace moert

/// Returns from the function with the failure of a Status or Result expression.
#define MOERT_TRY(expression)                                                                                \
  do {                                                                                                       \
    if (::moert::Status tried = (expression); !tried.ok())                                                   \
      return tried;                                                                                          \
  } while (false)
