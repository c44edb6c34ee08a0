#include "frontends/moe-lsp/Input.h"
#include "llvm/Support/JSON.h"

using namespace llvm;
using namespace moe::lsp;

/// No editor's message is longer, in bytes, or nests deeper; the reader of JSON recurses.
static constexpr size_t longestMessage = size_t(256) << 20, deepest = 500;
/// Of a header; what is longer is none.
static constexpr size_t longestLine = 4096;

/// One line, without its end, and of a long one its last part. False at the end of the input.
bool Input::readLine(std::string &line) {
  line.clear();
  for (int c; (c = getc(file)) != EOF;) {
    if (c == '\n') {
      if (!line.empty() && line.back() == '\r')
        line.pop_back();
      return true;
    }
    if (line.size() >= longestLine)
      line.erase(0, longestLine / 2);
    line += char(c);
  }
  return false;
}

static bool isTooDeep(StringRef json) {
  size_t depth = 0;
  bool text = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (c == '"')
      text = !text;
    else if (text && c == '\\')
      ++at;
    else if (!text && (c == '[' || c == '{') && ++depth > deepest)
      return true;
    else if (!text && (c == ']' || c == '}') && depth)
      --depth;
  }
  return false;
}

static std::string requestOf(StringRef method) {
  return ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"" + method + "\"}").str();
}

LogicalResult Input::readStandardMessage(std::string &json) {
  size_t length = 0;
  for (std::string line; readLine(line);) {
    if (line.empty() && length)
      break;
    // Behind a message that was longer than its header says, the next header follows on its line.
    const size_t at = StringRef(line).rfind_insensitive("content-length:");
    if (at == StringRef::npos)
      continue;
    StringRef number = StringRef(line).drop_front(at + StringRef("content-length:").size()).trim();
    if (number.getAsInteger(10, length) || length > longestMessage)
      length = 0;
  }
  if (!length || feof(file))
    return failure();
  json.resize(length);
  if (fread(json.data(), 1, length, file) < length)
    return failure();
  if (isTooDeep(json))
    return json = requestOf(noMessage), success();
  Expected<json::Value> value = json::parse(json);
  if (!value) {
    consumeError(value.takeError());
    return json = requestOf(unreadable), success();
  }
  const json::Object *object = value->getAsObject();
  const json::Value *method = object ? object->get("method") : nullptr;
  const bool answers = object && (object->get("result") || object->get("error"));
  if (!object || object->getString("jsonrpc") != "2.0" || (method ? !method->getAsString() : !answers))
    json = requestOf(noMessage);
  return success();
}
