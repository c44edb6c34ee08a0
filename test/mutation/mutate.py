"""Changes single tokens of the project's own sources at random and counts which changes the tests notice.

    mutate.py [--seed S] [--count N] [--only K[,K...]] [--folder FOLDER ...] [--work FOLDER] [--jobs J]
              [--fast] [--no-baseline]

A mutation replaces one token of a file below `dialects`, `passes` or `runtime` (tests left out) by another of its kind: a number
by its neighbour, a comparison by another, `+` by `-`, `&&` by `||`, `true` by `false`, `min` by `max`, and so on; or it
removes a `!`. Those that do not compile, and those that give the same binaries, are drawn again and not counted. The
others are tested: first the tests that are not labelled slow (of these, those of the folder before the rest), then the slow ones, up to
the first failure. Comments, strings,
`#include` lines, and what stands in an `assert` or a `static_assert` are left alone, as are messages' words.

`--fast` leaves the slow tests out; `--only` then runs those that survived with all tests. `--no-baseline` trusts that the
unchanged sources pass. The seed is printed, and one seed draws the same mutations from the same sources; `--only 3,17` runs
some of them again, without the others. Work
happens in a copy of the committed sources (`git archive HEAD`) below `--work` (build-mutation unless given), so that the
tree is never touched. Ends with a table and with exit status 0 if at most a tenth of the mutations survived.
"""
import argparse
import hashlib
import io
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a token may become. Longer tokens first, so that `<=` is not read as `<` and `=`.
ALTERNATIVES = {
    "<=": ["<", ">=", "=="], ">=": [">", "<=", "=="], "==": ["!=", "<="], "!=": ["==", "<"],
    "&&": ["||"], "||": ["&&"], "++": ["--"], "--": ["++"], "+=": ["-="], "-=": ["+="], "*=": ["/="], "/=": ["*="],
    "<": ["<=", ">"], ">": [">=", "<"], "+": ["-"], "-": ["+"], "*": ["+", "/"], "/": ["*"], "%": ["/"],
    "&": ["|"], "|": ["&"], "!": [""],
    "true": ["false"], "false": ["true"], "min": ["max"], "max": ["min"], "continue": ["break"], "break": ["continue"],
    "minimum": ["maximum"], "maximum": ["minimum"], "any_of": ["all_of"], "all_of": ["any_of"],
    "push_back": ["pop_back"], "front": ["back"], "back": ["front"],
    "exp": ["log"], "log": ["exp"], "sqrt": ["rsqrt"], "rsqrt": ["sqrt"], "add": ["sub"], "sub": ["add"], "mul": ["div"], "div": ["mul"],
}
# The quick tests of a folder's own parts, which run before the others.
NEAREST = {"runtime": "^(runtime-tests|readers|damage)$", "dialects": "^(compiler-tests.*|texts)$", "passes": "^(compiler-tests.*|shapes)$"}
# Seconds that a test may take, several times what the slowest takes: a change that makes a loop endless is caught.
TIMEOUT = 300
TOKEN = re.compile(r'''
      (?P<skip> //[^\n]* | /\*.*?\*/ | R"\((?:.|\n)*?\)" | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])+' | ^[ \t]*\#[^\n]* )
    | (?P<number> (?<![\w.]) (?:0x[0-9a-fA-F.]+p[-+]?\d+|0x[0-9a-fA-F]+|\d+(?:'\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?) [uUlLfF]* (?![\w.]) )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<arrow> ->\*? | :: | <<=? | >>=? | \[\[ | \]\] )
    | (?P<operator> <= | >= | == | != | && | \|\| | \+\+ | -- | \+= | -= | \*= | /= | [-+*/%<>&|!] )
    ''', re.VERBOSE | re.MULTILINE | re.DOTALL)
ASSERTION = re.compile(r"\b(?:static_)?assert\s*\(")


