// Prints digests of everything that a run's data is made of, for the witness to compare with numpy and
// Pillow: of each domain its images, labels and splits, and of some training batches. Arguments are recipe
// settings, key=value.
#include "runtime/train/Evaluate.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <zlib.h>

using namespace moert;

namespace {

template <typename T> uint32_t digest(const std::vector<T> &values) {
  return uint32_t(crc32(0, reinterpret_cast<const Bytef *>(values.data()), uInt(values.size() * sizeof(T))));
}

Status run(const std::vector<std::string> &settings) {
  MOERT_ASSIGN(Recipe recipe, Recipe::parse("", "", settings));
  MOERT_ASSIGN(SplitData data, SplitData::open(recipe));
  nlohmann::json report;
  for (size_t domain = 0; domain < data.set.domains(); ++domain) {
    std::vector<float> image(data.set.imageElements());
    std::vector<int32_t> labels;
    uint32_t images = 0;
    for (uint32_t i = 0; i < data.set.size(domain); ++i) {
      MOERT_TRY(data.set.render(domain, i, image.data()));
      images = uint32_t(
          crc32(images, reinterpret_cast<const Bytef *>(image.data()), uInt(image.size() * sizeof(float))));
      labels.push_back(data.set.label(domain, i));
    }
    report["domains"].push_back({{"name", data.set.name(domain)},
                                 {"images", images},
                                 {"labels", digest(labels)},
                                 {"in", digest(data.splits[domain].in)},
                                 {"out", digest(data.splits[domain].out)}});
  }
  std::vector<std::vector<uint32_t>> in;
  for (size_t domain : data.training)
    in.push_back(data.splits[domain].in);
  TrainingBatches batches(data.set, data.training, in, size_t(recipe.batchPerDomain), uint64_t(recipe.seed));
  Batch batch;
  for (uint64_t step : {0, 1, 2, 37, 5000}) {
    batches.fill(step, batch);
    report["batches"].push_back({{"step", step},
                                 {"image", digest(batch.image)},
                                 {"label", digest(batch.label)},
                                 {"domain", digest(batch.domain)}});
  }
  puts(report.dump().c_str());
  return okStatus();
}

} // namespace

int main(int argc, char **argv) {
  Status status = run({argv + 1, argv + argc});
  if (!status.ok())
    fprintf(stderr, "%s\n", status.message().c_str());
  return status.exitCode();
}
