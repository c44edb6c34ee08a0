// PNG by libpng's rows: its simplified reading takes samples of 16 bits, and any with a gAMA chunk, for light
// and converts them. Failures inside of libpng jump back to setjmp, so the functions that call it hold
// nothing that a jump would leave undestroyed; what they fill belongs to their caller.
#include "runtime/data/Png.h"

#include "runtime/base/Files.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <png.h>

namespace moert {
namespace {

struct Reader {
  png_struct *png = nullptr;
  png_info *info = nullptr;
  const char *at = nullptr;
  size_t left = 0;
  char message[160] = "";

  explicit Reader(const std::string &file) : at(file.data()), left(file.size()) {}
  Reader(const Reader &) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void fail(png_struct *png, const char *why) {
  auto *reader = static_cast<Reader *>(png_get_error_ptr(png));
  snprintf(reader->message, sizeof reader->message, "%s", why);
  png_longjmp(png, 1);
}

// What libpng reads past is no reason to refuse the picture.
void ignore(png_struct *, const char *) {}

void take(png_struct *png, png_byte *to, size_t count) {
  auto *reader = static_cast<Reader *>(png_get_io_ptr(png));
  if (count > reader->left)
    png_error(png, "found the end of the file");
  std::memcpy(to, reader->at, count);
  reader->at += count;
  reader->left -= count;
}

bool readHeader(Reader &reader) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, fail, ignore);
  if (reader.png)
    reader.info = png_create_info_struct(reader.png);
  if (!reader.info) {
    snprintf(reader.message, sizeof reader.message, "out of memory");
    return false;
  }
  if (setjmp(png_jmpbuf(reader.png)))
    return false;
  png_set_read_fn(reader.png, &reader, take);
  png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);            // checked below, in our words
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1); // all but pixels and tRNS
  png_read_info(reader.png, reader.info);
  return true;
}

// Sets what turns each kind of file into 1 or 3 samples of 8 or 16 bits in this machine's order.
bool setSamples(Reader &reader) {
  if (setjmp(png_jmpbuf(reader.png)))
    return false;
  switch (png_get_color_type(reader.png, reader.info)) {
  case PNG_COLOR_TYPE_PALETTE:
    png_set_palette_to_rgb(reader.png);
    break;
  case PNG_COLOR_TYPE_GRAY:
    png_set_expand_gray_1_2_4_to_8(reader.png);
    break;
  }
  png_set_swap(reader.png); // 16 bits are stored with the high byte first
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

// To the end mark, so that a file which was cut is found out.
bool readRows(Reader &reader, png_byte **rows) {
  if (setjmp(png_jmpbuf(reader.png)))
    return false;
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

} // namespace

Result<PngImage> readPng(const std::string &path, const std::function<Status(const PngImage &)> &check) {
  constexpr unsigned kLargest = 16384;
  MOERT_ASSIGN(std::string file, readText(path, size_t(1) << 30));
  Reader reader(file);
  if (!readHeader(reader))
    return invalidInput(path, ": expected a PNG image: ", reader.message);
  unsigned width = png_get_image_width(reader.png, reader.info),
           height = png_get_image_height(reader.png, reader.info);
  if (width > kLargest || height > kLargest)
    return invalidInput(path, ": expected at most ", kLargest, " x ", kLargest, " pixels, found ", width,
                        " x ", height);
  if ((png_get_color_type(reader.png, reader.info) & PNG_COLOR_MASK_ALPHA) ||
      png_get_valid(reader.png, reader.info, PNG_INFO_tRNS))
    return invalidInput(path,
                        ": expected an image without transparency, found an alpha channel; flatten it first");
  if (!setSamples(reader))
    return invalidInput(path, ": damaged PNG image: ", reader.message);
  PngImage image{png_get_channels(reader.png, reader.info), int(height), int(width), 255, {}};
  bool wide = png_get_bit_depth(reader.png, reader.info) == 16;
  if (wide)
    image.white = 65535;
  if (check)
    MOERT_TRY(check(image));
  size_t rowSamples = size_t(image.width) * size_t(image.channels), rowBytes = rowSamples * (wide ? 2 : 1);
  size_t samples = rowSamples * height;
  std::vector<uint8_t> bytes;
  std::vector<png_byte *> rows(height);
  try {
    image.pixels.resize(samples);
    bytes.resize(wide ? 0 : samples);
  } catch (const std::bad_alloc &) {
    return noMemoryFor(path, samples * (wide ? 2 : 3));
  }
  uint8_t *to = wide ? reinterpret_cast<uint8_t *>(image.pixels.data()) : bytes.data();
  for (size_t row = 0; row < height; ++row)
    rows[row] = to + row * rowBytes;
  if (!readRows(reader, rows.data()))
    return invalidInput(path, ": damaged PNG image: ", reader.message);
  if (!wide)
    std::copy(bytes.begin(), bytes.end(), image.pixels.begin());
  return image;
}

} // namespace moert