def candidates(text):
    """(offset, token, replacements) of every token of a source that may be changed."""
    asserted = []
    for found in ASSERTION.finditer(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        asserted.append((found.start(), end))
    for found in TOKEN.finditer(text):
        if found.lastgroup in ("skip", "arrow") or any(a <= found.start() < b for a, b in asserted):
            continue
        token = found.group()
        if found.lastgroup == "number":
            yield found.start(), token, neighbours(token)
        elif found.lastgroup == "operator" and token not in ("!", "++", "--") and not (
                text[found.start() - 1].isspace() and text[found.end()].isspace()):
            continue   # a reference, a pointer, a template's bracket, a sign: the sources are formatted
        elif token in ALTERNATIVES:
            yield found.start(), token, ALTERNATIVES[token]


def neighbours(number):
    digits, suffix = re.fullmatch(r"(0x[0-9a-fA-F.]+p[-+]?\d+|0x[0-9a-fA-F]+|[\d.']+(?:[eE][-+]?\d+)?)([uUlLfF]*)", number).groups()
    if "." in digits or "p" in digits or ("e" in digits.lower() and not digits.startswith("0x")):
        return [f"({digits}{suffix} * 2)", f"({digits}{suffix} + 1)"]
    value = int(digits.replace("'", ""), 8 if re.fullmatch("0[0-7]+", digits) else 0)
    return [f"{value + 1}{suffix}"] + ([f"{value - 1}{suffix}"] if value else [])


def tokens_of(source, folders):
    """(path, offset, token, replacements) of every token that may be changed."""
    for path in (p for folder in folders for p in sorted((source / folder).rglob("*"))):
        if path.suffix in (".cpp", ".h", ".td") and not re.search(r"Test\.cpp$|/Test[A-Z]", str(path)):
            for candidate in candidates(path.read_text()):
                yield path, *candidate


class Tree:
    """A copy of the committed sources with a build folder of its own."""

    def __init__(self, work, jobs):
        self.source, self.jobs = work / "source", jobs
        archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
        committed = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.isfile():
                    committed[member.name] = (tar.extractfile(member).read(), member.mode)
        # Files that did not change keep their time, so that a second call builds only what is new.
        for path in [p for p in self.source.rglob("*") if p.is_file()]:
            name = path.relative_to(self.source).as_posix()
            if not name.startswith("build/") and name not in committed:
                path.unlink()
        for name, (content, mode) in committed.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
            path.chmod(mode)
        self.log = (work / "log.txt").open("ab")

    def run(self, *command, limit=3600):
        try:
            return subprocess.run(command, cwd=self.source, stdout=self.log, stderr=self.log, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            return "took too long"

    def build(self):
        return self.run("cmake", "--build", "build", "-j", str(self.jobs))

    def binaries(self):
        """A digest of what was built: changes that leave it alone change nothing."""
        digest = hashlib.sha256()
        for name in ("lib/libmoe-compiler.so", "bin/moert", "bin/moec", "bin/runtime-tests"):
            digest.update((self.source / "build" / name).read_bytes())
        return digest.digest()

    def tests(self, *selection):
        """None where all pass; else the first test that fails."""
        done = subprocess.run(["ctest", "--test-dir", "build", "--no-tests=error", "--stop-on-failure", "--timeout", str(TIMEOUT),
                               "-j", str(self.jobs), *selection], cwd=self.source, capture_output=True, text=True)
        self.log.write(done.stdout[-20000:].encode())
        failed = re.findall(r"(\S+) \.*\s*\*+(?:Failed|Timeout|Exception|Not Run)|\d+ - (\S+) \((?:Failed|Timeout|.*)\)", done.stdout)
        return None if done.returncode == 0 else next((a or b for a, b in failed), "a test")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="drawn unless given, and printed")
    parser.add_argument("--count", type=int, default=40, help="mutations that count (40)")
    parser.add_argument("--only", default="", metavar="K[,K...]", help="run only these of the seed's mutations, by the numbers that an earlier run printed")
    parser.add_argument("--folder", action="append", default=[], help="of dialects, passes and runtime, those to change (all)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build-mutation", help="where the copy is built (build-mutation)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers and tests at a time (one a core)")
    parser.add_argument("--fast", action="store_true", help="without the tests that are labelled slow")
    parser.add_argument("--no-baseline", action="store_true", help="without testing the unchanged sources first")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    only = {int(k) for k in options.only.split(",") if k}
    print(f"seed {seed}", flush=True)
    generator = random.Random(seed)
    tree = Tree(options.work, options.jobs)
    if tree.run("cmake", "--preset", "release") or tree.build():
        sys.exit(f"the unchanged sources do not build; see {options.work}/log.txt")
    if not options.no_baseline and (broken := tree.tests("-LE", "slow")):
        sys.exit(f"the unchanged sources fail {broken}; see {options.work}/log.txt")
    tokens = list(tokens_of(tree.source, options.folder or ["dialects", "passes", "runtime"]))
    # Which draws count, from an earlier run of the seed on these sources: those need not be built to be left out.
    memory, counts = options.work / "drawn.json", []
    key = hashlib.sha256(repr([seed] + [(str(token[0].relative_to(tree.source)), *token[1:]) for token in tokens]).encode()).hexdigest()
    remembered = json.loads(memory.read_text()) if memory.exists() else {}
    known = remembered.get(key, [])
    golden, drawn, rows = tree.binaries(), 0, []
    while len(rows) < (max(only) if only else options.count):
        file, offset, token, replacements = generator.choice(tokens)
        replacement = generator.choice(replacements)
        drawn += 1
        if only and len(known) >= drawn and (not known[drawn - 1] or len(rows) + 1 not in only):
            rows += ["left out"] * known[drawn - 1]
            continue
        text = file.read_text()
        changed = text[:offset] + replacement + text[offset + len(token):]
        line = text.count("\n", 0, offset) + 1
        shown = changed.splitlines()[line - 1].strip()
        start = time.time()
        file.write_text(changed)
        try:
            if tree.build():
                verdict = "does not compile"
            elif tree.binaries() == golden:
                verdict = "same binaries"
            elif only and len(rows) + 1 not in only:
                verdict = "left out"
            elif noticed := tree.tests("-R", NEAREST[file.relative_to(tree.source).parts[0]]) or tree.tests("-LE", "slow"):
                verdict = f"caught by {noticed}"
            elif not options.fast and (noticed := tree.tests("-L", "slow")):
                verdict = f"caught by {noticed} (slow)"
            else:
                verdict = "SURVIVED"
        finally:
            file.write_text(text)
        counted = verdict not in ("does not compile", "same binaries")
        if counted:
            rows.append(verdict)
        counts.append(counted)
        if not only and len(counts) > len(known):
            memory.write_text(json.dumps(remembered | {key: counts}))
        label = f"{len(rows):3}" if counted else "  -"
        print(f"{label}  {file.relative_to(tree.source)}:{line}: '{token}' -> '{replacement}': {verdict} ({time.time() - start:.0f} s)\n       {shown}", flush=True)
    tree.build()
    tested = [row for row in rows if row != "left out"]
    survived = tested.count("SURVIVED")
    print(f"{len(tested)} mutations tested, of {drawn} drawn of which {len(rows)} compiled and changed a binary: "
          f"{len(tested) - survived} caught, {survived} survived")
    sys.exit(survived > len(tested) // 10)


if __name__ == "__main__":
    main()
