"""Reading `structure`: roles, who reports to whom, how their work is scored."""

from __future__ import annotations

import re
from typing import Any

from compiler.patterns.abilities import unlikely_word
from compiler.patterns.model import HUMAN, Role
from compiler.patterns.oracles import read_verify
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.routing import read_escalation, read_routing
from compiler.patterns.view import View, to_json
from schemas.base import ROLE_ID_PATTERN
from schemas.secrets import is_reference_name, is_secret_name, is_secret_text

KINDS = ("claude", "codex", "gemini", "aider", "acp", "command", "custom")
RESERVED_ROLES = {
    HUMAN: "it names the person who answers questions",
    "result": "the branch parallax/<execution>/result is the execution's own",
}
ROLE_KEYS = (
    "id", "name", "description", "agentType", "type", "capabilities", "reportsTo", "minInstances", "maxInstances",
    "singleton", "expertise", "agentConfig", "confidence", "verify", "threadConfig", "metadata",
)  # fmt: skip
_FILLED_IN = re.compile(r"\$\{(?:env\.|ENV\.|secrets?\.)?([^}]*)\}")
_BOTH = ("command", "env", "interactive")
THREAD_KEYS = ("enabled", "objective", "approvalPreset", "workspace", "policy", "env", "metadata")


def read_structure(node: Node, report: Report) -> dict[str, Role]:
    """The roles of a structure, by id."""
    view = View(node, report, "structure", ("name", "description", "roles", "escalation", "routing"))
    view.text("name")
    view.text("description")
    roles_node = view.get("roles")
    if roles_node is None:
        view.missing("roles", "A structure has at least one role.")
        return {}
    if roles_node.kind != "map":
        view.wrong("roles", roles_node, "a map from role ids to roles")
        return {}
    roles: dict[str, Role] = {}
    names, known = [key.raw for key, _ in roles_node.pairs], role_names(roles_node)
    escalation, routing = read_escalation(view, known, report), read_routing(view, names, known, report)
    for key, value in roles_node.pairs:
        role = _role(key, value, report, escalation)
        if role is not None:
            if role.id in routing:
                role.fields["routing"] = routing[role.id]
            roles[role.id] = role
    if not roles_node.pairs:
        view.missing("roles", "A structure has at least one role.")
    _check_hierarchy(roles, set(known), report)
    return roles


def role_names(roles: Node) -> list[str]:
    """What the roles are called, those that cannot be read as well, and the ids that differ: both are said once."""
    ids = [
        value.raw for _, role in roles.pairs for key, value in role.pairs if key.raw == "id" and value.kind == "text"
    ]
    return list(dict.fromkeys([*(key.raw for key, _ in roles.pairs), *ids]))


def _role(key: Node, node: Node, report: Report, escalation: dict[str, Any]) -> Role | None:
    role_id = key.raw
    if not _usable_id(key, report):
        return None
    view = View(node, report, f"role {role_id!r}", ROLE_KEYS)
    if not view.valid:
        return None
    if view.has("id") and (named := view.text("id")) and named != role_id:
        place = view.get("id") or node
        message = f"the role stands under the key {role_id!r} and calls itself {named!r}"
        report.error("role-id-mismatch", place.line, place.column, message, f"Write id: {role_id}.")
    reports_to = view.meant("reportsTo")
    fields: dict[str, Any] = {
        "id": role_id,
        "name": view.text("name") or role_id,
        "description": view.text("description"),
        "agentType": _kinds(view, report),
        "capabilities": _capabilities(view, report),
        "reportsTo": reports_to,
    }
    fields = {name: value for name, value in fields.items() if value or name == "capabilities"}
    _check_abilities(view, report, fields["agentType"])
    _instances(view, report, fields)
    if expertise := [word for word, _ in view.texts("expertise")]:
        fields["expertise"] = expertise
    if _kinds_are_known(view):
        _config(view, report, fields)
    _confidence(view, report, fields)
    found = None
    if (verify := view.get("verify")) is not None:
        found = read_verify(verify, report, f"role {role_id!r}")
        fields["verify"] = {"oracles": found.oracles, "combine": found.combine}
    if view.has("metadata"):
        fields["metadata"] = view.json("metadata")
    _thread(view, report, fields)
    if escalation:
        fields["escalation"] = escalation
    place = view.get("reportsTo")
    return Role(
        id=role_id,
        line=key.line,
        column=key.column,
        fields=fields,
        reports_to=reports_to,
        reports_to_node=place,
        judges=found.judges if found is not None else [],
        oracle_nodes=found.nodes if found is not None else [],
    )


