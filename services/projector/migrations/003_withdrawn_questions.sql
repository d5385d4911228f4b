-- The questions that the current attempt of a task has asked: nobody waits for their answers once it is over.

ALTER TABLE tasks ADD COLUMN asks jsonb;
