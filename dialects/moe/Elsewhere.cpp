// Two tables. Hints say what to write, so that nobody has to look it up.
#include "dialects/moe/Elsewhere.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/Twine.h"

using llvm::StringRef;

StringRef moe::opElsewhere(StringRef word) {
  return llvm::StringSwitch<StringRef>(word)
      .Cases({"avg_pool", "average_pool", "avg_pool2d", "avgpool"}, "mean_pool")
      .Cases({"max_pool2d", "maxpool"}, "max_pool")
      .Cases({"dense", "fc"}, "linear")
      .Cases({"conv2d", "convolution"}, "conv")
      .Cases({"batch_norm", "batchnorm", "batch_norm2d", "instance_norm"}, "group_norm")
      .Cases({"multiply", "times"}, "mul")
      .Cases({"cat", "concatenate"}, "concat")
      .Case("view", "reshape")
      .Case("permute", "transpose")
      .Case("swish", "silu")
      .Cases({"avg", "average"}, "mean")
      .Default("");
}

std::string moe::optionElsewhere(StringRef op, StringRef key) {
  auto among = [](StringRef word, std::initializer_list<StringRef> words) {
    for (StringRef each : words)
      if (each == word)
        return true;
    return false;
  };
  bool conv = op == "conv", window = conv || among(op, {"max_pool", "mean_pool", "unfold"});
  bool reduces = among(op, {"mean", "sum", "variance", "max"});
  if (window && among(key, {"padding", "pads"}))
    return "write 'pad = ...', one number for all sides";
  if (window && among(key, {"kernel_size", "kernel_shape", "ksize", "window", "size"}))
    return "write 'kernel = ...', one number for both sides";
  if (window && key == "strides")
    return "write 'stride = ...', one number for both axes";
  if (window && key == "dilation")
    return "windows have no holes, as with dilation 1";
  if (window && among(key, {"ceil_mode", "count_include_pad"}))
    return "sizes are rounded down, and padding counts as zeros in a mean";
  if (conv && key == "groups")
    return "convolutions have one group";
  if (op == "patches" && among(key, {"patch_size", "kernel_size", "kernel", "stride"}))
    return "write 'size = ...'";
  if ((conv || op == "linear") && among(key, {"bias", "use_bias"}))
    return "a bias is there unless 'no_bias' is written";
  if ((conv || among(op, {"linear", "patches"})) &&
      among(key,
            {"out_features", "out_channels", "units", "filters", "features", "channels", "embed_dim", "to"}))
    return "write 'to ...' behind the values, without '='";
  if ((conv || among(op, {"linear", "patches"})) &&
      among(key, {"in_features", "in_channels", "in_chans", "input_dim"}))
    return "it is taken from the value";
  if ((conv || op == "linear") && among(key, {"kernel_initializer", "weight_init", "init", "bias_init"}))
    return "write 'init ...' behind 'to ...', without '='";
  if (among(op, {"layer_norm", "group_norm"}) &&
      among(key,
            {"normalized_shape", "num_channels", "dim", "affine", "elementwise_affine", "bias", "momentum"}))
    return op == "layer_norm" ? "it normalises the last axis, with weight and bias"
                              : "it takes the channels from the value, with weight and bias";
  if (among(op, {"layer_norm", "group_norm", "route"}) && among(key, {"epsilon", "eps_"}))
    return "write 'eps = ...'";
  if (op == "group_norm" && among(key, {"num_groups", "group"}))
    return "write 'groups = ...'";
  if (op == "dropout" && among(key, {"p", "rate", "prob"}))
    return "write the rate alone, behind a comma: 'dropout %x, 0.1'";
  if (op == "residual" && among(key, {"p", "drop_prob", "drop"}))
    return "write 'drop_path = ...'";
  if (reduces && among(key, {"dim", "axis", "axes", "dims"}))
    return ("write '" + op + " %x over ...'").str();
  if (reduces && among(key, {"keepdim", "keepdims"}))
    return "axes that are reduced are gone; 'reshape' brings one of size 1 back";
  if (op == "softmax" && among(key, {"dim", "axis"}))
    return "it works on the last axis";
  if (op == "flatten")
    return "all axes of a sample become one";
  if (among(op, {"concat", "slice"}) && among(key, {"dim", "dims"}))
    return "write 'axis = ...'";
  if (op == "slice" && among(key, {"length", "end", "stop", "count"}))
    return "write 'start = ..., size = ...'";
  if (among(op, {"reshape", "transpose"}) && among(key, {"shape", "dims", "perm", "order", "to"}))
    return ("write '" + op + " %x to [...]'").str();
  if (op == "take" && among(key, {"index", "dim"}))
    return "write 'token = ...'";
  if (op == "attention" && among(key, {"num_heads", "n_heads"}))
    return "write 'heads = ...'";
  if (op == "route" && among(key, {"num_experts", "n_experts", "count"}))
    return "write 'experts = ...'";
  if (op == "experts" && among(key, {"num_experts", "n_experts", "experts", "n"}))
    return "write 'count = ...'";
  if (key == "inplace")
    return "values never change; the compiler finds places for them";
  return "";
}