def _usable_id(key: Node, report: Report) -> bool:
    role_id = key.raw
    if key.trap:
        message = f"{role_id!r} reads as true or false elsewhere; a role id is a text"
        report.error("yaml-boolean", key.line, key.column, message, f'Write "{role_id}".')
    if not re.match(ROLE_ID_PATTERN, role_id):
        hint = "A letter, then letters, digits, - and _, at most 64."
        report.error("bad-role-id", key.line, key.column, f"{role_id!r} cannot be a role id", hint)
        return False
    if role_id.lower() in RESERVED_ROLES:
        message = f"{role_id!r} cannot be a role id: {RESERVED_ROLES[role_id.lower()]}"
        report.error("reserved-role", key.line, key.column, message, "Choose another id.")
    return True


def _kinds(view: View, report: Report) -> list[str]:
    key = "agentType" if view.has("agentType") or not view.has("type") else "type"
    if view.has("agentType") and view.has("type"):
        place = view.key("type")
        message = "'type' and 'agentType' say the same; one of them is enough"
        report.error("conflicting-keys", place.line, place.column, message, "Remove 'type'.")
    kinds: list[str] = []
    for word, node in view.texts(key, single=True):
        if word not in KINDS:
            hint = did_you_mean(word, KINDS, f"One of {', '.join(KINDS)}.")
            report.error("unknown-agent-type", node.line, node.column, f"there is no agent type {word!r}", hint)
        elif word in kinds:
            report.error("duplicate-value", node.line, node.column, f"{word!r} is listed twice", "Remove one of them.")
        else:
            kinds.append(word)
    named = view.get(key)
    if named is not None and named.kind == "list" and not named.items:
        report.error("missing-key", named.line, named.column, f"{key!r} of {view.what} is empty", "For example claude.")
    return kinds or ["custom"]


def _kinds_are_known(view: View) -> bool:
    """Whether the agent types are ones that there are: what depends on a wrong one is not reported."""
    node = view.meant_value("agentType") or view.meant_value("type")
    if node is None:
        return True
    words = node.items if node.kind == "list" else [node]
    return all(word.raw in KINDS for word in words) and not (view.misspelt("agentType") or view.misspelt("type"))


def _capabilities(view: View, report: Report) -> list[str]:
    found: list[str] = []
    for word, node in view.texts("capabilities", required=True, hint="capabilities: [code_review]"):
        if not word.strip():
            report.error("bad-value", node.line, node.column, "a capability is a word")
        elif word in found:
            report.error("duplicate-value", node.line, node.column, f"{word!r} is listed twice", "Remove one of them.")
        else:
            found.append(word)
    return found


def _check_abilities(view: View, report: Report, kinds: list[str]) -> None:
    if "command" in kinds or "custom" in kinds:
        return
    node = view.get("capabilities")
    for item in node.items if node is not None else []:
        found = unlikely_word(item.raw) if item.kind == "text" and not item.trap else None
        if found is None:
            continue
        message = f"no agent type of {view.what} offers the capability {item.raw!r}"
        hint = f"Did you mean {found[1]!r} for {found[0]!r}?" if found[1] else ""
        hint = f"{hint} Agents of type custom or command offer what the role says.".strip()
        report.error("unknown-capability", item.line, item.column, message, hint)


def _instances(view: View, report: Report, fields: dict[str, Any]) -> None:
    least = view.integer("minInstances", least=0, most=1000)
    most = view.integer("maxInstances", least=1, most=1000)
    single = view.flag("singleton")
    given = {"minInstances": least, "maxInstances": most, "singleton": single}
    fields.update({name: value for name, value in given.items() if value is not None})
    if least is not None and most is not None and least > most:
        place = view.key("minInstances")
        message = f"minInstances ({least}) is more than maxInstances ({most})"
        report.error("impossible-instances", place.line, place.column, message, f"At most {most}.")
    for name, value in (("minInstances", least), ("maxInstances", most)):
        if single and value is not None and value > 1:
            place = view.key(name)
            message = f"a singleton has one instance; {name} says {value}"
            report.error("impossible-instances", place.line, place.column, message, f"Remove {name} or singleton.")


