#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The documents against the programs: flags, codes, fields, links, and the examples, which must work."""
import functools
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import textwrap
import unittest
from collections import defaultdict

TESTS = pathlib.Path(__file__).resolve().parents[1]
TOP = TESTS.parent
sys.path.insert(0, str(TESTS))
from lab import case, daemon, guest, pki, program, rawhttp, resolverd, rfb, tap, ws  # noqa: E402

PROXY, RESOLVER, ADM = "virtconsoleproxyd", "virtconsoleresolverd", "virtconsoleresolveradm"
CTL = "virtconsoleproxyctl"
PROGRAMS = {PROXY: "VCP_BINARY", RESOLVER: "VCR_BINARY", ADM: "VCR_ADM_BINARY", CTL: "VCP_CTL_BINARY"}
MAN = {PROXY: "docs/man/virtconsoleproxyd.8.rst", RESOLVER: "docs/man/virtconsoleresolverd.8.rst",
       ADM: "docs/man/virtconsoleresolveradm.1.rst", CTL: "docs/man/virtconsoleproxyctl.1.rst"}
CONF_PAGE, TOKENS_PAGE = "docs/man/virtconsoleproxy.conf.5.rst", "docs/man/virtconsoleproxy-tokens.5.rst"
FORMATS = (CONF_PAGE, TOKENS_PAGE)       # of files: no program's
TOOLS = (ADM, CTL)                       # have commands
DAEMONS = (PROXY, RESOLVER)
CONF = {PROXY: "conf/virtconsoleproxyd.conf", RESOLVER: "conf/virtconsoleresolverd.conf"}
NO_KEYS = {"help", "version", "config", "check-config"}
API = "docs/resolver-api.yaml"
DIRECTORIES = ("proxy", "resolver")      # whose README has a bullet for each file
UNPROMISED = {"config"}                  # reasons that reach neither a client nor a browser
BROWSERS_OWN = {1005, 1006}              # close codes that no peer sends


def read(path):
    return (TOP / path).read_text(encoding="utf-8")


def markdown():
    """The project's pages, as paths below its top."""
    pages = [TOP / "README.md", *TOP.glob("docs/**/*.md"), *(TOP / name / "README.md" for name in DIRECTORIES)]
    return sorted(str(page.relative_to(TOP)) for page in pages)


def pages():
    """Those and the manual pages."""
    return [*MAN.values(), *FORMATS, *markdown()]


def api():
    try:
        import yaml
    except ImportError:
        raise unittest.SkipTest("no yaml module on this machine (package python3-yaml)") from None
    return yaml.safe_load(read(API))


def code_blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code_block(path, language, mark=""):
    """The one code block that has the mark in it."""
    found = [block for block in code_blocks(read(path), language) if mark in block]
    if len(found) != 1:
        raise AssertionError(f"{path}: {len(found)} {language} blocks with {mark!r}")
    return found[0]


def table(path, heading):
    """First column of the first table below a heading, without backquotes."""
    below = re.split(rf"^#+ {re.escape(heading)}$", read(path), flags=re.MULTILINE)[1]
    rows = re.search(r"((?:^\|.*\n)+)", below, re.MULTILINE)[1].splitlines()
    return [row.split("|")[1].strip().strip("`") for row in rows[2:]]


# --- the program and its source ----------------------------------------------------------------------

@functools.cache
def help_text(*command):
    return subprocess.run([*command, "--help"], stdin=subprocess.DEVNULL, text=True, check=True,
                          capture_output=True, env={**os.environ, "LC_ALL": "C"}, timeout=60).stdout


def help_flags(name, *command):
    """Flag of a program, or of one of its commands -> its default as --help shows it, or None."""
    flags = {}
    shown = help_text(program.path_from(PROGRAMS[name]), *command)
    for short, name, text in re.findall(r"^ +(?:-(\w), )?--([\w-]+)(?:=\S+)? +(.*)$", shown, re.MULTILINE):
        default = re.search(r" \(([^()]*)\)$", text)
        flags[name] = default[1] if default else None
        if short:
            flags[short] = None
    return flags


