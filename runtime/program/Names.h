// Names that the compiler gives to entries and outputs, and by which the runtime finds them. Those that end in a dot are
// followed by a path: of a routing, or of an auxiliary loss.
#pragma once

#include <string_view>

namespace moert {

/// The inference entry that drops rows as training does, of a program whose routings do.
inline constexpr std::string_view kAsTrained = "as_trained";

// Of a training step: what each expert has of all gates, or of all pairs of a row and a choice, [experts]; and the share of
// the pairs that are dropped, where a routing drops any.
inline constexpr std::string_view kGateBalance = "gate_balance.", kDropped = "dropped.";

// Of an inference entry: how many rows chose each expert, and how many of them it took where some may be dropped, [experts]
// of i32; and a loss of a routing, without its weight, in the entry that drops rows as training does.
inline constexpr std::string_view kChosen = "chosen.", kKept = "kept.", kRoutingLoss = "routing_loss.";

} // namespace moert
