-- The projections: what the log says, as rows. Every column is a function of the log alone, so that a rebuild gives the
-- same rows.

CREATE TABLE projection_positions (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE execution_events (
    stream_seq bigint PRIMARY KEY,
    execution_id text NOT NULL,
    type text NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL,
    time timestamptz NOT NULL,
    data jsonb NOT NULL
);
CREATE INDEX execution_events_by_execution ON execution_events (execution_id, stream_seq);
CREATE UNIQUE INDEX execution_events_by_id ON execution_events (event_id);

CREATE TABLE executions (
    id text PRIMARY KEY,
    pattern_name text,
    pattern_version text,
    pattern_digest text,
    status text NOT NULL,
    input jsonb,
    result jsonb,
    confidence double precision,
    confidence_source text,
    error jsonb,
    repo text,
    branch text,
    commit text,
    pr_url text,
    engine text,
    effects bigint,
    open_questions bigint,
    usage jsonb,
    labels jsonb,
    requested_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL
);
CREATE INDEX executions_by_age ON executions (first_seq);
CREATE INDEX executions_by_status ON executions (status, first_seq);
CREATE INDEX executions_by_pattern ON executions (pattern_name, first_seq);

CREATE TABLE tasks (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    effect text,
    role text,
    step text,
    session text,
    agent_id text,
    status text NOT NULL,
    attempt bigint,
    text text,
    result jsonb,
    confidence double precision,
    confidence_source text,
    commit text,
    files jsonb,
    usage jsonb,
    error jsonb,
    requested_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    first_seq bigint NOT NULL
);
CREATE INDEX tasks_by_execution ON tasks (execution_id, first_seq);

CREATE TABLE verifications (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    task_id text,
    role text,
    status text NOT NULL,
    score double precision,
    passed boolean,
    oracles jsonb,
    requested_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX verifications_by_execution ON verifications (execution_id);

CREATE TABLE workspaces (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    repo text,
    base_branch text,
    base_commit text,
    branch text,
    commit text,
    path text,
    status text NOT NULL,
    conflicts jsonb,
    error jsonb,
    updated_at timestamptz
);
CREATE INDEX workspaces_by_execution ON workspaces (execution_id);

CREATE TABLE pull_requests (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    url text NOT NULL,
    branch text,
    created_at timestamptz
);

CREATE TABLE agents (
    id text PRIMARY KEY,
    name text,
    type text,
    capabilities jsonb,
    endpoint text,
    status text NOT NULL,
    execution_id text,
    role text,
    session text,
    updated_at timestamptz
);

CREATE TABLE agent_participations (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    agent_id text NOT NULL,
    role text,
    session text,
    tasks_completed bigint NOT NULL,
    tasks_failed bigint NOT NULL,
    first_at timestamptz,
    last_at timestamptz
);
CREATE INDEX agent_participations_by_execution ON agent_participations (execution_id);

CREATE TABLE questions (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    task_id text,
    kind text,
    question text,
    options jsonb,
    who jsonb,
    status text NOT NULL,
    value jsonb,
    answered_by text,
    reason text,
    deadline_at timestamptz,
    asked_at timestamptz,
    answered_at timestamptz
);
CREATE INDEX questions_by_status ON questions (status, asked_at);

CREATE TABLE patterns (
    name text PRIMARY KEY,
    version text,
    digest text,
    format text,
    executions bigint NOT NULL,
    last_used_at timestamptz
);

CREATE TABLE pattern_versions (
    id text PRIMARY KEY,
    name text NOT NULL,
    version text,
    digest text,
    format text,
    source text,
    program text,
    first_used_at timestamptz
);

CREATE TABLE confidence_points (
    id text PRIMARY KEY,
    execution_id text NOT NULL,
    task_id text,
    agent_id text,
    role text,
    score double precision NOT NULL,
    source text,
    time timestamptz
);
CREATE INDEX confidence_points_by_role ON confidence_points (role, time);
