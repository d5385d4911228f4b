-- Whether the work of an execution passed its gates, who said no, and why nothing was pushed.

ALTER TABLE executions ADD COLUMN approved boolean;
ALTER TABLE executions ADD COLUMN evidence jsonb;
ALTER TABLE executions ADD COLUMN unpublished text;
