"""Follows the relative links of installed pages: links.py PREFIX. Every link of a page below share/ leads to a file or folder that is
installed."""
import pathlib
import re
import sys

pages = sorted(pathlib.Path(sys.argv[1]).glob("share/**/*.md"))
count, wrong = 0, []
for page in pages:
    text = re.sub(r"^```.*?^```|^    .*?$|`[^`\n]*\]\([^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        path = target.split("#")[0]
        if "://" in target or not path:
            continue
        count += 1
        if not (page.parent / path).exists():
            wrong.append(f"{page}: expected a file or folder at '{target}', found none")
print("\n".join(wrong), file=sys.stderr)
print(f"{len(pages)} pages, {count} links")
sys.exit(1 if wrong or count < 40 else 0)
