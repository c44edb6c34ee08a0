"""Line breaks mean nothing to the parser, so a clause or flag must not be spelt like an op that yields nothing: after
`linear @fc(%x) to dim` an op `init ...` on the next line could not be told from the clause. Reads the td files."""
import pathlib
import re
import sys

texts = "\n".join(path.read_text() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.td")))
formats = "\n".join(line for line in texts.splitlines() if not line.strip().startswith("//"))
effects = set(re.findall(r'Moe_Effect<"(\w+)"', formats)) | set(re.findall(r'Moe_Body<"(\w+)"', formats))
prose = re.compile(r'let (summary|description) = (\[\{.*?\}\]|"[^"]*")', re.S)
words = set(re.findall(r"`([a-z_]+)`|Moe_Clause<\"(\w+)\">", prose.sub("", formats)))
words = {word for pair in words for word in pair if word}
words |= set(re.findall(r"(\w+):[\w%]", " ".join(re.findall(r'"([^"\n]*)"', formats))))
flags = set(re.findall(r"(\w+)\?", " ".join(re.findall(r'"([^"]*\?[^"]*)"', formats))))
print("ops that yield nothing:", " ".join(sorted(effects)))
print("clauses:", " ".join(sorted(words)))
print("flags:", " ".join(sorted(flags)))
# `layer` opens a clause; the op of that name stands at the top level only, where no clause is open.
clash = ((words | flags) & effects) - {"layer"}
print("clash:", " ".join(sorted(clash)) or "none")
