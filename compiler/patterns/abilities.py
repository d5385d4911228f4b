"""What the coding agents can be asked for: words for software work and what is around it.

`command` and `custom` agents offer whatever a role says. A coding agent is general, but not boundless: a capability of
which no word is known here is probably a mistake. It is only probably one, since no list holds every skill: what is
found here is a warning, and refuses nothing.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

_WORDS = frozenset({
    "academic", "acceptance", "access", "accessibility", "account", "accounting", "accuracy", "adaptation", "admin",
    "advertising", "advice", "advisory", "agent", "aggregation", "agile", "ai", "alerting", "algorithms",
    "alignment", "amplification", "analysis", "analyst", "analytics", "analyze", "android", "angular", "animation",
    "annotation", "anomaly", "ansible", "answer", "answers", "api", "apis", "app", "application", "approval",
    "architect", "architecture", "archiving", "art", "article", "ask", "assessment", "assurance", "audio", "audit",
    "augmentation", "authentication", "authoring", "authorization", "automation", "availability", "aws", "azure",
    "backend", "backlog", "backup", "balancing", "bash", "benchmark", "benchmarking", "bidding", "billing",
    "biology", "blockchain", "blog", "blogging", "books", "branding", "breakdown", "brief", "browser", "browsing",
    "budget", "budgeting", "bug", "bugs", "build", "business", "c", "c#", "c++", "calculation", "calendar",
    "campaign", "capacity", "care", "career", "careful", "cartography", "certification", "change", "charting",
    "chat", "check", "checker", "checking", "chemistry", "ci", "class", "classification", "clean", "cleaning",
    "cleanup", "cli", "clinical", "cloud", "clustering", "cobol", "code", "coding", "collaboration", "collection",
    "command", "communication", "community", "compare", "comparison", "compiler", "compliance", "component",
    "composition", "compression", "computation", "computing", "concept", "concurrency", "configuration",
    "connection", "consensus", "consultation", "consulting", "container", "content", "contract", "contracts",
    "control", "conversation", "conversion", "coordinate", "coordination", "copy", "copywriting", "correction",
    "cost", "counseling", "coverage", "cpp", "crawling", "creation", "creative", "critic", "critical", "critique",
    "crm", "cryptography", "csharp", "css", "culture", "curation", "customer", "customers", "cutover", "cyber",
    "dashboard", "dashboards", "data", "database", "databases", "dataset", "debate", "debug", "debugging",
    "decision", "decisions", "decomposition", "deduction", "deep", "delegation", "delivery", "demo",
    "demonstration", "dependency", "deploy", "deployment", "description", "design", "designer", "designing",
    "detection", "detector", "dev", "developer", "development", "devops", "diagnosis", "diagnostics", "diagramming",
    "diagrams", "dialogue", "dictation", "diff", "diplomacy", "discovery", "discussion", "dispatch", "distributed",
    "distribution", "django", "doc", "docker", "docs", "document", "documentation", "documenting", "documents",
    "domain", "dotnet", "draft", "drafting", "drawing", "ecommerce", "economics", "edge", "edit", "editing",
    "editor", "education", "elixir", "email", "embedded", "engagement", "engineer", "engineering", "english",
    "enrichment", "error", "errors", "escalation", "essay", "estimate", "estimating", "estimation", "estimator",
    "ethics", "etl", "evaluation", "event", "events", "evidence", "examination", "execute", "execution",
    "experiment", "experimentation", "expert", "expertise", "experts", "explain", "explanation", "exploration",
    "extraction", "facilitation", "fact", "facts", "failure", "fast", "feature", "features", "feedback", "fiction",
    "figma", "file", "files", "film", "filtering", "finance", "financial", "finding", "firmware", "first",
    "fitness", "fix", "fixing", "flask", "flow", "flutter", "follow", "forecasting", "form", "formatting", "forms",
    "french", "front", "frontend", "frontier", "full", "fullstack", "function", "functional", "fuzzing", "game",
    "gameplay", "games", "gaming", "gate", "gcp", "general", "general-purpose", "generation", "geography",
    "geometry", "german", "git", "github", "go", "golang", "governance", "governing", "grading", "grammar", "graph",
    "graphic", "graphics", "graphql", "growth", "guidance", "guide", "hacking", "handling", "hardening", "hardware",
    "haskell", "health", "heavy", "helm", "help", "helper", "heuristics", "high", "hiring", "history", "hosting",
    "hr", "html", "http", "human", "humor", "hypothesis", "ideas", "ideation", "identity", "illustration", "image",
    "images", "imaging", "implement", "implementation", "improvement", "incident", "indexing", "inference",
    "influence", "information", "infra", "infrastructure", "ingestion", "innovation", "input", "inquiry", "insight",
    "insights", "inspection", "instruction", "insurance", "intake", "integration", "intelligence", "interaction",
    "interface", "international", "internet", "interpretation", "interview", "interviewing", "inventory",
    "investigation", "investing", "invoice", "invoicing", "ios", "issue", "italian", "japanese", "java",
    "javascript", "jest", "job", "journaling", "journalism", "judge", "judgement", "judging", "judgment", "julia",
    "keyword", "knowledge", "kotlin", "kubernetes", "labeling", "labelling", "language", "large", "latex", "law",
    "layout", "lead", "leadership", "learning", "legacy", "legal", "level", "library", "licensing", "life", "light",
    "line", "linguistics", "link", "links", "lint", "linting", "linux", "listening", "listing", "literature", "llm",
    "load", "local", "localization", "log", "logging", "logic", "logistics", "long", "low", "lua", "machine",
    "maintenance", "making", "management", "manager", "manual", "manufacturing", "map", "mapping", "markdown",
    "market", "marketing", "matching", "math", "mathematics", "matlab", "measurement", "mechanics", "media",
    "mediation", "medical", "meeting", "meetings", "memory", "mentoring", "mentorship", "merge", "merging",
    "message", "messaging", "method", "metrics", "microservices", "migration", "mind", "minutes", "mitigation",
    "mixing", "ml", "mobile", "model", "modeling", "modelling", "moderation", "modernization", "module", "modules",
    "monitoring", "motion", "multi", "music", "mysql", "naming", "narration", "narrative", "native", "natural",
    "navigation", "negotiation", "net", "network", "networking", "news", "next", "node", "nodejs", "notes",
    "notification", "numerical", "nursing", "nutrition", "observability", "office", "onboard", "onboarding",
    "ongoing", "online", "open", "operation", "operations", "ops", "optimization", "optimizer", "orchestration",
    "order", "organization", "outline", "outlining", "output", "outreach", "oversee", "oversight", "owner",
    "packaging", "page", "pair", "paper", "papers", "parallel", "parsing", "partner", "partnership", "patch",
    "patching", "pattern", "patterns", "payment", "payments", "payroll", "pen", "penetration", "people",
    "perception", "perf", "performance", "perl", "personalization", "persuasion", "philosophy", "photo",
    "photography", "php", "physics", "pipeline", "pitch", "pivot", "plan", "planner", "planning", "plans",
    "platform", "podcast", "poetry", "policy", "politics", "portfolio", "post", "postgres", "postgresql", "posting",
    "posts", "practice", "prediction", "presentation", "pricing", "principal", "printing", "prioritization",
    "priority", "privacy", "problem", "process", "processing", "procurement", "product", "production",
    "productivity", "professional", "profile", "profiling", "program", "programming", "project", "prompt",
    "prompts", "proof", "proofreading", "proposal", "proposals", "prose", "protocol", "prototype", "prototyping",
    "provisioning", "psychology", "publication", "publishing", "puppeteer", "purchasing", "python", "qa", "quality",
    "quantitative", "query", "question", "questions", "queue", "quick", "quiz", "r", "rails", "ranking", "react",
    "read", "reader", "reading", "real", "realtime", "reasoning", "recipe", "recognition", "recommendation",
    "recommendations", "reconciliation", "record", "recording", "recovery", "recruiting", "redis", "redteam",
    "reduction", "refactor", "refactoring", "reference", "refinement", "reflection", "registration", "regression",
    "regulation", "regulatory", "rehearsal", "relations", "release", "reliability", "remediation", "remote",
    "rendering", "repair", "replication", "reply", "report", "reporting", "repository", "requests", "requirement",
    "requirements", "research", "researcher", "resilience", "resolution", "resource", "resources", "response",
    "responses", "rest", "restructuring", "result", "results", "retention", "retrieval", "retrospective", "return",
    "revenue", "reverse", "review", "reviewer", "reviewing", "reviews", "revision", "rewrite", "rewriting", "risk",
    "robotics", "role", "rollout", "root", "routing", "ruby", "rules", "run", "runbook", "rust", "saas", "safety",
    "sales", "sampling", "sandbox", "satisfaction", "scaffolding", "scala", "scaling", "scan", "scanning",
    "scenario", "scheduling", "schema", "science", "scientific", "scoping", "scoring", "scraping", "screening",
    "script", "scripting", "scripts", "scrum", "search", "secrets", "security", "segmentation", "selection",
    "semantic", "senior", "sentiment", "seo", "sequence", "server", "service", "setup", "sh", "shell", "shipping",
    "signal", "signing", "simple", "simulation", "site", "sketch", "skill", "small", "smart", "smoke", "social",
    "software", "solution", "solve", "solver", "solving", "sorting", "sourcing", "spanish", "spec", "specialist",
    "specification", "specs", "speech", "speed", "spelling", "splitting", "spreadsheet", "spreadsheets", "sql",
    "sre", "stability", "stack", "staging", "stakeholder", "stakeholders", "standard", "standards", "startup",
    "state", "statistical", "statistics", "status", "step", "stock", "storage", "stories", "story", "storyboard",
    "storytelling", "strategic", "strategy", "stream", "streaming", "structure", "structured", "student", "study",
    "style", "styling", "subtitle", "suggestion", "suite", "summarization", "summarize", "summarizer",
    "summarizing", "summary", "supervise", "supervision", "supply", "support", "survey", "surveys", "svelte",
    "swift", "sync", "syntax", "synthesis", "system", "systems", "tagging", "tailwind", "talk", "task", "tasks",
    "tax", "taxation", "taxonomy", "teacher", "teaching", "team", "tech", "technical", "telemetry", "template",
    "terraform", "test", "tester", "testing", "tests", "text", "theory", "therapy", "thinker", "thinking", "thread",
    "threat", "time", "timeline", "tool", "tooling", "tools", "topic", "tour", "tracing", "tracking", "trade",
    "trading", "traffic", "training", "transaction", "transcription", "transform", "transformation", "translate",
    "translating", "translation", "translator", "transport", "travel", "treasury", "trend", "trends", "triage",
    "troubleshooting", "tuning", "tutor", "tutorial", "tutoring", "twitter", "type", "typescript", "typing", "typo",
    "typography", "ui", "understanding", "unit", "update", "upgrade", "usability", "usage", "use", "user", "ux",
    "validate", "validation", "valuation", "value", "variant", "vendor", "verification", "verifier", "verify",
    "verifying", "version", "versioning", "vetting", "video", "virtual", "vision", "visit", "visual",
    "visualization", "voice", "voicing", "vote", "voting", "vue", "vulnerability", "warehouse", "wasm", "watch",
    "watching", "weather", "web", "webassembly", "website", "wiki", "windows", "word", "wording", "words", "work",
    "workflow", "writer", "writing", "xml", "xss", "yaml", "zero", "zig",
})  # fmt: skip

_ACRONYM = 4
"""Words up to this length are taken for abbreviations, of which there are too many to know."""


def unlikely_word(capability: str) -> tuple[str, str] | None:
    """The word of a capability that probably no coding agent knows, and the one meant; None where all is well."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", capability)
    words = [word for word in re.split(r"[^a-z+#]+", parts.lower()) if word]
    strange = [word for word in words if word not in _WORDS and len(word) > _ACRONYM]
    for word in strange:
        close = get_close_matches(word, sorted(_WORDS), n=1, cutoff=0.82)
        if close and close[0][0] == word[0] and not word.startswith(close[0]) and not close[0].startswith(word):
            return word, close[0]
    if words and len(strange) == len(words):
        return words[0], ""
    return None
