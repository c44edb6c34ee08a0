// The runtime's version, printed by moert --version.
namespace moert {
const char *version() { return "0.1.0"; }
} // namespace moert
