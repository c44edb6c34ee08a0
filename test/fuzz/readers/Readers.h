// The runtime's readers, but for the program's, as functions of any bytes: a recipe, a list of --set,
// state.json, metrics.jsonl, safetensors (also as pretrained weights), npy, IDX and PNG. What a reader refuses is no concern here; what it
// accepts must hold what its header promises, and must be written so that it reads back to the same. Whoever
// calls a probe is built with sanitizers, which see the rest: reader-test tries changes of the seeds, the
// same ones each time, and readers-fuzz searches with libFuzzer.
#pragma once

#include "runtime/program/Program.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moert::test {

struct Reader {
  const char *name;
  /// Aborts, with a line that says why, where a promise is broken.
  void (*probe)(std::string_view bytes);
  std::vector<std::string> seeds; // files that are accepted, to be changed
  std::vector<std::string> words; // what the format's grammar knows
};

const std::vector<Reader> &readers();
/// None of that name: nullptr.
const Reader *readerOf(std::string_view name);

/// A program whose recipe has the numbers of an optimizer, and losses of these names.
std::shared_ptr<const Program> programWithLosses(const std::vector<std::string> &names);

/// A program whose parameters are a small vision transformer's, one block's feed-forward layer with two
/// experts: what weights may be loaded into.
std::shared_ptr<const Program> programWithBlocks();

/// A file in memory that has a path.
class MemoryFile {
public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile &) = delete;
  const std::string &path() const { return path_; }
  /// Gives it this content.
  const std::string &hold(std::string_view bytes);

private:
  int fd_;
  std::string path_;
};

/// Ends the process with the reason where it does not hold.
void mustHold(bool holds, const std::string &otherwise);

} // namespace moert::test