def _config(view: View, report: Report, fields: dict[str, Any]) -> None:
    kinds = fields["agentType"]
    node = view.get("agentConfig")
    hint = 'agentConfig: {command: ["python", "-m", "my_agent"]}'
    message = f"{view.what} is a command without a command"
    if node is None:
        if "command" in kinds and not view.misspelt("agentConfig"):
            place = view.key("agentType")
            report.error("missing-command", place.line, place.column, message, hint)
        return
    adapters = [kind for kind in kinds if kind not in {"command", "custom"}]
    keys = _BOTH if not adapters else (*_BOTH, *(key.raw for key, _ in node.pairs))
    config = View(node, report, f"agentConfig of {view.what}", keys)
    if not config.valid:
        return
    if "command" in kinds and not config.has("command") and not config.misspelt("command"):
        place = view.key("agentConfig")
        report.error("missing-command", place.line, place.column, message, hint)
    made: dict[str, Any] = {key.raw: to_json(value) for key, value in node.pairs if key.raw in keys}
    if config.has("command"):
        made["command"] = [word for word, _ in config.texts("command")]
        place = config.key("command")
        if "command" not in kinds:
            unused = f"'command' has no effect: {view.what} takes no command agents"
            report.error("unused-command", place.line, place.column, unused, "Add command to agentType.")
        elif not made["command"] and (given := config.get("command")) is not None and _says_nothing(given):
            report.error("missing-command", place.line, place.column, message, hint)
    _interactive(config, report, made, applies=bool(adapters) or "command" in kinds)
    if (env := config.get("env")) is not None:
        made["env"] = _env(env, report, view.what)
    fields["agentConfig"] = made


def _interactive(config: View, report: Report, made: dict[str, Any], *, applies: bool) -> None:
    """Whether the input of a command agent stays open for answers."""
    if not config.has("interactive"):
        return
    made["interactive"] = config.flag("interactive")
    if not applies:
        place = config.key("interactive")
        unused = "'interactive' has no effect: the role takes no command agents"
        report.error("unused-interactive", place.line, place.column, unused, "Remove interactive.")


def _says_nothing(command: Node) -> bool:
    """Whether a command is a list without a word; what is no list of texts is reported already."""
    return command.kind == "list" and all(item.kind == "text" and not item.raw for item in command.items)


def _env(node: Node, report: Report, what: str) -> dict[str, Any]:
    """The variables of an agent: texts, and references to secrets, whose values never stand in a pattern."""
    keys = [key.raw for key, _ in node.pairs]
    view = View(node, report, f"env of {what}", keys)
    made: dict[str, Any] = {}
    for key, value in node.pairs:
        name = key.raw
        if not is_reference_name(name):
            report.error("bad-value", key.line, key.column, f"{name!r} cannot be the name of a variable")
        if value.kind == "map":
            made[name] = _secret(value, report, name)
        elif view.valid:
            made[name] = view.text(name)
            _check_literal(name, made[name], value, report)
    return made if view.valid else {}


def _secret(node: Node, report: Report, name: str) -> dict[str, str]:
    view = View(node, report, f"the variable {name}", ("secret",))
    secret = view.text("secret", required=True, hint=f"{name}: {{secret: {name}}}") if view.valid else ""
    if secret and not is_reference_name(secret):
        place = view.get("secret") or node
        message = f"{secret!r} cannot be the name of a secret"
        report.error(
            "bad-value", place.line, place.column, message, "Letters, digits and _, not beginning with a digit."
        )
    return {"secret": secret}


def _check_literal(name: str, value: str, node: Node, report: Report) -> None:
    """A value under a secret's name would stand in the log for ever; `${…}` would be passed on as it is written."""
    if found := _FILLED_IN.search(value):
        wanted = found[1] if is_reference_name(found[1]) else name
        message = f"{found[0]!r} is not filled in here: the agent would get it as it is written"
        report.error("unfilled-variable", node.line, node.column, message, f"Write {name}: {{secret: {wanted}}}.")
    elif value and (is_secret_name(name) or is_secret_text(value)):
        message = f"{name!r} looks like a secret, and its value would be readable in the log for ever"
        report.error("secret-literal", node.line, node.column, message, f"Write {name}: {{secret: {name}}}.")


