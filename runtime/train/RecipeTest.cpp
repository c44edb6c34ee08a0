// What a recipe accepts, and what it says about the rest.
#include "runtime/train/Recipe.h"
#include "runtime/train/CompileCommand.h"
#include "test/support/TestProgram.h"

#include <gtest/gtest.h>

using namespace moert;

namespace {

std::string failure(const std::string &text, const std::vector<std::string> &settings = {}) {
  auto recipe = Recipe::parse(text, "r.toml", settings);
  return recipe.ok() ? "no failure" : recipe.status().message();
}

std::shared_ptr<const Program> program() {
  auto made = test::testProgram();
  for (const char *key : {"aux.entropy", "aux.blocks.0.balance", "aux.blocks.1.balance"}) {
    auto scalar = std::make_unique<moe::fb::ScalarT>();
    scalar->key = key;
    scalar->kind = moe::fb::ScalarKind::recipe;
    scalar->fallback = 1;
    made.table.scalars.push_back(std::move(scalar));
  }
  auto program = Program::verify(made.encode(), "test.moe");
  EXPECT_TRUE(program.ok()) << program.status().message();
  return *program;
}

std::string bindFailure(const std::string &text) {
  auto recipe = Recipe::parse(text, "r.toml", {});
  EXPECT_TRUE(recipe.ok()) << recipe.status().message();
  Status status = recipe->bind(*program());
  return status.ok() ? "no failure" : status.message();
}

double scalar(const Recipe &recipe, const std::string &key) {
  for (auto &[name, value] : recipe.scalars)
    if (name == key)
      return value;
  ADD_FAILURE() << key;
  return 0;
}

} // namespace

TEST(Recipe, ReadsEveryType) {
  auto recipe =
      Recipe::parse("[train]\nsteps = 7\n[data]\nkind = \"colored\"\nflips = [0.1, 1]\nheld_out = [1]\n"
                    "[optimizer]\nlr = 1\n",
                    "r.toml", {"data.path=/a b", "train.steps=9"});
  ASSERT_TRUE(recipe.ok()) << recipe.status().message();
  EXPECT_EQ(recipe->steps, 9);
  EXPECT_EQ(recipe->dataKind, "colored");
  EXPECT_EQ(recipe->flips, (std::vector<double>{0.1, 1}));
  EXPECT_EQ(recipe->heldOut, std::vector<int64_t>{1});
  EXPECT_EQ(recipe->dataPath, "/a b");
}

// A checkpoint from before a range became narrower: what is set instead of its value is all that counts.
TEST(Recipe, SettingsReplaceWhatIsOutOfRange) {
  auto recipe = Recipe::parse("[data]\nholdout = 0\nthreads = 3", "r.toml", {"data.holdout=0.1"});
  ASSERT_TRUE(recipe.ok()) << recipe.status().message();
  EXPECT_EQ(recipe->holdout, 0.1);
  EXPECT_EQ(recipe->dataThreads, 3);
  EXPECT_FALSE(Recipe::parse("[data]\nholdout = 0", "r.toml", {"data.hold=0.1"}).ok());
}