def all_flags():
    """Those of every program, and of every command."""
    flags = set().union(*(help_flags(name) for name in PROGRAMS))
    return flags.union(*(help_flags(name, command) for name in TOOLS for command in man_commands(name)))


def error_rows():
    """The table of common/error.c: name -> (close code, HTTP status)."""
    rows = re.findall(r'\[VC_ERROR_\w+\]\s*=\s*\{\s*"([\w-]+)",\s*(\d+),\s*(\d+),', read("common/error.c"))
    return {name: (int(code), int(status)) for name, code, status in rows}


def source_fields():
    """What common/service.c reads from a service."""
    return set(re.findall(r'\bread_\w+\(json,\s*"(\w+)"', read("common/service.c")))


# --- the manual page ---------------------------------------------------------------------------------

def man_section(title, name=PROXY):
    text = read(MAN[name])
    return re.search(rf"^{title}\n=+\n(.*?)(?=^\S[^\n]*\n===|\Z)", text, re.MULTILINE | re.DOTALL)[1]


def entries_of(text):
    """Its entries: first line -> indented text below it."""
    entries = re.findall(r"^(\S.*)\n((?: {4}.*\n|\n(?= {4}))+)", text + "\n", re.MULTILINE)
    return {term: textwrap.dedent(below) for term, below in entries}


def man_entries(title, name=PROXY):
    return entries_of(man_section(title, name))


