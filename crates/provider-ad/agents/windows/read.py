"""Reads scripts of PowerShell without running them, where no PowerShell is to be had: for the mistakes that a compiler would find.

Two grammars have to parse them. Every command has to be a function of the script or one named below, with its parameters; functions get no
more arguments than they have; every variable that is read has to be set somewhere where it can be seen; nothing makes code of text; nothing
is of a later PowerShell than 5.1. The golden requests are tried with the tables of agent.ps1 itself. It is no PowerShell, and proves little.
"""

import json
import pathlib
import re
import sys

import tree_sitter
import tree_sitter_powershell
import tree_sitter_pwsh

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "windows"

# Cmdlets with the parameters that we use, by their pages in PowerShell's and Windows Server's documentation.
CMDLETS = {
    "Add-Type": {"AssemblyName", "TypeDefinition"},
    "ConvertFrom-Json": {"InputObject"},
    "ForEach-Object": set(),
    "Get-Acl": {"LiteralPath"},
    "Get-Command": {"ErrorAction"},
    "New-Object": set(),
    "Resolve-DnsName": {"Name", "Type", "Server", "DnsOnly", "NoHostsFile", "QuickTimeout"},
    "Select-Object": {"First"},
    "Set-StrictMode": {"Version"},
    "Sort-Object": set(),
    "Start-Sleep": {"Milliseconds"},
    "Test-Path": {"LiteralPath"},
    "Where-Object": set(),
    "Get-DnsServerZone": set(),
    "Add-DnsServerConditionalForwarderZone": {"Name", "MasterServers", "ReplicationScope"},
    "Set-DnsServerConditionalForwarderZone": {"Name", "MasterServers"},
    "Remove-DnsServerZone": {"Name", "Force"},
}
# What a script of 5.1 has by itself.
AUTOMATIC = {"_", "null", "true", "false", "pscommandpath", "psscriptroot", "psversiontable", "erroractionpreference", "progresspreference"}
# What makes code of text, runs programs, or takes standard input from the agent (powershell.exe -File leaves it alone unless $input is read).
FORBIDDEN = [
    r"Invoke-Expression", r"\biex\b", r"ScriptBlock\]::Create", r"Start-Process", r"Diagnostics\.Process", r"InvokeScript", r"AddScript",
    r"ExpandString", r"\$input\b", r"EncodedCommand", r"Invoke-Command", r"Out-File", r"Set-Content", r"Write-Host", r"Write-Output",
]
# Of PowerShell 6 and 7: 5.1 does not parse them, or has them not.
LATER = [r"\?\?", r"\?\.", r"&&", r"\|\|", r"-AsHashtable", r"-Parallel\b", r"`u\{", r"\bclean\s*\{", r"\$IsWindows"]

problems = []


def say(path, node, what):
    problems.append(f"{path}:{node.start_point[0] + 1}: {what}")


def text(node):
    return node.text.decode()


def all_of(node, *kinds):
    """All nodes of these kinds at or below, none within another function than the one asked for."""
    found = []
    todo = [node]
    while todo:
        one = todo.pop()
        if one.type in kinds:
            found.append(one)
        todo.extend(reversed(one.children))
    return found


def parse(path, raw):
    trees = []
    for grammar in (tree_sitter_powershell, tree_sitter_pwsh):
        tree = tree_sitter.Parser(tree_sitter.Language(grammar.language())).parse(raw)
        trees.append(tree.root_node)
        for node in [n for n in everything(tree.root_node) if n.is_error or n.is_missing][:5]:
            say(path, node, f"{grammar.__name__} does not parse this: {raw[node.start_byte:node.start_byte + 60]!r}")
    return trees[0]


def everything(node):
    todo = [node]
    while todo:
        one = todo.pop()
        yield one
        todo.extend(one.children)


def functions_of(root):
    """Functions by name, with their parameters."""
    found = {}
    for node in all_of(root, "function_statement"):
        name = text(next(child for child in node.children if child.type == "function_name"))
        parameters = [text(all_of(p, "variable")[0]).lstrip("$") for p in all_of(node, "script_parameter")]
        found[name] = (node, parameters)
    return found