TEST(Recipe, RefusesWithPlaceAndHint) {
  EXPECT_EQ(failure("[train]\nstep = 3"),
            "r.toml:2: unknown key 'train.step'; did you mean 'train.steps'?; docs/recipe.md lists the keys");
  EXPECT_EQ(failure("[train]\n\nsteps = \"3\""),
            "r.toml:3: train.steps: expected an integer, found a text; did you mean 3 "
            "without quotes?");
  EXPECT_EQ(failure("[train]\nsteps = 3.0"),
            "r.toml:2: train.steps: expected an integer, found a number; did you mean 3?");
  EXPECT_EQ(failure("[optimizer]\nlr = true"), "r.toml:2: optimizer.lr: expected a number, found a boolean");
  EXPECT_EQ(failure("[optimizer]\nlr = nan"), "r.toml:2: optimizer.lr: expected a finite number");
  EXPECT_EQ(failure("[data]\nheld_out = 0"),
            "r.toml:2: data.held_out: expected a list of integers, found an integer; did you mean "
            "[0]?");
  EXPECT_EQ(failure("[data]\nheld_out = [0, 0.5]"),
            "r.toml:2: data.held_out: expected an integer, found a number");
  EXPECT_EQ(failure("[data]\nholdout = 1.5"),
            "r.toml:2: data.holdout: expected a value from 0.001 to 0.99, found 1.5");
  EXPECT_EQ(failure("[data]\nholdout = 0"),
            "r.toml:2: data.holdout: expected a value from 0.001 to 0.99, found 0");
  EXPECT_EQ(failure("[data]\nheld_out = [6]"),
            "r.toml:2: data.held_out: expected domains from 0 to 5, found 6: there are 6 (data.angles)");
  EXPECT_EQ(failure("[data]\nangles = [0]\nheld_out = [0]"),
            "r.toml:3: data.held_out: expected a domain left to train on, found all 1 held out");
  EXPECT_EQ(failure("[data]\nangles = [0]"), // the default holds domain 0 out
            "r.toml:2: data.held_out: expected a domain left to train on, found all 1 held out");
  EXPECT_EQ(failure("[data]\nangles = []"),
            "r.toml:2: data.angles: expected at least one domain, found an empty list");
  EXPECT_EQ(failure("[data]\nheld_out = [1, 1]"),
            "r.toml:2: data.held_out: expected each domain once, found 1 twice");
  EXPECT_EQ(failure("\n[data]\nkind = \"rotate\""),
            "r.toml:3: data.kind: expected 'rotated' or 'colored', found 'rotate'");
  EXPECT_EQ(failure("", {"train.steps=5", "data.held_out=[6]"}),
            "--set data.held_out=[6]: data.held_out: expected domains from 0 to 5, found 6: there are 6 "
            "(data.angles)");
  EXPECT_EQ(failure("[data]\ntrial_seed = -1"),
            "r.toml:2: data.trial_seed: expected a value from 0 to 9000000000000000, found -1");
  EXPECT_EQ(failure("[eval]\nbatch = 0"),
            "r.toml:2: eval.batch: expected a value from 1 to 1048576, found 0");
  EXPECT_TRUE(failure("[data\n").starts_with("r.toml:1:"));
  EXPECT_TRUE(failure("", {"train.steps"}).find("expected key=value") != std::string::npos);
  EXPECT_TRUE(failure("", {"train.stepz=4"}).find("did you mean 'train.steps'") != std::string::npos);
  EXPECT_TRUE(failure("", {"[x]\na=4"}).find("on one line") != std::string::npos);
  EXPECT_EQ(failure("train = 3"), "r.toml:1: expected the table [train], found an integer");
  EXPECT_EQ(failure("[[train]]\nsteps = 3"), "r.toml:1: expected the table [train], found a list of tables");
  EXPECT_EQ(failure("", {"aux=[]"}), "--set aux=[]: expected the table [aux], found a list");
  EXPECT_EQ(failure("optimizer = \"adam\""),
            "r.toml:1: expected the table [optimizer], found a text; did you mean 'optimizer.kind'?");
  std::string noPath = "data.path: expected a folder of the four IDX files, found an empty text; give one, "
                       "or leave the key out for " +
                       Recipe().dataPath;
  EXPECT_EQ(failure("[data]\npath = \"\""), "r.toml:2: " + noPath);
  EXPECT_EQ(failure("", {"data.path="}), "--set data.path=: " + noPath);
}

// A name that is wrong is told before its value, which it explains.
TEST(Recipe, NamesBeforeTheirValues) {
  auto wrong = [](const std::string &setting) {
    auto recipe = Recipe::parse("", "r.toml", {setting}, program().get());
    std::string text = recipe.ok() ? "no failure" : recipe.status().message();
    return text.substr(text.find(": ") + 2);
  };
  const std::string has = "; it has: optimizer.lr, optimizer.momentum";
  EXPECT_EQ(wrong("optimizer.amsgrad=false"),
            "the program's optimizer 'sgd' has no number 'optimizer.amsgrad'" + has);
  EXPECT_EQ(wrong("optimizer.type=adam"), "the program's optimizer 'sgd' has no number 'optimizer.type'; did "
                                          "you mean 'optimizer.kind'?" +
                                              has);
  EXPECT_EQ(wrong("optimizer.betas=[0.9, 0.99]"),
            "the program's optimizer 'sgd' has no number 'optimizer.betas'" + has);
  EXPECT_EQ(wrong("optimizer.lrr=1e39"),
            "the program's optimizer 'sgd' has no number 'optimizer.lrr'; did you mean 'optimizer.lr'?" +
                has);
  EXPECT_NE(wrong("aux.entropi=x").find("no auxiliary loss 'entropi'"), std::string::npos);
  EXPECT_NE(wrong("aux.entropi=x").find("did you mean 'aux.entropy'?"), std::string::npos);
  EXPECT_EQ(wrong("aux.blocks.*.balance=x"), "aux.blocks.*.balance: expected a number, found a text");
  EXPECT_EQ(wrong("optimizer.momentum=false"),
            "optimizer.momentum: expected a number, found a boolean; did you mean 0?");
  EXPECT_NE(failure("", {"data.type=x"}).find("did you mean 'data.kind'?"), std::string::npos);
}

