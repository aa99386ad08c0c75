"""The statements of the approval rows."""

from __future__ import annotations

STATUS = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
    "respond": "responded",
    "cancel": "cancelled",
    "done": "done",
    "retry": "retried",
    "abandon": "abandoned",
}
"""What a decision turns a pending row into."""

COLUMNS = (
    "id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, status, decision, "
    "decided_by, decided_at, applied_at, created_at, effect_key, effect_holder, requester, authors, "
    "origins"
)

SHOWN = "SELECT approval_ids FROM approvals_shown WHERE thread_id = %s AND checkpoint_id = %s"
SHOWN_LAST = "SELECT approval_ids FROM approvals_shown WHERE thread_id = %s ORDER BY shown_at DESC LIMIT 1"
# A row that is asked about again belongs to its newest interrupt, so the newest list it is in is that one's.
SHOWN_UNDER = """
SELECT approval_ids FROM approvals_shown s WHERE thread_id = %s AND EXISTS (
    SELECT 1 FROM approvals a WHERE a.id = ANY(s.approval_ids) AND a.interrupt_id = ANY(%s)
) ORDER BY shown_at DESC LIMIT 1
"""
# Asked there, and the newest checkpoint is that one or comes from it. A child's id is greater than its parent's.
PASSED = """
WITH RECURSIVE way AS (
    (SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints
     WHERE thread_id = %(thread)s AND checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1)
    UNION ALL
    SELECT c.checkpoint_id, c.parent_checkpoint_id
    FROM checkpoints c JOIN way ON c.checkpoint_id = way.parent_checkpoint_id
    WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = '' AND c.checkpoint_id >= %(checkpoint)s
)
SELECT EXISTS (SELECT 1 FROM way JOIN approvals_shown USING (checkpoint_id)
               WHERE thread_id = %(thread)s AND checkpoint_id = %(checkpoint)s) AS passed
"""
UNAPPLIED = """
SELECT id, call_id, tool, args, effect_key, effect_holder FROM approvals
WHERE thread_id = %s AND call_id = ANY(%s) AND applied_at IS NULL
  AND NOT (status = 'cancelled' AND decided_by = 'ballast')  -- closed, not decided: come back to, it is asked anew
ORDER BY position
"""
IN_LEDGER = "SELECT key FROM effects WHERE thread_id = %s AND key = ANY(%s)"
# Asked again, a pending row belongs to the newer interrupt; a decided one stays as it is.
# A deadline is counted by this database's clock, which also fires it: processes may disagree on the time.
UPSERT = """
INSERT INTO approvals
    (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, effect_key, effect_holder, origins,
     requester, authors)
VALUES (%(id)s, %(thread_id)s, %(interrupt_id)s, %(call_id)s, %(tool)s, %(args)s, %(risk)s, %(reason)s,
        now() + %(window_s)s::float8 * interval '1 second', %(effect_key)s, %(effect_holder)s, %(origins)s,
        coalesce((SELECT requester FROM runs WHERE thread_id = %(thread_id)s), ''),
        coalesce((SELECT authors FROM runs WHERE thread_id = %(thread_id)s), '{}'))
ON CONFLICT (id) DO UPDATE SET interrupt_id = EXCLUDED.interrupt_id WHERE approvals.status = 'pending'
RETURNING xmax = 0 AS is_new
"""
SHOW = """
INSERT INTO approvals_shown (thread_id, checkpoint_id, turn, approval_ids) VALUES (%s, %s, %s, %s)
ON CONFLICT (thread_id, checkpoint_id) DO NOTHING
"""
# A message on a thread that waits begins a turn with the calls of the one before: its pages may still be open, and
# where they showed another list the answer can be for that one.
TIMES_ASKED = """
WITH shown AS (SELECT turn, approval_ids FROM approvals_shown WHERE thread_id = %(thread)s),
newest AS (SELECT turn, approval_ids FROM approvals_shown WHERE thread_id = %(thread)s ORDER BY shown_at DESC LIMIT 1)
SELECT greatest(
    (SELECT count(*) FROM shown JOIN newest USING (turn)),
    (SELECT count(DISTINCT approval_ids) FROM shown WHERE turn IN
        (SELECT s.turn FROM shown s JOIN newest n ON s.approval_ids && n.approval_ids))
) AS times
"""

DECIDE = f"""
UPDATE approvals SET status = %s, decision = %s, decided_by = %s, decided_at = now()
WHERE id = %s AND (status = 'pending' OR (
    -- The run has ended, the doubt has not: a person may still say what became of the effect.
    status = 'cancelled' AND %s IN ('done', 'abandoned')
    AND EXISTS (
        SELECT 1 FROM effects e WHERE e.key = effect_key AND e.thread_id = approvals.thread_id AND e.state = 'unknown')
)) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is a constant

# The row is locked first, by all in the order of the ids: of two answers to the same calls, or an answer and the timer,
# one waits for the other.
LOCK = "SELECT id FROM approvals WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
RELEASE_DUE = f"""
WITH due AS (
    SELECT id AS due_id, deadline + %(overdue_s)s::float8 * interval '1 second' < now() AS too_late FROM approvals
    WHERE thread_id = %(thread_id)s AND status = 'pending' AND deadline <= now() ORDER BY id FOR UPDATE
)
UPDATE approvals SET
    status = CASE WHEN too_late THEN 'expired' ELSE 'approved' END,
    decision = CASE WHEN too_late THEN %(expire)s ELSE %(approve)s END, decided_by = 'timer', decided_at = now()
FROM due WHERE id = due_id RETURNING {COLUMNS}
"""  # noqa: S608 - as above
# A run that neither ended nor waits was cut off, or goes on elsewhere: then it is busy. One that a person stopped has
# an outcome.
TO_GO_ON = """
SELECT EXISTS (
    SELECT 1 FROM approvals WHERE thread_id = %(thread_id)s AND applied_at IS NULL AND status <> 'pending'
      AND NOT (status = 'cancelled' AND decided_by = 'ballast')
) OR EXISTS (SELECT 1 FROM runs WHERE thread_id = %(thread_id)s AND outcome IS NULL) AS something
"""

OVERRULED = f"UPDATE approvals SET decision = %s WHERE id = %s RETURNING {COLUMNS}"  # noqa: S608 - as above
APPLY = "UPDATE approvals SET applied_at = now() WHERE id = ANY(%s) AND applied_at IS NULL"
CLOSE_ALL_BUT = """
UPDATE approvals SET status = 'cancelled', decided_by = 'ballast', decided_at = now(), decision = %s
WHERE thread_id = %s AND id <> ALL(%s) AND status = 'pending'
"""
CLOSE_DELETED = """
UPDATE approvals SET status = 'cancelled', decided_by = 'ballast', decided_at = now(), decision = %s
WHERE thread_id = ANY(%s) AND status = 'pending'
"""
DELETED = {"type": "cancel", "message": "the thread was deleted"}
ENDED = {"type": "cancel", "message": "the run ended before this was decided"}
REPLACED = {"type": "cancel", "message": "the thread went on another way and no longer asks this"}
ELSEWHERE = "it was made in another thread and may have happened there; here it would be a new call"
