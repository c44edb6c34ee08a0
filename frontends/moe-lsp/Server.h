// The language server: what an editor asks, by the protocol (https://microsoft.github.io/language-server-protocol, 3.17).
#pragma once

namespace moe::lsp {

/// Serves one client on standard input and output, to its end. The exit status.
int serve();

} // namespace moe::lsp
