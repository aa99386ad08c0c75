-- What waited when timers came: each deadline of a thread gets the job that releases it.
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT DISTINCT 'threads', 'advance', jsonb_build_object('thread_id', thread_id), deadline
FROM approvals WHERE status = 'pending' AND deadline IS NOT NULL;

-- And a place in the list, so that a run of it that is cut off is gone on with. Whose it is was not kept then.
INSERT INTO runs (thread_id, owner, requester, authors, graph, task, outcome)
SELECT DISTINCT thread_id, '', '', '{}'::text[], 'react', '', 'awaiting_approval' FROM approvals WHERE status = 'pending';