TEST(Recipe, NumbersOfTheOptimizerHaveRanges) {
  EXPECT_EQ(failure("", {"optimizer.lr=-1"}),
            "--set optimizer.lr=-1: optimizer.lr: expected a value from 0 to 3.4e+38, found -1");
  EXPECT_EQ(failure("[optimizer]\nbeta1 = 2"),
            "r.toml:2: optimizer.beta1: expected a value from 0 to 0.999999, found 2");
  EXPECT_EQ(failure("[optimizer]\nbeta1 = 0.9999991"), // with all digits, or it would look like the bound
            "r.toml:2: optimizer.beta1: expected a value from 0 to 0.999999, found 0.9999991");
  EXPECT_EQ(failure("[optimizer]\nbeta2 = 1"),
            "r.toml:2: optimizer.beta2: expected a value from 0 to 0.999999, found 1");
  EXPECT_EQ(failure("[optimizer]\neps = -1"),
            "r.toml:2: optimizer.eps: expected a value from 1e-30 to 1, found -1");
  EXPECT_EQ(failure("[optimizer]\nweight_decay = -0.5"),
            "r.toml:2: optimizer.weight_decay: expected a value from 0 to 1000, found -0.5");
  EXPECT_EQ(failure("[optimizer]\nmomentum = 1.5"),
            "r.toml:2: optimizer.momentum: expected a value from 0 to 1, found 1.5");
  EXPECT_EQ(failure("[aux]\nentropy = 1e39"),
            "r.toml:2: aux.entropy: expected a value from -3.4e+38 to 3.4e+38, found 1e+39");
  EXPECT_EQ(failure("[aux]\nentropy = -2\n[optimizer]\nlr = 0\nmomentum = 1\neps = 1e-8"), "no failure");
  EXPECT_NE(failure("[optimiser]\nmomentum = 0.5").find("did you mean 'optimizer.momentum'"),
            std::string::npos);
}

// A value of the wrong type that can only mean one thing.
TEST(Recipe, ValuesThatAreMeant) {
  auto hint = [](const std::string &setting) {
    std::string text = failure("", {setting});
    size_t at = text.find("; did you mean ");
    return at == std::string::npos ? "none: " + text : text.substr(at + 15);
  };
  EXPECT_EQ(hint("data.held_out=0"), "[0]?");
  EXPECT_EQ(hint("data.held_out=0,1"), "[0,1]?");
  EXPECT_EQ(hint("data.held_out=2.0"), "[2]?");
  EXPECT_EQ(hint("data.angles=15"), "[15]?");
  EXPECT_EQ(hint("data.angles=\"[0, 15]\""), "[0, 15]?");
  EXPECT_EQ(hint("data.held_out=[\"1\"]"), "1 without quotes?");
  EXPECT_EQ(hint("train.steps=[5]"), "5?");
  EXPECT_EQ(hint("train.steps=1e3"), "1000?");
  EXPECT_EQ(hint("train.seed=\"7\""), "7 without quotes?");
  EXPECT_EQ(hint("optimizer.lr='1e-3'"), "1e-3 without quotes?");
  EXPECT_EQ(hint("optimizer.lr=.5"), "0.5?");
  EXPECT_EQ(hint("optimizer.lr=-5."), "-5.0?");
  EXPECT_EQ(hint("optimizer.lr='1_000.5'"), "1_000.5 without quotes?");
  EXPECT_EQ(hint("optimizer.lr=07"), "7.0?");
  EXPECT_EQ(hint("data.threads=3."), "3?");
  EXPECT_EQ(hint("data.held_out=0."), "[0]?");
  EXPECT_EQ(hint("data.angles=.5"), "[0.5]?");
  for (const char *setting : {"optimizer.lr=.", "optimizer.lr=5..", "optimizer.lr=.1.2", "optimizer.lr=1e400",
                              "data.threads=.5", "data.held_out=.5"})
    EXPECT_TRUE(hint(setting).starts_with("none: ")) << setting << ": " << hint(setting);
  for (size_t digits : {20, 79, 80, 127, 128, 200})
    EXPECT_TRUE(hint("optimizer.lr=" + std::string(digits, '9'))
                    .ends_with("expected a number of fewer digits, or one with an exponent"))
        << digits << ": " << hint("optimizer.lr=" + std::string(digits, '9'));
  EXPECT_EQ(hint("optimizer.lr=[0.1]"), "0.1?");
  EXPECT_EQ(hint("eval.every=false"), "0?");
  EXPECT_EQ(hint("data.path=5"), "\"5\"?");
  EXPECT_EQ(hint("train.objective=true"), "\"true\"?");
  EXPECT_TRUE(hint("data.threads=true").starts_with("none")) << hint("data.threads=true");
  EXPECT_TRUE(hint("train.steps=[5, 6]").starts_with("none"));
  EXPECT_TRUE(hint("train.steps=many").starts_with("none"));
}