def man_commands(name):
    """The COMMANDS section: command -> the text about it."""
    parts = re.split(r"^(\w+)\n-+\n", man_section("COMMANDS", name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def man_flags(entries):
    """Of a section's entries."""
    flags = {}
    for term, text in entries.items():
        match = re.match(r"(?:-(\w), )?--([\w-]+)(?:=\S+)?$", term)
        if not match:
            continue
        default = re.search(r"^Default: (.*)$", text, re.MULTILINE)
        flags[match[2]] = default[1].strip("`") if default else None
        if match[1]:
            flags[match[1]] = None
    return flags


def man_codes(title):
    """Number -> names of reasons."""
    codes = {}
    for term in man_entries(title):
        match = re.match(r"(\d+) \((.*)\)$", term)
        if match:
            codes[int(match[1])] = set(match[2].split(", "))
    return codes


# --- the tests ---------------------------------------------------------------------------------------

class Flags(unittest.TestCase):
    def test_the_programs_have_some(self):
        flags = help_flags(PROXY)
        self.assertGreater(len(flags), 30)
        self.assertEqual(flags["listen-addr"], "[::]:443")
        self.assertIsNone(flags["listen-insecure"])
        self.assertEqual(help_flags(RESOLVER)["listen-addr"], "[::]:8081")

    def test_manual_pages(self):
        for name in PROGRAMS:
            with self.subTest(name):
                self.assertEqual(man_flags(man_entries("OPTIONS", name)), help_flags(name))

    def test_mentions(self):
        """Pages name no flag that is not there; other programs' flags stand in code blocks only."""
        flags = all_flags()
        for page in pages():
            text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
            if page.endswith(".rst"):
                text = re.sub(r"::\n\n(?: +.*\n|\n)+", "\n", text)
            text = re.sub(r"`(?:sudo )?(?:tools|meson|certtool|uuidgen|virtconsoleresolveradm|virtconsoleproxyctl)\b[^`]*`", "", text)
            for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)", text):
                with self.subTest(page, flag=flag):
                    self.assertIn(flag, flags)

    def test_examples(self):
        """Commands that start a daemon, wherever they stand."""
        for name in DAEMONS:
            flags = help_flags(name)
            count = 0
            for page in pages():
                for command in re.findall(rf"{name}((?:(?: |\\\n)+(?:--\S+))+)", read(page)):
                    for flag in re.findall(r"(?<!\S)--([\w-]+)", command):
                        count += 1
                        with self.subTest(page, flag=flag):
                            self.assertIn(flag, flags)
            self.assertGreater(count, 5, name)

    def test_deployment_uses_the_default_files(self):
        readme = read("README.md")
        for name in PROGRAMS:
            for flag, default in help_flags(name).items():
                if default and default.startswith("/"):
                    with self.subTest(name, flag=flag):
                        self.assertIn(os.path.dirname(default), readme)
                        self.assertIn(os.path.basename(default), readme)


class Adm(unittest.TestCase):
    """The page of virtconsoleresolveradm."""

    NAME, SHORT, LONG = ADM, "c", "connect"

    def commands(self):
        shown = help_text(program.path_from(PROGRAMS[self.NAME])).split("\nCommands:\n")[1]
        return re.findall(r"^  (\w+) .*$", shown, re.MULTILINE)

    def test_commands(self):
        self.assertGreater(len(self.commands()), 3)
        self.assertEqual(list(man_commands(self.NAME)), self.commands())
        synopsis = re.findall(rf"^``\w+`` \[``-{self.SHORT}`` \*\w+\*\] ``(\w+)``",
                              man_section("SYNOPSIS", self.NAME), re.MULTILINE)
        self.assertEqual(synopsis, self.commands())

    def test_flags_of_commands(self):
        everywhere = {self.SHORT, self.LONG, "h", "help"}
        for command, text in man_commands(self.NAME).items():
            with self.subTest(command):
                shown = help_flags(self.NAME, command)
                self.assertLessEqual(everywhere, set(shown))
                self.assertEqual(man_flags(entries_of(text)),
                                 {flag: default for flag, default in shown.items() if flag not in everywhere})

    def test_examples(self):
        """Every flag that follows a command is one of its flags."""
        count = 0
        call = rf"{self.NAME} (?:-{self.SHORT} \S+ )?({'|'.join(self.commands())})\b(.*)"
        for page in [MAN[self.NAME], *markdown()]:
            for command, rest in re.findall(call, read(page)):
                for flag in re.findall(r"--([\w-]+)", rest):
                    count += 1
                    with self.subTest(page, command=command, flag=flag):
                        self.assertIn(flag, help_flags(self.NAME, command))
        self.assertGreater(count, 2)


class Ctl(Adm):
    """The page of virtconsoleproxyctl."""

    NAME, SHORT, LONG = CTL, "s", "socket"


class Codes(unittest.TestCase):
    def setUp(self):
        self.rows = error_rows()
        self.assertGreater(len(self.rows), 20, "common/error.c is not read as it should be")

    def close_codes(self):
        """Those of reasons that a websocket can end with: others share the code of our own faults."""
        codes = defaultdict(set)
        for name, (code, _) in self.rows.items():
            if code != 1011 or name == "internal":
                codes[code].add(name)
        return dict(codes)

    def test_close_codes(self):
        self.assertEqual(man_codes("CLOSE CODES"), self.close_codes())

    def test_http_statuses(self):
        documented = man_codes("HTTP")
        for status, names in documented.items():
            for name in names:
                with self.subTest(name):
                    self.assertEqual(status, self.rows[name][1])
        before_upgrade = {name for name, (code, _) in self.rows.items()
                          if code == 1011 and name not in UNPROMISED | {"internal"}}
        self.assertLessEqual(before_upgrade, set().union(*documented.values()))

    def test_console_page(self):
        explained = {int(code) for code in re.findall(r"^\s*\[(\d{4}),", read("web/close-codes.js"), re.MULTILINE)}
        self.assertEqual(explained - BROWSERS_OWN, set(self.close_codes()))

    def test_other_pages(self):
        """Close codes that pages mention are ones that the program has."""
        for page in markdown():
            for code in re.findall(r"(?<![\w.:-])(4[45]\d\d)(?![\w.:-])", read(page)):
                with self.subTest(page, code=code):
                    self.assertIn(int(code), self.close_codes())


class Service(unittest.TestCase):
    def test_source(self):
        """What the other tests compare with is what the file reads."""
        self.assertLess({"type", "address", "insecure", "password"}, source_fields())

    def test_page(self):
        self.assertEqual(set(table("docs/service.md", "The fields")), source_fields())

    def test_manual_page(self):
        terms = [re.match(r"``(\w+)`` \((\w+)", term) for term in man_entries("TOKENS AND SERVICES")]
        self.assertEqual({match[1] for match in terms if match}, source_fields())

    def test_complete_example(self):
        self.assertEqual(set(json.loads(code_block("docs/service.md", "json", '"tlsTunnel"'))), source_fields())


class Links(unittest.TestCase):
    def anchors(self, path):
        """As GitHub makes them of headings."""
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def test_relative(self):
        for page in markdown():
            for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
                if re.match(r"[a-z]+:", target):
                    continue
                with self.subTest(page, target=target):
                    path, _, anchor = target.partition("#")
                    file = (TOP / page).parent / path if path else TOP / page
                    self.assertTrue(file.exists())
                    if anchor:
                        self.assertIn(anchor, self.anchors(file))

    def test_files(self):
        """A directory's README has a bullet for each C file, and no others."""
        for directory in DIRECTORIES:
            with self.subTest(directory):
                named = set(re.findall(r"`([\w-]+\.[ch])`", read(f"{directory}/README.md")))
                sources = {path.name for path in (TOP / directory).glob("*.c")}
                self.assertLessEqual(sources, named)
                for name in named - sources:
                    self.assertTrue((TOP / directory / name).exists(), name)


class ManualPages(unittest.TestCase):
    def test_no_warnings(self):
        rst2man = os.environ.get("RST2MAN") or shutil.which("rst2man")
        if not rst2man:
            self.skipTest("no rst2man on this machine (package python3-docutils)")
        for page in (*MAN.values(), *FORMATS):
            with self.subTest(page):
                done = subprocess.run([rst2man, "--report=info", "--halt=5", str(TOP / page)], text=True, check=False,
                                      stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(".SH SYNTAX" if page in FORMATS else ".SH EXIT STATUS", done.stdout)

    def test_all_are_built(self):
        names = {path.name.removesuffix(".rst") for path in (TOP / "docs/man").glob("*.rst")}
        self.assertEqual(set(re.findall(r"'(virt[\w.-]+\.\d)'", read("docs/meson.build"))), names)
        self.assertEqual({pathlib.Path(page).stem for page in (*MAN.values(), *FORMATS)}, names)


class Resolver(unittest.TestCase):
    """What virtconsoleresolverd's pages say, beside flags, against its source and each other."""

    def literals(self, path):
        """The file's strings, each in one piece."""
        return re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r'"\s*\n\s*"', "", read(path)))

    def test_attributes_of_the_metadata(self):
        written = set(re.findall(r'append_attribute\(xml, "([\w-]+)"', read("resolver/metadata.c")))
        self.assertLess({"token", "type", "port", "insecure"}, written)
        terms = [re.match(r"``([\w-]+)``(?: \(required\))?$", term)
                 for term in man_entries("METADATA AND SECRETS", RESOLVER)]
        self.assertEqual({match[1] for match in terms if match}, written)

    def test_reasons_not_to_offer_a_console(self):
        terms = "".join(f"{term}\n" for term in man_entries("CONSOLES", RESOLVER))
        documented = [reason.removesuffix(" ...") for reason in re.findall(r"``([^`]+ [^`]+)``", terms)]
        reasons = [text for text in self.literals("resolver/offer.c") if " " in text]
        self.assertGreater(len(reasons), 4)
        for reason in reasons:
            self.assertTrue(any(reason.startswith(one) for one in documented), reason)
        everything = reasons + self.literals("resolver/secret.c")
        for one in documented:
            self.assertTrue(any(text.startswith(one.removesuffix("...")) for text in everything), one)

    def test_statuses(self):
        """The manual page and the API document have the same ones."""
        documented = {term for term in man_entries("HTTP", RESOLVER) if term.isdigit()}
        responses = set()
        for path in api()["paths"].values():
            for operation in path.values():
                if isinstance(operation, dict):
                    responses.update(operation["responses"])
        self.assertEqual(responses - {"414", "431"}, documented)

    def test_fields(self):
        """The API document's service is the one that common/service.c reads."""
        schemas = api()["components"]["schemas"]
        self.assertEqual(set(schemas["Service"]["properties"]), source_fields())
        source = read("common/service.c")
        for field in ("domain", "console"):
            inner = set(re.findall(rf'\b(?:read_string|json_object_get)\({field}, "(\w+)"', source))
            self.assertGreater(len(inner), 1)
            self.assertEqual(set(schemas[field.capitalize()]["properties"]), inner)

    def test_fields_of_the_manual_page(self):
        """Every field, but those that the resolver never sends."""
        guest_service = api()["components"]["schemas"]["GuestService"]["properties"]
        never = {name for name, schema in guest_service.items() if schema is False}
        text = man_section("HTTP", RESOLVER).split("\n\n")[0]
        named = set(re.findall(r"``(\w+)``", text)) & source_fields()
        self.assertEqual(named, source_fields() - never)


