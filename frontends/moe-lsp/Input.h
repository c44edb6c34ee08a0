// Reads a client's messages, whatever is wrong with them: a header that has no length, or one that nobody can mean, is passed over to
// the next that has one, and what is no message becomes a request that is answered with the error.
#pragma once
#include "llvm/Support/LSP/Transport.h"

namespace moe::lsp {

/// The methods that stand for what is no JSON, and for JSON that is no message of the protocol.
constexpr llvm::StringLiteral unreadable = "$/unreadable", noMessage = "$/noMessage";

class Input : public llvm::lsp::JSONTransportInput {
public:
  explicit Input(std::FILE *file) : file(file) {}
  bool hasError() const override { return ferror(file); }
  bool isEndOfInput() const override { return feof(file); }
  llvm::LogicalResult readStandardMessage(std::string &json) override;
  llvm::LogicalResult readDelimitedMessage(std::string &json) override { return readStandardMessage(json); }

private:
  bool readLine(std::string &line);
  std::FILE *file;
};

} // namespace moe::lsp