def _confidence(view: View, report: Report, fields: dict[str, Any]) -> None:
    node = view.get("confidence")
    if node is None:
        return
    bounds = View(node, report, f"confidence of {view.what}", ("accept", "retryBelow", "escalateBelow"))
    made = {
        key: value for key in ("accept", "retryBelow", "escalateBelow") if (value := bounds.number(key)) is not None
    }
    for lower, upper in (("escalateBelow", "retryBelow"), ("retryBelow", "accept"), ("escalateBelow", "accept")):
        low, high = made.get(lower), made.get(upper, 0.8 if upper == "accept" else None)
        if low is not None and high is not None and low > high:
            place = bounds.key(lower)
            default = "" if upper in made else " (the default)"
            message = f"{lower} ({low:g}) is above {upper} ({high:g}){default}"
            report.error("impossible-policy", place.line, place.column, message, f"At most {high:g}.")
            break
    if "escalateBelow" in made and not view.meant("reportsTo"):
        place = bounds.key("escalateBelow")
        message = f"{view.what} escalates and reports to nobody: such work is accepted with a warning"
        report.warning("escalates-to-nobody", place.line, place.column, message, "Add reportsTo.")
    fields["confidence"] = made


def _thread(view: View, report: Report, fields: dict[str, Any]) -> None:
    """What older files say about an agent's thread: its objective and environment; its workspace is always its own."""
    node = view.get("threadConfig")
    if node is None:
        return
    thread = View(node, report, f"threadConfig of {view.what}", THREAD_KEYS)
    if not thread.valid or thread.flag("enabled", True) is False:
        return
    if objective := thread.text("objective"):
        fields["objective"] = objective
    if thread.has("metadata"):
        fields["metadata"] = thread.json("metadata")
    config: dict[str, Any] = fields.setdefault("agentConfig", {})
    if (env := thread.get("env")) is not None:
        config["env"] = {**config.get("env", {}), **_env(env, report, thread.what)}
    _own_worktree(thread, report)
    if _kinds_are_known(view):
        _for_coding_agents(thread, report, fields["agentType"], config)
    if not config:
        del fields["agentConfig"]


def _own_worktree(thread: View, report: Report) -> None:
    if (workspace := thread.get("workspace")) is not None:
        for key, value in workspace.pairs:
            if key.raw != "inherit" or value.value is not True:
                message = f"{key.raw!r} of the workspace of {thread.what} cannot be honoured"
                hint = "Every session has a worktree of its own of the execution's repository; write inherit: true."
                report.error("unsupported", key.line, key.column, message, hint)


def _for_coding_agents(thread: View, report: Report, kinds: list[str], config: dict[str, Any]) -> None:
    for name in ("approvalPreset", "policy"):
        if not thread.has(name):
            continue
        if set(kinds) <= {"command", "custom"}:
            place = thread.key(name)
            message = f"{name!r} of {thread.what} cannot be honoured: it is for coding agents, not for programs"
            report.error("unsupported", place.line, place.column, message, "Remove the key.")
        else:
            config[name] = thread.json(name)


def _check_hierarchy(roles: dict[str, Role], names: set[str], report: Report) -> None:
    for role in roles.values():
        if role.reports_to and role.reports_to not in names and role.reports_to_node is not None:
            place = role.reports_to_node
            message = f"role {role.id!r} reports to {role.reports_to!r}, which is no role"
            report.error("unknown-role", place.line, place.column, message, did_you_mean(role.reports_to, names))
        for judge, place in role.judges:
            if judge not in names:
                message = f"the oracle asks {judge!r}, which is no role"
                report.error("unknown-role", place.line, place.column, message, did_you_mean(judge, names))
        agents = [one for one in role.fields.get("verify", {}).get("oracles", []) if one["type"] == "agent"]
        if any("role" not in one for one in agents) and not role.reports_to:
            message = f"an agent oracle of role {role.id!r} asks nobody: the role reports to nobody"
            report.error("unknown-role", role.line, role.column, message, "Add 'role' to the oracle, or reportsTo.")
    reported: set[str] = set()
    for role in roles.values():
        chain = [role.id]
        while (above := roles[chain[-1]].reports_to) in roles and above not in chain:
            chain.append(above)
        if above == role.id and role.id not in reported and role.reports_to_node is not None:
            reported.update(chain)
            place = role.reports_to_node
            message = "reportsTo goes in a circle: " + " → ".join([*chain, role.id])
            report.error("reports-to-cycle", place.line, place.column, message, "Somebody has to be at the top.")
