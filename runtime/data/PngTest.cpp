// Every kind of PNG file against the samples that were written into it: depths, palettes, interlacing, and
// chunks on gamma and colour, which change nothing. The files are libpng's own; reading is what is tested.
#include "runtime/data/Png.h"
#include "runtime/base/Files.h"
#include "runtime/data/TestSet.h"

#include <gtest/gtest.h>
#include <png.h>

using namespace moert;

namespace {

struct Written {
  int type = PNG_COLOR_TYPE_GRAY, depth = 8, channels = 1;
  bool interlaced = false, gamma = false, standard = false, profile = false, clear = false;
};

constexpr unsigned kWidth = 11, kHeight = 9; // interlacing has passes of every kind

size_t rowBytes(const Written &what) { return (kWidth * unsigned(what.channels * what.depth) + 7) / 8; }

// Rows as the file has them: packed, and 16 bits with the high byte first.
std::vector<uint8_t> rowsOf(const Written &what) {
  std::vector<uint8_t> bytes(kHeight * rowBytes(what));
  uint32_t seed = 5;
  for (uint8_t &byte : bytes)
    byte = uint8_t((seed = seed * 1664525u + 1013904223u) >> 24);
  return bytes;
}

// The sample at a place among a row's, of any depth.
uint16_t sample(const Written &what, const std::vector<uint8_t> &bytes, unsigned row, unsigned at) {
  const uint8_t *start = bytes.data() + row * rowBytes(what);
  if (what.depth == 16)
    return uint16_t(start[2 * at] << 8 | start[2 * at + 1]);
  unsigned bit = at * unsigned(what.depth);
  return uint16_t(start[bit / 8] >> (8 - unsigned(what.depth) - bit % 8) & ((1 << what.depth) - 1));
}

png_color colour(unsigned index) {
  return {png_byte(index * 7), png_byte(255 - index), png_byte(index * index)};
}

void writePng(const std::string &path, const Written &what, std::vector<uint8_t> bytes) {
  FILE *file = fopen(path.c_str(), "wb");
  png_struct *png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_info *info = png_create_info_struct(png);
  png_init_io(png, file);
  png_set_IHDR(png, info, kWidth, kHeight, what.depth, what.type,
               what.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (what.gamma) {
    png_set_gAMA_fixed(png, info, 100000);
    png_set_cHRM_fixed(png, info, 30000, 31000, 60000, 32000, 20000, 60000, 15000, 10000);
  }
  if (what.standard)
    png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
  if (what.type == PNG_COLOR_TYPE_PALETTE) {
    std::vector<png_color> colours;
    for (unsigned i = 0; i < 1u << what.depth; ++i)
      colours.push_back(colour(i));
    png_set_PLTE(png, info, colours.data(), int(colours.size()));
  }
  png_color_16 none{};
  png_byte some[1] = {3};
  if (what.clear)
    png_set_tRNS(png, info, some, 1, &none);
  png_write_info_before_PLTE(png, info);
  if (what.profile) // nobody looks into it
    png_write_chunk(png, reinterpret_cast<const png_byte *>("iCCP"),
                    reinterpret_cast<const png_byte *>("no profile"), 10);
  png_write_info(png, info);
  std::vector<png_byte *> rows;
  for (unsigned row = 0; row < kHeight; ++row)
    rows.push_back(bytes.data() + row * rowBytes(what));
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  fclose(file);
}

// Reads what was written and compares every sample; the packed rows are told from the values by hand.
void expectSamples(const Written &what) {
  TestFolder folder;
  std::vector<uint8_t> bytes = rowsOf(what);
  writePng(folder.file("x.png"), what, bytes);
  auto image = readPng(folder.file("x.png"));
  ASSERT_TRUE(image.ok()) << image.status().message();
  bool palette = what.type == PNG_COLOR_TYPE_PALETTE;
  unsigned channels = palette ? 3 : unsigned(what.channels);
  ASSERT_EQ(image->channels, int(channels));
  ASSERT_EQ(image->height, int(kHeight));
  ASSERT_EQ(image->width, int(kWidth));
  ASSERT_EQ(image->white, what.depth == 16 ? 65535 : 255);
  ASSERT_EQ(image->pixels.size(), size_t(kHeight * kWidth * channels));
  int largest = (1 << what.depth) - 1;
  for (unsigned row = 0; row < kHeight; ++row)
    for (unsigned column = 0; column < kWidth; ++column)
      for (unsigned channel = 0; channel < channels; ++channel) {
        int64_t expected;
        if (palette) {
          png_color found = colour(sample(what, bytes, row, column));
          expected = channel == 0 ? found.red : channel == 1 ? found.green : found.blue;
        } else {
          expected = int64_t(sample(what, bytes, row, column * channels + channel)) * image->white / largest;
        }
        ASSERT_EQ(int64_t(image->pixels[(row * kWidth + column) * channels + channel]), expected)
            << "row " << row << " column " << column << " channel " << channel;
      }
}

} // namespace

TEST(PngFile, SamplesOfEveryKindAreTheFiles) {
  for (bool interlaced : {false, true}) {
    for (int depth : {1, 2, 4, 8, 16}) {
      SCOPED_TRACE(testing::Message() << depth << " bits" << (interlaced ? ", interlaced" : ""));
      expectSamples({.depth = depth, .interlaced = interlaced});
      if (depth >= 8)
        expectSamples({.type = PNG_COLOR_TYPE_RGB, .depth = depth, .channels = 3, .interlaced = interlaced});
      if (depth <= 8)
        expectSamples({.type = PNG_COLOR_TYPE_PALETTE, .depth = depth, .interlaced = interlaced});
    }
  }
}

TEST(PngFile, GammaAndColourSpacesChangeNothing) {
  for (int depth : {8, 16})
    for (int channels : {1, 3}) {
      SCOPED_TRACE(testing::Message() << depth << " bits, " << channels << " channels");
      Written what{.depth = depth, .channels = channels};
      if (channels == 3)
        what.type = PNG_COLOR_TYPE_RGB;
      for (bool Written::*chunk : {&Written::gamma, &Written::standard, &Written::profile}) {
        Written with = what;
        with.*chunk = true;
        expectSamples(with);
      }
    }
  expectSamples({.type = PNG_COLOR_TYPE_PALETTE, .gamma = true});
}

TEST(PngFile, TransparencyIsRefused) {
  TestFolder folder;
  for (Written what : {Written{.type = PNG_COLOR_TYPE_GRAY_ALPHA, .channels = 2},
                       Written{.type = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16, .channels = 4},
                       Written{.type = PNG_COLOR_TYPE_PALETTE, .clear = true}, Written{.clear = true}}) {
    writePng(folder.file("x.png"), what, rowsOf(what));
    auto image = readPng(folder.file("x.png"));
    ASSERT_FALSE(image.ok());
    EXPECT_NE(image.status().message().find("without transparency, found an alpha channel"),
              std::string::npos)
        << image.status().message();
  }
}

TEST(PngFile, WhatIsNotThere) {
  EXPECT_NE(readPng("none.png").status().message().find("No such file"), std::string::npos);
}

// A file that was cut, at any byte, and one whose pixels do not have the checksum that they came with.
TEST(PngFile, DamageIsAnError) {
  TestFolder folder;
  for (Written what : {Written{.depth = 16}, Written{.type = PNG_COLOR_TYPE_PALETTE, .depth = 4},
                       Written{.interlaced = true}}) {
    writePng(folder.file("x.png"), what, rowsOf(what));
    std::string whole = *readText(folder.file("x.png"));
    for (size_t n = 0; n < whole.size(); ++n) {
      folder.write("y.png", {whole.begin(), whole.begin() + long(n)});
      auto image = readPng(folder.file("y.png"));
      ASSERT_FALSE(image.ok()) << n;
      EXPECT_NE(image.status().message().find("y.png: "), std::string::npos);
      EXPECT_NE(image.status().message().find("PNG image: "), std::string::npos);
    }
    std::string changed = whole;
    changed[whole.find("IDAT") + 20] ^= 1;
    folder.write("y.png", {changed.begin(), changed.end()});
    auto image = readPng(folder.file("y.png"));
    ASSERT_FALSE(image.ok());
    EXPECT_NE(image.status().message().find("damaged PNG image: "), std::string::npos)
        << image.status().message();
  }
}