def name_of(variable):
    return re.sub(r"^[$@](?:script:|global:|local:)?", "", text(variable)).strip("{}").lower()


def check_commands(path, root, functions):
    known = {name.lower(): parameters for name, (_, parameters) in functions.items()}
    cmdlets = {name.lower(): {p.lower() for p in parameters} for name, parameters in CMDLETS.items()}
    for command in all_of(root, "command"):
        if any(child.type == "command_invokation_operator" for child in command.children):
            target = text(next(child for child in command.children if child.type == "command_name_expr"))
            if (path, target) not in {("agent.ps1", "$klist")} and not (path == "tests.ps1" and target == "$Action") \
                    and not text(command).startswith(". "):
                say(path, command, f"runs {target}")
            continue
        name = next((child for child in command.children if child.type == "command_name"), None)
        if name is None:
            continue
        elements = next((child for child in command.children if child.type == "command_elements"), None)
        named = [text(e).lstrip("-").split(":")[0].lower() for e in elements.children if e.type == "command_parameter"] if elements else []
        plain = [e for e in elements.children if e.type not in ("command_parameter", "command_argument_sep", "redirection")] if elements else []
        plain = [e for e in plain if not text(e).startswith("@") or text(e).startswith("@(") or text(e).startswith("@{")]
        lower = text(name).lower()
        if lower in known:
            wrong = [n for n in named if n not in [p.lower() for p in known[lower]]]
            if wrong:
                say(path, command, f"{text(name)} has no parameter {wrong}")
            if len(plain) > len(known[lower]):
                say(path, command, f"{text(name)} takes {len(known[lower])} arguments, gets {len(plain)}")
        elif lower in cmdlets:
            wrong = [n for n in named if n not in cmdlets[lower]]
            if wrong:
                say(path, command, f"{text(name)}: parameter {wrong} is not in the list of read.py")
        else:
            say(path, command, f"{text(name)} is no function here, nor in the list of read.py")


def assigned_in(node):
    names = set()
    for left in all_of(node, "left_assignment_expression"):
        # `$a['x'] = ...` sets nothing new.
        if not all_of(left, "element_access", "member_access"):
            names.update(name_of(v) for v in all_of(left, "variable"))
    for loop in all_of(node, "foreach_statement"):
        names.add(name_of(next(child for child in loop.children if child.type == "variable")))
    for parameter in all_of(node, "script_parameter"):
        names.add(name_of(all_of(parameter, "variable")[0]))
    return names


def check_variables(path, root, functions, outside):
    within = [node for node, _ in functions.values()]

    def top(node):
        while node is not None:
            if node in within:
                return False
            node = node.parent
        return True

    tops = {name for name in assigned_in(root)} - set()
    # What the script sets outside of its functions is seen in all of them.
    local = set()
    for node in within:
        local |= assigned_in(node)
    script = {name_of(v) for left in all_of(root, "left_assignment_expression") if top(left) for v in all_of(left, "variable")}
    script |= {name_of(all_of(p, "variable")[0]) for p in all_of(root, "script_parameter") if top(p)}
    script |= {name_of(next(c for c in loop.children if c.type == "variable")) for loop in all_of(root, "foreach_statement") if top(loop)}
    assert tops
    for node in within:
        mine = assigned_in(node)
        for variable in all_of(node, "variable"):
            name = name_of(variable)
            if text(variable).startswith("$env:") or name in AUTOMATIC or name in mine or name in script or name in outside:
                continue
            say(path, variable, f"{text(variable)} is set nowhere that it can be seen")
        for name in mine & script:
            if name not in {"code", "name", "text", "bytes", "out"}:
                say(path, node, f"${name} is set in a function and by the script: the script's would be meant elsewhere")
    for variable in all_of(root, "variable"):
        name = name_of(variable)
        if top(variable) and name not in script and name not in AUTOMATIC and name not in outside and not text(variable).startswith("$env:"):
            say(path, variable, f"{text(variable)} is set nowhere that it can be seen")
    return script


