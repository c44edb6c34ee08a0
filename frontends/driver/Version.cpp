// The compiler's version, written into every program.
namespace moe {
const char *version() { return "0.1.0"; }
} // namespace moe
