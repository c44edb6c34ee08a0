// moert eval: accuracy by entry, domain and split.
#include "runtime/cli/Commands.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Evaluate.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace moert {
namespace {

using Json = nlohmann::ordered_json;

// A checkpoint carries the recipe that it was trained with.
Result<Recipe> recipeOf(const EvalOptions &options) {
  if (!options.recipe.empty())
    return Recipe::read(options.recipe, options.settings);
  MOERT_ASSIGN(Checkpoint checkpoint, readCheckpointState(options.checkpoint));
  return Recipe::parse(checkpoint.recipe, checkpointFolder(options.checkpoint) + "/state.json",
                       options.settings);
}

} // namespace

Status evalCommand(const EvalOptions &options) {
  MOERT_ASSIGN(auto program, Program::load(options.program));
  MOERT_ASSIGN(Recipe recipe, recipeOf(options));
  std::vector<const fb::Entry *> entries;
  for (const std::string &name : options.entries) {
    MOERT_ASSIGN(const fb::Entry *entry, inferenceEntry(*program, name));
    entries.push_back(entry);
  }
  if (entries.empty())
    for (const fb::Entry *entry : *program->table().entries())
      if (entry->kind() == fb::EntryKind::infer && scoresOutput(*program, *entry).ok())
        entries.push_back(entry);
  MOERT_ASSIGN(SplitData data, SplitData::open(recipe));
  MOERT_TRY(checkFits(*program, data, recipe));
  MOERT_ASSIGN(auto states, States::create(program, 0));
  MOERT_TRY(loadParameters(options.checkpoint, *states));
  MOERT_ASSIGN(auto device, Device::create(options.threads));
  Evaluator evaluator(program, states, device, data, recipe);

  Json report = {
      {"program", options.program}, {"checkpoint", options.checkpoint}, {"entries", Json::array()}};
  for (const fb::Entry *entry : entries) {
    Json domains = Json::array();
    if (!options.json)
      printf("entry %s\ndomain              in %%  out %%\n", entry->name()->c_str());
    for (size_t domain = 0; domain < data.set.domains(); ++domain) {
      bool held = data.domainLabel[domain] < 0;
      MOERT_ASSIGN(double in, evaluator.accuracy(*entry, domain, false));
      MOERT_ASSIGN(double out, evaluator.accuracy(*entry, domain, true));
      domains.push_back({{"domain", domain},
                         {"name", data.set.name(domain)},
                         {"held_out", held},
                         {"in_acc", in},
                         {"out_acc", out}});
      if (!options.json) {
        std::string name = concat(domain, "  ", data.set.name(domain), held ? " (held out)" : "");
        printf("%-17s%7.2f%7.2f\n", name.c_str(), 100 * in, 100 * out);
        fflush(stdout);
      }
    }
    report["entries"].push_back({{"entry", entry->name()->str()}, {"domains", domains}});
  }
  if (options.json)
    puts(report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return okStatus();
}

} // namespace moert
