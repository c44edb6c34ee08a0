// reader-test [--seed S] [--cases N] [--reader NAME]: N random values that are written and read back, and N
// changed inputs of each reader, all drawn from the seed, so that the same command tries the same. It is
// built with the address and undefined-behaviour sanitizers. The input of a finding is kept in the folder for
// temporary files.
//   reader-test --reader NAME FILE...    tries files: a finding of this or of libFuzzer;
//   reader-test --write FOLDER           writes the seeds and dictionaries that libFuzzer starts from.
#include "test/fuzz/readers/Readers.h"
#include "test/fuzz/readers/RoundTrip.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unistd.h>

using namespace moert;
using namespace moert::test;

namespace {

std::string_view current; // the changed input that is being tried
std::string findingPath;

// What the sanitizers find, and what a probe does, ends by this signal.
void keepFinding(int) {
  std::signal(SIGABRT, SIG_DFL);
  int file = current.data() ? open(findingPath.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
  if (file < 0 || write(file, current.data(), current.size()) < 0)
    return;
  constexpr char text[] = "the input of this finding is kept: ";
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  (void)!write(STDERR_FILENO, findingPath.data(), findingPath.size());
  (void)!write(STDERR_FILENO, "\n", 1);
}

[[noreturn]] void fail(const std::string &message) {
  fprintf(stderr, "error: %s\n", message.c_str());
  exit(1);
}

double processSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// An answer comes at once, also to a file that was made to take long. Under sanitizers all is several times
// slower.
void tryOne(const Reader &reader, const std::string &input) {
  constexpr double kMostSeconds = 5;
  double before = processSeconds();
  reader.probe(input);
  double seconds = processSeconds() - before;
  mustHold(seconds <= kMostSeconds, concat(reader.name, ": expected an answer within ", kMostSeconds,
                                           " s, found one after ", seconds, " s"));
}

class Changes {
public:
  explicit Changes(std::mt19937 &random) : random_(random) {}

  std::string of(const Reader &reader) {
    std::string text = reader.seeds[below(reader.seeds.size())];
    for (size_t left = 1 + below(6); left--;)
      change(text, reader);
    return text;
  }

private:
  size_t below(size_t count) { return random_() % count; }

  void change(std::string &text, const Reader &reader) {
    size_t at = below(text.size() + 1), length = std::min(below(24), text.size() - at);
    switch (below(10)) {
    case 0:
    case 1: // a bit
      if (at < text.size())
        text[at] = char(text[at] ^ 1 << below(8));
      break;
    case 2: // a byte
      if (at < text.size())
        text[at] = char(random_());
      break;
    case 3:
    case 4:
      text.insert(at, reader.words[below(reader.words.size())]);
      break;
    case 5:
      text.erase(at, length);
      break;
    case 6: // a piece of it elsewhere
      text.insert(below(text.size() + 1), text.substr(at, length));
      break;
    case 7:
      text.resize(at);
      break;
    case 8: { // a piece of another seed
      const std::string &other = reader.seeds[below(reader.seeds.size())];
      text.insert(at, other.substr(below(other.size() + 1), below(60)));
      break;
    }
    default: { // depth and length
      std::string piece = below(2) ? reader.words[below(reader.words.size())] : text.substr(at, length);
      std::string many;
      for (size_t left = below(40) ? 1 + below(40) : 20'000; left-- && many.size() < 100'000;)
        many += piece;
      text.insert(at, many);
      if (text.size() > 400'000)
        text.resize(400'000);
    }
    }
  }

  std::mt19937 &random_;
};

void writeSeeds(const std::string &folder) {
  for (const Reader &reader : readers()) {
    std::string place = concat(folder, "/", reader.name);
    std::filesystem::create_directories(place);
    for (size_t i = 0; i < reader.seeds.size(); ++i)
      std::ofstream(concat(place, "/seed-", i), std::ios::binary) << reader.seeds[i];
    std::ofstream words(place + ".dict");
    for (const std::string &word : reader.words) {
      words << '"';
      for (char c : word) {
        char escape[8];
        snprintf(escape, sizeof escape, "\\x%02x", unsigned(uint8_t(c)));
        words << escape;
      }
      words << "\"\n";
    }
  }
}

} // namespace

extern "C" const char *__asan_default_options() { return "abort_on_error=1"; }
extern "C" const char *__ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }

int main(int argc, char **argv) {
  unsigned long seed = 1, cases = 1000;
  std::string name, folder;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    bool more = i + 1 < argc;
    if (!strcmp(argv[i], "--seed") && more)
      seed = strtoul(argv[++i], nullptr, 10);
    else if (!strcmp(argv[i], "--cases") && more)
      cases = strtoul(argv[++i], nullptr, 10);
    else if (!strcmp(argv[i], "--reader") && more)
      name = argv[++i];
    else if (!strcmp(argv[i], "--write") && more)
      folder = argv[++i];
    else if (argv[i][0] == '-')
      fail(concat("unknown option ", argv[i]));
    else
      files.push_back(argv[i]);
  }
  if (!name.empty() && !readerOf(name))
    fail("expected a reader, found '" + name + "'");
  if (!folder.empty()) {
    writeSeeds(folder);
    return 0;
  }
  for (const std::string &path : files) {
    if (name.empty())
      fail("expected --reader NAME in front of files");
    std::ifstream file(path, std::ios::binary);
    tryOne(*readerOf(name), std::string(std::istreambuf_iterator<char>(file), {}));
  }
  if (!files.empty())
    return 0;

  findingPath = (std::filesystem::temp_directory_path() / concat("reader-finding-", getpid())).string();
  std::signal(SIGABRT, keepFinding);
  if (name.empty()) {
    std::mt19937 random{uint32_t(seed)};
    for (unsigned long i = 0; i < cases; ++i)
      checkRoundTrips(random);
    printf("%lu random values of each kind read back\n", cases);
  }
  for (const Reader &reader : readers()) {
    if (!name.empty() && name != reader.name)
      continue;
    for (const std::string &input : reader.seeds)
      tryOne(reader, input);
    std::mt19937 random{uint32_t(seed)};
    Changes changes(random);
    for (unsigned long i = 0; i < cases; ++i) {
      std::string input = changes.of(reader);
      current = input;
      tryOne(reader, input);
      current = {};
    }
    printf("%s: %lu changed inputs\n", reader.name, cases);
  }
  return 0;
}
