#include "runtime/train/DataDigest.h"

#include <cinttypes>
#include <cstdio>
#include <exception>

namespace moert {

void DataDigest::begin() {
  if (thread_.joinable() || made_)
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
  char digits[17] = "";
  if (digest.ok())
    snprintf(digits, sizeof digits, "%016" PRIx64, *digest);
  text_ = digits;
  made_ = true;
}

const std::string &DataDigest::text() {
  if (thread_.joinable())
    thread_.join();
  if (!made_)
    make();
  return text_;
}

} // namespace moert
