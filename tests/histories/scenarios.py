"""What the recorded histories are of: patterns that between them ask the world for everything that can be asked."""

from __future__ import annotations

PATTERNS: dict[str, str] = {
    "team.yaml": """
name: team
version: 1.0.0
workspace: {enabled: false}
structure:
  name: two at once
  roles:
    worker: {id: worker, name: Worker, agentType: custom, capabilities: [e2e]}
    reviewer: {id: reviewer, name: Reviewer, agentType: custom, capabilities: [e2e], reportsTo: worker}
workflow:
  name: both
  input:
    topic: {type: string, required: true, description: what it is about}
  steps:
    - type: parallel
      id: both
      steps:
        - {type: assign, id: one, role: worker, task: "${input.topic} one"}
        - {type: assign, id: two, role: worker, task: "${input.topic} two"}
    - {type: aggregate, id: all, method: all}
    - {type: assign, id: last, role: reviewer, task: "${input.topic} last"}
""",
    "naps.prism": """
export const pattern = {name: "naps", version: "1.0.0", workspace: {enabled: false}}
let before = now()
sleep(120)
let heard = wait("go", {timeoutMs: 60000})
let late = wait("never", {timeoutMs: 50})
{slept: now() - before >= 120, heard: heard, late: late, dice: random()}
""",
    "broken.prism": """
export const pattern = {name: "broken", version: "1.0.0", workspace: {enabled: false}}
let dice = random()
let nothing = null
nothing.field.of(dice)
""",
    "patient.prism": """
export const pattern = {name: "patient", version: "1.0.0", workspace: {enabled: false}}
{heard: wait("go", {timeoutMs: 600000})}
""",
}
