# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes one ES module for browsers of xterm.js, as Debian's package node-xterm (3.8.1) has it.

    bundle-xterm.py PACKAGE-DIRECTORY >xterm.js         exports Terminal

The package's modules are CommonJS for node; what the package calls its bundle for browsers does not hold them.
"""
import os
import re
import sys

ENTRY = "lib/public/Terminal.js"
REQUIRE = re.compile(r"\brequire\((['\"])([^'\"]*)\1\)")
FILL_TEXT = re.compile(r"\b((?:this\.)?_?\w*[cC]tx)\.fillText\(")

LOADER = """
const loaded = new Map();

function load(path) {
    if (!loaded.has(path)) {
        const module = { exports: {} };
        loaded.set(path, module);
        modules[path](module, module.exports, load);
    }
    return loaded.get(path).exports;
}

/* Where a font's top is was less clear when xterm.js 3.8.1 was written: with the browsers of today the heads of its
 * letters, and what stands on them, would be above their cell and cut off. */
const ascents = new Map();

function fillTextBelow(context, text, x, top) {
    context.textBaseline = 'alphabetic';
    if (!ascents.has(context.font)) {
        ascents.set(context.font, Math.round(context.measureText('M').fontBoundingBoxAscent));
    }
    context.fillText(text, x, top + ascents.get(context.font));
}
"""


def resolve(package, importer, name):
    path = os.path.normpath(os.path.join(os.path.dirname(importer), name))
    for candidate in (path, f"{path}.js"):
        if name.startswith(".") and os.path.isfile(os.path.join(package, candidate)):
            return candidate
    sys.exit(f"bundle-xterm: {importer} requires {name}, which is not in {package}")


def collect(package, entry):
    """path → source of the entry and all that it needs, requires rewritten to paths."""
    sources, waiting = {}, [entry]
    while waiting:
        path = waiting.pop()
        if path in sources:
            continue
        with open(os.path.join(package, path), encoding="utf-8") as file:
            text = "".join(line for line in file if not line.startswith("//# sourceMappingURL="))

        def rewrite(match, path=path):
            waiting.append(resolve(package, path, match[2]))
            return f'require("{waiting[-1]}")'

        sources[path] = FILL_TEXT.sub(r"fillTextBelow(\1, ", REQUIRE.sub(rewrite, text))
    return sources


def main():
    package = sys.argv[1]
    sources = collect(package, resolve(package, "", "./" + ENTRY))
    if not any("fillTextBelow(" in source for source in sources.values()):
        sys.exit(f"bundle-xterm: {package} is not the xterm.js that this is for")
    print("const modules = {")
    for path, source in sorted(sources.items()):
        print(f'"{path}": function (module, exports, require) {{\n{source}\n}},')
    print(f'}};\n{LOADER}\nexport const {{ Terminal }} = load("{ENTRY}");')


if __name__ == "__main__":
    main()
