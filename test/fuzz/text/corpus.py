"""corpus.py FOLDER DICTIONARY: what text-fuzz begins with: the models of examples/ and test/, one a file (a test of several
texts is several), and the words of them all as libFuzzer's dictionary."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[3]
folder, dictionary = map(pathlib.Path, sys.argv[1:])
texts = []
for part in ("examples", "test"):
    for file in sorted((root / part).rglob("*.mlir")):
        texts += [text.strip() + "\n" for text in file.read_text(errors="replace").split("// -----") if "moe." in text]
folder.mkdir(parents=True, exist_ok=True)
for number, text in enumerate(texts):
    (folder / f"{number:03}.mlir").write_text(text)
code = "\n".join(re.sub("//.*", "", text) for text in texts)
words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_.]*|[%@]\w+|[0-9][0-9.e-]*|[^\s\w]", code))
words |= set(re.findall(r'def Moe_\w+ : Moe_\w+<"(\w+)"', "\n".join(path.read_text() for path in (root / "dialects/moe").glob("*.td"))))
dictionary.write_text("".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"\n'
                              for word in sorted(words) if len(word) < 30 and word.isascii()))
