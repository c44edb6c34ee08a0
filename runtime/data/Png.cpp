#include "runtime/data/Png.h"

#include "runtime/base/Files.h"

#include <cstring>
#include <png.h>

namespace moert {

Result<PngImage> readPng(const std::string &path) {
  constexpr unsigned kLargest = 16384;
  MOERT_ASSIGN(std::string file, readText(path, size_t(1) << 30));
  png_image png;
  std::memset(&png, 0, sizeof png);
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&png, file.data(), file.size()))
    return invalidInput(path, ": expected a PNG image: ", png.message);
  struct Freed {
    png_image &png;
    ~Freed() { png_image_free(&png); }
  } freed{png};
  if (png.width > kLargest || png.height > kLargest)
    return invalidInput(path, ": expected at most ", kLargest, " x ", kLargest, " pixels, found ", png.width,
                        " x ", png.height);
  if (png.format & PNG_FORMAT_FLAG_ALPHA)
    return invalidInput(path,
                        ": expected an image without transparency, found an alpha channel; flatten it first");
  bool colour = png.format & PNG_FORMAT_FLAG_COLOR;
  png.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  PngImage image{colour ? 3 : 1, int(png.height), int(png.width), std::vector<uint8_t>(PNG_IMAGE_SIZE(png))};
  if (!png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr))
    return invalidInput(path, ": damaged PNG image: ", png.message);
  return image;
}

} // namespace moert
