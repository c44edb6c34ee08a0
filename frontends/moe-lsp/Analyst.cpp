#include "frontends/moe-lsp/Analyst.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace moe::lsp;

/// Layers nest up to 200 deep while they are elaborated, whatever stack the system gives threads.
static constexpr unsigned stackSize = 64u << 20;

Analyst::Analyst(Done done)
    : done(std::move(done)), folder([this](Folder::Take take) {
        for (auto &[path, text] : opened)
          take(path, text);
      }),
      thread(std::make_unique<llvm::thread>(std::optional<unsigned>(stackSize), [this] { work(); })) {}

Analyst::~Analyst() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    ends = true;
    for (auto &entry : documents)
      entry.second.wanted = ++texts; // what is being done is not wanted any more
  }
  changed.notify_all();
  thread->join();
}

/// Puts a document into the queue, the one that its author edits in front of the others.
void Analyst::again(const std::string &path, bool first) {
  documents[path].wanted = ++texts;
  llvm::erase(queue, path);
  first ? queue.push_front(path) : queue.push_back(path);
}

/// What other documents of a file's folder say may depend on it.
void Analyst::othersAgain(const std::string &path) {
  for (auto &[other, each] : documents)
    if (other != path && sys::path::parent_path(other) == sys::path::parent_path(path) &&
        (each.found != each.wanted || each.analysis->folder))
      again(other, /*first=*/false);
}

void Analyst::update(const std::string &path, std::string text, int64_t version) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    Document &document = documents[path];
    document.text = std::move(text);
    document.version = version;
    again(path, /*first=*/true);
    othersAgain(path);
  }
  changed.notify_all();
}

void Analyst::changedOnDisk(const std::string &path) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!documents.count(path)) // what an editor has open is what counts
      othersAgain(path);
  }
  changed.notify_all();
}

void Analyst::close(const std::string &path) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    documents.erase(path);
    llvm::erase(queue, path);
    othersAgain(path); // for them its file is what it is on disk
  }
  changed.notify_all();
}

std::shared_ptr<const Analysis> Analyst::wait(const std::string &path) {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] {
    auto found = documents.find(path);
    return found == documents.end() || found->second.found == found->second.wanted;
  });
  auto found = documents.find(path);
  return found == documents.end() ? nullptr : found->second.analysis;
}

/// What is said where the compiler itself fails on a text, so that the server lives on.
static std::shared_ptr<const Analysis> failed(const SourceFile &source, int64_t version) {
  auto analysis = std::make_shared<Analysis>();
  analysis->version = version;
  analysis->files.push_back(std::make_unique<File>(source.path, source.text, isOp));
  analysis->findings.resize(1);
  analysis->notes.push_back(
      {0,
       0,
       llvm::lsp::DiagnosticSeverity::Error,
       "internal error: the compiler fails on this text, which is its own fault; report it with the text",
       {}});
  return analysis;
}

void Analyst::analyseNext(std::unique_lock<std::mutex> &lock) {
  const std::string path = queue.front();
  queue.pop_front();
  auto found = documents.find(path);
  if (found == documents.end())
    return;
  const uint64_t wanted = found->second.wanted;
  const int64_t version = found->second.version;
  const std::string text = found->second.text;
  opened.clear();
  for (auto &[other, document] : documents)
    opened[other] = document.text;
  lock.unlock();
  std::shared_ptr<const Analysis> analysis;
  CrashRecoveryContext guard;
  const bool ended = guard.RunSafely([&] {
    analysis = analyse(folder.withText(path, text), version, [&] {
      std::lock_guard<std::mutex> look(mutex);
      auto now = documents.find(path);
      return now == documents.end() || now->second.wanted != wanted;
    });
  });
  if (!ended)
    analysis = failed({path, text}, version);
  lock.lock();
  found = documents.find(path);
  if (found == documents.end())
    return;
  if (found->second.wanted != wanted) { // a newer text has come, which is in the queue
    if (!ends && !is_contained(queue, path))
      queue.push_back(path);
    return;
  }
  found->second.analysis = analysis;
  lock.unlock();
  done(path, analysis); // before who waits is answered
  lock.lock();
  if (found = documents.find(path); found != documents.end() && found->second.wanted == wanted)
    found->second.found = wanted;
  changed.notify_all();
}

void Analyst::work() {
  std::unique_lock<std::mutex> lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return ends || !queue.empty(); });
    if (ends)
      return;
    analyseNext(lock);
  }
}
