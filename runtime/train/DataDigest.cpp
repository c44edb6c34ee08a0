#include "runtime/train/DataDigest.h"

#include <cinttypes>
#include <cstdio>
#include <exception>

namespace moert {

void DataDigest::begin() {
  if (thread_.joinable() || !text_.empty())
    return;
  try {
    thread_ = std::thread([this] { make(); });
  } catch (const std::exception &) { // no thread or no memory: it is made when asked for
  }
}

DataDigest::~DataDigest() {
  stop_ = true;
  if (thread_.joinable())
    thread_.join();
}

void DataDigest::make() {
  auto digest = set_.digest(stop_);
  failure_ = digest.status();
  if (!digest.ok())
    return;
  char digits[17];
  snprintf(digits, sizeof digits, "%016" PRIx64, *digest);
  text_ = digits;
}

const std::string &DataDigest::text() {
  if (thread_.joinable())
    thread_.join();
  if (text_.empty())
    make();
  return text_;
}

} // namespace moert
