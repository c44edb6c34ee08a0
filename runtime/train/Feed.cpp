#include "runtime/train/Feed.h"

#include <algorithm>
#include <cstring>

namespace moert {
namespace {

template <typename T>
Status copyInput(Session &session, std::string_view name, const std::vector<T> &values) {
  MOERT_ASSIGN(Tensor tensor, session.input(name));
  if (tensor.bytes.size() != values.size() * sizeof(T))
    return invalidInput("input '", name, "': expected ", tensor.bytes.size(), " bytes, found a batch of ",
                        values.size() * sizeof(T));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return okStatus();
}

} // namespace

Status feed(Session &session, const Batch &batch) {
  MOERT_TRY(batch.status);
  for (const fb::Port *port : *session.entry().inputs()) {
    std::string_view name = port->name()->string_view();
    if (name == "image")
      MOERT_TRY(copyInput(session, name, batch.image));
    else if (name == "label")
      MOERT_TRY(copyInput(session, name, batch.label));
    else if (name == "domain")
      MOERT_TRY(copyInput(session, name, batch.domain));
    else
      return invalidInput("entry '", session.entry().name()->str(), "': input '", name,
                          "' is not in the data, which has image, label and domain");
  }
  return okStatus();
}

} // namespace moert