TEST(Recipe, WordsOfOtherTools) {
  for (auto [word, key] :
       {std::pair("train.batch_size", "train.batch_per_domain"),
        std::pair("batch_size", "train.batch_per_domain"), std::pair("epochs", "train.steps"),
        std::pair("trainer.max_epochs", "train.steps"), std::pair("max_steps", "train.steps"),
        std::pair("train.learning-rate", "optimizer.lr"), std::pair("weight_decay", "optimizer.weight_decay"),
        std::pair("test_envs", "data.held_out"), std::pair("holdout_fraction", "data.holdout"),
        std::pair("data_dir", "data.path"), std::pair("num_workers", "data.threads"),
        std::pair("optimizer", "optimizer.kind"), std::pair("checkpoint_freq", "eval.every")}) {
    std::string text = failure("", {std::string(word) + "=1"});
    EXPECT_NE(text.find(std::string("; did you mean '") + key + "'?"), std::string::npos) << text;
  }
  EXPECT_NE(bindFailure("[optimizer]\nlearning_rate = 1").find("did you mean 'optimizer.lr'?"),
            std::string::npos);
}

// What toml++ answers with an assert, an overflow of the stack or minutes of work.
TEST(Recipe, SyntaxHasAPlace) {
  EXPECT_EQ(failure("[#data]\n"), "r.toml:1:2: expected a key in the brackets of a table, found '#'");
  EXPECT_EQ(failure("\n[[*x]]"), "r.toml:2:3: expected a key in the brackets of a table, found '*'");
  EXPECT_EQ(failure("["), "r.toml:1:2: expected a key in the brackets of a table, found the end of the text");
  EXPECT_EQ(failure("[ \n"),
            "r.toml:1:3: expected a key in the brackets of a table, found the end of the line");
  EXPECT_EQ(failure("[a]]"), "r.toml:1:4: expected the end of the line or a comment, found ']'");
  EXPECT_EQ(failure("[[a]"), "r.toml:1:5: expected a second ']', found the end of the text");
  EXPECT_EQ(failure("data.angles = [0, }"), "r.toml:1:19: expected a value or ']', found '}'");
  EXPECT_EQ(failure("data.angles = [0 1]"), "r.toml:1:18: expected ',' or ']', found '1'");
  EXPECT_EQ(failure("data = {path = 1, }"), "r.toml:1:19: expected a key, found '}'");
  EXPECT_EQ(failure("data = {path = ]"), "r.toml:1:16: expected a value, found ']'");
  EXPECT_EQ(failure("a..b = 1"), "r.toml:1:3: expected the next part of the key, found '.'");
  EXPECT_EQ(failure("a 1"), "r.toml:1:3: expected '=' behind the key, found '1'");
  EXPECT_EQ(failure("a = "), "r.toml:1:5: expected a value, found the end of the text");
  EXPECT_EQ(failure("a = \"x\nb = 1"),
            "r.toml:1:5: expected a closing quote, found the end of the line before it");
  EXPECT_EQ(failure("a\u035e = 1"), "r.toml:1:2: expected '=' behind the key, found '\u035e' (U+035E)");
  EXPECT_EQ(failure("a =\u00a01"),
            "r.toml:1:4: expected a value of ASCII characters outside of quotes, found '\u00a0' (U+00A0)");
  EXPECT_EQ(
      failure("[data]\npath = \u201c/x\u201d"),
      "r.toml:2:8: expected a value of ASCII characters outside of quotes, found '\u201c' (U+201C); did "
      "you mean the plain quote '\"'?");
  EXPECT_EQ(failure("[data]\nkind = colored"),
            "r.toml:2:8: expected a value, found 'colored'; did you mean \"colored\", in quotes?");
  EXPECT_EQ(failure("a = True"), "r.toml:1:5: expected a value, found 'True'; did you mean true?");
  EXPECT_EQ(failure("[optimizer]\nlr = .001"),
            "r.toml:2:6: expected a value, found '.001'; did you mean 0.001?");
  EXPECT_EQ(failure("# \u00e4\n[data]\npath = '\xff'"), "r.toml:3:9: expected UTF-8, found the byte \\xff");
  EXPECT_EQ(failure("", {"data.path=/x\xff"}).substr(0, 72),
            "--set data.path=/x\xff: expected UTF-8, as recipes are, found the byte \\xff");
  EXPECT_EQ(failure("", {"data.angles=[0, }"}),
            "--set data.angles=[0, }: expected a value or ']', found '}'");
  EXPECT_EQ(failure("[data]\npath = \"a\\u0000b\""),
            "r.toml:2: data.path: expected a text without U+0000, found one with it");
  // What TOML allows.
  EXPECT_EQ(failure("\xef\xbb\xbf[data]\r\nangles = [ # a\r\n 0, # b\r\n 1,\r\n]\r\n[ 'eval' ]\nevery = 1_0"),
            "no failure");
  EXPECT_EQ(failure("data = {path = '''a\n'b''''', kind = \"rotated\"}\neval.every = 0x10"), "no failure");
  EXPECT_EQ(failure("x = 1979-05-27 07:32:00").substr(0, 13), "r.toml:1: unk");
}