def check_text(path, raw):
    source = raw.decode()
    for number, line in enumerate(source.split("\n"), 1):
        code = line.split("#", 1)[0] if not re.search(r"['\"].*#.*['\"]", line) else line
        if any(ord(c) > 126 or (ord(c) < 32) for c in line):
            problems.append(f"{path}:{number}: not plain ASCII: Windows PowerShell reads it as the machine's own code page")
        for pattern in FORBIDDEN + LATER:
            if re.search(pattern, code, re.IGNORECASE) and "'(?:" not in code and "= '\\A" not in code:
                if path == "tests.ps1" and pattern in (r"Write-Host", r"Write-Output"):
                    continue
                problems.append(f"{path}:{number}: has {pattern}")


def tables(source):
    """The patterns and the fields of each operation, as they stand in agent.ps1."""
    label = re.search(r"^\$Label = '(.*)'$", source, re.MULTILINE).group(1)
    patterns = {}
    block = re.search(r"^\$Patterns = @\{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL).group(1)
    for name, value in re.findall(r"^ +(\w+) = (.*)$", block, re.MULTILINE):
        joined = "".join(label if part == "$Label" else part[1:-1] for part in value.split(" + "))
        # Another engine's words for the same: all but the categories, which Python has not.
        patterns[name] = re.compile(joined.replace(r"\z", r"\Z").replace(r"\p{C}\p{Zl}\p{Zp}", r"\x00-\x1f\x7f-\x9f\u2028\u2029"), re.ASCII)
    block = re.search(r"^\$Asks = @\{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL).group(1)
    asks = {name: dict(re.findall(r"(\w+) = '(\w+)'", body)) for name, body in re.findall(r"^ {4}(\w+) = @\{(.*?)\}", block, re.MULTILINE | re.DOTALL)}
    return patterns, asks


def fits(kind, value, patterns):
    if kind == "boolean":
        return type(value) is bool
    if kind in ("addresses", "controllers"):
        each, most = ("address", 8) if kind == "addresses" else ("domain", 16)
        return type(value) is list and len(value) <= most and all(fits(each, one, patterns) for one in value)
    return type(value) is str and bool(patterns[kind].search(value))


def check_requests(source):
    patterns, asks = tables(source)
    count = 0
    for case in json.loads((GOLDEN / "requests.json").read_text()):
        if case.get("onlyPowerShell"):
            continue
        count += 1
        try:
            request = json.loads(case["request"])
            [(operation, fields)] = request["ask"].items()
            good = request["protocol"] == 1 and type(request["protocol"]) is int and set(request) == {"protocol", "installation", "ask"}
            good = good and fits("label", request["installation"], patterns) and operation in asks and type(fields) is dict
            good = good and set(fields) == set(asks[operation]) and all(fits(asks[operation][n], fields[n], patterns) for n in fields)
        except (ValueError, KeyError, AttributeError, TypeError):
            good = False
        if good != ("operation" in case):
            problems.append(f"requests.json: {case['name']}: the tables of agent.ps1 {'take' if good else 'refuse'} it")
    others = ("decisions.json", "trusts.json", "answers.json", "refusals.json", "settings.json", "questions.json")
    waiting = sum(len(json.loads((GOLDEN / file).read_text())) for file in others)
    print(f"{waiting} golden cases wait for a PowerShell")
    return count


def main():
    outside = set()
    known = {}
    for path in sys.argv[1:]:
        raw = (HERE / path).read_bytes()
        root = parse(path, raw)
        functions = functions_of(root)
        known.update(functions)
        check_text(path, raw)
        check_commands(path, root, known)
        outside |= check_variables(path, root, functions, outside)
        print(f"read {path}: {len(raw.splitlines())} lines, {len(functions)} functions")
    cases = check_requests((HERE / "agent.ps1").read_text())
    for problem in problems:
        print(problem)
    print(f"{0 if problems else cases} passed, {len(problems)} failed")
    sys.exit(1 if problems else 0)


main()
