// A table for each kind of word. Hints say what to write, so that nobody has to look it up.
#include "dialects/moe/Elsewhere.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/Twine.h"

using llvm::StringRef;

StringRef moe::opElsewhere(StringRef word) {
  return llvm::StringSwitch<StringRef>(word)
      .Cases({"avg_pool", "average_pool", "avg_pool2d", "avgpool"}, "mean_pool")
      .Cases({"max_pool2d", "maxpool"}, "max_pool")
      .Cases({"dense", "fc"}, "linear")
      .Cases({"conv2d", "convolution", "depthwise_conv", "depthwise_conv2d", "depthwise"}, "conv")
      .Cases({"batch_norm", "batchnorm", "batch_norm2d", "instance_norm"}, "group_norm")
      .Cases({"multiply", "times"}, "mul")
      .Cases({"cat", "concatenate"}, "concat")
      .Cases({"clip", "hardtanh"}, "clamp")
      .Cases({"l2_normalize", "l2norm"}, "normalize")
      .Cases({"bmm", "mm", "dot"}, "matmul")
      .Case("scale", "layer_scale")
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
  if (conv && among(key, {"group", "num_groups", "feature_group_count"}))
    return "write 'groups = ...'";
  if (conv && among(key, {"depthwise", "depth_multiplier"}))
    return "write 'groups = ...' with as many groups as channels";
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
  if (op == "clamp" && among(key, {"low", "lower", "high", "upper", "minimum", "maximum"}))
    return "write 'min = ...' and 'max = ...'";
  if (op == "normalize" && among(key, {"dim", "axis", "axes"}))
    return "write 'normalize %x over ...'";
  if (op == "normalize" && among(key, {"p", "ord"}))
    return "it takes the Euclidean norm";
  if (op == "normalize" && among(key, {"mean", "std", "deviation"}))
    return "write 'mean [...] deviation [...]' behind the model's input";
  if (op == "layer_scale" && among(key, {"init_values", "init_value", "gamma"}))
    return "write 'init constant(...)', without '='";
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
  if (among(op, {"attention", "attend"}) && among(key, {"num_heads", "n_heads", "n_head"}))
    return "write 'heads = ...'";
  if (op == "attention" && among(key, {"bias", "qkv_bias", "add_bias_kv", "no_bias"}))
    return "write 'no_qkv_bias' to leave out the bias of 'qkv'; 'proj' always has one";
  if (op == "attention" && among(key, {"dim", "embed_dim", "head_dim", "features"}))
    return "it takes the features from the value, and each head has features / heads of them";
  if (among(op, {"attention", "attend"}) &&
      among(key, {"dropout", "attn_drop", "proj_drop", "dropout_p", "drop"}))
    return "write 'dropout' behind it; the weights of attention are never dropped";
  if (op == "attention" && among(key, {"scale", "qk_scale"}))
    return "it is 1 / sqrt(features / heads); 'attend' has an option 'scale'";
  if (op == "route" && among(key, {"num_experts", "n_experts", "count"}))
    return "write 'experts = ...'";
  if (op == "experts" && among(key, {"num_experts", "n_experts", "experts", "n"}))
    return "write 'count = ...'";
  if (key == "inplace")
    return "values never change; the compiler finds places for them";
  return "";
}

std::string moe::initialElsewhere(StringRef rule) {
  while (rule.consume_back("_"))
    ;
  StringRef hint =
      llvm::StringSwitch<StringRef>(rule)
          .Cases({"xavier", "xavier_uniform", "glorot", "glorot_uniform"},
                 "write 'uniform(-b, b)' with b = sqrt(6 / (fan-in + fan-out)) as a number")
          .Cases({"xavier_normal", "glorot_normal"},
                 "write 'normal(d)' with d = sqrt(2 / (fan-in + fan-out)) as a number")
          .Cases({"kaiming", "kaiming_uniform", "he", "he_uniform"},
                 "write 'fan_in(2)', which is kaiming_uniform for relu; torch's own initial values need no "
                 "'init'")
          .Cases({"kaiming_normal", "he_normal"}, "write 'normal(d)' with d = sqrt(2 / fan-in) as a number")
          .Case("lecun_uniform", "write 'fan_in(1)'")
          .Case("lecun_normal", "write 'normal(d)' with d = sqrt(1 / fan-in) as a number")
          .Cases({"truncated_normal", "truncated"}, "write 'trunc_normal(deviation)'")
          .Cases({"gaussian", "randn"}, "write 'normal(deviation)'")
          .Cases({"no_bias", "bias"}, "the option is written without ',': 'linear @fc(%x) no_bias to 8'")
          .Default("");
  return hint.str();
}

std::string moe::valueElsewhere(StringRef op, StringRef key, StringRef value) {
  if (key != "pad")
    return "";
  std::string size = op == "conv" ? "'pad' is (kernel - 1) / 2 unless given, which keeps the size at stride 1"
                                  : "'pad' is 0 unless given";
  if (value.equals_insensitive("same"))
    return op == "conv" ? size : size + "; (kernel - 1) / 2 keeps the size at stride 1";
  if (value.equals_insensitive("valid"))
    return op == "conv" ? "write 'pad = 0'; " + size : size;
  return size;
}
