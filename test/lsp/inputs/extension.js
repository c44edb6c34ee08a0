// Runs an extension with stand-ins for the modules of VS Code: extension.js FILE.
"use strict";
const Module = require("module");
const settings = {server: "moe-lsp", plugins: ["a.so"], inlayHints: true};
const commands = {};
let fails = false;
const standIns = {
  "vscode": {
    workspace: {
      getConfiguration: () => ({get: (name) => settings[name]}),
      onDidChangeConfiguration: () => ({dispose() {}}),
    },
    commands: {registerCommand: (name, run) => (commands[name] = run, {dispose() {}})},
    window: {showErrorMessage: (message) => console.log(message)},
  },
  "vscode-languageclient/node": {
    LanguageClient: class {
      constructor(id, name, server, client) {
        this.server = server;
        this.client = client;
      }
      async start() {
        if (fails)
          throw new Error("no such file");
        console.log("start", this.server.command, ...this.server.args, "with", JSON.stringify(this.client.initializationOptions));
      }
      async stop() {
        console.log("stop");
      }
    },
  },
};
const load = Module._load;
Module._load = (name, ...rest) => standIns[name] || load(name, ...rest);

(async () => {
  const extension = require(process.argv[2]);
  await extension.activate({subscriptions: []});
  await commands["moe.restart"]();
  fails = true;
  await commands["moe.restart"]();
  await extension.deactivate();
})();
