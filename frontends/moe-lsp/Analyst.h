// Analyses the documents of a server in a thread of its own: of each the latest version. A newer one ends what is being done for an
// older one.
#pragma once
#include "frontends/moe-lsp/Analysis.h"
#include "llvm/Support/thread.h"
#include <condition_variable>
#include <deque>
#include <mutex>

namespace moe::lsp {

class Analyst {
public:
  using Done = std::function<void(const std::string &path, std::shared_ptr<const Analysis>)>;
  /// `done` is called in the analyst's thread for each analysis that came to its end.
  explicit Analyst(Done done);
  ~Analyst();

  /// A document has a new text.
  void update(const std::string &path, std::string text, int64_t version);
  void close(const std::string &path);
  /// A file was saved, made, changed or deleted by whomever.
  void changedOnDisk(const std::string &path);
  /// The analysis of a document's latest version, once it is done; null where the document is not open.
  std::shared_ptr<const Analysis> wait(const std::string &path);

private:
  struct Document {
    std::string text;
    int64_t version = 0;
    uint64_t wanted = 0, found = 0; // the number of the latest text, and that of the analysis's
    std::shared_ptr<const Analysis> analysis;
  };
  void work();
  void again(const std::string &path, bool first);
  void othersAgain(const std::string &path);
  void analyseNext(std::unique_lock<std::mutex> &lock);

  Done done;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Document> documents;
  std::deque<std::string> queue;
  std::map<std::string, std::string>
      opened; // the texts that the folder is told, for the analyst's thread alone
  Folder folder;
  uint64_t texts = 0; // that were wanted of any document
  bool ends = false;
  std::unique_ptr<llvm::thread> thread;
};

} // namespace moe::lsp
