-- What waited when timers came: each thread with a deadline gets the job that releases it.
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT 'threads', 'advance', jsonb_build_object('thread_id', thread_id), min(deadline)
FROM approvals WHERE status = 'pending' AND deadline IS NOT NULL GROUP BY thread_id;
