#include "runtime/train/RecipeHints.h"

#include "runtime/base/Nearest.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace moert {
namespace {

struct Word {
  const char *elsewhere, *here; // what DomainBed, PyTorch or Lightning call it, and the recipe
};
constexpr Word kWords[] = {
    {"batch_size", "train.batch_per_domain"},
    {"train_batch_size", "train.batch_per_domain"},
    {"batch", "train.batch_per_domain"},
    {"eval_batch_size", "eval.batch"},
    {"val_batch_size", "eval.batch"},
    {"test_batch_size", "eval.batch"},
    {"epochs", "train.steps"},
    {"num_epochs", "train.steps"},
    {"n_epochs", "train.steps"},
    {"max_epochs", "train.steps"},
    {"max_steps", "train.steps"},
    {"num_steps", "train.steps"},
    {"n_steps", "train.steps"},
    {"total_steps", "train.steps"},
    {"iterations", "train.steps"},
    {"num_iterations", "train.steps"},
    {"max_iters", "train.steps"},
    {"random_seed", "train.seed"},
    {"manual_seed", "train.seed"},
    {"seed_everything", "train.seed"},
    {"hparams_seed", "train.seed"},
    {"algorithm", "train.objective"},
    {"loss", "train.objective"},
    {"criterion", "train.objective"},
    {"checkpoint_freq", "eval.every"},
    {"save_every", "train.checkpoint_every"},
    {"save_steps", "train.checkpoint_every"},
    {"save_freq", "train.checkpoint_every"},
    {"checkpoint_interval", "train.checkpoint_every"},
    {"save_model_every_checkpoint", "train.checkpoint_every"},
    {"every_n_train_steps", "train.checkpoint_every"},
    {"eval_every", "eval.every"},
    {"eval_steps", "eval.every"},
    {"eval_interval", "eval.every"},
    {"eval_freq", "eval.every"},
    {"val_every", "eval.every"},
    {"val_interval", "eval.every"},
    {"val_check_interval", "eval.every"},
    {"check_val_every_n_epoch", "eval.every"},
    {"limit_val_batches", "eval.images"},
    {"log_every", "log.every"},
    {"log_interval", "log.every"},
    {"log_every_n_steps", "log.every"},
    {"logging_steps", "log.every"},
    {"print_freq", "log.every"},
    {"learning_rate", "optimizer.lr"},
    {"wd", "optimizer.weight_decay"},
    {"epsilon", "optimizer.eps"},
    {"betas", "optimizer.beta1"},
    {"betas", "optimizer.beta2"},
    {"optimizer", "optimizer.kind"},
    {"optim", "optimizer.kind"},
    {"type", "optimizer.kind"},
    {"type", "data.kind"},
    {"optimiser", "optimizer.kind"},
    {"optimizer_name", "optimizer.kind"},
    {"dataset", "data.kind"},
    {"dataset_name", "data.kind"},
    {"data_dir", "data.path"},
    {"data_path", "data.path"},
    {"data_root", "data.path"},
    {"dataset_path", "data.path"},
    {"root", "data.path"},
    {"num_classes", "data.classes"},
    {"n_classes", "data.classes"},
    {"test_env", "data.held_out"},
    {"test_envs", "data.held_out"},
    {"test_domains", "data.held_out"},
    {"target_domain", "data.held_out"},
    {"holdout_fraction", "data.holdout"},
    {"val_split", "data.holdout"},
    {"val_fraction", "data.holdout"},
    {"validation_split", "data.holdout"},
    {"test_size", "data.holdout"},
    {"envs", "data.angles"},
    {"environments", "data.angles"},
    {"domains", "data.angles"},
    {"pretrained", "init.file"},
    {"pretrained_path", "init.file"},
    {"pretrained_weights", "init.file"},
    {"checkpoint_path", "init.file"},
    {"initial_checkpoint", "init.file"},
    {"finetune", "init.file"},
    {"weights", "init.file"},
    {"num_workers", "data.threads"},
    {"n_workers", "data.threads"},
    {"workers", "data.threads"},
};

// Keys of the same table that go on where this one ends (`train.batch`), or else keys of other tables whose
// name below the table is this key's, or the end of it: `lr` and `train.lr` mean optimizer.lr. Of several the
// one whose table has at most two slips, where there is one. Without a table both are meant: `batch`.
std::vector<std::string> namesakes(const std::string &key, const std::vector<std::string> &known) {
  std::vector<std::string> found;
  size_t first = key.find('.'), last = key.rfind('.'); // npos + 1: the whole key
  for (const std::string &each : known)
    if (first != std::string::npos && key.size() >= first + 4 && each.starts_with(key))
      found.push_back(each);
  if (!found.empty())
    return found;
  for (const std::string &each : known) {
    std::string name = each.substr(each.find('.') + 1);
    if (each != key && (name == key || name == key.substr(first + 1) || name == key.substr(last + 1) ||
                        (first == std::string::npos && name.starts_with(key + "_"))))
      found.push_back(each);
  }
  if (auto near = nearest(key, found); !near.empty() && editDistance(key, near[0]) <= 2)
    return near;
  return found;
}

// What other tools call it, by the last part of the key and without regard to its case.
std::vector<std::string> translated(const std::string &key, const std::vector<std::string> &known) {
  std::string word = key.substr(key.rfind('.') + 1);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : char(std::tolower(c)); });
  std::vector<std::string> found;
  for (const Word &each : kWords)
    if (word == each.elsewhere && std::find(known.begin(), known.end(), each.here) != known.end())
      found.push_back(each.here);
  // Of several those of the key's own table, where there are any.
  auto here = [&](const std::string &each) { return each.starts_with(key.substr(0, key.find('.') + 1)); };
  if (key.find('.') != std::string::npos && std::any_of(found.begin(), found.end(), here))
    std::erase_if(found, [&](const std::string &each) { return !here(each); });
  return found;
}

std::string eitherOf(const std::vector<std::string> &keys) {
  std::string text;
  for (const std::string &key : keys)
    text += (text.empty() ? "; did you mean '" : " or '") + key + "'";
  return text.empty() ? text : text + "?";
}

} // namespace

std::string namesakeHint(const std::string &key, const std::vector<std::string> &known) {
  if (auto found = namesakes(key, known); !found.empty())
    return eitherOf(found);
  return eitherOf(translated(key, known));
}

std::string keyHint(const std::string &key, const std::vector<std::string> &known) {
  if (std::string hint = namesakeHint(key, known); !hint.empty())
    return hint;
  // Within a table that there is, by the names alone: what all share would make any two of them alike.
  std::string table = key.substr(0, key.find('.')) + ".";
  std::vector<std::string> names;
  std::string list;
  for (const std::string &each : known)
    if (each.starts_with(table)) {
      names.push_back(each.substr(table.size()));
      list += (list.empty() ? "" : ", ") + names.back();
    }
  if (names.empty())
    return eitherOf(nearest(key, known));
  if (key.size() > table.size())
    if (auto near = nearest(std::string_view(key).substr(table.size()), names); !near.empty())
      return eitherOf({table + near[0]});
  return "; [" + table.substr(0, table.size() - 1) + "] has " + list;
}

} // namespace moert