class Examples(case.Case):
    """The examples that stand in the pages, with the real program."""

    def accepts(self, text, count):
        proxy = self.start_daemon(text)
        proxy.wait_line(rf"\b{count} tokens from ")

    def test_token_files(self):
        self.accepts(code_block("README.md", "json"), 2)
        self.accepts(code_block("docs/service.md", "json", "6f1e"), 1)

    def test_token_file_of_the_manual_page(self):
        text = re.search(r"^    \{\n(?:    .*\n)+?    \}\n", man_section("TOKENS AND SERVICES"), re.MULTILINE)[0]
        self.accepts(text, 1)

    def test_token_file_of_its_own_manual_page(self):
        text = re.search(r"^    \{\n(?:    .*\n)+?    \}\n", read(TOKENS_PAGE), re.MULTILINE)[0]
        self.accepts(text, 2)

    def test_service(self):
        service = json.loads(code_block("docs/service.md", "json", '"tlsTunnel"'))
        self.accepts(json.dumps({"token": service}), 1)

    def test_types_of_fields(self):
        """Each field of the page's example is one whose type the program looks at."""
        service = json.loads(code_block("docs/service.md", "json", '"tlsTunnel"'))
        proxy = self.start_daemon({"token": service})
        for field in service:
            with self.subTest(field):
                mark = proxy.mark()
                proxy.write_tokens({"token": {**service, field: []}})
                proxy.reload()
                proxy.wait_line(rf'not reloaded.*"{field}"', after=mark)


