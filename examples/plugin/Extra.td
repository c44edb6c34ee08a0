// All ops of the plugin.
include "LogSumExp.td"
include "Roll.td"
