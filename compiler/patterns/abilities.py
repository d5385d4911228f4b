"""What the coding agents can be asked for: words for software work and what is around it.

`command` and `custom` agents offer whatever a role says. A coding agent is general, but not boundless: a capability of
which no word is known here is one that nobody would ever be found for.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

_WORDS = frozenset({
    "acceptance", "access", "accessibility", "accounting", "admin", "agent", "agile", "ai", "algorithms", "alignment",
    "analysis", "analyst", "analytics", "analyze", "android", "angular", "ansible", "answer", "answers", "api", "apis",
    "app", "application", "approval", "architect", "architecture", "ask", "assessment", "assurance", "audit",
    "authentication", "authoring", "authorization", "automation", "aws", "azure", "backend", "backlog", "bash",
    "benchmark", "benchmarking", "biology", "budget", "budgeting", "bug", "bugs", "build", "business", "c", "c#", "c++",
    "careful", "change", "chat", "check", "checker", "checking", "chemistry", "ci", "class", "classification",
    "cleanup", "cli", "cloud", "code", "coding", "command", "communication", "compare", "comparison", "compiler",
    "compliance", "component", "configuration", "consensus", "consulting", "container", "content", "conversion",
    "coordination", "copy", "copywriting", "cost", "cpp", "creative", "critical", "critique", "csharp", "css",
    "customer", "data", "database", "databases", "debug", "debugging", "decision", "decisions", "delegation",
    "delivery", "dependency", "deploy", "deployment", "design", "designer", "detection", "dev", "developer",
    "development", "devops", "diagnosis", "diagnostics", "dialogue", "diff", "discovery", "django", "doc", "docker",
    "docs", "document", "documentation", "documents", "domain", "dotnet", "draft", "economics", "edge", "edit",
    "editing", "editor", "education", "elixir", "embedded", "engineer", "engineering", "error", "errors", "estimate",
    "estimating", "estimation", "etl", "evaluation", "execute", "execution", "expert", "expertise", "experts",
    "explain", "explanation", "exploration", "extraction", "facilitation", "fact", "fast", "feature", "features",
    "feedback", "figma", "file", "files", "finance", "financial", "finding", "first", "fix", "fixing", "flask",
    "flutter", "forecasting", "formatting", "front", "frontend", "full", "fullstack", "function", "functional", "gate",
    "gcp", "general", "general-purpose", "generation", "git", "github", "go", "golang", "governance", "graph",
    "graphql", "growth", "hacking", "hardware", "haskell", "health", "heavy", "helm", "help", "hiring", "history",
    "html", "http", "implement", "implementation", "improvement", "incident", "infra", "infrastructure", "ingestion",
    "inspection", "integration", "interface", "investigation", "ios", "issue", "java", "javascript", "jest",
    "journalism", "judge", "judging", "julia", "knowledge", "kotlin", "kubernetes", "language", "large", "lead",
    "leadership", "legacy", "legal", "library", "light", "line", "lint", "linting", "linux", "llm", "local",
    "localization", "log", "logging", "logic", "long", "lua", "machine", "maintenance", "management", "manager",
    "mapping", "market", "marketing", "math", "mathematics", "media", "medical", "memory", "mentoring", "mentorship",
    "merge", "merging", "message", "metrics", "migration", "ml", "mobile", "model", "modeling", "modelling",
    "moderation", "modernization", "monitoring", "mysql", "naming", "native", "natural", "net", "network", "networking",
    "news", "next", "node", "nodejs", "notes", "observability", "onboarding", "ongoing", "operation", "operations",
    "ops", "optimization", "orchestration", "organization", "outline", "outlining", "oversight", "owner", "packaging",
    "pair", "parsing", "patching", "pen", "penetration", "perf", "performance", "perl", "php", "physics", "pipeline",
    "plan", "planner", "planning", "plans", "platform", "policy", "postgres", "postgresql", "presentation",
    "prioritization", "priority", "problem", "process", "processing", "product", "profiling", "program", "programming",
    "project", "prompt", "proofreading", "prose", "prototype", "prototyping", "publishing", "puppeteer", "python", "qa",
    "quality", "query", "question", "questions", "quick", "r", "rails", "ranking", "react", "read", "reading",
    "reasoning", "recruiting", "redis", "refactor", "refactoring", "regression", "relations", "release", "reliability",
    "report", "reporting", "repository", "requirement", "requirements", "research", "researcher", "resolution", "rest",
    "retrieval", "review", "reviewer", "reviewing", "reviews", "risk", "rollout", "root", "routing", "ruby", "run",
    "rust", "safety", "sales", "scala", "scan", "scheduling", "schema", "science", "scientific", "scripting", "scrum",
    "search", "secrets", "security", "selection", "semantic", "senior", "server", "service", "sh", "shell", "simple",
    "site", "skill", "small", "smart", "smoke", "software", "solution", "solve", "solving", "spec", "specialist",
    "specification", "specs", "sql", "sre", "stack", "staging", "stakeholder", "stakeholders", "standards",
    "statistics", "storage", "story", "strategic", "strategy", "stream", "style", "styling", "summarization",
    "summarize", "summary", "supervise", "supervision", "support", "svelte", "swift", "synthesis", "system", "systems",
    "tailwind", "task", "tasks", "teaching", "team", "tech", "technical", "telemetry", "template", "terraform", "test",
    "tester", "testing", "tests", "text", "threat", "tooling", "tools", "tracing", "tracking", "training", "translate",
    "translation", "triage", "troubleshooting", "tuning", "tutoring", "type", "typescript", "typing", "typo", "ui",
    "unit", "update", "upgrade", "usability", "use", "user", "ux", "validate", "validation", "value", "vendor",
    "verification", "verify", "version", "video", "vision", "visual", "visualization", "voice", "vote", "voting", "vue",
    "vulnerability", "wasm", "web", "webassembly", "website", "windows", "work", "workflow", "writer", "writing", "xml",
    "xss", "yaml", "zig",
})  # fmt: skip


def unlikely_word(capability: str) -> tuple[str, str] | None:
    """The word of a capability that no coding agent knows, and the one probably meant; None where all is well."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", capability)
    words = [word for word in re.split(r"[^a-z+#]+", parts.lower()) if word]
    strange = [word for word in words if word not in _WORDS and len(word) > 2]
    for word in strange:
        close = get_close_matches(word, sorted(_WORDS), n=1, cutoff=0.82)
        if close and not word.startswith(close[0]) and not close[0].startswith(word):
            return word, close[0]
    if words and len(strange) == len(words):
        return words[0], ""
    return None
