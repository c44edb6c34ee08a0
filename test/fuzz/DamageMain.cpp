// damage-test [--all] [--changes N] [--stride N] [--device D] [program.moe]: damages a program in every way that one byte
// allows, and ends with a count of what became of it. Every prefix and every change of a byte is tried twice:
// as it is, which the digest must detect, and re-sealed with a valid digest, which the other rules must
// refuse or the program must survive being run. Without a file the tests' own small program is damaged; --all
// tries all 255 changes of each byte, otherwise N spread ones (2); --stride N looks at every Nth byte and
// prefix only, for large programs; --device emulator runs code for the emulated GPU. It is built with the address sanitizer, which sees what a crash alone
// would not show.
#include "test/fuzz/Damage.h"
#include "test/support/TestProgram.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

using namespace moert;
using namespace moert::test;

namespace {

[[noreturn]] void fail(const std::string &message) {
  fprintf(stderr, "error: %s\n", message.c_str());
  exit(1);
}

struct Damager {
  std::vector<uint8_t> golden;
  std::shared_ptr<Device> device;
  size_t stride = 1;
  long counts[2] = {};

  void mustBeRefused(const std::vector<uint8_t> &bytes, const std::string &what) {
    if (Program::verify(bytes, "damaged").ok())
      fail(what + " was accepted");
  }

  void prefixes() {
    for (size_t size = 0; size < golden.size(); size += stride) {
      std::vector<uint8_t> bytes(golden.begin(), golden.begin() + long(size));
      mustBeRefused(bytes, concat("the prefix of ", size, " bytes"));
      if (size < sizeof(Header))
        continue;
      uint64_t claimed = size;
      memcpy(bytes.data() + offsetof(Header, fileSize), &claimed, sizeof claimed);
      seal(bytes);
      mustBeRefused(bytes, concat("the re-sealed prefix of ", size, " bytes"));
    }
  }

  void change(size_t at, uint8_t by) {
    std::vector<uint8_t> bytes = golden;
    bytes[at] ^= by;
    mustBeRefused(bytes, concat("byte ", at, " changed by ", int(by)));
    constexpr size_t digest = offsetof(Header, digest);
    if (at >= digest && at < digest + kDigestBytes)
      return; // re-sealing would only undo it
    seal(bytes);
    ++counts[int(probe(bytes, device))];
  }
};

} // namespace

int main(int argc, char **argv) {
  int changes = 2, stride = 1;
  std::string path;
  DeviceOptions options;
  options.threads = 1;
  for (int i = 1; i < argc; ++i) {
    if (!strcmp(argv[i], "--all"))
      changes = 255;
    else if (!strcmp(argv[i], "--changes") && i + 1 < argc)
      changes = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--stride") && i + 1 < argc)
      stride = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--device") && i + 1 < argc)
      options.name = argv[++i];
    else
      path = argv[i];
  }
  if (changes < 1 || stride < 1)
    fail("expected positive numbers of changes and stride");
  Damager damager;
  damager.stride = size_t(stride);
  if (path.empty()) {
    damager.golden = testProgram().encode();
  } else {
    std::ifstream file(path, std::ios::binary);
    damager.golden.assign(std::istreambuf_iterator<char>(file), {});
  }
  Result<std::shared_ptr<const Program>> original =
      Program::verify(damager.golden, path.empty() ? "test program" : path);
  if (!original)
    fail(original.status().message());
  Result<std::shared_ptr<Device>> device = openDevice(options);
  if (!device)
    fail(device.status().message());
  damager.device = *device;
  if (probe(damager.golden, *device) != Outcome::ran)
    fail("the undamaged program does not run");

  damager.prefixes();
  for (size_t at = 0; at < damager.golden.size(); at += damager.stride)
    for (int i = 0; i < changes;
         ++i) // an odd stride visits all 255 changes, and a sample differs from byte to byte
      damager.change(at, uint8_t(1 + (at * 37 + size_t(i) * 101) % 255));
  size_t tried = (damager.golden.size() + damager.stride - 1) / damager.stride;
  printf("%zu prefixes refused; %zu bytes, %d changes each: %ld refused, %ld ran\n", tried, tried, changes,
         damager.counts[0], damager.counts[1]);
  // A run that no change survives would not have tested anything behind the digest.
  return damager.counts[int(Outcome::ran)] > 0 ? 0 : 1;
}
