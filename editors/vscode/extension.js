// Starts moe-lsp for files of the model language, and again where its settings change.
"use strict";
const vscode = require("vscode");
const {LanguageClient} = require("vscode-languageclient/node");

let client;

function settings() {
  return vscode.workspace.getConfiguration("moe");
}

async function start() {
  const args = settings().get("plugins").flatMap((plugin) => ["--load", plugin]);
  const server = {command: settings().get("server"), args};
  client = new LanguageClient("moe", "moe", server, {
    documentSelector: [{scheme: "file", language: "moe"}],
    initializationOptions: {inlayHints: settings().get("inlayHints")},
    synchronize: {configurationSection: "moe"},
  });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showErrorMessage(
        `moe: the language server '${server.command}' does not start (${error.message}); the setting moe.server says where it is`);
  }
}

async function stop() {
  const old = client;
  client = undefined;
  if (old)
    await old.stop();
}

async function restart() {
  await stop();
  await start();
}

exports.activate = async function activate(context) {
  context.subscriptions.push(
      vscode.commands.registerCommand("moe.restart", restart), vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("moe.server") || event.affectsConfiguration("moe.plugins"))
          return restart();
      }));
  await start();
};

exports.deactivate = stop;