// A table without keys is as unknown as one with them.
TEST(Recipe, UnknownTablesAreToldEmptyOrNot) {
  for (const char *text : {"[trian]", "[trian]\nsteps = 3", "[train.more]", "[data]\nmore = {}"})
    EXPECT_NE(failure(text).find("unknown key '"), std::string::npos) << text << ": " << failure(text);
  EXPECT_EQ(failure("[train]\n[data]\n[optimizer]\n[aux]"), "no failure");
}

TEST(Recipe, TextsHaveLimits) {
  auto listOf = [](size_t count) {
    std::string list = "[data]\nangles = [0";
    while (--count)
      list += ",1";
    return list + "]";
  };
  EXPECT_EQ(failure(listOf(2048)), "no failure");
  EXPECT_EQ(failure(listOf(2049)),
            "r.toml:2: data.angles: expected a list of at most 2048 numbers, found 2049");
  EXPECT_NE(failure("", {"optimizer.lr=" + std::string(3000, '9')}).find("optimizer.lr"), std::string::npos);
  EXPECT_EQ(failure("", {"optimizer.lr=" + std::string(3000, '9')}).find("found a text"), std::string::npos);
  auto repeat = [](const std::string &text, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i)
      all += text;
    return all;
  };
  std::string parts = "a" + repeat(".a", 63), longest(4094, 'k');
  EXPECT_EQ(failure(parts + " = 1").substr(0, 22), "r.toml:1: unknown key ");
  EXPECT_EQ(failure("[" + parts + "]\nb = 1").substr(0, 22), "r.toml:2: unknown key ");
  for (const std::string &text : {parts + ".a = 1", "[" + parts + ".a]", "[[" + repeat("a.", 100'000) + "a]]",
                                  "x = {" + repeat("a.", 40'000) + "a = 1}"})
    EXPECT_NE(failure(text).find("expected a key of at most 64 parts, found more"), std::string::npos);
  EXPECT_NE(failure("", {repeat("a.", 40'000) + "a=1"}).find("at most 64 parts"), std::string::npos);
  EXPECT_EQ(failure("[aux]\n\"" + longest + "\" = 1"), "no failure");
  EXPECT_EQ(failure("[aux]\n\"" + longest + "k\" = 1"),
            "r.toml:2:1: expected a key of at most 4096 bytes, found a longer one");
  EXPECT_NE(failure("", {"aux." + repeat("*", 60'000) + "=1"}).find("at most 4096 bytes"), std::string::npos);
  EXPECT_NE(failure("x = " + repeat("[", 16) + repeat("]", 16)).find("unknown key"), std::string::npos);
  for (const char *open : {"[", "{a=", "[{a="})
    EXPECT_NE(failure("x = " + repeat(open, 50'000)).find("at most 16 within each other"), std::string::npos);
  std::string comment(1 << 18, '#');
  EXPECT_EQ(failure(comment), "no failure");
  EXPECT_EQ(failure(comment + "#"), "r.toml:1:1: expected at most 262144 bytes, found 262145");
}

// --resume and eval read what a run wrote: the program's own numbers and names are no exception.
TEST(Recipe, WhatCouldNotBeReadAgainIsRefused) {
  auto bound = [](const std::string &key, double value, const std::string &set = "train.steps=1") {
    auto made = test::testProgram();
    auto scalar = std::make_unique<moe::fb::ScalarT>();
    scalar->key = key;
    scalar->kind = moe::fb::ScalarKind::recipe;
    scalar->fallback = value;
    made.table.scalars.push_back(std::move(scalar));
    auto program = Program::verify(made.encode(), "test.moe");
    auto recipe = Recipe::parse("", "", {set});
    Status status = program.ok() && recipe.ok() ? recipe->bind(**program) : internalError("neither");
    return status.ok() ? "no failure" : status.message();
  };
  EXPECT_EQ(bound("optimizer.weight_decay", 1000), "no failure");
  EXPECT_EQ(bound("optimizer.weight_decay", 1001),
            "test.moe: optimizer.weight_decay: expected a value from 0 to 1000, found 1001");
  EXPECT_EQ(bound("optimizer.weight_decay", 1001, "optimizer.weight_decay=1"), "no failure");
  EXPECT_EQ(bound("aux." + std::string(4090, 'a'), 1), "no failure");
  EXPECT_NE(bound("aux." + std::string(4091, 'a'), 1).find("at most 4096 bytes in all"), std::string::npos);
}

TEST(Recipe, LongTextsAreCut) {
  std::string nines(200, '9'), shown = "--set train.steps=" + nines.substr(0, 80 - 12) + "...: ";
  EXPECT_EQ(failure("", {"train.steps=" + nines}),
            shown + "expected a number of fewer digits, or one with an exponent");
  std::string umlauts; // of two bytes each
  for (int i = 0; i < 100; ++i)
    umlauts += "\u00fc";
  EXPECT_EQ(failure("[data]\nkind = \"x" + umlauts + "\""),
            "r.toml:2: data.kind: expected 'rotated' or 'colored', found 'x" + umlauts.substr(0, 78) +
                "...'");
}

TEST(Recipe, AKeyInTheWrongTable) {
  auto hint = [](const std::string &key) {
    std::string file =
                    failure(key.find('.') == std::string::npos ? key + " = 1"
                                                               : "[" + key.substr(0, key.find('.')) + "]\n" +
                                                                     key.substr(key.find('.') + 1) + " = 1"),
                typed = failure("", {key + "=1"});
    EXPECT_EQ(file.substr(file.find("unknown")), typed.substr(typed.find("unknown")));
    std::string head = "unknown key '" + key + "'", tail = "; docs/recipe.md lists the keys";
    EXPECT_TRUE(typed.find(head) != std::string::npos && typed.ends_with(tail)) << typed;
    size_t begin = typed.find(head) + head.size();
    return typed.substr(begin, typed.size() - tail.size() - begin);
  };
  for (const char *key : {"lr", "train.lr", "optimiser.lr", "sgd.lr", "eval.lr"})
    EXPECT_EQ(hint(key), "; did you mean 'optimizer.lr'?") << key;
  EXPECT_EQ(hint("steps"), "; did you mean 'train.steps'?");
  EXPECT_EQ(hint("eval.steps"), "; did you mean 'train.steps'?");
  EXPECT_EQ(hint("seed"), "; did you mean 'train.seed' or 'data.seed'?");
  EXPECT_EQ(hint("tain.seed"), "; did you mean 'train.seed'?");
  EXPECT_EQ(hint("colour"), "");
  EXPECT_EQ(hint("train.batch"), "; did you mean 'train.batch_per_domain'?");
  EXPECT_EQ(hint("train.check"), "; did you mean 'train.checkpoint_every'?");
  EXPECT_EQ(hint("train.sed"), "; did you mean 'train.seed'?");
  EXPECT_EQ(hint("log.colour"), "; [log] has every");
  EXPECT_EQ(hint("batch"), "; did you mean 'train.batch_per_domain' or 'eval.batch'?");
  // With the program, its losses are known; without, what they are called.
  auto known = Recipe::parse("", "r.toml", {"blocks.0.balance=1"}, program().get());
  EXPECT_EQ(known.status().message(),
            "--set blocks.0.balance=1: unknown key 'blocks.0.balance'; did you mean "
            "'aux.blocks.0.balance'?; docs/recipe.md lists the keys");
  EXPECT_EQ(bindFailure("[optimizer]\nsteps = 3"),
            "r.toml:2: the program's optimizer 'sgd' has no number 'optimizer.steps'; did you mean "
            "'train.steps'?; it has: optimizer.lr, optimizer.momentum");
  EXPECT_EQ(bindFailure("[optimizer]\nentropy = 3"),
            "r.toml:2: the program's optimizer 'sgd' has no number 'optimizer.entropy'; did you mean "
            "'aux.entropy'?; it has: optimizer.lr, optimizer.momentum");
  EXPECT_EQ(bindFailure("[aux]\nlr = 3"),
            "r.toml:2: the program has no auxiliary loss 'lr' (one whose weight is 0 when compiled is left "
            "out); did you mean 'optimizer.lr'?");
}

TEST(Recipe, EveryPrefixOfAFileIsHandled) {
  std::string text =
      "[train]\nsteps = 7 # x\n[data]\nflips = [0.1, 0.2]\nkind = \"colored\"\n[aux]\n\"a.*\" = 1e-3\n";
  for (size_t n = 0; n <= text.size(); ++n)
    (void)failure(text.substr(0, n));
}

TEST(Recipe, BindsToTheProgram) {
  auto recipe =
      Recipe::parse("[optimizer]\nlr = 0.5\n[aux]\n\"blocks.1.balance\" = 3\n\"blocks.*.balance\" = 2\n",
                    "r.toml", {"aux.entropy=0.25"});
  ASSERT_TRUE(recipe.ok()) << recipe.status().message();
  ASSERT_TRUE(recipe->bind(*program()).ok());
  EXPECT_EQ(scalar(*recipe, "optimizer.lr"), 0.5);
  EXPECT_EQ(scalar(*recipe, "optimizer.momentum"), 0.5); // the program's
  EXPECT_EQ(scalar(*recipe, "aux.entropy"), 0.25);
  EXPECT_EQ(scalar(*recipe, "aux.blocks.0.balance"), 2);
  EXPECT_EQ(scalar(*recipe, "aux.blocks.1.balance"), 3);
  EXPECT_EQ(bindFailure("[optimizer]\nbeta1 = 0.5"),
            "r.toml:2: the program's optimizer 'sgd' has no number 'optimizer.beta1'; it has: optimizer.lr, "
            "optimizer.momentum");
  EXPECT_TRUE(bindFailure("[optimizer]\nlrr = 1").find("did you mean 'optimizer.lr'") != std::string::npos);
  EXPECT_TRUE(bindFailure("[aux]\nentropi = 1").find("did you mean 'aux.entropy'") != std::string::npos);
  EXPECT_EQ(bindFailure("[optimizer]\nkind = \"adagrad\""), // no command makes one
            "optimizer.kind: expected adam, adamw or sgd, found 'adagrad'; the program has 'sgd'");
  EXPECT_TRUE(bindFailure("[optimizer]\nkind = \"adam\"").find("moec compile") != std::string::npos);
  EXPECT_TRUE(bindFailure("[optimizer]\nkind = \"adam\"").find("--optimizer=adam") != std::string::npos);
}

TEST(Recipe, ACommandNamesEveryTarget) {
  auto made = test::testProgram();
  for (auto [key, value] :
       {std::pair("target", "cpu:x86-64-v3 cpu"), std::pair("source", "a.mlir 'b c.mlir'")}) {
    made.table.config.push_back(std::make_unique<moe::fb::KeyValueT>());
    made.table.config.back()->key = key;
    made.table.config.back()->value = value;
  }
  auto program = Program::verify(made.encode(), "Ann's test.moe");
  ASSERT_TRUE(program.ok()) << program.status().message();
  std::string command = compileCommand(**program, {{"classes", "7"}});
  EXPECT_TRUE(command.starts_with("moec compile a.mlir 'b c.mlir' -o 'Ann'\\''s test.moe' ")) << command;
  EXPECT_NE(command.find(" --target=cpu:x86-64-v3 --target=cpu"), std::string::npos) << command;
  EXPECT_NE(command.find(" -Dclasses=7"), std::string::npos) << command;
}

TEST(Recipe, TextReadsBack) {
  auto recipe =
      Recipe::parse("[data]\nkind = \"colored\"\npath = \"/a\\\"b\"\nheld_out=[2]\n[optimizer]\nlr = 0.1\n",
                    "r.toml", {"aux.blocks.*.balance=0.7"});
  ASSERT_TRUE(recipe.ok()) << recipe.status().message();
  ASSERT_TRUE(recipe->bind(*program()).ok());
  auto again = Recipe::parse(recipe->text(), "saved", {});
  ASSERT_TRUE(again.ok()) << again.status().message() << recipe->text();
  ASSERT_TRUE(again->bind(*program()).ok());
  EXPECT_EQ(again->text(), recipe->text());
  // Every key is there but those of the other kind of data, texts that were not given among them.
  for (const char *line :
       {"entry = \"\"\n", "objective = \"\"\n", "[optimizer]\nkind = \"\"\n", "kind = \"colored\"\n"})
    EXPECT_NE(recipe->text().find(line), std::string::npos) << line << recipe->text();
  EXPECT_TRUE(differences(*recipe, *again, {}).empty());
  again->heldOut = {1};
  again->dataPath = "/elsewhere";
  EXPECT_EQ(differences(*recipe, *again, {}),
            std::vector<std::string>{"data.held_out: expected [2], found [1]"});
}

TEST(Recipe, ControlCharactersReadBack) {
  Recipe recipe;
  for (char c = 1; c > 0; ++c)
    recipe.dataPath += c;
  recipe.dataPath += "\x7f\u0080\u009f\u00a0\u2028\ufeff\U0010ffff";
  auto again = Recipe::parse(recipe.text(), "saved", {});
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->dataPath, recipe.dataPath);
}

TEST(Recipe, Globs) {
  // Time grows with the product of the two lengths: not twofold with each star.
  std::string many, name(4000, 'a');
  for (int i = 0; i < 1000; ++i)
    many += "*a";
  EXPECT_TRUE(globMatches(many, name));
  EXPECT_FALSE(globMatches(many + "b", name));
  EXPECT_TRUE(globMatches(std::string(4000, '*'), name));
  EXPECT_FALSE(globMatches(std::string(4000, '*'), name + ".a"));
  EXPECT_TRUE(globMatches("*.*b*.c", "aab.bbab.c"));
  EXPECT_FALSE(globMatches("*.*b*.c", "aab.aa.b.c"));
  EXPECT_TRUE(globMatches("a*bc", "abcbc"));
  EXPECT_TRUE(globMatches("", ""));
  EXPECT_FALSE(globMatches("", "a"));
  EXPECT_TRUE(globMatches("*", ""));
  EXPECT_TRUE(globMatches("a.*.c", "a.bb.c"));
  EXPECT_TRUE(globMatches("a.*", "a."));
  EXPECT_TRUE(globMatches("*x*", "axb"));
  EXPECT_FALSE(globMatches("a.*", "a.b.c"));
  EXPECT_FALSE(globMatches("a", "ab"));
  EXPECT_FALSE(globMatches("a*", "b"));
}