class ConfigurationFiles(unittest.TestCase):
    """Those of conf/: every option, commented out, with its default."""

    def keys(self, name):
        """Key -> (value, the comment above it)."""
        found = re.findall(r"((?:^# .*\n)*)^#([a-z-]+)=(.*)$", read(CONF[name]), re.MULTILINE)
        self.assertEqual(len(found), len({key for _, key, _ in found}), "a key is there twice")
        return {key: (value, comment) for comment, key, value in found}

    def test_every_option(self):
        for name in DAEMONS:
            with self.subTest(name):
                expected = {flag for flag in help_flags(name) if len(flag) > 1} - NO_KEYS
                self.assertEqual(set(self.keys(name)), expected)

    def test_defaults(self):
        for name in DAEMONS:
            shown = help_text(program.path_from(PROGRAMS[name]))
            for key, (value, comment) in self.keys(name).items():
                default = help_flags(name)[key]
                with self.subTest(name, key=key):
                    self.assertTrue(comment)
                    if not re.search(rf"--{key}=", shown):
                        self.assertEqual(value, "false")
                    elif value != default:
                        self.assertRegex(comment, "Default: " + re.escape((default or "none").replace("--", "")))

    def test_all_of_it_is_understood(self):
        """With no comments left."""
        for name in DAEMONS:
            text = re.sub(r"^#(?=[a-z-]+=)", "", read(CONF[name]), flags=re.MULTILINE)
            text = re.sub(r"^web-dir=.*$", f"web-dir={TOP}/web", text, flags=re.MULTILINE)
            path = pathlib.Path(case.new_directory("conf"), "all.conf")
            path.write_text(text, encoding="utf-8")
            for flags, status in ((["--version"], 0), (["--check-config", "--listen-addr=nowhere"], 2)):
                done = subprocess.run([program.path_from(PROGRAMS[name]), f"--config={path}", *flags], text=True,
                                      stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=60)
                with self.subTest(name, flags=flags):
                    self.assertEqual(done.returncode, status, done.stderr)

    def test_those_of_the_readme(self):
        """Its pieces for each daemon, one after the other."""
        for name, group in ((PROXY, "[proxy]"), (RESOLVER, "[resolver]")):
            blocks = [block for block in code_blocks(read("README.md"), "ini") if block.startswith(group)]
            self.assertTrue(blocks)
            for block in blocks:
                path = pathlib.Path(case.new_directory("conf"), "readme.conf")
                path.write_text(re.sub(r"^web-dir=.*$", f"web-dir={TOP}/web", block, flags=re.MULTILINE),
                                encoding="utf-8")
                done = subprocess.run([program.path_from(PROGRAMS[name]), f"--config={path}", "--version"], text=True,
                                      stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=60)
                with self.subTest(name, block=block):
                    self.assertEqual(done.returncode, 0, done.stderr)

    def run_with(self, text, *flags):
        """The proxy with a file -> what it says on standard error."""
        path = pathlib.Path(case.new_directory("conf"), "one.conf")
        path.write_text(text, encoding="utf-8")
        return subprocess.run([program.path_from(PROGRAMS[PROXY]), f"--config={path}", *flags], text=True,
                              stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=60).stderr

    def test_those_of_the_manual_page(self):
        blocks = re.findall(r"^    (\[\w+\])\n((?:    .*\n)+)", read(CONF_PAGE), re.MULTILINE)
        self.assertEqual([group for group, _ in blocks], ["[proxy]", "[resolver]"])
        for name, (group, text) in zip(DAEMONS, blocks):
            text = re.sub(r"^web-dir=.*$", f"web-dir={TOP}/web", textwrap.dedent(text), flags=re.MULTILINE)
            path = pathlib.Path(case.new_directory("conf"), "page.conf")
            path.write_text(f"{group}\n{text}", encoding="utf-8")
            done = subprocess.run([program.path_from(PROGRAMS[name]), f"--config={path}", "--version"], text=True,
                                  stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=60)
            with self.subTest(name):
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_syntax_of_the_manual_page(self):
        """What it says of lines and values: nothing is wrong, or what the message has in it."""
        texts = {"\n# x\n  [proxy]  \n workers =  2 \n": "", "[proxy]\nworkers=2 # x\n": '"2 # x"',
                 '[proxy]\nworkers="2"\n': '""2""', "workers=2\n": "before the group", "[other]\n": "[other]",
                 "[proxy]\nworkers\n": "key=value", "[proxy]\nworkers=2\nworkers=3\n": "line 2 already",
                 "[proxy]\nhelp=true\n": "help", "[proxy]\nconfig=/x\n": "config",
                 "[proxy]\nrequire-origin=yes\n": "true or false", "[proxy]\nallowed-origin=\n": "no value",
                 "[proxy]\ntrusted-proxy=a\\;b\n": "a;b", "[proxy]\ntrusted-proxy=a\\qb\n": "trusted-proxy",
                 "[proxy]\ntrusted-proxy=10.0.0.1;10.0.0.2;\n": "", "[proxy]\nweb-dir=/a\\sb\n": "/a b",
                 "[proxy]\nweb-dir=/a\\qb\n": "/a\\qb"}
        for text, said in texts.items():
            with self.subTest(text):
                shown = self.run_with(text, "--version")
                self.assertEqual(shown != "", said != "", shown)
                self.assertIn(said, shown)

    def test_options_that_need_a_restart(self):
        """The manual pages name those of the source."""
        for name, source in ((PROXY, "proxy/config.c"), (RESOLVER, "resolver/config.c")):
            listed = re.search(r"\bat_start\[\] = \{(.*?)NULL", read(source), re.DOTALL)[1]
            text = re.search(r"count at the start only,.*?changed:(.*?)\.$", read(MAN[name]), re.DOTALL | re.MULTILINE)[1]
            with self.subTest(name):
                self.assertEqual(re.findall(r"``([a-z-]+)``", text), re.findall(r'"([a-z-]+)"', listed))


