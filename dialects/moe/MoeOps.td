// All ops of the language.
include "dialects/moe/MoeStructureOps.td"
include "dialects/moe/MoeParameterOps.td"
include "dialects/moe/MoeRoutingOps.td"
include "dialects/moe/MoeTensorOps.td"