class Certificates(case.Case):
    """The README's certificates, made by its commands."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("certtool"):
            raise unittest.SkipTest("no certtool on this machine (package gnutls-bin)")
        cls.directory = pathlib.Path(case.new_directory("readme"))
        done = subprocess.run(["bash", "-euc", code_block("README.md", "sh", "certtool")], cwd=cls.directory,
                              stdin=subprocess.DEVNULL, text=True, check=False, capture_output=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"the commands failed:\n{done.stdout}{done.stderr}")

    def file(self, name):
        return str(self.directory / name)

    def start(self, tokens=None):
        return self.start_daemon(tokens, listen_tls_cert=self.file("server-cert.pem"),
                                 listen_tls_key=self.file("server-key.pem"),
                                 connect_tls_cert=self.file("client-cert.pem"),
                                 connect_tls_key=self.file("client-key.pem"),
                                 connect_tls_ca=self.file("ca-cert.pem"))

    def test_keys_are_private(self):
        for key in self.directory.glob("*-key.pem"):
            with self.subTest(key.name):
                self.assertEqual(key.stat().st_mode & 0o077, 0)

    def test_client_sees_the_name(self):
        proxy = self.start()
        tls = rawhttp.tls_context(self.file("ca-cert.pem"))
        with rawhttp.connect(proxy.address, tls=tls, server_name="console.example.org") as sock:
            self.assertEqual(rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status, 200)
        with self.assertRaises(ssl.SSLCertVerificationError):
            rawhttp.connect(proxy.address, tls=tls, server_name="other.example.org")

    def test_resolver(self):
        """It shows its name to proxies and answers them, and no hypervisor."""
        nowhere = "qemu+unix:///system?socket=/nonexistent"
        resolver = resolverd.Resolverd(
            case.new_directory("resolverd"), case.certificates(), [nowhere], wait=False,
            flags={"--listen-tls-cert": self.file("resolver-cert.pem"),
                   "--listen-tls-key": self.file("resolver-key.pem"), "--listen-tls-ca": self.file("ca-cert.pem")})
        self.addCleanup(case.check_end, resolver)
        for name, status in (("client", 503), ("hypervisor1", 403)):     # 503: no libvirtd says that it is unknown
            pair = pki.Pair(self.file(f"{name}-cert.pem"), self.file(f"{name}-key.pem"))
            tls = rawhttp.tls_context(self.file("ca-cert.pem"), cert=pair)
            with self.subTest(name):
                answer = resolver.query("token", tls=tls, server_name="resolver.example.org")
                self.assertEqual(answer.status, status)

    def test_guest(self):
        """A guest whose QEMU has the hypervisor's files shows its screen."""
        if not shutil.which("qemu-system-x86_64"):
            self.skipTest("no qemu-system-x86_64 on this machine")
        directory = case.new_directory("hypervisor1")
        for source, name in (("ca-cert.pem", "ca-cert.pem"), ("hypervisor1-cert.pem", "server-cert.pem"),
                             ("hypervisor1-key.pem", "server-key.pem")):
            shutil.copy(self.file(source), os.path.join(directory, name))
        vm = guest.Guest(case.new_directory("guest"), tls=directory, image=case.image())
        self.addCleanup(vm.stop)
        proxy = self.start({"token": case.vnc(vm.address, tlsServerName="hypervisor1.example.org"),
                            "other": case.vnc(vm.address, tlsServerName="hypervisor2.example.org")})
        tls = rawhttp.tls_context(self.file("ca-cert.pem"))
        tls.check_hostname = False
        sock = ws.WebSocket.open(proxy.address, "/websockify?token=token", tls=tls)
        self.addCleanup(sock.drop)
        self.assertEqual(rfb.Client(sock).update(), vm.screendump())
        sock.close()
        self.assertEqual(self.outcome(proxy, "other", tls=tls).code, 4502)


if __name__ == "__main__":
    tap.main()
